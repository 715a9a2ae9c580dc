"""How slow a coordinate is: implied timescales, autocorrelation, scores beside floor and baselines, and the CK test."""

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from polyvae.analysis import Autocorrelation, ChapmanKolmogorov, ImpliedTimescales, VampComparison
from polyvae.plots.style import DATA, MANY, MODEL, NO_LATENT, PCA, VALIDATION, axes_or_new, latent_name, style

_COLORS = {"latent": MODEL, "PCA": PCA, "TICA": VALIDATION}
_MARKERS = "osD^vPX*"
_LEAST_ERROR = 0.001
"""What an error below it is written as: further digits say nothing."""


@style()
def plot_implied_timescales(scales: ImpliedTimescales, *, ax: Axes | None = None) -> Axes:
    """Timescales of the modes against the lag time, with intervals of 95 %; below the lag time they mean nothing.

    Args:
        scales: what `polyvae.analysis.implied_timescales` returned.
        ax: axes to draw on, or None for a new figure.
    """
    ax = axes_or_new(ax)
    times = scales.times
    for mode in range(scales.timescales.shape[1]):
        color = MANY[mode % len(MANY)]
        ax.fill_between(times, scales.low[:, mode], scales.high[:, mode], color=color, alpha=0.2, linewidth=0)
        ax.plot(
            times,
            scales.timescales[:, mode],
            marker=_MARKERS[mode % len(_MARKERS)],
            markersize=4,
            color=color,
            label=f"mode {mode + 1}",
        )
    known = np.concatenate(
        [part[np.isfinite(part) & (part > 0)] for part in (scales.timescales, scales.high)]
    )
    positive = scales.timescales[np.isfinite(scales.timescales) & (scales.timescales > 0)]
    bottom = 0.6 * min(float(times[0]), *(positive.tolist() or [float(times[0])]))
    top = 1.6 * max(float(times[-1]), *(known.tolist() or [float(times[-1])]))
    span = (float(times[0]), float(times[-1]))
    if len(times) == 1:
        span = (0.5 * span[0], 2.0 * span[0])
    edge = np.geomspace(*span, 50)
    ax.fill_between(
        edge, bottom, edge, color=NO_LATENT, alpha=0.3, linewidth=0, label="faster than the lag time"
    )
    ax.set_yscale("log")
    ax.yaxis.set_major_formatter("{x:g}")
    ax.set_ylim(bottom, top)
    if len(times) > 1 and times[-1] > 20 * times[0]:
        ax.set_xscale("log")
        ax.xaxis.set_major_formatter("{x:g}")
    ax.set_xlim(*span)
    ax.set_xlabel(f"lag time ({scales.unit})")
    ax.set_ylabel(f"implied timescale ({scales.unit})")
    ax.legend(loc="upper left", ncols=2, bbox_to_anchor=(0.0, 1.16), borderaxespad=0.0)
    return ax


