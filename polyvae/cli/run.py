"""`polyvae run`: trajectories and settings to a folder with a model and all its answers."""

import signal
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import tyro

from polyvae.cli.dry_run import dry_run
from polyvae.cli.options import AnalysisConfig, TrajectoryOptions, check_folder, source_of
from polyvae.cli.parsing import parse
from polyvae.cli.printing import Printing
from polyvae.cli.progress import say
from polyvae.cli.run_file import recorded, write_run_file
from polyvae.cli.signals import Interrupted
from polyvae.cli.summary import result_table
from polyvae.cli.training import resuming_command, train_into
from polyvae.cli.workflow import analyze
from polyvae.cli.write_results import write_results
from polyvae.errors import OutputError
from polyvae.storage import RunFolder
from polyvae.storage.run_folder import CHECKPOINT
from polyvae.training import TrainConfig
from polyvae.trajectory import Trajectory
from polyvae.vae import ModelConfig


@dataclass(frozen=True, kw_only=True)
class RunCommand:
    """Train a model on trajectories and answer with everything.

    Attributes:
        trajectories: trajectory files of one system; each is a simulation of its own.
        output: folder for the results.
        config: run file in TOML, with tables [trajectory], [model], [training] and [analysis] whose keys are
            the flags below; flags win over the file.
        seed: one seed for everything random. Same seed, same machine: same bits.
        resume: go on with the interrupted run in the folder.
        overwrite: replace the files of an older run in the folder, and no others.
        dry_run: say what the run would take, from a short trial, and write nothing.
        trajectory: how trajectories are read.
        model: the model.
        training: training.
        analysis: how much of each analysis.
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
    analysis: tyro.conf.OmitArgPrefixes[AnalysisConfig] = field(default_factory=AnalysisConfig)
    printing: tyro.conf.OmitArgPrefixes[Printing] = field(default_factory=Printing)


def command(words: list[str]) -> int:
    """Run `polyvae run`."""
    settings = parse(RunCommand, words, verb="run")
    source_of(settings.trajectories)
    check_folder(settings.output, overwrite=settings.overwrite, resume=settings.resume)
    if settings.dry_run:
        return dry_run(settings, analysis=settings.analysis)
    say("reading the trajectory", quiet=settings.printing.quiet)
    trajectory = settings.trajectory.load(settings.trajectories)
    say(str(trajectory), quiet=settings.printing.quiet)
    inputs = settings.trajectory.input_files(settings.trajectories)
    run_into(settings, trajectory, words=["run", *words], inputs=inputs)
    return 0


def run_into(
    settings: RunCommand,
    trajectory: Trajectory,
    *,
    words: list[str],
    inputs: list[str],
    follow: Trajectory | None = None,
) -> None:
    """Train, analyze, write and print, in the folder `settings.output`.

    Args:
        settings: all settings of the run.
        trajectory: the data.
        words: the command line, without the program's name.
        inputs: files read, for the manifest.
        follow: another run of the same system for the latent trajectory; None takes the data.
    """
    folder = RunFolder.create(
        settings.output,
        overwrite=settings.overwrite,
        resume=settings.resume,
        command=["polyvae", *words],
        settings=recorded(settings),
        inputs=inputs,
    )
    step = settings.printing.steps()
    is_trained = False
    try:
        step("training")
        result = train_into(
            folder,
            trajectory,
            settings.model,
            settings.training,
            seed=settings.seed,
            resume=settings.resume,
            quiet=settings.printing.quiet,
            memory=settings.trajectory.memory,
            store=settings.trajectory.store,
        )
        is_trained = True
        if follow is None:
            write_run_file(folder, "run", settings)
        results = analyze(
            result, trajectory, settings.analysis, seed=settings.seed, follow=follow, on_step=step
        )
        step("writing results and figures")
        summary = write_results(folder, results)
    except (KeyboardInterrupt, Interrupted) as interruption:
        if folder.manifest["status"] == "interrupted":
            raise
        # Not while training, which ends by itself and says so: the analyses are done again, the training is not.
        folder.close("interrupted")
        number = interruption.number if isinstance(interruption, Interrupted) else signal.SIGINT
        raise Interrupted(f"interrupted. Go on with: {resuming_command(folder)}", number) from interruption
    except OutputError as error:
        if not is_trained:
            raise
        raise OutputError(
            f"{error} The training is not lost; then go on with: {resuming_command(folder)}"
        ) from error
    folder.remove(CHECKPOINT)
    folder.close("finished")
    step.done()
    figures = [name for name in folder.names if name.startswith("figures/")]
    lines = [
        result_table(summary),
        "",
        f"report   {folder.path / 'report.html'}",
        f"model    {folder.path / 'model.json'}",
        f"numbers  {folder.path / 'summary.json'}",
        f"figures  {', '.join(figures)}",
    ]
    settings.printing.answer(summary | {"folder": folder.path}, "\n".join(lines))
