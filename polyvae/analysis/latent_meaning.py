"""What the latent shows: the observable that each coordinate follows, and what all of them together determine."""

from dataclasses import dataclass

import numpy as np
from scipy.spatial import KDTree

from polyvae.analysis.scoring.connectivity import atom_names
from polyvae.analysis.scoring.geometry import radii_of_gyration, torsions
from polyvae.analysis.scoring.peptides import backbone_torsions
from polyvae.trajectory import Trajectory

_MOST_PAIRS = 1500
_NEIGHBORS = 20
_APART = 3
_PREFERENCE = 0.03
"""A size of the whole molecule wins over one of many distances that is so little better."""


@dataclass(frozen=True, kw_only=True)
class LatentMeaning:
    """The observable that a latent coordinate follows best.

    Attributes:
        coordinate: number of the coordinate, from 0.
        observable: in words, such as "the radius of gyration".
        correlation: Spearman rank correlation with it, -1 to 1; for a torsion, which has no order, the multiple
            correlation of the ranks with its cosine and sine, 0 to 1.
        frames: number of frames behind it.
    """

    coordinate: int
    observable: str
    correlation: float
    frames: int


@dataclass(frozen=True, kw_only=True)
class Determined:
    """How far the latent as a whole determines an observable.

    Attributes:
        observable: in words.
        share: of its variance that the mean over the twenty nearest frames in latent space explains, at most 1.
        frames: number of frames behind it.
    """

    observable: str
    share: float
    frames: int


def determined_sizes(
    latent: np.ndarray, trajectory: Trajectory, masses: np.ndarray
) -> tuple[Determined, ...]:
    """How far the latent determines the radius of gyration and the distance between the ends.

    Unlike a rank correlation it sees any smooth function of all coordinates, such as a distance from their origin.
    Frames close in time are close in latent space too, so that it is an upper bound for runs of few independent frames.

    Args:
        latent: posterior means of shape (frames, latent).
        trajectory: the same frames.
        masses: of the atoms, shape (atoms,).
    """
    points = _standardized(np.asarray(latent, np.float64))
    count = min(_NEIGHBORS, len(points) - 1)
    if count < 1:
        return ()
    neighbors = np.asarray(KDTree(points).query(points, k=count + 1)[1])
    found = []
    for name, values in _sizes(trajectory.positions.astype(np.float64), masses):
        # The first neighbor is the frame itself.
        errors = values - values[neighbors[:, 1:]].mean(axis=1)
        share = 1.0 - float(np.mean(errors**2)) / max(float(np.var(values)), 1e-300)
        found.append(Determined(observable=name, share=max(0.0, share), frames=len(values)))
    return tuple(found)


def latent_meanings(
    latent: np.ndarray, trajectory: Trajectory, masses: np.ndarray
) -> tuple[LatentMeaning, ...]:
    """For every latent coordinate, the best among sizes, pair distances and backbone torsions.

    A search, not a proof: of many distances the best is kept, so that correlations of few frames look better than they
    are.

    Args:
        latent: posterior means of shape (frames, latent).
        trajectory: the same frames.
        masses: of the atoms, shape (atoms,).
    """
    positions = trajectory.positions.astype(np.float64)
    ranks = _standardized(_ranks(latent))
    whole, parts = _sizes(positions, masses), _pairs(positions, trajectory)
    names = [name for name, _ in (*whole, *parts)]
    if names:
        values = _standardized(_ranks(np.stack([value for _, value in (*whole, *parts)], axis=1)))
        linear = ranks.T @ values / len(ranks)
    else:
        linear = np.zeros((latent.shape[1], 0))
    turns = _torsions(positions, trajectory)
    found = []
    for coordinate in range(latent.shape[1]):
        scores = np.abs(linear[coordinate])
        preference = np.where(np.arange(len(names)) < len(whole), _PREFERENCE, 0.0)
        best = int(np.argmax(scores + preference)) if len(names) else -1
        name, correlation = (names[best], float(linear[coordinate, best])) if best >= 0 else ("", 0.0)
        for label, angles in turns:
            multiple = _circular(ranks[:, coordinate], angles)
            if multiple > abs(correlation):
                name, correlation = label, multiple
        found.append(
            LatentMeaning(
                coordinate=coordinate, observable=name, correlation=correlation, frames=len(positions)
            )
        )
    return tuple(found)


def _sizes(positions: np.ndarray, masses: np.ndarray) -> list[tuple[str, np.ndarray]]:
    sizes = [("the radius of gyration", radii_of_gyration(positions.T, masses)[0])]
    if positions.shape[1] > 2:
        ends = np.linalg.norm(positions[:, -1] - positions[:, 0], axis=1)
        sizes.append(("the distance between the ends", ends))
    return sizes


def _pairs(positions: np.ndarray, trajectory: Trajectory) -> list[tuple[str, np.ndarray]]:
    n_atoms = positions.shape[1]
    rows, columns = np.triu_indices(n_atoms, _APART)
    if n_atoms > 2000 or not len(rows):
        return []
    kept = np.unique(np.linspace(0, len(rows) - 1, min(len(rows), _MOST_PAIRS)).astype(int))
    names = [name if trajectory.topology else f"atom {name}" for name in atom_names(trajectory)]
    return [
        (
            f"the distance between {names[i]} and {names[j]}",
            np.linalg.norm(positions[:, i] - positions[:, j], axis=1),
        )
        for i, j in zip(rows[kept].tolist(), columns[kept].tolist(), strict=True)
        if (i, j) != (0, n_atoms - 1)
    ]


def _torsions(positions: np.ndarray, trajectory: Trajectory) -> list[tuple[str, np.ndarray]]:
    if positions.shape[2] != 3:
        return []
    backbone = backbone_torsions(trajectory)
    found = []
    for place, residue in enumerate(backbone.residues):
        for letter, atoms in (("φ", backbone.phi[place]), ("ψ", backbone.psi[place])):
            found.append(
                (f"the torsion {letter} of {residue}", torsions(positions[:, atoms].T, np.arange(4)[None])[0])
            )
    return found


def _ranks(values: np.ndarray) -> np.ndarray:
    return np.argsort(np.argsort(values, axis=0, kind="stable"), axis=0).astype(np.float64)


def _standardized(values: np.ndarray) -> np.ndarray:
    width = values.std(axis=0)
    return (values - values.mean(axis=0)) / np.where(width > 0, width, 1.0)


def _circular(ranks: np.ndarray, angles: np.ndarray) -> float:
    """Multiple correlation of standardized ranks with the cosine and sine of an angle."""
    columns = np.stack([np.cos(angles), np.sin(angles), np.ones(len(angles))], axis=1)
    fitted = columns @ np.linalg.lstsq(columns, ranks, rcond=None)[0]
    return float(np.sqrt(max(0.0, np.var(fitted) / max(np.var(ranks), 1e-12))))
