"""The latent space: where the frames lie in it, and how they move through it in time."""

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from matplotlib.patches import Circle
from matplotlib.patheffects import withStroke

from polyvae.analysis import LatentTrajectory
from polyvae.plots.style import DATA, MODEL, axes_or_new, latent_name, style

MOST_POINTS = 20_000
_MOST_PANELS = 4
SMOOTH_STEP = 0.2
"""Largest step, as a share of the span, up to which frames are joined by lines."""
_FEW_FRAMES = 500
# A point of hardly any weight stays visible, and one of most of it hides no other.
_POINT_SIZES = (0.15, 8.0)


@style()
def plot_latent_map(latent: LatentTrajectory, *, ax: Axes | None = None) -> Axes:
    """Where the posterior means lie: frames in each cell of the latent plane, and circles of the prior.

    Counts are logarithmic. One latent dimension gives a histogram beside the prior's density; of more than
    two, the two with the largest variance are shown, as the labels say. Where frames have statistical weights,
    each counts as its weight over the mean weight (few frames become points of that area), and those of weight
    zero are not shown.

    Args:
        latent: posterior of every frame.
        ax: axes to draw on, or None for a new figure.
    """
    n_latent = latent.mean.shape[1]
    if n_latent == 1:
        return _histogram(latent, axes_or_new(ax))
    ax = axes_or_new(ax, width=5.0, height=4.2)
    shown = widest(latent, 2)
    frames = np.flatnonzero(latent.counts)
    chosen, counts = latent.mean[frames][:, shown], latent.counts[frames]
    is_weighted = latent.weights is not None
    low, high = np.minimum(chosen.min(axis=0), -2.2) - 0.1, np.maximum(chosen.max(axis=0), 2.2) + 0.1
    few = len(chosen) < _FEW_FRAMES
    if few:
        # Cells of one frame each would hide the path; points in order of time show it.
        area = 14 * np.clip(counts, *_POINT_SIZES)
        cells = ax.scatter(chosen[:, 0], chosen[:, 1], c=frames, s=area, linewidths=0)
    else:
        cells = ax.hexbin(
            chosen[:, 0],
            chosen[:, 1],
            gridsize=int(np.clip(np.sqrt(len(chosen)) / 1.5, 12, 70)),
            extent=(low[0], high[0], low[1], high[1]),
            # Without weights matplotlib counts, and much faster.
            C=counts if is_weighted else None,
            reduce_C_function=np.sum,
            mincnt=1,
            norm=LogNorm() if is_weighted else LogNorm(vmin=1),
            linewidths=0.1,
            rasterized=True,
        )
    for radius in (1, 2):
        halo = [withStroke(linewidth=2.4, foreground="white", alpha=0.6)]
        circle = Circle(
            (0, 0), radius, fill=False, color=MODEL, linewidth=1.1, linestyle="--", path_effects=halo
        )
        ax.add_patch(circle)
        place = radius * np.sqrt(0.5)
        ax.annotate(
            f"prior {radius}σ",
            (place, place),
            xytext=(2, 2),
            textcoords="offset points",
            color=MODEL,
            fontsize=7,
            bbox={"facecolor": "white", "edgecolor": "none", "alpha": 0.7, "pad": 0.6},
        )
    ax.set_xlim(low[0], high[0])
    ax.set_ylim(low[1], high[1])
    ax.set_box_aspect((high[1] - low[1]) / (high[0] - low[0]))
    ax.set_xlabel(_label(shown[0], n_latent))
    ax.set_ylabel(_label(shown[1], n_latent))
    figure = ax.get_figure()
    assert figure is not None
    label = "weighted frames per cell" if is_weighted else "frames per cell"
    figure.colorbar(cells, ax=ax, label="frame" if few else label, shrink=0.85)
    return ax


def _histogram(latent: LatentTrajectory, ax: Axes) -> Axes:
    frames = np.flatnonzero(latent.counts)
    values = latent.mean[frames, 0]
    n_bins = int(np.clip(np.sqrt(latent.effective_sample_size), 10, 80))
    ax.hist(values, bins=n_bins, weights=latent.counts[frames], density=True, color=DATA, label="frames")
    grid = np.linspace(min(-3.0, values.min()), max(3.0, values.max()), 200)
    ax.plot(grid, np.exp(-(grid**2) / 2) / np.sqrt(2 * np.pi), color=MODEL, linestyle="--", label="prior")
    ax.set_xlabel(_label(0, 1))
    ax.set_ylabel("density (1 / latent unit)")
    ax.legend()
    return ax


