"""`polyvae path`: conformations between two others, along a straight line or where the data are."""

import csv
import dataclasses
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import tyro

from polyvae.analysis import LatentPath, PathComparison, compare_paths, latent_path, latent_trajectory
from polyvae.cli.options import TrajectoryOptions, check_output
from polyvae.cli.parsing import parse
from polyvae.cli.printing import Printing
from polyvae.cli.usage import UsageError
from polyvae.storage import load_model
from polyvae.trajectory import Trajectory, atomic_path, save_trajectory
from polyvae.trajectory.finding import counted
from polyvae.vae import ConformationModel


@dataclass(frozen=True, kw_only=True)
class PathCommand:
    """A path between two conformations in latent space, decoded, with the plausibility of every frame.

    An end is a file of one frame (start.pdb), the number of a frame of --trajectory (120, counted from 0), or a latent
    point (z=0.3,-1.2).

    Attributes:
        model: model file (.json or .safetensors) or run folder.
        start: where the path begins.
        end: where it ends.
        trajectory: trajectory files of the system, whose aggregate posterior tells what is plausible; without them the
            prior does.
        kind: "string" keeps to where the data are, "straight" does not.
        compare: whether table and figure show both kinds.
        n: frames of the path.
        observable: what to record along the path, as in `polyvae optimize`.
        output: file to write: .pdb, .xtc, .dcd or .npz.
        table: CSV file to write: density, geometry, observables and latent point of every frame.
        figure: PNG file to write.
        overwrite: whether existing files may be replaced.
        reading: how trajectories, and the files of the ends, are read.
        printing: what is printed.
    """

    model: tyro.conf.Positional[Path]
    start: Annotated[str, tyro.conf.Positional, tyro.conf.arg(name="from")]
    end: Annotated[str, tyro.conf.Positional, tyro.conf.arg(name="to")]
    trajectory: tuple[str, ...] = ()
    kind: Literal["string", "straight"] = "string"
    compare: bool = True
    n: Annotated[int, tyro.conf.arg(aliases=["-n"])] = 50
    observable: tuple[str, ...] = ("radius_of_gyration", "end_to_end_distance")
    output: Annotated[Path, tyro.conf.arg(aliases=["-o"])] = Path("path.pdb")
    table: Path | None = None
    figure: Path | None = None
    overwrite: bool = False
    reading: tyro.conf.OmitArgPrefixes[TrajectoryOptions] = field(default_factory=TrajectoryOptions)
    printing: tyro.conf.OmitArgPrefixes[Printing] = field(default_factory=Printing)


def command(words: list[str]) -> int:
    """Run `polyvae path`."""
    settings = parse(PathCommand, words, verb="path")
    check_output(settings.output, (".pdb", ".xtc", ".dcd", ".npz"), overwrite=settings.overwrite)
    for path, suffix, name in ((settings.table, ".csv", "table"), (settings.figure, ".png", "figure")):
        if path is not None:
            check_output(path, (suffix,), overwrite=settings.overwrite, name=name)
    if settings.n < 2:
        raise UsageError(f"`n` must be at least 2, the two ends; got {settings.n}.")
    step = settings.printing.steps(are_told=False)
    step("reading model and frames")
    model = load_model(settings.model)
    trajectory = settings.reading.load_for(model, settings.trajectory) if settings.trajectory else None
    ends = [_end(settings, model, trajectory, word, name) for word, name in _ends(settings)]
    common: dict[str, Any] = {
        "n": settings.n,
        "trajectory": trajectory,
        "observables": settings.observable,
    }
    step("following the path")
    if settings.compare:
        both: PathComparison | LatentPath = compare_paths(model, *ends, **common)
        chosen = both.string if settings.kind == "string" else both.straight
        paths = [both.straight, both.string]
    else:
        chosen = latent_path(model, *ends, kind=settings.kind, **common)
        both, paths = chosen, [chosen]
    save_trajectory(chosen.trajectory, settings.output, overwrite=settings.overwrite)
    lines = [
        *_lines(paths),
        f"{chosen.kind} path of {counted(len(chosen.latent), 'frame')} in {settings.output}",
    ]
    if settings.table is not None:
        _write_table(paths, settings.table, overwrite=settings.overwrite)
        lines.append(f"table in {settings.table}")
    if settings.figure is not None:
        # Matplotlib takes a while to load.
        from polyvae import plots

        latent = None if trajectory is None else latent_trajectory(model, trajectory)
        image = plots.to_png(plots.figure_paths(both, latent))
        with atomic_path(settings.figure, overwrite=settings.overwrite) as temporary:
            temporary.write_bytes(image)
        lines.append(f"figure in {settings.figure}")
    step.done()
    settings.printing.answer(_numbers(settings, paths, chosen), "\n".join(lines))
    return 0


