"""`polyvae film`: the latent trajectory of a run beside the moving structure, as GIF or MP4."""

import dataclasses
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import tyro

from polyvae import plots
from polyvae.analysis import FreeEnergySurface, LatentTrajectory, latent_trajectory
from polyvae.cli.options import TrajectoryOptions, check_output
from polyvae.cli.parsing import parse
from polyvae.cli.printing import Printing
from polyvae.cli.usage import UsageError
from polyvae.errors import InputError
from polyvae.storage import check_film, load_model, load_record, read_manifest, save_film
from polyvae.trajectory import Trajectory
from polyvae.trajectory.finding import counted
from polyvae.vae import ConformationModel


@dataclass(frozen=True, kw_only=True)
class FilmCommand:
    """A film of the latent trajectory: a point on the latent map, beside the conformation of the same frame.

    Without trajectory files those of the run are read again, as the run read them.

    Attributes:
        model: run folder, or model file (.json or .safetensors).
        trajectories: trajectory files of the system; none takes those that the run folder's latent trajectory is of.
        output: file to write: .gif, or .mp4, which needs the program ffmpeg.
        frames: pictures, at most; of more frames every so many are shown.
        fps: pictures a second.
        trail: how many pictures back the trail of the point goes.
        overwrite: whether an existing file may be replaced.
        printing: what is printed.
        trajectory: how `trajectories` are read; without `atoms`, the model's own selection is used where it is needed.
    """

    model: tyro.conf.Positional[Path]
    trajectories: tyro.conf.Positional[tuple[str, ...]] = ()
    output: Annotated[Path, tyro.conf.arg(aliases=["-o"])] = Path("film.gif")
    frames: int = 150
    fps: int = 15
    trail: int = 12
    overwrite: bool = False
    printing: tyro.conf.OmitArgPrefixes[Printing] = field(default_factory=Printing)
    trajectory: tyro.conf.OmitArgPrefixes[TrajectoryOptions] = field(default_factory=TrajectoryOptions)

    def __post_init__(self) -> None:
        for name, least in (("frames", 2), ("fps", 1), ("trail", 0)):
            if getattr(self, name) < least:
                raise InputError(f"`{name}` must be at least {least}; got {getattr(self, name)}.")


def command(words: list[str]) -> int:
    """Run `polyvae film`."""
    settings = parse(FilmCommand, words, verb="film")
    check_output(settings.output, (".gif", ".mp4"), overwrite=settings.overwrite)
    check_film(settings.output)
    model = load_model(settings.model)
    step = settings.printing.steps()
    step("reading the trajectory")
    trajectory = _trajectory(settings, model)
    latent = latent_trajectory(model, trajectory)
    film = plots.latent_film(
        latent,
        trajectory,
        surface=_surface(settings.model),
        frames=settings.frames,
        trail=settings.trail,
    )
    shown = len(range(0, len(latent.mean), -(-len(latent.mean) // settings.frames)))
    step(f"drawing {counted(shown, 'picture')}")
    save_film(film, settings.output, fps=settings.fps, overwrite=settings.overwrite)
    step.done()
    numbers = {"output": settings.output, "pictures": shown, "frames": len(latent.mean), "fps": settings.fps}
    settings.printing.answer(
        numbers,
        f"{shown} of {counted(len(latent.mean), 'frame')}, {shown / settings.fps:.1f} s at {settings.fps} a second, in "
        f"{settings.output}",
    )
    return 0


def _trajectory(settings: FilmCommand, model: ConformationModel) -> Trajectory:
    if settings.trajectories:
        return settings.trajectory.load_for(model, settings.trajectories)
    if settings.trajectory != TrajectoryOptions():
        raise UsageError(
            "Flags for reading go with trajectory files: name the files after the model, or leave the flags out."
        )
    if not settings.model.is_dir():
        raise UsageError(
            f"{settings.model} is not a run folder, so it does not tell which frames to show. Name trajectory files."
        )
    files, reading = _files_of_run(settings.model)
    missing = [file for file in files if not Path(file).is_file()]
    if missing or not files:
        raise InputError(
            f"{settings.model}: the run read {', '.join(missing) or 'no file'}, which is not here (any more). Name the "
            "trajectory files, and how they are read, after the run folder."
        )
    return reading.load_for(model, files)


def _files_of_run(folder: Path) -> tuple[list[str], TrajectoryOptions]:
    """The files that the latent trajectory of a run is of, and how the run read them."""
    manifest = read_manifest(folder)
    known = {field.name for field in dataclasses.fields(TrajectoryOptions)}
    stored: dict[str, Any] = dict(manifest.get("settings", {}).get("trajectory") or {})
    reading = TrajectoryOptions(**{name: value for name, value in stored.items() if name in known})
    files = [
        entry["name"]
        for entry in manifest.get("inputs", [])
        if entry["name"] not in (reading.top, reading.weights)
    ]
    path = folder / "latent.npz"
    if path.exists():
        sources = load_record(path, LatentTrajectory).source.split(", ")
        # `polyvae demo` trains on one file and follows another.
        files = [file for file in files if file in sources] or files
    return files, reading


def _surface(folder: Path) -> FreeEnergySurface | None:
    """The free energy that the run left along two latent dimensions, or None."""
    path = folder / "free_energy.npz"
    if not folder.is_dir() or not path.exists():
        return None
    surface = load_record(path, FreeEnergySurface)
    return surface if surface.energy.ndim == 2 else None
