"""What a person looks at of a whole run: its frames in latent space, thinned, and a few of their structures.

Nothing here is needed by another analysis. It is what an interactive page can hold of a trajectory of any size, and
it says how much that is.
"""

import warnings
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from polyvae.analysis.free_energy import FreeEnergySurface, free_energy_surface
from polyvae.analysis.latent import LatentTrajectory
from polyvae.analysis.latent_meaning import Determined, LatentMeaning, determined_sizes, latent_meanings
from polyvae.analysis.optimization import OptimizedConformations
from polyvae.analysis.representatives import representative_rows, superposed
from polyvae.errors import PolyvaeWarning
from polyvae.trajectory import Trajectory
from polyvae.vae import ConformationModel

MOST_POINTS = 20_000
"""Frames shown as points, at most."""
MOST_STRUCTURES = 400
"""Structures of the data, at most."""
MOST_ATOMS = 20_000
"""Structures of more atoms are not kept: a single one would outweigh everything else."""

_MOST_NUMBERS = 900_000
"""Coordinates of all structures of the data together, at most."""
_MOST_GENERATED, _MOST_COMPACT = 40, 10
_SHOWN_LATENT = 4
_MEANING_FRAMES = 2000
_FEWEST_BINS, _MOST_BINS = 10, 50


@dataclass(frozen=True, kw_only=True, eq=False)
class ShownSurface:
    """Free energy along one or two of the coordinates of an overview.

    Attributes:
        axes: numbers of the coordinates: those of the latent, then the radius of gyration.
        edges: of the bins along each, shapes (bins + 1,).
        energy: in kT, minimum 0, NaN where no frame was; shape (bins,) or (bins, bins).
        error: standard error, same unit and shape.
        badly_sampled: bins that fewer than five independent blocks have been in, same shape.
        blocks: number of independent blocks behind the errors.
    """

    axes: tuple[int, ...]
    edges: tuple[np.ndarray, ...]
    energy: np.ndarray
    error: np.ndarray
    badly_sampled: np.ndarray
    blocks: int


@dataclass(frozen=True, kw_only=True, eq=False)
class StructureSet:
    """Structures to look at, each with its place in latent space.

    Attributes:
        name: "data", "generated" or "compact".
        positions: superposed on the first of the data, shape (structures, atoms, dims), unit of length.
        latent: shape (structures, latent).
        radius_of_gyration: shape (structures,), unit of length.
        frames: number of each in the data, or None for structures that are not of the data.
        reconstructed: what comes back from the latent, superposed on each, or None.
        rmsd: Kabsch RMSD of `reconstructed`, shape (structures,), or None.
    """

    name: str
    positions: np.ndarray
    latent: np.ndarray
    radius_of_gyration: np.ndarray
    frames: np.ndarray | None = None
    reconstructed: np.ndarray | None = None
    rmsd: np.ndarray | None = None


@dataclass(frozen=True, kw_only=True, eq=False)
class RunOverview:
    """The frames of a run as points, and a few of them as structures.

    Attributes:
        n_frames: frames of the data.
        frames: number of each frame shown, ascending, shape (shown,).
        latent: posterior means of these, shape (shown, latent).
        radius_of_gyration: of these, unit of length, shape (shown,).
        times: of these, or None where the data have none.
        segments: number of the simulation that each belongs to, shape (shown,).
        surfaces: free energies of all frames, the latent coordinates first.
        structures: the data, generated and compact; none for systems of more than 20 000 atoms.
        meanings: what each latent coordinate follows.
        determined: what all of them together determine.
        system: one frame, with bonds, masses, names and units.
    """

    n_frames: int
    frames: np.ndarray
    latent: np.ndarray
    radius_of_gyration: np.ndarray
    times: np.ndarray | None
    segments: np.ndarray
    surfaces: tuple[ShownSurface, ...]
    structures: tuple[StructureSet, ...]
    meanings: tuple[LatentMeaning, ...]
    determined: tuple[Determined, ...]
    system: Trajectory


