"""`polyvae optimize`: conformations with the lowest, highest or a wanted value of any observable."""

import csv
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro

from polyvae.analysis import OptimizationConfig, OptimizedConformations, optimize
from polyvae.cli.minimize_rg import NOTHING_FOUND
from polyvae.cli.options import TrajectoryOptions, check_counts, check_output
from polyvae.cli.parsing import parse
from polyvae.cli.printing import Printing
from polyvae.cli.progress import say
from polyvae.cli.usage import UsageError
from polyvae.storage import load_model
from polyvae.trajectory import atomic_path, save_trajectory
from polyvae.trajectory.finding import counted

_STRUCTURES = (".pdb", ".xtc", ".dcd", ".npz")


@dataclass(frozen=True, kw_only=True)
class OptimizeCommand:
    """Conformations with the lowest, highest or a wanted value of an observable, by descent in latent space.

    Attributes:
        model: model file (.json or .safetensors) or run folder.
        observable: radius_of_gyration, end_to_end_distance, asphericity, contacts, contacts:0.8 (pairs within 0.8),
            or distance:3-17 (atoms counted from 0).
        goal: which end of the observable to look for.
        target: look for this value instead.
        trajectory: trajectory files of the system: to compare with the best frame and to name the nearest one.
        output: file to write, best conformation first: .pdb, .xtc, .dcd or .npz.
        table: CSV file to write: value, latent point and nearest frame of every conformation.
        figure: PNG file to write.
        nearest: file to write: the frame of the data nearest to each conformation, in the same order; with a target,
            of the frames that have the wanted value.
        starts: descents, from draws of the prior or of the aggregate posterior.
        seed: of the starts.
        overwrite: whether existing files may be replaced.
        optimization: the descent.
        reading: how trajectories are read.
        printing: what is printed.
    """

    model: tyro.conf.Positional[Path]
    observable: str = "radius_of_gyration"
    goal: Literal["minimize", "maximize"] = "minimize"
    target: float | None = None
    trajectory: tuple[str, ...] = ()
    output: Annotated[Path, tyro.conf.arg(aliases=["-o"])] = Path("optimized.pdb")
    table: Path | None = None
    figure: Path | None = None
    nearest: Path | None = None
    starts: int = 100
    seed: int = 0
    overwrite: bool = False
    optimization: tyro.conf.OmitArgPrefixes[OptimizationConfig] = field(default_factory=OptimizationConfig)
    reading: tyro.conf.OmitArgPrefixes[TrajectoryOptions] = field(default_factory=TrajectoryOptions)
    printing: tyro.conf.OmitArgPrefixes[Printing] = field(default_factory=Printing)


def command(words: list[str]) -> int:
    """Run `polyvae optimize`."""
    settings = parse(OptimizeCommand, words, verb="optimize")
    _check_outputs(settings)
    check_counts(starts=settings.starts)
    step = settings.printing.steps(are_told=False)
    step("reading model and frames")
    model = load_model(settings.model)
    trajectory = settings.reading.load_for(model, settings.trajectory) if settings.trajectory else None
    step("descending")
    found = optimize(
        model,
        settings.observable,
        goal=settings.goal,
        target=settings.target,
        starts=settings.starts,
        trajectory=trajectory,
        config=settings.optimization,
        seed=settings.seed,
    )
    count = f"{found.n_valid} of {found.n_starts} starts led to a valid conformation"
    if found.trajectory is None:
        settings.printing.answer(_numbers(settings, found), count)
        say(NOTHING_FOUND, quiet=False)
        return 1
    step("writing")
    lines = [count, *_lines(found), f"conformations, best first, in {settings.output}"]
    save_trajectory(found.trajectory, settings.output, overwrite=settings.overwrite)
    if settings.table is not None:
        _write_table(found, settings.table, overwrite=settings.overwrite)
        lines.append(f"table in {settings.table}")
    if settings.nearest is not None:
        save_trajectory(found.nearest_trajectory(), settings.nearest, overwrite=settings.overwrite)
        lines.append(f"nearest frames of the data, in the same order, in {settings.nearest}")
    if settings.figure is not None:
        # Matplotlib takes a while to load.
        from polyvae import plots

        image = plots.to_png(plots.figure_optimization(found))
        with atomic_path(settings.figure, overwrite=settings.overwrite) as temporary:
            temporary.write_bytes(image)
        lines.append(f"figure in {settings.figure}")
    step.done()
    settings.printing.answer(_numbers(settings, found), "\n".join(lines))
    return 0


