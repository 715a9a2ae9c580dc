"""The score of an ensemble: every number over its limit with its verdict, Ramachandran maps, the worst distances."""

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm, TwoSlopeNorm
from matplotlib.figure import Figure

from polyvae.analysis import EnsembleScore, RamachandranMap, ScoreRow
from polyvae.plots.marginals import plot_distance_marginal
from polyvae.plots.style import DATA, axes_or_new, style

_COLORS = {"as good as data": "#009e73", "close": "#e69f00", "wrong": "#d55e00"}
_MARKERS = {"as good as data": "o", "close": "D", "wrong": "X"}
_SHARES = ("coverage", "precision")
_NARROWEST, _WIDEST = 0.1, 100.0
_SHOWN_DISTANCES = 3


@style()
def plot_score(score: EnsembleScore, *, ax: Axes | None = None) -> Axes:
    """Every row as a dot: its excess over its limit, on a logarithmic axis that ends at 0.1 and 100.

    The limit is what data against data shows: the noise floor, or the sampling noise where that is larger. Lines stand
    where the excess is 1, 1.5 and 3 times the limit; bars are two standard errors. Rates are shown as their
    difference from the data's. Colors and markers are the verdicts.

    Args:
        score: what `polyvae.analysis.score_ensemble` returned.
        ax: axes to draw on, or None for a new figure.
    """
    ax = axes_or_new(ax, width=6.8, height=0.6 + 0.24 * len(score.rows))
    for place, row in enumerate(score.rows):
        excess, limit = _excess(row)
        low, middle, high = (
            _ratio(value, limit) for value in (excess - 2 * row.error, excess, excess + 2 * row.error)
        )
        color = _COLORS[row.verdict]
        ax.plot((low, high), (place, place), color=color, linewidth=2.2, alpha=0.4, solid_capstyle="butt")
        ax.plot(middle, place, _MARKERS[row.verdict], color=color, markersize=6, mew=0)
        ax.annotate(
            _numbers(row),
            (1.01, place),
            xycoords=("axes fraction", "data"),
            va="center",
            fontsize=7.5,
            annotation_clip=False,
        )
    for verdict, color in _COLORS.items():
        ax.plot([], [], _MARKERS[verdict], color=color, markersize=6, mew=0, label=verdict)
    for factor, line in ((1.0, "-"), (1.5, "--"), (3.0, ":")):
        ax.axvline(factor, color=DATA, linestyle=line, linewidth=0.8, zorder=0)
    ax.set_xscale("log")
    ax.set_xlim(0.9 * _NARROWEST, 1.1 * _WIDEST)
    ax.set_xticks([0.1, 1, 1.5, 3, 10, 100], ["≤0.1", "1", "1.5", "3", "10", "≥100"])
    ax.xaxis.minorticks_off()
    ax.set_yticks(range(len(score.rows)), [_words(row.name) for row in score.rows])
    ax.set_ylim(len(score.rows) - 0.4, -0.6)
    ax.tick_params(axis="y", length=0)
    ax.spines["left"].set_visible(False)
    ax.set_xlabel("excess over the limit that data against data sets")
    ax.set_title(f"overall: {score.verdict}")
    ax.legend(loc="lower right", bbox_to_anchor=(1.0, 1.0), ncols=3, borderaxespad=0.2, handletextpad=0.2)
    return ax


