"""The search for any observable: descents, what they found beside the data, and the best beside the nearest frame."""

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure

from polyvae.analysis import OptimizedConformations
from polyvae.plots.structures import draw_side_by_side
from polyvae.plots.style import DATA, MODEL, NO_LATENT, VALIDATION, axes_or_new, style

_TOP = 1.4
_WORDS = {"minimize": "lowest", "maximize": "highest", "target": "nearest"}


@style()
def plot_optimization_traces(optimized: OptimizedConformations, *, ax: Axes | None = None) -> Axes:
    """Observable along every descent; valid steps in the model's color, others grey.

    The best frame of the data, where known, is a dashed line, and the target a dotted one.

    Args:
        optimized: what `polyvae.analysis.optimize` returned.
        ax: axes to draw on, or None for a new figure.
    """
    ax = axes_or_new(ax)
    trace = optimized.trace
    steps = np.broadcast_to(np.arange(trace.shape[1]), trace.shape)
    ax.add_collection(
        LineCollection(list(np.stack([steps, trace], axis=2)), colors=NO_LATENT, linewidths=0.5, alpha=0.5)
    )
    # A gap in the line (NaN) where a step is not valid.
    valid = np.where(optimized.violation_trace <= 0.0, trace, np.nan)
    for start in optimized.start:
        ax.plot(steps[start], valid[start], color=MODEL, linewidth=0.7, alpha=0.6)
    low, high = _range(optimized)
    # The legend lies above the curves.
    ax.set_ylim(low, high + 0.32 * (high - low))
    ax.set_xlim(0, max(trace.shape[1] - 1, 1))
    ax.plot([], [], color=MODEL, label="valid")
    ax.plot([], [], color=NO_LATENT, label="not valid")
    _reference_lines(optimized, ax)
    ax.set_xlabel("gradient step")
    ax.set_ylabel(_label(optimized))
    ax.legend(loc="upper right", ncols=2)
    return ax


@style()
def plot_optimized_values(optimized: OptimizedConformations, *, ax: Axes | None = None) -> Axes:
    """Distribution of the observable in the data, weighted as its frames are, beside what was found.

    Each is drawn with its highest bin as 1, since what was found may lie in one bin alone.

    Args:
        optimized: what `polyvae.analysis.optimize` returned.
        ax: axes to draw on, or None for a new figure.
    """
    ax = axes_or_new(ax)
    low, high = _range(optimized)
    edges = np.linspace(low, high, 60)
    if optimized.data_values is not None:
        _draw_share(ax, optimized.data_values, optimized.data_weights, edges, DATA, "data")
    if optimized.n_valid and optimized.values is not None:
        _draw_share(ax, optimized.values, None, edges, MODEL, "found")
    if optimized.target is not None:
        ax.axvline(optimized.target, ymax=1.05 / _TOP, color=VALIDATION, linestyle=":", label="target")
    ax.set_xlim(low, high)
    # The legend lies above the bars and the line of the target.
    ax.set_ylim(0.0, _TOP)
    ax.set_yticks([0.0, 0.5, 1.0])
    ax.set_xlabel(_label(optimized))
    ax.set_ylabel("relative frequency")
    if ax.get_legend_handles_labels()[0]:
        ax.legend(loc="upper right", ncols=3)
    return ax


@style()
def figure_optimization(optimized: OptimizedConformations, *, bonds: np.ndarray | None = None) -> Figure:
    """Descents, distributions, and the best conformation beside the frame of the data nearest to it.

    Where no start became valid, the figure says so in words.

    Args:
        optimized: what `polyvae.analysis.optimize` returned.
        bonds: zero-based atom pairs, or None for those of the conformations.
    """
    figure = plt.figure(figsize=(8.0, 4.6))
    grid = figure.add_gridspec(2, 2, width_ratios=(2.0, 1.0), height_ratios=(1.5, 1.0))
    traces = figure.add_subplot(grid[0, 0])
    plot_optimization_traces(optimized, ax=traces)
    title = f"{optimized.n_valid} of {optimized.n_starts} starts led to a valid structure"
    if optimized.target is not None:
        title += f", {int(optimized.reached.sum())} reached the target"
    traces.set_title(title)
    plot_optimized_values(optimized, ax=figure.add_subplot(grid[1, 0]))
    # Of one height, so that both are drawn at one scale.
    halves = grid[:, 1].subgridspec(2, 1)
    found, near = figure.add_subplot(halves[0]), figure.add_subplot(halves[1])
    for ax in (found, near):
        ax.set_axis_off()
    if not optimized.n_valid or optimized.best is None:
        found.text(
            0.5,
            0.5,
            "No start led to a\nvalid structure, so\nnone is shown.",
            ha="center",
            va="center",
            transform=found.transAxes,
        )
        return figure
    if bonds is None and optimized.trajectory is not None:
        bonds = optimized.trajectory.bonds
    panels, shown, colors = [found], [optimized.positions[0]], [MODEL]
    unit = optimized.value_unit or ""
    found.set_title(f"best found: {optimized.best:.4g} {unit}".rstrip())
    if optimized.nearest is not None and optimized.nearest_rmsd is not None:
        panels, colors = [*panels, near], [*colors, DATA]
        shown = [*shown, optimized.nearest.positions[0]]
        near.set_title(f"nearest: RMSD {optimized.nearest_rmsd[0]:.3g} {optimized.unit}")
    draw_side_by_side(panels, shown, colors, bonds=bonds, unit=optimized.unit)
    return figure


def _draw_share(
    ax: Axes, values: np.ndarray, weights: np.ndarray | None, edges: np.ndarray, color: str, label: str
) -> None:
    heights = np.histogram(values, edges, weights=weights)[0]
    ax.stairs(heights / max(heights.max(), 1e-300), edges, fill=True, color=color, alpha=0.75, label=label)


def _label(optimized: OptimizedConformations) -> str:
    words = optimized.observable.replace("_", " ").replace(":", " ", 1)
    return f"{words} ({optimized.value_unit})" if optimized.value_unit else words


def _range(optimized: OptimizedConformations) -> tuple[float, float]:
    """What must be seen: nearly all of the traces and of the data, and all that was found."""
    parts = [optimized.trace[np.isfinite(optimized.trace)]]
    if optimized.data_values is not None:
        parts.append(optimized.data_values)
    ends = [value for part in parts if part.size for value in np.quantile(part, (0.001, 0.999))]
    if optimized.values is not None:
        ends.extend(optimized.values)
    if optimized.target is not None:
        ends.append(optimized.target)
    if optimized.best_observed is not None:
        ends.append(optimized.best_observed.value)
    if not ends:
        return 0.0, 1.0
    low, high = float(min(ends)), float(max(ends))
    margin = 0.05 * max(high - low, 1e-6 * abs(high), 1e-12)
    return low - margin, high + margin


def _reference_lines(optimized: OptimizedConformations, ax: Axes) -> None:
    observed = optimized.best_observed
    if observed is not None and optimized.target is None:
        label = f"{_WORDS[optimized.goal]} in the data: {observed.value:.3g} {optimized.value_unit or ''}"
        ax.axhline(observed.value, color=DATA, linewidth=1.2, linestyle="--", label=label.rstrip())
    if optimized.target is not None:
        label = f"target: {optimized.target:.4g} {optimized.value_unit or ''}"
        ax.axhline(optimized.target, color=VALIDATION, linewidth=1.2, linestyle=":", label=label.rstrip())