def _numbers(settings: OptimizeCommand, found: OptimizedConformations) -> dict[str, Any]:
    is_found, observed = found.trajectory is not None, found.best_observed
    return {
        "observable": found.observable,
        "goal": found.goal,
        "target": settings.target,
        "unit": found.value_unit,
        "starts": found.n_starts,
        "valid": found.n_valid,
        "best": found.best if is_found else None,
        "reached": None if found.target is None else int(found.reached.sum()),
        "best_in_data": None if observed is None else {"value": observed.value, "frame": observed.frame},
        "output": settings.output if is_found else None,
    }


def _check_outputs(settings: OptimizeCommand) -> None:
    check_output(settings.output, _STRUCTURES, overwrite=settings.overwrite)
    for path, suffixes, name in (
        (settings.table, (".csv",), "table"),
        (settings.figure, (".png",), "figure"),
        (settings.nearest, _STRUCTURES, "nearest"),
    ):
        if path is not None:
            check_output(path, suffixes, overwrite=settings.overwrite, name=name)
    if settings.nearest is not None and not settings.trajectory:
        raise UsageError("`nearest` names frames of the data: give them with --trajectory.")


def _lines(found: OptimizedConformations) -> list[str]:
    unit = found.value_unit or ""
    words = found.observable.replace("_", " ")
    end = {"minimize": "smallest", "maximize": "largest", "target": "nearest"}[found.goal]
    line = f"{end} {words} {found.best:.4g} {unit}".rstrip()
    if found.best_observed is not None:
        observed = found.best_observed
        line += f", in the data {observed.value:.4g} {unit}".rstrip() + f" (frame {observed.frame})"
    lines = [line]
    if found.target is not None:
        n_reached = int(found.reached.sum())
        lines.append(
            f"{counted(n_reached, 'conformation')} within {found.tolerance:.2g} {unit}".rstrip()
            + f" of the target {found.target:g}"
        )
    if found.nearest_frames is not None and found.nearest_rmsd is not None:
        lines.append(
            f"frame nearest to the best: {found.nearest_frames[0]}, RMSD {found.nearest_rmsd[0]:.3g} {found.unit}"
        )
    return lines


def _write_table(found: OptimizedConformations, path: Path, *, overwrite: bool) -> None:
    """One line a conformation: value, whether the target is reached, density, nearest frame, latent point."""
    assert found.values is not None
    columns = {"conformation": range(found.n_valid), "start": found.start, "value": found.values}
    if found.target is not None:
        columns["reached"] = found.reached.astype(int)
    columns["radius_of_gyration"] = found.radius_of_gyration
    if found.log_density is not None:
        columns["log_density"] = found.log_density
    if found.nearest_frames is not None and found.nearest_rmsd is not None:
        columns["nearest_frame"], columns["nearest_rmsd"] = found.nearest_frames, found.nearest_rmsd
        assert found.data_values is not None
        columns["nearest_value"] = found.data_values[found.nearest_frames]
    columns |= {f"z{index + 1}": found.latent[:, index] for index in range(found.latent.shape[1])}
    with (
        atomic_path(path, overwrite=overwrite) as temporary,
        temporary.open("w", newline="", encoding="utf-8") as file,
    ):
        writer = csv.writer(file)
        writer.writerow(columns)
        for row in zip(*columns.values(), strict=True):
            writer.writerow([f"{value:.9g}" for value in row])
