"""`polyvae run`: trajectories and settings to a folder with a model and all its answers."""

import signal
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import tyro

from polyvae.cli.options import AnalysisConfig, TrajectoryOptions, source_of
from polyvae.cli.parsing import parse
from polyvae.cli.progress import say
from polyvae.cli.signals import Interrupted
from polyvae.cli.summary import result_table
from polyvae.cli.training import resuming_command, train_into
from polyvae.cli.workflow import analyze
from polyvae.cli.write_results import write_results
from polyvae.storage import RunFolder, check_run_folder
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
        quiet: no progress, only results and errors.
        debug: show the traceback of an error.
        trajectory: how trajectories are read.
        model: the model.
        training: training.
        analysis: how much of each analysis.
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
    analysis: tyro.conf.OmitArgPrefixes[AnalysisConfig] = field(default_factory=AnalysisConfig)


def command(words: list[str]) -> int:
    """Run `polyvae run`."""
    settings = parse(RunCommand, words, verb="run")
    source_of(settings.trajectories)
    check_run_folder(settings.output, overwrite=settings.overwrite, resume=settings.resume)
    say("reading the trajectory", quiet=settings.quiet)
    trajectory = settings.trajectory.load(settings.trajectories)
    say(str(trajectory), quiet=settings.quiet)
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
) -> RunFolder:
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
        settings={
            "trajectory": settings.trajectory,
            "model": settings.model,
            "training": settings.training,
            "analysis": settings.analysis,
            "seed": settings.seed,
        },
        inputs=inputs,
    )
    try:
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
        results = analyze(
            result,
            trajectory,
            settings.analysis,
            seed=settings.seed,
            follow=follow,
            on_step=lambda step: say(step, quiet=settings.quiet),
        )
        say("writing results and figures", quiet=settings.quiet)
        summary = write_results(folder, results)
    except (KeyboardInterrupt, Interrupted) as interruption:
        if folder.manifest["status"] == "interrupted":
            raise
        # Not while training, which ends by itself and says so: the analyses are done again, the training is not.
        folder.close("interrupted")
        number = interruption.number if isinstance(interruption, Interrupted) else signal.SIGINT
        raise Interrupted(f"interrupted. Go on with: {resuming_command(folder)}", number) from interruption
    folder.remove(CHECKPOINT)
    folder.close("finished")
    print(result_table(summary))
    print(
        f"\nreport   {folder.path / 'report.html'}\nmodel    {folder.path / 'model.json'}\nnumbers  "
        f"{folder.path / 'summary.json'}"
    )
    return folder
