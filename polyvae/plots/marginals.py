"""Distance marginals: data beside generated conformations, pair by pair, and the error of every pair."""

from collections.abc import Sequence

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from polyvae.analysis import DistanceMarginals
from polyvae.plots.latent import ordinal
from polyvae.plots.style import DATA, MODEL, NOISE, axes_or_new, style

_MOST_MATRIX_ATOMS = 60
_MOST_DOTS = 3000
_LABEL = {"facecolor": "white", "edgecolor": "none", "alpha": 0.75, "pad": 1.0}


@style()
def plot_distance_marginal(marginals: DistanceMarginals, pair: int, *, ax: Axes | None = None) -> Axes:
    """Distribution of one pair's distance in the data and in the ensemble, with W1 and its noise floor above.

    The band lies between the two halves of the data: differences of its height are noise.

    Args:
        marginals: what `polyvae.analysis.distance_marginals` returned.
        pair: row of `marginals.pairs`.
        ax: axes to draw on, or None for a new figure.
    """
    ax = axes_or_new(ax)
    edges, unit = marginals.edges[pair], marginals.unit
    ax.stairs(marginals.reference_density[pair], edges, fill=True, color=DATA, alpha=0.12)
    if marginals.half_densities is not None:
        low, high = np.sort(marginals.half_densities[pair], axis=0)
        ax.stairs(high, edges, baseline=low, fill=True, color=NOISE, label="noise: two halves of the data")
    ax.stairs(marginals.reference_density[pair], edges, color=DATA, linewidth=1.0, label="data")
    ax.stairs(marginals.ensemble_density[pair], edges, color=MODEL, linewidth=1.3, label="generated")
    first, second = marginals.pairs[pair]
    error, floor = marginals.w1[pair], marginals.floor_w1[pair]
    ax.set_title(f"{first}–{second}: W₁ {error:.2g} (floor {floor:.2g}) {unit}", fontsize=8)
    ax.set_xlabel(f"distance ({unit})")
    ax.set_ylabel(f"density (1/{unit})")
    ax.set_ylim(bottom=0.0)
    return ax