def _numbers(settings: PathCommand, paths: list[LatentPath], chosen: LatentPath) -> dict[str, Any]:
    return {
        "paths": [
            {
                "kind": path.kind,
                "length": path.length,
                "lowest_log_density": path.lowest_log_density,
                "mean_log_density": path.mean_log_density,
                "plausible_frames": int(path.plausible.sum()),
                "frames": len(path.latent),
            }
            for path in paths
        ],
        "log_density_edge": paths[0].edge,
        "density": paths[0].density,
        "end_rmsd": dict(zip(("from", "to"), paths[0].end_rmsd, strict=True)),
        "unit": paths[0].unit,
        "kind": chosen.kind,
        "output": settings.output,
    }


def _ends(settings: PathCommand) -> tuple[tuple[str, str], tuple[str, str]]:
    return (settings.start, "from"), (settings.end, "to")


def _end(
    settings: PathCommand, model: ConformationModel, trajectory: Trajectory | None, word: str, name: str
) -> np.ndarray | Trajectory:
    """The conformation or latent point that a word stands for."""
    if word.startswith("z="):
        try:
            point = np.array([float(number) for number in word.removeprefix("z=").split(",")])
        except ValueError as error:
            raise UsageError(f"`{name}` {word!r} is no latent point; write it as z=0.3,-1.2.") from error
        if len(point) != model.latent_dim:
            raise UsageError(f"`{name}` {word!r} must have {model.latent_dim} numbers; got {len(point)}.")
        return point
    if word.isdigit():
        if trajectory is None:
            raise UsageError(
                f"`{name}` {word} is the number of a frame: give the frames with --trajectory, or write a file or "
                "a latent point (z=0.3,-1.2)."
            )
        if int(word) >= trajectory.n_frames:
            raise UsageError(
                f"`{name}` must be below the {trajectory.n_frames} frames of the trajectory; got {word}. Count from 0."
            )
        return trajectory[int(word) : int(word) + 1]
    # The choice of frames is meant for the trajectory, not for a file of one frame.
    reading = dataclasses.replace(settings.reading, start=0, stop=None, stride=1)
    return reading.load_for(model, [word])


def _lines(paths: list[LatentPath]) -> list[str]:
    lines = ["path      length  log-density: lowest    mean  plausible frames"]
    for path in paths:
        lines.append(
            f"{path.kind:<8}  {path.length:6.3g}  {path.lowest_log_density:19.4g}  {path.mean_log_density:6.4g}  "
            f"{int(path.plausible.sum())} of {len(path.latent)}"
        )
    lines.append(f"99 % of the density lies above {paths[0].edge:.4g} nats ({paths[0].density})")
    for name, rmsd in zip(("from", "to"), paths[0].end_rmsd, strict=True):
        if not np.isnan(rmsd):
            lines.append(
                f"`{name}`: the path's end is {rmsd:.3g} {paths[0].unit} (RMSD) from the frame asked for"
            )
    return lines


def _write_table(paths: list[LatentPath], path: Path, *, overwrite: bool) -> None:
    """One line a frame of each path."""
    first = paths[0]
    names = [*first.observables, *(f"z{index + 1}" for index in range(first.latent.shape[1]))]
    with (
        atomic_path(path, overwrite=overwrite) as temporary,
        temporary.open("w", newline="", encoding="utf-8") as file,
    ):
        writer = csv.writer(file)
        writer.writerow(["path", "frame", "along", "log_density", "violation", "plausible", *names])
        for each in paths:
            numbers = np.concatenate([each.values, each.latent], axis=1)
            for frame, row in enumerate(numbers):
                along, density = each.along[frame], each.log_density[frame]
                writer.writerow(
                    [
                        each.kind,
                        frame,
                        f"{along:.6g}",
                        f"{density:.9g}",
                        f"{each.violation[frame]:.9g}",
                        int(each.plausible[frame]),
                        *(f"{value:.9g}" for value in row),
                    ]
                )