@style()
def plot_ramachandran(
    maps: RamachandranMap, residue: int, which: str = "reference", *, ax: Axes | None = None
) -> Axes:
    """One map of φ and ψ in degrees: probability of each cell, or the difference ensemble minus reference.

    Args:
        maps: the `ramachandran` of a score.
        residue: index into `maps.residues`.
        which: "reference", "ensemble" or "difference".
        ax: axes to draw on, or None for a new figure.
    """
    ax = axes_or_new(ax, width=3.2, height=2.8)
    pair = (maps.reference[residue], maps.ensemble[residue])
    edges = np.linspace(-180.0, 180.0, pair[0].shape[0] + 1)
    largest = max(part.max() for part in pair)
    if which == "difference":
        values = pair[1] - pair[0]
        span = max(float(np.abs(values).max()), 1e-12)
        mesh = ax.pcolormesh(edges, edges, values.T, norm=TwoSlopeNorm(0.0, -span, span), cmap="PuOr_r")
        title, label = "difference", "ensemble − data"
    else:
        values = pair[("reference", "ensemble").index(which)]
        shown = np.ma.masked_equal(values.T, 0.0)
        mesh = ax.pcolormesh(edges, edges, shown, norm=LogNorm(largest / 1000, largest))
        title, label = {"reference": "data", "ensemble": "ensemble"}[which], "probability of a cell"
    figure = ax.get_figure(root=True)
    assert figure is not None
    figure.colorbar(mesh, ax=ax, label=label, shrink=0.85)
    ax.set_title(f"{maps.residues[residue]}: {title}")
    ax.set_aspect("equal")
    ax.set_xlabel("φ (degrees)")
    ax.set_ylabel("ψ (degrees)")
    ax.set_xticks([-180, -90, 0, 90, 180])
    ax.set_yticks([-180, -90, 0, 90, 180])
    return ax


@style()
def figure_score(score: EnsembleScore) -> Figure:
    """The score's dots, the Ramachandran maps of the worst residue if there are residues, and the worst distances.

    Args:
        score: what `polyvae.analysis.score_ensemble` returned.
    """
    maps = score.ramachandran
    heights = [0.9 + 0.24 * len(score.rows), *([2.2] if maps is not None else []), 2.0]
    figure = plt.figure(figsize=(8.4, sum(heights)))
    parts = figure.subfigures(len(heights), 1, height_ratios=heights, squeeze=False).ravel()
    plot_score(score, ax=parts[0].add_subplot())
    if maps is not None:
        residue = int(maps.js.argmax())
        for ax, which in zip(parts[1].subplots(1, 3), ("reference", "ensemble", "difference"), strict=True):
            plot_ramachandran(maps, residue, which, ax=ax)
    count = min(_SHOWN_DISTANCES, len(score.marginals.pairs))
    for ax, pair in zip(parts[-1].subplots(1, _SHOWN_DISTANCES), range(_SHOWN_DISTANCES), strict=True):
        if pair < count:
            plot_distance_marginal(score.marginals, pair, ax=ax)
        else:
            ax.set_axis_off()
    handles, labels = parts[-1].axes[0].get_legend_handles_labels()
    # Short words for a small panel: an ensemble need not be generated, and what is noise was said above.
    short = ["ensemble" if label == "generated" else label.partition(":")[0] for label in labels]
    parts[-1].axes[0].legend(handles, short, loc="best")
    return figure


def _excess(row: ScoreRow) -> tuple[float, float]:
    """How far a number is on the bad side, and the limit."""
    if row.name in _SHARES:
        return 1.0 - row.value, 1.0 - row.floor
    if row.baseline is None:
        return row.value, row.limit
    # Where two halves agree by luck, two errors are the limit that counts.
    difference = row.baseline - row.value if row.name == "novelty_ratio" else row.value - row.baseline
    if row.name == "cis_peptides":
        difference = abs(difference)
    return difference, max(row.floor, 2 * row.error)


def _ratio(excess: float, limit: float) -> float:
    if excess <= 0:
        return _NARROWEST
    return float(np.clip(excess / limit if limit > 0 else np.inf, _NARROWEST, _WIDEST))


def _words(name: str) -> str:
    return name.replace("_", " ").replace(" w1", " W₁").replace(" js", " JS")


def _numbers(row: ScoreRow) -> str:
    unit = "" if row.unit == "1" else f" {row.unit}"
    if row.baseline is not None:
        return f"{row.value:.3g}{unit}, data {row.baseline:.3g}"
    return f"{row.value:.3g} ± {row.error:.1g}{unit}, floor {row.floor:.2g}"
