"""`polyvae train`: trajectories and settings to a trained model, without the analyses."""

import textwrap
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import tyro

from polyvae.cli.options import TrajectoryOptions, source_of
from polyvae.cli.parsing import parse
from polyvae.cli.progress import say
from polyvae.cli.summary import fit_summary
from polyvae.cli.training import train_into
from polyvae.storage import RunFolder, check_run_folder
from polyvae.storage.run_folder import CHECKPOINT
from polyvae.training import TrainConfig
from polyvae.vae import ModelConfig


@dataclass(frozen=True, kw_only=True)
class TrainCommand:
    """Train a model on trajectories: model, learning curves and manifest, no analyses.

    Attributes:
        trajectories: trajectory files of one system; each is a simulation of its own.
        output: folder for the results.
        config: run file in TOML, with tables [trajectory], [model] and [training] whose keys are the flags
            below; flags win over the file.
        seed: one seed for everything random. Same seed, same machine: same bits.
        resume: go on with the interrupted run in the folder.
        overwrite: replace the files of an older run in the folder, and no others.
        quiet: no progress, only results and errors.
        debug: show the traceback of an error.
        trajectory: how trajectories are read.
        model: the model.
        training: training.
    """

    trajectories: tyro.conf.Positional[tuple[str, ...]] = ()
    output: Annotated[Path, tyro.conf.arg(aliases=["-o"])] = Path("polyvae_run")
    config: Path | None = None
    seed: int = 0
    resume: bool = False
    overwrite: bool = False
    quiet: bool = False
    debug: bool = False
    trajectory: tyro.conf.OmitArgPrefixes[TrajectoryOptions] = field(default_factory=TrajectoryOptions)
    model: tyro.conf.OmitArgPrefixes[ModelConfig] = field(default_factory=ModelConfig)
    training: tyro.conf.OmitArgPrefixes[TrainConfig] = field(default_factory=TrainConfig)


def command(words: list[str]) -> int:
    """Run `polyvae train`."""
    settings = parse(TrainCommand, words, verb="train")
    source_of(settings.trajectories)
    check_run_folder(settings.output, overwrite=settings.overwrite, resume=settings.resume)
    say("reading the trajectory", quiet=settings.quiet)
    trajectory = settings.trajectory.load(settings.trajectories)
    say(str(trajectory), quiet=settings.quiet)
    folder = RunFolder.create(
        settings.output,
        overwrite=settings.overwrite,
        resume=settings.resume,
        command=["polyvae", "train", *words],
        settings={
            "trajectory": settings.trajectory,
            "model": settings.model,
            "training": settings.training,
            "seed": settings.seed,
        },
        inputs=settings.trajectory.input_files(settings.trajectories),
    )
    result = train_into(
        folder,
        trajectory,
        settings.model,
        settings.training,
        seed=settings.seed,
        resume=settings.resume,
        quiet=settings.quiet,
        memory=settings.trajectory.memory,
        store=settings.trajectory.store,
    )
    folder.write_json("summary.json", fit_summary(result, trajectory))
    folder.remove(CHECKPOINT)
    folder.close("finished")
    bound = result.history.validation_bound[result.best_epoch - 1]
    print(
        f"best epoch {result.best_epoch} of {len(result.history)}, validation bound {bound:.3f} nats per "
        "frame"
    )
    if result.status == "finished" and result.history.still_rising:
        gain = result.history.late_gain
        print(f"The last fifth of the epochs still raised it by {gain:.3g} nats: more epochs may help.")
    print(textwrap.fill(result.diagnosis.sentence, 100))
    print(f"model in {folder.path / 'model.json'}")
    return 0
