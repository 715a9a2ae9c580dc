"""Paths in latent space: where they run, and how plausible the conformations along them are."""

from collections.abc import Sequence

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke

from polyvae.analysis import LatentPath, LatentTrajectory, PathComparison
from polyvae.plots.structures import draw_side_by_side
from polyvae.plots.style import DATA, MODEL, NO_LATENT, VALIDATION, axes_or_new, latent_name, style

_COLORS = {"straight": VALIDATION, "string": MODEL}
_SHOWN_STRUCTURES = 5
_CELLS = 45


@style()
def plot_latent_paths(
    paths: PathComparison | LatentPath | Sequence[LatentPath],
    latent: LatentTrajectory | None = None,
    *,
    ax: Axes | None = None,
) -> Axes:
    """The paths over the plane of the two latent dimensions along which they reach farthest.

    Args:
        paths: one or more, between the same ends.
        latent: posterior of the frames, drawn below as frames in each cell (each counted as its weight), or None.
        ax: axes to draw on, or None for a new figure.
    """
    ax = axes_or_new(ax, width=4.4, height=3.8)
    shown = _several(paths)
    points = np.concatenate([path.latent for path in shown])
    n_latent = points.shape[1]
    if n_latent == 1:
        # One coordinate has no plane: the path is drawn against its own length.
        for path in shown:
            ax.plot(path.along, path.latent[:, 0], color=_COLORS[path.kind], label=path.kind)
        ax.set_xlabel("share of the path")
        ax.set_ylabel(f"latent {latent_name(0)}")
        ax.legend()
        return ax
    first, second = sorted(np.argsort(-np.ptp(points, axis=0), kind="stable")[:2].tolist())
    if latent is not None:
        counted = latent.counts > 0
        ax.hexbin(
            latent.mean[counted, first],
            latent.mean[counted, second],
            C=None if latent.weights is None else latent.counts[counted],
            reduce_C_function=np.sum,
            gridsize=_CELLS,
            mincnt=1,
            bins="log",
            cmap="Greys",
            linewidths=0.1,
            rasterized=True,
        )
    halo = [withStroke(linewidth=3.2, foreground="white")]
    for path in shown:
        ax.plot(
            path.latent[:, first],
            path.latent[:, second],
            color=_COLORS[path.kind],
            label=path.kind,
            path_effects=halo,
        )
    ends = shown[0].latent[[0, -1]]
    ax.plot(
        ends[:, first], ends[:, second], "o", color="white", markeredgecolor="black", markersize=6, zorder=5
    )
    # Each beside its point, away from the other end, so that ends close to each other keep their labels apart.
    rightward = 1 if ends[1, first] >= ends[0, first] else -1
    for place, word, side in zip(ends, ("start", "end"), (-rightward, rightward), strict=True):
        ax.annotate(
            word,
            (float(place[first]), float(place[second])),
            xytext=(7 * side, 0),
            textcoords="offset points",
            ha="left" if side > 0 else "right",
            va="center",
            fontsize=8,
            bbox={"facecolor": "white", "edgecolor": "none", "alpha": 0.75, "pad": 0.6},
            zorder=6,
        )
    ax.set_xlabel(_axis(first, n_latent))
    ax.set_ylabel(_axis(second, n_latent))
    ax.margins(0.13)
    ax.legend(loc="best")
    return ax


