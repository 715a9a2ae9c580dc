"""`polyvae train`: trajectories and settings to a trained model, without the analyses."""

import textwrap
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import tyro

from polyvae.cli.dry_run import dry_run
from polyvae.cli.options import TrajectoryOptions, check_folder, source_of
from polyvae.cli.parsing import parse
from polyvae.cli.printing import Printing
from polyvae.cli.progress import say
from polyvae.cli.run_file import recorded, write_run_file
from polyvae.cli.summary import fit_summary
from polyvae.cli.training import train_into
from polyvae.storage import RunFolder
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
        dry_run: say what the training would take, from a short trial, and write nothing.
        trajectory: how trajectories are read.
        model: the model.
        training: training.
        printing: what is printed.
    """

    trajectories: tyro.conf.Positional[tuple[str, ...]] = ()
    output: Annotated[Path, tyro.conf.arg(aliases=["-o"])] = Path("polyvae_run")
    config: Path | None = None
    seed: int = 0
    resume: bool = False
    overwrite: bool = False
    dry_run: bool = False
    trajectory: tyro.conf.OmitArgPrefixes[TrajectoryOptions] = field(default_factory=TrajectoryOptions)
    model: tyro.conf.OmitArgPrefixes[ModelConfig] = field(default_factory=ModelConfig)
    training: tyro.conf.OmitArgPrefixes[TrainConfig] = field(default_factory=TrainConfig)
    printing: tyro.conf.OmitArgPrefixes[Printing] = field(default_factory=Printing)


def command(words: list[str]) -> int:
    """Run `polyvae train`."""
    settings = parse(TrainCommand, words, verb="train")
    source_of(settings.trajectories)
    check_folder(settings.output, overwrite=settings.overwrite, resume=settings.resume)
    printing, step = settings.printing, settings.printing.steps()
    if settings.dry_run:
        return dry_run(settings, analysis=None)
    step("reading the trajectory")
    trajectory = settings.trajectory.load(settings.trajectories)
    say(str(trajectory), quiet=printing.quiet)
    folder = RunFolder.create(
        settings.output,
        overwrite=settings.overwrite,
        resume=settings.resume,
        command=["polyvae", "train", *words],
        settings=recorded(settings),
        inputs=settings.trajectory.input_files(settings.trajectories),
    )
    step("training")
    result = train_into(
        folder,
        trajectory,
        settings.model,
        settings.training,
        seed=settings.seed,
        resume=settings.resume,
        quiet=printing.quiet,
        memory=settings.trajectory.memory,
        store=settings.trajectory.store,
    )
    step("writing")
    write_run_file(folder, "train", settings)
    summary = fit_summary(result, trajectory)
    folder.write_json("summary.json", summary)
    folder.remove(CHECKPOINT)
    folder.close("finished")
    step.done()
    bound = result.history.validation_bound[result.best_epoch - 1]
    weight = settings.training.vamp_weight
    score = f" + {weight:g} VAMP-2" if weight else ""
    lines = [
        f"best epoch {result.best_epoch} of {len(result.history)}, validation bound{score} {bound:.3f} nats per frame"
    ]
    if result.status == "finished" and result.history.still_rising:
        gain = result.history.late_gain
        lines.append(
            f"The last fifth of the epochs still raised it by {gain:.3g} nats: more epochs may help."
        )
    lines += [textwrap.fill(result.diagnosis.sentence, 100), f"model in {folder.path / 'model.json'}"]
    printing.answer(summary | {"validation_bound": bound, "folder": folder.path}, "\n".join(lines))
    return 0
