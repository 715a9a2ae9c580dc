"""Learning curves: the bound, where the information sits, and the width of the decoder, epoch by epoch."""

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from polyvae.plots.style import DATA, MANY, MODEL, VALIDATION, axes_or_new, latent_name, style
from polyvae.training import History

_MOST_LINES = len(MANY)


@style()
def plot_learning_curves(
    history: History, *, best_epoch: int | None = None, vamp_weight: float = 0.0, ax: Axes | None = None
) -> Axes:
    """The bound on training and validation frames against the epoch, nats per frame.

    The first epochs lie far below the rest; the axis shows the range of the last three quarters of the
    epochs.

    Args:
        history: learning curves of a fit.
        best_epoch: epoch that the model comes from, counted from 1, as in `FitResult.best_epoch`; None marks
            the highest validation bound.
        vamp_weight: weight of the VAMP-2 score that the curves have in them, as in `TrainConfig.vamp_weight`.
        ax: axes to draw on, or None for a new figure.
    """
    ax = axes_or_new(ax)
    epochs = np.arange(1, len(history) + 1)
    marker = "o" if len(history) < 20 else None
    ax.plot(epochs, history.train_bound, color=DATA, label="training", marker=marker, markersize=3)
    ax.plot(
        epochs, history.validation_bound, color=VALIDATION, label="validation", marker=marker, markersize=3
    )
    if best_epoch is None and np.isfinite(history.validation_bound).any():
        best_epoch = int(np.nanargmax(history.validation_bound)) + 1
    if best_epoch is not None:
        value = history.validation_bound[best_epoch - 1]
        label = f"best, epoch {best_epoch}: {value:.2f}".replace("-", "−")
        ax.plot(best_epoch, value, "o", color=MODEL, markersize=6, label=label)
    _show_late_range(ax, np.stack([history.train_bound, history.validation_bound]))
    ax.set_xlabel("epoch")
    score = f" + {vamp_weight:g} VAMP-2" if vamp_weight else ""
    ax.set_ylabel(f"bound{score} (nats per frame)")
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    ax.legend(loc="lower right")
    return ax


@style()
def figure_learning_curves(
    history: History, *, best_epoch: int | None = None, vamp_weight: float = 0.0
) -> Figure:
    """The bound, the KL divergence of each latent dimension on validation frames, and the decoder's width.

    Args:
        history: learning curves of a fit.
        best_epoch: as in `plot_learning_curves`.
        vamp_weight: as in `plot_learning_curves`.
    """
    figure = plt.figure(figsize=(6.8, 3.6))
    grid = figure.add_gridspec(2, 2, width_ratios=(1.6, 1.0))
    plot_learning_curves(
        history, best_epoch=best_epoch, vamp_weight=vamp_weight, ax=figure.add_subplot(grid[:, 0])
    )
    epochs = np.arange(1, len(history) + 1)
    top = figure.add_subplot(grid[0, 1])
    kl = history.validation_kl
    shown = sorted(int(dimension) for dimension in np.argsort(-kl[-1], kind="stable")[:_MOST_LINES])
    for dimension, color in zip(shown, MANY, strict=False):
        top.plot(epochs, kl[:, dimension], color=color, linewidth=1.1, label=latent_name(dimension))
    left_out = kl.shape[1] - len(shown)
    if kl.shape[1] == 1:
        # One latent dimension, or a prior whose divergence has no closed form by dimension.
        top.set_title("KL of posterior from prior")
    else:
        top.set_title(
            f"KL, the largest {len(shown)} of {kl.shape[1]}" if left_out else "KL of each latent dimension"
        )
        top.legend(ncols=4, loc="lower center", handlelength=0.9, columnspacing=0.9, fontsize=7)
    top.set_ylabel("KL (nats per frame)")
    top.set_ylim(0.0, _above(kl[:, shown]))
    bottom = figure.add_subplot(grid[1, 1], sharex=top)
    if np.isfinite(history.sigma).any():
        bottom.plot(epochs, history.sigma, color=MODEL)
        bottom.set_title("Width of the decoder")
        bottom.set_ylabel("σ (scaled units)")
        bottom.set_ylim(0.0, _above(history.sigma))
    else:
        # No width that all frames and features share: show what the decoder explains instead.
        bottom.plot(epochs, history.validation_log_likelihood, color=MODEL)
        bottom.set_title("Fit of the decoder, validation")
        bottom.set_ylabel("E log p(x|z)\n(nats per frame)")
        _show_late_range(bottom, history.validation_log_likelihood[None])
    bottom.set_xlabel("epoch")
    bottom.xaxis.set_major_locator(MaxNLocator(integer=True))
    top.tick_params(labelbottom=False)
    return figure


def _above(values: np.ndarray) -> float:
    highest = float(np.max(values, where=np.isfinite(values), initial=0.0))
    return 1.1 * highest if highest > 0 else 1.0


def _show_late_range(ax: Axes, curves: np.ndarray) -> None:
    late = curves[:, curves.shape[1] // 4 :]
    late = late[np.isfinite(late)]
    if late.size == 0 or np.ptp(late) == 0:
        return
    margin = 0.08 * np.ptp(late)
    ax.set_ylim(late.min() - margin, late.max() + margin)
