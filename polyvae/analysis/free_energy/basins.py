"""`free_energy_basins`: the surface cut into basins, their populations and the free energies between them."""

import itertools
from dataclasses import dataclass

import numpy as np

from polyvae.analysis.free_energy.blocks import bootstrap_counts
from polyvae.analysis.free_energy.surface import FEWEST_VISITS, FreeEnergySurface
from polyvae.errors import InputError

_NONE = -1


@dataclass(frozen=True, kw_only=True, eq=False)
class FreeEnergyBasins:
    """Basins of a surface, the most populated first.

    Attributes:
        labels: basin of every bin, shape of the surface; -1 where no frame lies.
        minima: coordinates of the lowest bin of each basin, shape (basins, coordinates).
        populations: share of the weight in each basin, shape (basins,).
        population_errors: their standard errors.
        differences: F(j) - F(i) of basins i and j, shape (basins, basins).
        difference_errors: their standard errors; infinite where a basin is missing from a draw of the blocks.
        barriers: height of the lowest pass from basin i to j above the minimum of i, shape (basins, basins); NaN where
            no way of sampled bins leads there.
        units: "kJ/mol" or "kT".
    """

    labels: np.ndarray
    minima: np.ndarray
    populations: np.ndarray
    population_errors: np.ndarray
    differences: np.ndarray
    difference_errors: np.ndarray
    barriers: np.ndarray
    units: str

    def __len__(self) -> int:
        return len(self.populations)

    @property
    def names(self) -> tuple[str, ...]:
        """A, B, C, ..., numbers from the 27th on."""
        return tuple(chr(ord("A") + i) if i < 26 else str(i + 1) for i in range(len(self)))


def free_energy_basins(
    surface: FreeEnergySurface, *, depth: float | None = None, seed: int = 0
) -> FreeEnergyBasins:
    """The basins of a surface: bins flooded from the lowest up, shallow basins joined to the deeper neighbor.

    Badly sampled bins found no basin of their own.

    Args:
        surface: from `free_energy_surface`.
        depth: a basin whose minimum lies less than this below its lowest pass is no basin, in the unit of the surface;
            None for one kT.
        seed: of the draws of blocks.

    Raises:
        InputError: if `depth` is negative, or every bin is badly sampled.
    """
    depth = surface.kbt if depth is None else depth
    if not depth >= 0:
        raise InputError(f"`depth` must not be negative; got {depth} {surface.units}.")
    if surface.badly_sampled.all():
        raise InputError(
            f"Every bin of the surface is badly sampled: fewer than {FEWEST_VISITS:g} blocks visit each, so "
            "no basin can be told from noise. Take a smaller `num_samples`, sample longer, or look at the weights."
        )
    flat = surface.energy.reshape(-1)
    around = neighbors(surface)
    labels, passes = _flooded(flat, surface.badly_sampled.reshape(-1), around, depth)
    found = [label for label in np.unique(labels) if label != _NONE]
    weights = surface.blocks.reshape(len(surface.blocks), -1)
    per_block = np.stack([weights[:, labels == label].sum(axis=1) for label in found], axis=1)
    order = np.argsort(-per_block.sum(axis=0), kind="stable")
    found, per_block = [found[index] for index in order], per_block[:, order]
    total = weights.sum()
    populations = per_block.sum(axis=0) / total
    counts = bootstrap_counts(len(weights), seed)
    draws = (counts @ per_block) / (counts @ weights.sum(axis=1))[:, None]
    with np.errstate(divide="ignore", invalid="ignore"):
        logs = -surface.kbt * np.log(draws)
        between = logs[:, None, :] - logs[:, :, None]
        errors = np.where(np.isfinite(between).all(axis=0), between.std(axis=0), np.inf)
    np.fill_diagonal(errors, 0.0)
    energies = -surface.kbt * np.log(populations)
    lowest = [int(np.nanargmin(np.where(labels == label, flat, np.nan))) for label in found]
    barriers = np.full((len(found), len(found)), np.nan)
    for i, j in itertools.permutations(range(len(found)), 2):
        barriers[i, j] = passes.get(frozenset((found[i], found[j])), np.nan) - flat[lowest[i]]
    renumber = {label: index for index, label in enumerate(found)}
    return FreeEnergyBasins(
        labels=np.array([renumber.get(label, _NONE) for label in labels]).reshape(surface.energy.shape),
        minima=surface.positions(np.array(lowest)),
        populations=populations,
        population_errors=draws.std(axis=0),
        differences=energies[None, :] - energies[:, None],
        difference_errors=errors,
        barriers=barriers,
        units=surface.units,
    )


def neighbors(surface: FreeEnergySurface) -> np.ndarray:
    """Bins that touch each bin by a side or a corner, across periods too, shape (all bins, ways); -1 for none."""
    shape = surface.energy.shape
    index = np.indices(shape).reshape(len(shape), -1)
    ways = [way for way in itertools.product((-1, 0, 1), repeat=len(shape)) if any(way)]
    columns = []
    for way in ways:
        moved, exists = index + np.array(way)[:, None], np.ones(index.shape[1], bool)
        for axis, (size, period) in enumerate(zip(shape, surface.periods, strict=True)):
            if period is None:
                exists &= (moved[axis] >= 0) & (moved[axis] < size)
            moved[axis] %= size
        columns.append(np.where(exists, np.ravel_multi_index(tuple(moved), shape), _NONE))
    return np.stack(columns, axis=1)


def _flooded(
    energy: np.ndarray, badly_sampled: np.ndarray, around: np.ndarray, depth: float
) -> tuple[np.ndarray, dict[frozenset[int], float]]:
    """Basin of each bin, named by its lowest bin, and the energy of the lowest pass between any two."""
    labels = np.full(len(energy), _NONE)
    joined: dict[int, int] = {}
    passes: dict[frozenset[int], float] = {}
    meets: dict[int, set[int]] = {}

    def root(label: int) -> int:
        while label in joined:
            label = joined[label]
        return label

    sampled = np.flatnonzero(np.isfinite(energy))
    for number in sampled[np.argsort(energy[sampled], kind="stable")].tolist():
        touched = {
            root(int(labels[other])) for other in around[number] if other != _NONE and labels[other] != _NONE
        }
        if not touched:
            if not badly_sampled[number]:
                labels[number] = number
                meets[number] = {number}
            continue
        deepest, *others = sorted(touched, key=lambda label: (energy[label], label))
        labels[number] = deepest
        for other in others:
            for one, two in itertools.product(meets[deepest], meets[other]):
                passes.setdefault(frozenset((one, two)), float(energy[number]))
            both = meets[deepest] | meets[other]
            if energy[number] - energy[other] < depth:
                joined[other] = deepest
                both.discard(other)
            for label in both:
                meets[label] = both
    _spread(labels, sampled, around)
    return np.array([root(label) if label != _NONE else _NONE for label in labels.tolist()]), passes


def _spread(labels: np.ndarray, sampled: np.ndarray, around: np.ndarray) -> None:
    """Give bins that were passed over, being badly sampled, to a basin beside them."""
    waiting = [number for number in sampled.tolist() if labels[number] == _NONE]
    while waiting:
        left = []
        for number in waiting:
            beside = [labels[other] for other in around[number] if other != _NONE and labels[other] != _NONE]
            if beside:
                labels[number] = beside[0]
            else:
                left.append(number)
        if len(left) == len(waiting):
            return
        waiting = left