@style()
def figure_distance_marginals(
    marginals: DistanceMarginals, *, most: int = 12, rows: Sequence[int] | None = None, worst: bool = False
) -> Figure:
    """Distributions of up to `most` pairs: worst, median and best, then others by separation in the chain.

    Args:
        marginals: what `polyvae.analysis.distance_marginals` returned.
        most: number of panels, at most.
        rows: the pairs to show, as rows of `marginals.pairs`, in place of this choice.
        worst: whether to show the pairs of the largest errors alone, in place of this choice.
    """
    order = np.argsort(-marginals.w1, kind="stable")
    if rows is not None:
        chosen = [(int(row), "") for row in rows]
    elif worst:
        chosen = [(int(row), f"{_place(place)}worst") for place, row in enumerate(order[:most], 1)]
    else:
        chosen = _spread_pairs(marginals, most)
    columns = min(3, len(chosen))
    lines = -(-len(chosen) // columns)
    figure = plt.figure(figsize=(max(2.3 * columns, 4.6), 1.55 * lines + 0.5))
    panels = figure.subplots(lines, columns, squeeze=False).ravel()
    for place, (ax, (pair, remark)) in enumerate(zip(panels, chosen, strict=False)):
        plot_distance_marginal(marginals, pair, ax=ax)
        ax.set_yticks([])
        ax.spines["left"].set_visible(False)
        ax.set_ylabel("")
        if place + columns < len(chosen):
            ax.set_xlabel("")
        if remark:
            ax.annotate(
                remark, (0.98, 0.95), xycoords="axes fraction", ha="right", va="top", fontsize=8, bbox=_LABEL
            )
    for ax in panels[len(chosen) :]:
        ax.set_axis_off()
    figure.supylabel(f"density (1/{marginals.unit})", fontsize=9)
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper right", ncols=3)
    figure.suptitle("Atom pairs, counted from 0", x=0.01, ha="left", fontsize=9)
    return figure


def _place(number: int) -> str:
    return "" if number == 1 else f"{ordinal(number)} "


def _spread_pairs(marginals: DistanceMarginals, most: int) -> list[tuple[int, str]]:
    """Rows to show, each with a remark: worst, median and best W1, then evenly by separation in the chain."""
    order = np.argsort(-marginals.w1, kind="stable")
    marked = {int(order[0]): "worst"}
    marked.setdefault(int(order[len(order) // 2]), "median")
    marked.setdefault(int(order[-1]), "best")
    separation = np.abs(marginals.pairs[:, 1] - marginals.pairs[:, 0])
    others = [int(row) for row in np.lexsort((marginals.pairs[:, 0], separation)) if int(row) not in marked]
    room = min(len(others), max(most - len(marked), 0))
    spread = np.unique(np.linspace(0, len(others) - 1, room).round().astype(int)) if room else []
    return [*list(marked.items())[:most], *((others[place], "") for place in spread)]


@style()
def plot_distance_errors(marginals: DistanceMarginals, *, ax: Axes | None = None) -> Axes:
    """W1 of every pair beside its noise floor.

    All pairs of a small system are shown as a matrix of atoms: W1 above the diagonal, the floor below it, on
    one scale. Otherwise W1 is drawn against the floor, with lines where it is once and ten times the floor.

    Args:
        marginals: what `polyvae.analysis.distance_marginals` returned.
        ax: axes to draw on, or None for a new figure.
    """
    n_atoms = int(marginals.pairs.max()) + 1
    if 3 <= n_atoms <= _MOST_MATRIX_ATOMS and len(marginals.pairs) == n_atoms * (n_atoms - 1) // 2:
        return _matrix(marginals, n_atoms, axes_or_new(ax, width=4.8, height=4.0))
    return _scatter(marginals, axes_or_new(ax, width=4.6, height=4.0))


def _matrix(marginals: DistanceMarginals, n_atoms: int, ax: Axes) -> Axes:
    matrix = np.full((n_atoms, n_atoms), np.nan)
    low, high = np.sort(marginals.pairs, axis=1).T
    matrix[low, high] = marginals.w1
    matrix[high, low] = marginals.floor_w1
    positive = matrix[matrix > 0]
    limits = (float(positive.min()), float(positive.max())) if positive.size else (1e-6, 1.0)
    image = ax.imshow(matrix, norm=LogNorm(*limits), interpolation="nearest")
    ax.plot((-0.5, n_atoms - 0.5), (-0.5, n_atoms - 0.5), color="white", linewidth=0.8)
    ax.set_title(
        f"above: W₁, mean {_mean(marginals.w1)}\nbelow: noise floor, mean {_mean(marginals.floor_w1)}"
    )
    ax.set_xlabel("atom, counted from 0")
    ax.set_ylabel("atom, counted from 0")
    ax.spines[:].set_visible(False)
    for axis in (ax.xaxis, ax.yaxis):
        axis.set_major_locator(MaxNLocator(integer=True))
    figure = ax.get_figure()
    assert figure is not None
    figure.colorbar(image, ax=ax, label=f"W₁ of the pair distance ({marginals.unit})", shrink=0.85)
    return ax


def _scatter(marginals: DistanceMarginals, ax: Axes) -> Axes:
    # A pair at a fixed distance has no error and no floor; a logarithmic axis shows it at its edge.
    smallest = np.concatenate([marginals.w1, marginals.floor_w1])
    smallest = smallest[smallest > 0].min(initial=np.inf)
    smallest = smallest if np.isfinite(smallest) else 1e-6
    floor, error = np.maximum(marginals.floor_w1, smallest), np.maximum(marginals.w1, smallest)
    if len(error) > _MOST_DOTS:
        cells = ax.hexbin(
            floor, error, xscale="log", yscale="log", gridsize=50, mincnt=1, norm=LogNorm(vmin=1)
        )
        figure = ax.get_figure()
        assert figure is not None
        figure.colorbar(cells, ax=ax, label="pairs per cell", shrink=0.85)
    else:
        ax.plot(floor, error, "o", color=MODEL, markersize=3, alpha=0.6, mew=0)
    ax.set_xscale("log")
    ax.set_yscale("log")
    ends = np.array([0.8 * floor.min(), 1.25 * floor.max()])
    for factor, line in ((1, "-"), (10, "--")):
        ax.plot(ends, factor * ends, line, color=DATA, linewidth=0.9, label=f"{factor} × floor")
    ax.set_xlim(*ends)
    ax.set_title(f"{len(error)} pairs: mean W₁ {_mean(marginals.w1)}, mean floor {_mean(marginals.floor_w1)}")
    ax.set_xlabel(f"noise floor of W₁ ({marginals.unit})")
    ax.set_ylabel(f"W₁, generated against data ({marginals.unit})")
    ax.legend(loc="lower right")
    return ax


def _mean(values: np.ndarray) -> str:
    return f"{values.mean():.2g}"
