"""Training into a run folder: a checkpoint beside it, and an interruption that says how to go on."""

import shlex

from polyvae.cli.progress import TrainingProgress
from polyvae.cli.signals import Interrupted, noted_signal
from polyvae.errors import InputError, TrainingError
from polyvae.storage import Checkpoint, RunFolder, save, save_record
from polyvae.storage.run_folder import CHECKPOINT
from polyvae.training import FitResult, TrainConfig, fit
from polyvae.trajectory import Trajectory
from polyvae.vae import ModelConfig


def train_into(
    folder: RunFolder,
    trajectory: Trajectory,
    model_config: ModelConfig,
    train_config: TrainConfig,
    *,
    seed: int,
    resume: bool = False,
    quiet: bool = False,
    memory: str | None = None,
    store: str | None = None,
) -> FitResult:
    """A trained model, saved in the folder with its learning curves.

    The checkpoint stays until `folder.remove` takes it away, so that an interruption of what follows costs no
    training.

    Raises:
        Interrupted: if a signal ended training; state and best model so far are in the folder.
    """
    checkpoint = Checkpoint(folder.file(CHECKPOINT))
    with noted_signal() as last_signal, TrainingProgress(quiet=quiet) as progress:
        try:
            result = fit(
                trajectory,
                model_config,
                train_config,
                seed=seed,
                on_epoch=progress,
                checkpoint=checkpoint,
                resume=resume,
                memory=memory,
                store=store,
            )
        except (InputError, TrainingError):
            folder.abandon()
            raise
        number = last_signal()
    for name in ("model.safetensors", "model.json"):
        folder.file(name)
    save(result.model, folder.path / "model", overwrite=True)
    save_record(result.history, folder.file("history.npz"), overwrite=True)
    save_record(result.diagnosis, folder.file("diagnosis.npz"), overwrite=True)
    save_record(result.split, folder.file("split.npz"), overwrite=True)
    if result.status == "interrupted":
        folder.close("interrupted")
        raise Interrupted(
            f"interrupted after epoch {len(result.history)} of {train_config.epochs}; nothing is lost. "
            f"Go on with: {resuming_command(folder)}",
            number,
        )
    return result


def resuming_command(folder: RunFolder) -> str:
    """The command line that goes on with the run in a folder."""
    words = [word for word in folder.manifest["command"] if word not in ("--overwrite", "--resume")]
    return shlex.join([*words, "--resume"])
