r"""`minimum_free_energy_path`: the way from one point of a surface to another along which the flux is largest.

Of all ways through sampled bins it is the one with the smallest \(\int e^{F(s) / k_B T} ds\), the resistance to
diffusion along it: low passes are sought, and of several low ways the shorter.

References:
    Berkowitz, Morgan, McCammon & Northrup, Diffusion-controlled reactions: a variational formula for the optimum
    reaction coordinate, 1983, doi:10.1063/1.445675.
    Huo & Straub, The MaxFlux algorithm, 1997, doi:10.1063/1.474863.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from polyvae.analysis.free_energy.basins import neighbors
from polyvae.analysis.free_energy.surface import FreeEnergySurface
from polyvae.errors import InputError


@dataclass(frozen=True, kw_only=True, eq=False)
class MinimumFreeEnergyPath:
    """Bins along a path.

    Attributes:
        points: coordinates of the bins, shape (points, coordinates); across a period they go on without a jump.
        energy: free energy of each, shape (points,).
        error: standard error of each.
        units: "kJ/mol" or "kT".
    """

    points: np.ndarray
    energy: np.ndarray
    error: np.ndarray
    units: str

    @property
    def saddle(self) -> int:
        """Index of the highest point."""
        return int(np.argmax(self.energy))

    @property
    def barrier(self) -> float:
        """Height of the highest point above the first."""
        return float(self.energy.max() - self.energy[0])


def minimum_free_energy_path(surface: FreeEnergySurface, start: Any, end: Any) -> MinimumFreeEnergyPath:
    """The path of largest flux between two points, bin by bin; lengths are counted in spans of the coordinates.

    Args:
        surface: from `free_energy_surface`.
        start: a point, shape (coordinates,), such as a row of `FreeEnergyBasins.minima`.
        end: another.

    Raises:
        InputError: if a point lies outside of the surface or where no frame is, or no way leads from one to the other.
    """
    from scipy import sparse
    from scipy.sparse.csgraph import dijkstra

    first, last = _bin_of(surface, start, "start"), _bin_of(surface, end, "end")
    energy, around = surface.energy.reshape(-1) / surface.kbt, neighbors(surface)
    shape = surface.energy.shape
    rows = np.repeat(np.arange(len(energy)), around.shape[1])
    columns = around.reshape(-1)
    kept = (columns >= 0) & np.isfinite(energy[rows])
    rows, columns = rows[kept], columns[kept]
    kept = np.isfinite(energy[columns])
    rows, columns = rows[kept], columns[kept]
    steps = [
        np.abs(a - b)
        for a, b in zip(np.unravel_index(rows, shape), np.unravel_index(columns, shape), strict=True)
    ]
    lengths = np.sqrt(
        sum((np.minimum(step, size - step) / size) ** 2 for step, size in zip(steps, shape, strict=True))
    )
    resistance = lengths * 0.5 * (np.exp(energy[rows]) + np.exp(energy[columns]))
    graph = sparse.csr_matrix((resistance, (rows, columns)), shape=(len(energy), len(energy)))
    _, before = dijkstra(graph, indices=first, return_predecessors=True)
    bins = [last]
    while bins[-1] != first:
        if before[bins[-1]] < 0:
            raise InputError(
                "No way of sampled bins leads from `start` to `end`. Use fewer or wider bins, smooth with `bandwidth`, "
                "or sample between them."
            )
        bins.append(int(before[bins[-1]]))
    path = np.array(bins[::-1])
    return MinimumFreeEnergyPath(
        points=_unwrapped(surface.positions(path), surface.periods),
        energy=surface.energy.reshape(-1)[path],
        error=surface.error.reshape(-1)[path],
        units=surface.units,
    )


def _bin_of(surface: FreeEnergySurface, point: Any, name: str) -> int:
    point = np.atleast_1d(np.asarray(point, np.float64))
    if point.shape != (len(surface.edges),):
        raise InputError(f"`{name}` must have shape ({len(surface.edges)},); got {point.shape}.")
    index = []
    for value, edges, period in zip(point, surface.edges, surface.periods, strict=True):
        value = value if period is None else edges[0] + np.mod(value - edges[0], period)
        if not edges[0] <= value <= edges[-1]:
            raise InputError(
                f"`{name}`={point} lies outside of the surface, which spans {edges[0]} to {edges[-1]}."
            )
        index.append(min(int((value - edges[0]) / (edges[-1] - edges[0]) * (len(edges) - 1)), len(edges) - 2))
    if not np.isfinite(surface.energy[tuple(index)]):
        raise InputError(f"No frame lies at `{name}`={point}. Choose a point where the surface has a value.")
    return int(np.ravel_multi_index(tuple(index), surface.energy.shape))


def _unwrapped(points: np.ndarray, periods: tuple[float | None, ...]) -> np.ndarray:
    columns = [
        column if period is None else np.unwrap(column, period=period)
        for column, period in zip(points.T, periods, strict=True)
    ]
    return np.stack(columns, axis=1)