@style()
def plot_autocorrelation(correlation: Autocorrelation, *, ax: Axes | None = None) -> Axes:
    """Autocorrelation of each dimension against the lag time, with bands of two standard errors.

    Args:
        correlation: what `polyvae.analysis.autocorrelation` returned.
        ax: axes to draw on, or None for a new figure.
    """
    ax = axes_or_new(ax)
    times = correlation.times
    for dimension, (values, errors) in enumerate(
        zip(correlation.correlation.T, correlation.error.T, strict=True)
    ):
        color = MANY[dimension % len(MANY)]
        ax.fill_between(times, values - 2 * errors, values + 2 * errors, color=color, alpha=0.2, linewidth=0)
        ax.plot(
            times,
            values,
            color=color,
            linestyle=("-", "--", ":", "-.")[dimension // len(MANY) % 4],
            label=latent_name(dimension),
        )
    ax.axhline(0.0, color=DATA, linewidth=0.8)
    ax.set_xlim(0.0, float(times[-1]))
    ax.set_xlabel(f"lag time ({correlation.unit})")
    ax.set_ylabel("autocorrelation")
    ax.legend(loc="upper right", ncols=2 if correlation.correlation.shape[1] > 4 else 1)
    return ax


@style()
def plot_vamp_scores(comparison: VampComparison, *, score: str = "vamp2", ax: Axes | None = None) -> Axes:
    """Scores as dots with two standard errors, beside the floor of each coordinate and the most it can have.

    Args:
        comparison: what `polyvae.analysis.compare_vamp_scores` returned.
        score: "vamp2" or "vampe".
        ax: axes to draw on, or None for a new figure.
    """
    ax = axes_or_new(ax, width=4.8, height=1.3 + 0.38 * len(comparison.scores))
    for place, entry in enumerate(comparison.scores):
        value, error = getattr(entry, score), getattr(entry, f"{score}_error")
        floor, spread = getattr(entry, f"{score}_floor"), getattr(entry, f"{score}_floor_spread")
        color = _COLORS.get(entry.name, DATA)
        is_first = place == 0
        ax.barh(
            place,
            4 * max(spread, 1e-9),
            left=floor - 2 * spread,
            height=0.5,
            color=NO_LATENT,
            alpha=0.5,
            label="noise floor, ± 2 s.d." if is_first else None,
        )
        ax.plot((floor, floor), (place - 0.25, place + 0.25), color=DATA, linewidth=1.0)
        ax.errorbar(
            value,
            place,
            xerr=2 * error,
            fmt=_MARKERS[place],
            color=color,
            capsize=3,
            markersize=6,
            label="score, ± 2 s.e." if is_first else None,
        )
        ax.annotate(
            _with_error(value, error),
            (1.02, place),
            xycoords=("axes fraction", "data"),
            va="center",
            fontsize=8,
            annotation_clip=False,
        )
    ax.axvline(1.0, color=DATA, linewidth=0.8, linestyle=":", zorder=0)
    ax.set_yticks(range(len(comparison.scores)), [entry.name for entry in comparison.scores])
    ax.set_ylim(len(comparison.scores) - 0.4, -0.6)
    ax.tick_params(axis="y", length=0)
    ax.spines["left"].set_visible(False)
    name = {"vamp2": "VAMP-2", "vampe": "VAMP-E"}[score]
    lag = f"{comparison.lag_time * comparison.frame_time:.4g} {comparison.unit}"
    most = 1 + comparison.latent.n_modes
    ax.set_xlabel(f"{name} on held-out frames, lag time {lag} (1 to {most})")
    ax.legend(loc="lower left", bbox_to_anchor=(0.0, 1.0), ncols=2, borderaxespad=0.2)
    return ax


@style()
def figure_chapman_kolmogorov(test: ChapmanKolmogorov) -> Figure:
    """A panel for each pair of sets: predicted probability as a line with its band, estimated as dots with bars.

    Args:
        test: what `polyvae.analysis.chapman_kolmogorov` returned.
    """
    n_sets = test.n_sets
    figure = plt.figure(figsize=(1.9 * n_sets + 0.8, 1.6 * n_sets + 0.7))
    panels = figure.subplots(n_sets, n_sets, sharex=True, sharey=True, squeeze=False)
    times = test.times
    for row in range(n_sets):
        for column, ax in enumerate(panels[row]):
            pick = (slice(None), row, column)
            ax.fill_between(
                times,
                test.predicted_low[pick],
                test.predicted_high[pick],
                color=MODEL,
                alpha=0.25,
                linewidth=0,
            )
            ax.plot(times, test.predicted[pick], color=MODEL, label="predicted, 95 %")
            middle = test.estimated[pick]
            bars = np.maximum(
                np.stack([middle - test.estimated_low[pick], test.estimated_high[pick] - middle]), 0
            )
            ax.errorbar(
                times,
                middle,
                yerr=bars,
                fmt="o",
                color=DATA,
                markersize=3.5,
                capsize=2,
                label="estimated, 95 %",
            )
            ax.set_title(f"{row + 1} → {column + 1}")
            ax.set_ylim(-0.05, 1.05)
    figure.supxlabel(f"time ({test.unit})", fontsize=9)
    figure.supylabel("probability", fontsize=9)
    handles, labels = panels[0][0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper left", ncols=2)
    return figure


def _with_error(value: float, error: float) -> str:
    """As many decimals as the error has, three at most."""
    if error < _LEAST_ERROR:
        return f"{value:.3f} ± <{_LEAST_ERROR:g}"
    decimals = int(np.clip(-np.floor(np.log10(error)), 0, 3))
    return f"{value:.{decimals}f} ± {error:.{decimals}f}"
