"""`polyvae encode`: frames to their latent trajectory."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import tyro

from polyvae.analysis import latent_trajectory
from polyvae.cli.options import TrajectoryOptions, check_output, source_of
from polyvae.cli.parsing import parse
from polyvae.cli.printing import Printing
from polyvae.storage import load_model, save_latent_csv, save_record
from polyvae.trajectory.finding import counted


@dataclass(frozen=True, kw_only=True)
class EncodeCommand:
    """Latent trajectory of frames under a trained model: mean and standard deviation of every frame.

    Attributes:
        model: model file (.json or .safetensors) or run folder.
        trajectories: trajectory files of the system that the model was trained on.
        output: file to write: .npz, or .csv with the columns frame, time, z1, ..., sd1, ...
        overwrite: whether an existing file may be replaced.
        trajectory: how trajectories are read; without `atoms`, the model's own selection is used where it is
            needed.
        printing: what is printed.
    """

    model: tyro.conf.Positional[Path]
    trajectories: tyro.conf.Positional[tuple[str, ...]] = ()
    output: Annotated[Path, tyro.conf.arg(aliases=["-o"])] = Path("latent.npz")
    overwrite: bool = False
    trajectory: tyro.conf.OmitArgPrefixes[TrajectoryOptions] = field(default_factory=TrajectoryOptions)
    printing: tyro.conf.OmitArgPrefixes[Printing] = field(default_factory=Printing)


def command(words: list[str]) -> int:
    """Run `polyvae encode`."""
    settings = parse(EncodeCommand, words, verb="encode")
    source_of(settings.trajectories)
    check_output(settings.output, (".npz", ".csv"), overwrite=settings.overwrite)
    step = settings.printing.steps(are_told=False)
    step("reading the model")
    model = load_model(settings.model)
    step("encoding the frames")
    options = settings.trajectory
    # Weights come from a file of their own, which is read with the frames.
    read = options.open_for if options.weights is None else options.load_for
    latent = latent_trajectory(model, read(model, settings.trajectories))
    write = save_latent_csv if settings.output.suffix.lower() == ".csv" else save_record
    write(latent, settings.output, overwrite=settings.overwrite)
    step.done()
    n_frames, n_latent = latent.mean.shape
    settings.printing.answer(
        {
            "frames": n_frames,
            "latent_dim": n_latent,
            "largest_step_fraction": latent.largest_step,
            "span": latent.span,
            "output": settings.output,
        },
        f"{counted(n_frames, 'frame')}, {counted(n_latent, 'latent dimension')}, "
        f"largest step {latent.largest_step:.1%} of the span\nlatent trajectory in {settings.output}",
    )
    return 0
