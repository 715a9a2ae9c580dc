"""Internal variables that a latent is held against: which ones, and how much each says about it."""

import numpy as np

from polyvae.trajectory import Trajectory
from polyvae.trajectory.weights import normalized_weights

_MOST_OF_A_KIND = 60
_APART = 3
_LIGHTEST = 3.5


def default_variables(trajectory: Trajectory) -> list[str]:
    """Names of a torsion about every bond, in three dimensions, and of distances of atoms three or more apart.

    Of more than 60 of a kind 60 are taken, evenly spread. Hydrogens take part only where no heavier atom can.
    """
    return [*_torsions(trajectory), *_distances(trajectory)]


def correlation_ratio(
    latent: np.ndarray,
    variable: np.ndarray,
    *,
    bins: int,
    period: float | None = None,
    weights: np.ndarray | None = None,
) -> np.ndarray:
    """Share of the variance of each latent dimension that the mean in bins of a variable explains, shape (latent,).

    Args:
        latent: shape (frames, latent).
        variable: shape (frames,).
        bins: of equal width over a period, of equal count otherwise.
        period: of the variable, or None.
        weights: of the frames, or None for equal ones.
    """
    shares = np.full(len(latent), 1 / len(latent)) if weights is None else normalized_weights(weights)
    if period is None:
        edges = np.unique(np.quantile(variable, np.linspace(0, 1, bins + 1)[1:-1]))
        index = np.searchsorted(edges, variable, side="right")
    else:
        index = np.floor(np.mod(variable / period, 1.0) * bins).astype(np.int64) % bins
    centered = latent - shares @ latent
    mass = np.bincount(index, shares, bins)
    sums = np.stack([np.bincount(index, shares * column, bins) for column in centered.T], axis=1)
    between = np.sum(sums[mass > 0] ** 2 / mass[mass > 0, None], axis=0)
    total = shares @ centered**2
    varies = np.ptp(latent, axis=0) > 0
    return np.where(varies, between / np.where(varies, total, 1.0), 0.0)


def _torsions(trajectory: Trajectory) -> list[str]:
    if trajectory.dims != 3 or trajectory.bonds is None:
        return []
    around: dict[int, list[int]] = {}
    for first, second in trajectory.bonds.tolist():
        around.setdefault(first, []).append(second)
        around.setdefault(second, []).append(first)
    masses = trajectory.masses
    is_heavy = np.ones(trajectory.n_atoms, bool) if masses is None else masses > _LIGHTEST

    def end(of: int, *but: int) -> int | None:
        """The neighbor along the main chain: no hydrogen, with the most heavy neighbors, the first of equal ones."""
        others = [atom for atom in around[of] if atom not in but]
        heavy = {atom: sum(map(is_heavy.__getitem__, around[atom])) for atom in others}
        return max(others, key=lambda atom: (is_heavy[atom], heavy[atom], -atom)) if others else None

    found = []
    for first, second in trajectory.bonds.tolist():
        before = end(first, second)
        after = end(second, first, *(() if before is None else (before,)))
        if before is not None and after is not None:
            found.append(f"torsion:{before}-{first}-{second}-{after}")
    return _some(found)


def _distances(trajectory: Trajectory) -> list[str]:
    atoms = np.arange(trajectory.n_atoms)
    if trajectory.masses is not None and np.count_nonzero(trajectory.masses > _LIGHTEST) > _APART:
        atoms = atoms[trajectory.masses > _LIGHTEST]
    rows, columns = np.triu_indices(len(atoms), _APART)
    return _some(
        [f"distance:{atoms[row]}-{atoms[column]}" for row, column in zip(rows, columns, strict=True)]
        if len(rows) <= 100_000
        else [
            f"distance:{atoms[rows[place]]}-{atoms[columns[place]]}"
            for place in np.linspace(0, len(rows) - 1, _MOST_OF_A_KIND).astype(int)
        ]
    )


def _some(names: list[str]) -> list[str]:
    if len(names) <= _MOST_OF_A_KIND:
        return names
    return [names[place] for place in np.linspace(0, len(names) - 1, _MOST_OF_A_KIND).astype(int)]
