"""Free-energy surfaces: a line with its error band along one coordinate, a map with contours along two."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patheffects import withStroke

from polyvae.analysis import FreeEnergyBasins, FreeEnergySurface, MinimumFreeEnergyPath
from polyvae.plots.style import DATA, MODEL, NO_LATENT, VALIDATION, axes_or_new, style

_MOST_SHOWN = 10.0
_LEVELS = 10


@style()
def plot_free_energy(
    surface: FreeEnergySurface,
    *,
    basins: FreeEnergyBasins | None = None,
    path: MinimumFreeEnergyPath | None = None,
    max_energy: float | None = None,
    ax: Axes | None = None,
) -> Axes:
    """A free-energy surface; badly sampled bins are dots (one coordinate) or crossed out (two).

    Args:
        surface: free energy on a grid.
        basins: their minima are lettered, the most populated A.
        path: drawn over the surface.
        max_energy: highest energy shown, in the unit of the surface; None for ten kT, or what there is.
        ax: axes to draw on, or None for a new figure.
    """
    highest = min(_MOST_SHOWN * surface.kbt, float(np.nanmax(surface.energy)))
    top = highest if max_energy is None else max_energy
    draw = _line if surface.energy.ndim == 1 else _map
    return draw(surface, basins, path, top, ax)


def _line(
    surface: FreeEnergySurface,
    basins: FreeEnergyBasins | None,
    path: MinimumFreeEnergyPath | None,
    top: float,
    ax: Axes | None,
) -> Axes:
    ax = axes_or_new(ax)
    x, energy, error = surface.centers[0], surface.energy, surface.error
    bad = surface.badly_sampled
    good_energy = np.where(bad, np.nan, energy)
    ax.fill_between(
        x, good_energy - error, good_energy + error, color=DATA, alpha=0.25, linewidth=0, label="± 1 s.e."
    )
    ax.plot(x, good_energy, color=DATA)
    if bad.any() and np.isfinite(energy[bad]).any():
        ax.plot(
            x[bad], energy[bad], ".", color=NO_LATENT, markersize=3, label="fewer than 5 independent visits"
        )
    if path is not None:
        ax.plot(path.points[:, 0], path.energy, color=MODEL, linewidth=2.2, alpha=0.7, label="minimum path")
    for index in range(0 if basins is None else len(basins)):
        assert basins is not None
        lowest = float(np.interp(basins.minima[index, 0], x, np.nan_to_num(energy, nan=top)))
        _letter(ax, basins.names[index], float(basins.minima[index, 0]), lowest, offset=(0.0, -3.0), va="top")
    ax.set_ylim(-0.05 * top if basins is None else -0.1 * top, 1.3 * top)
    ax.set_xlabel(surface.names[0])
    ax.set_ylabel(f"free energy ({surface.units})")
    ax.legend(loc="upper center", ncols=2)
    return ax


def _map(
    surface: FreeEnergySurface,
    basins: FreeEnergyBasins | None,
    path: MinimumFreeEnergyPath | None,
    top: float,
    ax: Axes | None,
) -> Axes:
    ax = axes_or_new(ax, width=5.0, height=4.0)
    energy = np.ma.masked_invalid(surface.energy).T
    shown = np.ma.masked_greater(energy, top)
    cells = ax.pcolormesh(*surface.edges, shown, vmin=0.0, vmax=top, rasterized=True)
    levels = np.linspace(0.0, top, _LEVELS + 1)[1:-1]
    if min(surface.energy.shape) > 2:
        ax.contour(*surface.centers, shown, levels=levels, colors="white", linewidths=0.5, alpha=0.6)
    bad = (surface.badly_sampled & np.isfinite(surface.energy)).T & ~np.ma.getmaskarray(shown)
    x, y = np.meshgrid(*surface.centers)
    ax.plot(x[bad], y[bad], "x", color="black", markersize=2.0, markeredgewidth=0.4, alpha=0.7)
    if path is not None:
        halo = [withStroke(linewidth=3.0, foreground="white", alpha=0.8)]
        ax.plot(*_in_cell(path, surface), color=MODEL, linewidth=1.6, path_effects=halo, label="minimum path")
    for index in range(0 if basins is None else len(basins)):
        assert basins is not None
        _letter(ax, basins.names[index], *basins.minima[index].tolist(), offset=(0.0, 0.0), va="center")
    ax.set_xlim(surface.edges[0][0], surface.edges[0][-1])
    ax.set_ylim(surface.edges[1][0], surface.edges[1][-1])
    ax.set_xlabel(surface.names[0])
    ax.set_ylabel(surface.names[1])
    figure = ax.get_figure()
    assert figure is not None
    figure.colorbar(cells, ax=ax, label=f"free energy ({surface.units})", shrink=0.9)
    return ax


def _in_cell(path: MinimumFreeEnergyPath, surface: FreeEnergySurface) -> list[np.ndarray]:
    """Coordinates of the path within the edges, with a gap where it leaves at one side and enters at the other."""
    columns, jumps = [], np.zeros(len(path.points), bool)
    for column, edges, period in zip(path.points.T, surface.edges, surface.periods, strict=True):
        if period is not None:
            column = edges[0] + np.mod(column - edges[0], period)
            jumps[1:] |= np.abs(np.diff(column)) > period / 2
        columns.append(column)
    places = np.flatnonzero(jumps)
    return [np.insert(column, places, np.nan) for column in columns]


def _letter(ax: Axes, name: str, x: float, y: float, *, offset: tuple[float, float], va: str) -> None:
    ax.annotate(
        name,
        (x, y),
        xytext=offset,
        textcoords="offset points",
        ha="center",
        va=va,
        color=VALIDATION,
        fontweight="bold",
        fontsize=9,
        path_effects=[withStroke(linewidth=2.2, foreground="white")],
    )