def run_overview(
    model: ConformationModel,
    trajectory: Trajectory,
    encoded: LatentTrajectory,
    *,
    generated: Trajectory | None = None,
    compact: OptimizedConformations | None = None,
    most_points: int = MOST_POINTS,
    most_structures: int = MOST_STRUCTURES,
) -> RunOverview:
    """What an interactive page shows of a run.

    Free energies and the frames with the smallest and the largest radius of gyration come from all frames; points are
    every so many of them.

    Args:
        model: a trained model.
        trajectory: the data.
        encoded: the latent trajectory of all frames of the data.
        generated: draws from the model.
        compact: the most compact conformations found.
        most_points: frames shown as points, at most.
        most_structures: structures of the data, at most; fewer of large systems.
    """
    masses = np.asarray(model.geometry.masses, np.float64)
    gyration = _gyration(trajectory, masses)
    extremes = np.array([np.argmin(gyration), np.argmax(gyration)])
    spread = np.linspace(0, len(gyration) - 1, min(len(gyration), most_points)).astype(int)
    frames = np.union1d(spread, extremes)
    latent = np.asarray(encoded.mean[frames], np.float32)
    sampled = np.unique(np.linspace(0, len(frames) - 1, min(len(frames), _MEANING_FRAMES)).astype(int))
    structures: tuple[StructureSet, ...] = ()
    if trajectory.n_atoms <= MOST_ATOMS:
        most = min(most_structures, max(8, _MOST_NUMBERS // (trajectory.n_atoms * trajectory.dims)))
        rows = representative_rows(latent, most, first=np.searchsorted(frames, extremes))
        structures = _structures(model, trajectory, frames[rows], latent[rows], generated, compact)
    return RunOverview(
        n_frames=trajectory.n_frames,
        frames=frames,
        latent=latent,
        radius_of_gyration=gyration[frames].astype(np.float32),
        times=None if trajectory.times is None else trajectory.times[frames],
        segments=trajectory.segment_ids[frames],
        surfaces=_surfaces(encoded, gyration),
        structures=structures,
        meanings=latent_meanings(latent[sampled], trajectory[frames[sampled]], masses),
        determined=determined_sizes(latent[sampled], trajectory[frames[sampled]], masses),
        system=trajectory[:1].replace(weights=None, skipped=()),
    )


def bins_for(n_frames: int) -> int:
    """Bins along each of two coordinates that so many frames can fill: 10 to 50."""
    return min(_MOST_BINS, max(_FEWEST_BINS, round(n_frames**0.5 / 2)))


def _gyration(trajectory: Trajectory, masses: np.ndarray) -> np.ndarray:
    """Radius of gyration of every frame, shape (frames,)."""
    return np.concatenate([_gyration_of(piece, masses) for piece in trajectory.position_chunks()])


def _gyration_of(positions: np.ndarray, masses: np.ndarray) -> np.ndarray:
    shares = masses / masses.sum()
    center = np.einsum("a,fad->fd", shares, positions)
    return np.sqrt(np.einsum("a,fad->f", shares, (positions - center[:, None, :]) ** 2))


def _surfaces(encoded: LatentTrajectory, gyration: np.ndarray) -> tuple[ShownSurface, ...]:
    """Free energies of the first four latent coordinates and the radius of gyration, pair by pair."""
    n_latent = encoded.mean.shape[1]
    axes = [*range(min(n_latent, _SHOWN_LATENT)), n_latent]
    pairs = sorted(combinations(axes, 2), key=lambda pair: pair[1] == n_latent)
    chosen: list[tuple[int, ...]] = ([(0,)] if n_latent == 1 else []) + pairs
    shown = []
    for each in chosen:
        columns = [gyration if axis == n_latent else encoded.mean[:, axis] for axis in each]
        # One warning about too few blocks would come for every pair; the page says it once, in its caption.
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", PolyvaeWarning)
            surface = free_energy_surface(
                np.stack(columns, axis=1),
                units="kT",
                kbt=1.0,
                weights=encoded.weights,
                segments=encoded.segments,
                num_samples=bins_for(len(gyration)),
            )
        shown.append(_shown(surface, each))
    return tuple(shown)


def _shown(surface: FreeEnergySurface, axes: tuple[int, ...]) -> ShownSurface:
    return ShownSurface(
        axes=axes,
        edges=tuple(np.asarray(edges, np.float64) for edges in surface.edges),
        energy=surface.energy.astype(np.float32),
        error=surface.error.astype(np.float32),
        badly_sampled=surface.badly_sampled,
        blocks=len(surface.blocks),
    )


def _structures(
    model: ConformationModel,
    trajectory: Trajectory,
    frames: np.ndarray,
    latent: np.ndarray,
    generated: Trajectory | None,
    compact: OptimizedConformations | None,
) -> tuple[StructureSet, ...]:
    masses = np.asarray(model.geometry.masses, np.float64)
    positions = trajectory[frames].positions
    reference = positions[0]
    shown = superposed(positions, reference)
    back = superposed(np.asarray(model.reconstruct(positions)), shown)
    sets = [
        StructureSet(
            name="data",
            positions=shown,
            latent=latent,
            radius_of_gyration=_gyration_of(positions, masses),
            frames=frames,
            reconstructed=back,
            rmsd=np.sqrt(((back - shown) ** 2).sum(axis=2).mean(axis=1)),
        )
    ]
    if generated is not None:
        drawn = generated.positions[: _fewer(_MOST_GENERATED, trajectory)]
        sets.append(
            StructureSet(
                name="generated",
                positions=superposed(drawn, reference),
                latent=np.asarray(model.encode(drawn).mean, np.float32),
                radius_of_gyration=_gyration_of(drawn, masses),
            )
        )
    if compact is not None and len(compact.positions):
        most = _fewer(_MOST_COMPACT, trajectory)
        sets.append(
            StructureSet(
                name="compact",
                positions=superposed(compact.positions[:most], reference),
                latent=np.asarray(compact.latent[:most], np.float32),
                radius_of_gyration=np.asarray(compact.radius_of_gyration[:most]),
            )
        )
    return tuple(sets)


def _fewer(most: int, trajectory: Trajectory) -> int:
    """So many structures, or as many as a tenth of the numbers allowed for the data can hold, but two."""
    return max(2, min(most, _MOST_NUMBERS // 10 // (trajectory.n_atoms * trajectory.dims)))
