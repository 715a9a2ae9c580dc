"""`polyvae demo`: the whole of `polyvae run` on the two-dimensional polymer that ships with polyvae."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import tyro

from polyvae.cli.options import AnalysisConfig, check_folder
from polyvae.cli.parsing import parse
from polyvae.cli.printing import Printing
from polyvae.cli.run import RunCommand, run_into
from polyvae.training import TrainConfig
from polyvae.trajectory import bundled, load
from polyvae.vae import ModelConfig


def _training() -> TrainConfig:
    return TrainConfig(epochs=100, augmentation=("mirror", "reversal"))


@dataclass(frozen=True, kw_only=True)
class DemoCommand:
    """Train on a 12-bead polymer in two dimensions and answer with everything, in a few minutes.

    The latent trajectory is that of a second, short run of the same polymer whose frames are dense in time.

    Attributes:
        output: folder for the results.
        seed: one seed for everything random. Same seed, same machine: same bits.
        resume: go on with the interrupted run in the folder.
        overwrite: replace the files of an older run in the folder, and no others.
        model: the model.
        training: training.
        analysis: how much of each analysis.
        printing: what is printed.
    """

    output: Annotated[Path, tyro.conf.arg(aliases=["-o"])] = Path("polyvae_demo")
    seed: int = 0
    resume: bool = False
    overwrite: bool = False
    model: tyro.conf.OmitArgPrefixes[ModelConfig] = field(default_factory=ModelConfig)
    training: tyro.conf.OmitArgPrefixes[TrainConfig] = field(default_factory=_training)
    analysis: tyro.conf.OmitArgPrefixes[AnalysisConfig] = field(default_factory=AnalysisConfig)
    printing: tyro.conf.OmitArgPrefixes[Printing] = field(default_factory=Printing)


def command(words: list[str]) -> int:
    """Run `polyvae demo`."""
    demo = parse(DemoCommand, words, verb="demo")
    check_folder(demo.output, overwrite=demo.overwrite, resume=demo.resume)
    files = [str(bundled(name)) for name in ("polymer_2d.npz", "polymer_2d_dense.npz")]
    trajectory, dense = (load(file) for file in files)
    settings = RunCommand(
        trajectories=(files[0],),
        output=demo.output,
        seed=demo.seed,
        resume=demo.resume,
        overwrite=demo.overwrite,
        model=demo.model,
        training=demo.training,
        analysis=demo.analysis,
        printing=demo.printing,
    )
    run_into(settings, trajectory, words=["demo", *words], inputs=files, follow=dense)
    return 0
