"""`polyvae fes`: a free-energy surface with errors, its basins and the ways between them."""

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import tyro

from polyvae.analysis import (
    FreeEnergyBasins,
    FreeEnergySurface,
    LatentTrajectory,
    MinimumFreeEnergyPath,
    free_energy_basins,
    free_energy_surface,
    latent_trajectory,
    minimum_free_energy_path,
)
from polyvae.cli.options import TrajectoryOptions, check_output
from polyvae.cli.parsing import parse
from polyvae.cli.printing import Printing
from polyvae.cli.progress import say
from polyvae.cli.usage import UsageError
from polyvae.errors import InputError
from polyvae.features import Observable, observable_of
from polyvae.storage import load_model, load_record, save_record
from polyvae.trajectory import Trajectory, atomic_path
from polyvae.trajectory.finding import counted

_LATENT = re.compile(r"z([1-9][0-9]*)")

_WORTH_TELLING = 0.01


@dataclass(frozen=True, kw_only=True)
class FesCommand:
    """Free energy along one or two coordinates: latent dimensions of a model, or observables, or one of each.

    Frames are counted in bins; errors come from blocks of consecutive frames, as long as five autocorrelation times.

    Attributes:
        files: trajectory files; or one latent trajectory that `polyvae encode` wrote (.npz).
        model: model file or run folder, where a coordinate is a latent dimension.
        along: one or two coordinates: z1, z2, ... or an observable such as radius_of_gyration, distance:3-17 or
            torsion:4-6-8-14.
        temperature: of the simulation, in K; None takes 300 and says so.
        energy_units: "kJ/mol" or "kT"; reduced units are in kT always.
        bins: bins along each coordinate; None takes 100 along one, 50 along each of two.
        bandwidth: smoothing in the unit of the coordinates; None for none.
        depth: basins shallower than this are joined to their neighbor, in the unit of the energy; None for one kT.
        output: file to write the surface to, .npz.
        figure: file to draw it to, .png; None draws none.
        overwrite: whether existing files may be replaced.
        trajectory: how trajectories are read.
        printing: what is printed.
    """

    files: tyro.conf.Positional[tuple[str, ...]] = ()
    model: Path | None = None
    along: tuple[str, ...] = ("z1", "z2")
    temperature: float | None = None
    energy_units: Literal["kJ/mol", "kT"] = "kJ/mol"
    bins: int | None = None
    bandwidth: float | None = None
    depth: float | None = None
    output: Annotated[Path, tyro.conf.arg(aliases=["-o"])] = Path("fes.npz")
    figure: Path | None = None
    overwrite: bool = False
    trajectory: tyro.conf.OmitArgPrefixes[TrajectoryOptions] = field(default_factory=TrajectoryOptions)
    printing: tyro.conf.OmitArgPrefixes[Printing] = field(default_factory=Printing)

    @property
    def kelvin(self) -> float:
        """The temperature, in K."""
        return 300.0 if self.temperature is None else self.temperature


def command(words: list[str]) -> int:
    """Run `polyvae fes`."""
    settings = parse(FesCommand, words, verb="fes")
    check_output(settings.output, (".npz",), overwrite=settings.overwrite)
    if settings.figure is not None:
        check_output(settings.figure, (".png",), overwrite=settings.overwrite, name="figure")
    if not 1 <= len(settings.along) <= 2:
        raise UsageError(f"`along` takes one or two coordinates; got {len(settings.along)}.")
    step = settings.printing.steps(are_told=False)
    step("reading the frames")
    surface, data = _surface(settings)
    step("looking for basins and paths")
    basins = free_energy_basins(surface, depth=settings.depth)
    ways = _ways(surface, basins)
    save_record(surface, settings.output, overwrite=settings.overwrite)
    if settings.figure is not None:
        # Matplotlib takes a while to load.
        from polyvae import plots

        figure = plots.plot_free_energy(surface, basins=basins, path=ways[0][2] if ways else None)
        with atomic_path(settings.figure, overwrite=settings.overwrite) as temporary:
            temporary.write_bytes(plots.to_png(figure))
    step.done()
    if settings.temperature is None and surface.units != "kT":
        say(
            f"the temperature is taken to be {settings.kelvin:g} K, and energies are in proportion to it: "
            "--temperature",
            quiet=settings.printing.quiet,
        )
    lines = [*_lines(settings, data, surface, basins, ways), f"surface in {settings.output}"]
    settings.printing.answer(_numbers(settings, data, surface, basins, ways), "\n".join(lines))
    return 0


def _surface(settings: FesCommand) -> tuple[FreeEnergySurface, Trajectory | LatentTrajectory]:
    """The surface, and the data that it is of."""
    columns, names, periods = [], [], []
    trajectory, latent = _data(settings)
    for word in settings.along:
        if match := _LATENT.fullmatch(word):
            if latent is None:
                raise UsageError(f"{word} is a latent dimension: name the model with --model.")
            dimension = int(match[1])
            if dimension > latent.mean.shape[1]:
                raise InputError(
                    f"{word} is not one of the {latent.mean.shape[1]} latent dimensions; the last is "
                    f"z{latent.mean.shape[1]}. One coordinate: --along z1."
                )
            columns.append(latent.mean[:, dimension - 1])
            names.append(f"latent {word}")
            periods.append(None)
            continue
        if trajectory is None:
            raise InputError(
                f"{word} is an observable of positions: name trajectory files, not a latent trajectory."
            )
        observable = _observable(word, trajectory)
        columns.append(np.concatenate([observable.of(piece) for piece in trajectory.position_chunks()]))
        names.append(observable.label)
        periods.append(observable.period)
    data = latent if trajectory is None else trajectory
    assert data is not None
    is_reduced = data.units.name == "reduced"
    surface = free_energy_surface(
        np.stack(columns, axis=1),
        temp=settings.kelvin,
        units="kT" if is_reduced else settings.energy_units,
        num_samples=settings.bins,
        bandwidth=settings.bandwidth,
        weights=data.weights,
        segments=data.segments,
        periods=periods,
        names=names,
    )
    return surface, data