@style()
def plot_latent_trajectory(latent: LatentTrajectory, *, dimension: int = 0, ax: Axes | None = None) -> Axes:
    """One latent coordinate against time, with a dotted line where two simulations were joined.

    Frames are points; a line joins them where no step reaches a fifth of the span.

    Args:
        latent: posterior of every frame.
        dimension: which latent dimension, counted from 0.
        ax: axes to draw on, or None for a new figure.
    """
    ax = axes_or_new(ax, width=6.8, height=2.4)
    n_frames, n_latent = latent.mean.shape
    every = -(-n_frames // MOST_POINTS)
    along, unit = frame_times(latent)
    ends = np.cumsum(latent.segments)
    steps = np.abs(latent.steps[:, dimension])
    smooth = steps.max(initial=0.0) < SMOOTH_STEP * latent.span[dimension]
    for start, end in zip(ends - np.asarray(latent.segments), ends, strict=True):
        index = np.arange(start, end)[::every]
        values = latent.mean[index, dimension]
        if smooth:
            ax.plot(along[index], values, color=DATA, linewidth=0.9, rasterized=True)
        if not smooth or n_frames < 300:
            size = 4.0 if n_frames < 300 else 1.8
            ax.plot(along[index], values, ".", color=DATA, markersize=size, mew=0, alpha=0.6, rasterized=True)
    for join in ends[:-1]:
        ax.axvline(float(along[join]), color=MODEL, linewidth=0.8, linestyle=":")
    ax.margins(x=0.01)
    notes = [f"time ({unit})" if unit else "frame"]
    notes += [f"every {ordinal(every)} frame shown"] if every > 1 else []
    notes += ["joins dotted"] if len(ends) > 1 else []
    ax.set_xlabel(", ".join(notes))
    ax.set_ylabel(_label(dimension, n_latent))
    return ax


@style()
def figure_latent_trajectory(latent: LatentTrajectory) -> Figure:
    """Latent coordinates against time, one below the other; at most the four of largest variance."""
    shown = widest(latent, _MOST_PANELS)
    figure = plt.figure(figsize=(6.8, 0.5 + 1.5 * len(shown)))
    panels = np.atleast_1d(figure.subplots(len(shown), 1, sharex=True))
    for dimension, ax in zip(shown, panels, strict=True):
        plot_latent_trajectory(latent, dimension=dimension, ax=ax)
        if ax is not panels[-1]:
            ax.set_xlabel("")
    return figure


def frame_times(latent: LatentTrajectory) -> tuple[np.ndarray, str]:
    """Time of each frame in a readable unit; or the number of each, and no unit.

    Times start again at a join, or are absent; frame numbers then keep the simulations apart.
    """
    if latent.times is not None and bool(np.all(np.diff(latent.times) > 0)):
        return _readable_times(latent.times, latent.units.time)
    return np.arange(len(latent.mean), dtype=np.float64), ""


def _readable_times(times: np.ndarray, unit: str) -> tuple[np.ndarray, str]:
    """Times in ps, ns or µs: the largest unit in which the last of them is at least 2."""
    if unit == "ps":
        for factor, larger in ((1e6, "µs"), (1e3, "ns")):
            if np.abs(times).max() >= 2 * factor:
                return times / factor, larger
    return times, unit


def widest(latent: LatentTrajectory, most: int) -> list[int]:
    """Indices of the dimensions of largest variance, in their own order."""
    return sorted(int(dimension) for dimension in np.argsort(-latent.variance, kind="stable")[:most])


def _label(dimension: int, n_latent: int) -> str:
    name = latent_name(dimension)
    return f"latent {name}" if n_latent <= 2 else f"latent {name} of {n_latent}"


def ordinal(number: int) -> str:
    """1st, 2nd, 3rd, 4th, ..."""
    ending = "th" if 10 <= number % 100 <= 20 else {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")
    return f"{number}{ending}"