@style()
def plot_path_density(
    paths: PathComparison | LatentPath | Sequence[LatentPath], *, ax: Axes | None = None
) -> Axes:
    """Log-density along the paths, with the edge below which the model extrapolates; crosses mark broken geometry.

    Args:
        paths: one or more, between the same ends.
        ax: axes to draw on, or None for a new figure.
    """
    ax = axes_or_new(ax)
    shown = _several(paths)
    for path in shown:
        ax.plot(path.along, path.log_density, color=_COLORS[path.kind], label=path.kind)
        broken = path.violation > 0.0
        ax.plot(
            path.along[broken],
            path.log_density[broken],
            "x",
            color=_COLORS[path.kind],
            markersize=4,
            markeredgewidth=0.9,
        )
    name = {"aggregate": "aggregate posterior", "prior": "prior"}[shown[0].density]
    ax.axhline(
        shown[0].edge, color=DATA, linestyle="--", linewidth=1.0, label=f"99 % of the {name} lie above"
    )
    if any((path.violation > 0.0).any() for path in shown):
        ax.plot([], [], "x", color=NO_LATENT, markersize=4, label="geometry not valid")
    ax.set_xlim(-0.02, 1.02)
    ax.set_xlabel("share of the path")
    ax.set_ylabel("log-density (nats)")
    ax.legend()
    return ax


@style()
def plot_path_observable(
    paths: PathComparison | LatentPath | Sequence[LatentPath], *, index: int = 0, ax: Axes | None = None
) -> Axes:
    """One of the recorded observables along the paths.

    Args:
        paths: one or more, between the same ends.
        index: which observable, counted from 0.
        ax: axes to draw on, or None for a new figure.
    """
    ax = axes_or_new(ax)
    shown = _several(paths)
    for path in shown:
        ax.plot(path.along, path.values[:, index], color=_COLORS[path.kind], label=path.kind)
    words = shown[0].observables[index].replace("_", " ").replace(":", " ", 1)
    unit = shown[0].value_units[index]
    ax.set_xlim(-0.02, 1.02)
    ax.set_xlabel("share of the path")
    ax.set_ylabel(f"{words} ({unit})" if unit else words)
    return ax


@style()
def figure_paths(
    paths: PathComparison | LatentPath | Sequence[LatentPath], latent: LatentTrajectory | None = None
) -> Figure:
    """Where the paths run, how plausible they are, the first observable along them, and conformations of each.

    Args:
        paths: one or more, between the same ends.
        latent: posterior of the frames, or None.
    """
    shown = _several(paths)
    figure = plt.figure(figsize=(7.6, 4.2 + 1.35 * len(shown)))
    halves = np.ravel(np.asarray(figure.subfigures(2, 1, height_ratios=(4.2, 1.35 * len(shown)))))
    upper, lower = halves[0], halves[1]
    has_values = bool(shown[0].observables)
    grid = upper.add_gridspec(2 if has_values else 1, 2, width_ratios=(1.15, 1.0))
    plot_latent_paths(shown, latent, ax=upper.add_subplot(grid[:, 0]))
    density = upper.add_subplot(grid[0, 1])
    plot_path_density(shown, ax=density)
    if has_values:
        below = upper.add_subplot(grid[1, 1], sharex=density)
        plot_path_observable(shown, ax=below)
        density.set_xlabel("")
        density.tick_params(labelbottom=False)
    panels = lower.subplots(len(shown), _SHOWN_STRUCTURES, squeeze=False)
    conformations, colors = [], []
    for row, path in zip(panels, shown, strict=True):
        frames = np.linspace(0, len(path.latent) - 1, _SHOWN_STRUCTURES).round().astype(int)
        for ax, frame in zip(row, frames, strict=True):
            ax.set_title(f"{path.kind}, {path.along[frame]:.0%}", fontsize=8)
            conformations.append(path.trajectory.positions[frame])
            colors.append(_COLORS[path.kind])
    draw_side_by_side(
        list(panels.ravel()), conformations, colors, bonds=shown[0].trajectory.bonds, unit=shown[0].unit
    )
    return figure


def _several(paths: PathComparison | LatentPath | Sequence[LatentPath]) -> list[LatentPath]:
    if isinstance(paths, PathComparison):
        return [paths.straight, paths.string]
    return [paths] if isinstance(paths, LatentPath) else list(paths)


def _axis(dimension: int, n_latent: int) -> str:
    return f"latent {latent_name(dimension)}" + (f" of {n_latent}" if n_latent > 2 else "")