def _data(settings: FesCommand) -> tuple[Trajectory | None, LatentTrajectory | None]:
    """The frames, and where a model puts them; each where it is needed."""
    wants_latent = any(map(_LATENT.fullmatch, settings.along))
    if not settings.files:
        raise UsageError(
            "Name at least one trajectory file, or a latent trajectory that `polyvae encode` wrote."
        )
    if (
        len(settings.files) == 1
        and settings.files[0].endswith(".npz")
        and _is_record(Path(settings.files[0]))
    ):
        return None, load_record(settings.files[0], LatentTrajectory)
    if settings.model is None:
        return settings.trajectory.load(settings.files), None
    model = load_model(settings.model)
    trajectory = settings.trajectory.load_for(model, settings.files)
    return trajectory, latent_trajectory(model, trajectory) if wants_latent else None


def _is_record(path: Path) -> bool:
    try:
        with np.load(path, allow_pickle=False) as archive:
            return "record" in archive.files
    except (OSError, ValueError):
        return False


def _observable(word: str, trajectory: Trajectory) -> Observable:
    return observable_of(
        word,
        n_atoms=trajectory.n_atoms,
        dims=trajectory.dims,
        units=trajectory.units,
        masses=trajectory.masses,
    )


def _ways(
    surface: FreeEnergySurface, basins: FreeEnergyBasins
) -> list[tuple[int, int, MinimumFreeEnergyPath]]:
    """The minimum path from each basin to the next in order of population, where one leads there."""
    ways = []
    for other in range(1, len(basins)):
        try:
            path = minimum_free_energy_path(surface, basins.minima[0], basins.minima[other])
        except InputError:
            continue
        ways.append((0, other, path))
    return ways


def _numbers(
    settings: FesCommand,
    data: Trajectory | LatentTrajectory,
    surface: FreeEnergySurface,
    basins: FreeEnergyBasins,
    ways: list[tuple[int, int, MinimumFreeEnergyPath]],
) -> dict[str, Any]:
    frame_time = _frame_time(data)
    return {
        "coordinates": surface.names,
        "units": surface.units,
        # Where energies are in kT, they are the same at every temperature.
        "temperature": settings.kelvin if surface.units != "kT" else None,
        "frames_outside": surface.outside,
        "correlation_time_frames": surface.correlation_time,
        "correlation_time": None if frame_time is None else surface.correlation_time * frame_time,
        "time_unit": data.units.time,
        "blocks": len(surface.blocks),
        "badly_sampled_bins": int((surface.badly_sampled & (surface.probability > 0)).sum()),
        "basins": [
            {
                "minimum": basins.minima[index],
                "population": basins.populations[index],
                "population_error": basins.population_errors[index],
                "free_energy": basins.differences[0, index],
                "free_energy_error": basins.difference_errors[0, index],
            }
            for index in range(len(basins))
        ],
        "paths": [
            {"from": first, "to": second, "barrier": path.barrier, "barrier_error": path.error[path.saddle]}
            for first, second, path in ways
        ],
    }


def _frame_time(data: Trajectory | LatentTrajectory) -> float | None:
    """Time between frames, where it is known."""
    if data.times is None or len(data.times) < 2:
        return None
    return float(np.median(np.diff(data.times)))


def _lines(
    settings: FesCommand,
    data: Trajectory | LatentTrajectory,
    surface: FreeEnergySurface,
    basins: FreeEnergyBasins,
    ways: list[tuple[int, int, MinimumFreeEnergyPath]],
) -> list[str]:
    at = "" if surface.units == "kT" else f" at {settings.kelvin:g} K"
    frame_time, memory = _frame_time(data), surface.correlation_time
    in_time = "" if frame_time is None else f" ({memory * frame_time:.3g} {data.units.time})"
    lines = [
        f"free energy along {' and '.join(surface.names)}, {surface.units}{at}",
        f"{counted(len(surface.blocks), 'block')} of frames; the coordinates keep their memory for "
        f"{memory:.3g} frames{in_time}",
        f"{'basin':6s} {'minimum at':24s} {'population':>18s} {'F - F(A)':>18s} {'barrier from A':>16s}",
    ]
    barriers = {second: path for _, second, path in ways}
    for index in range(len(basins)):
        place = ", ".join(f"{value:.3g}" for value in basins.minima[index])
        population = f"{basins.populations[index]:.3f} ± {basins.population_errors[index]:.3f}"
        energy = (
            f"{basins.differences[0, index]:.2f} ± {basins.difference_errors[0, index]:.2f}" if index else "0"
        )
        path = barriers.get(index)
        barrier = "" if path is None else f"{path.barrier:.1f} ± {path.error[path.saddle]:.1f}"
        lines.append(f"{basins.names[index]:6s} {place:24s} {population:>18s} {energy:>18s} {barrier:>16s}")
    nowhere = 1.0 - float(np.sum(basins.populations))
    if nowhere > _WORTH_TELLING:
        lines.append(
            f"{100 * nowhere:.1f} % of the weight lies in no basin: no bin there is well sampled. Wider bins (--bins) "
            "or a kernel (--bandwidth) may show one"
        )
    bad = int((surface.badly_sampled & (surface.probability > 0)).sum())
    if bad:
        has = "has" if bad == 1 else "have"
        their = "its error is a guess" if bad == 1 else "their errors are guesses"
        lines.append(f"{counted(bad, 'bin')} {has} fewer than 5 independent visits; {their}")
    return lines
