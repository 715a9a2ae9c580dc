"""Reconstruction error of held-out frames: the model beside PCA and the mean structure."""

from typing import Any

import numpy as np
from matplotlib.axes import Axes

from polyvae.analysis import ReconstructionReport
from polyvae.plots.style import MODEL, NO_LATENT, PCA, axes_or_new, style


@style()
def plot_reconstruction(report: ReconstructionReport, *, ax: Axes | None = None) -> Axes:
    """Distribution of the RMSD of held-out frames: the model, PCA of the same dimension, the mean structure.

    Frames count by their statistical weights, where they have any.

    Args:
        report: reconstruction errors.
        ax: axes to draw on, or None for a new figure.
    """
    ax = axes_or_new(ax, width=5.4)
    kinds = (
        ("mean structure", report.mean_rmsd, report.average_mean_structure_rmsd, NO_LATENT),
        ("PCA", report.pca_rmsd, report.average_pca_rmsd, PCA),
        ("VAE", report.rmsd, report.average_rmsd, MODEL),
    )
    weights = report.weights
    # A few frames far out would leave the rest in a handful of bins. With weights NumPy knows this method alone.
    method = "linear" if weights is None else "inverted_cdf"
    ends = [np.quantile(values, 0.998, weights=weights, method=method) for _, values, _, _ in kinds]
    high = 1.02 * float(max(ends))
    n_bins = int(np.clip(2 * np.sqrt(report.effective_sample_size), 12, 70))
    bins = np.linspace(0.0, high if high > 0 else 1.0, n_bins).tolist()
    for name, values, mean, color in kinds:
        look: dict[str, Any] = {"bins": bins, "weights": weights, "density": True, "color": color}
        ax.hist(values, histtype="stepfilled", alpha=0.18, **look)
        ax.hist(values, histtype="step", linewidth=1.4, label=f"{name} {mean:.3g} {report.unit}", **look)
        ax.axvline(mean, color=color, linewidth=1.0, linestyle="--")
    ax.set_xlim(0.0, bins[-1])
    ax.set_xlabel(f"RMSD of held-out frames ({report.unit})")
    ax.set_ylabel(f"density (1/{report.unit})")
    n_frames, kind = len(report.rmsd), "Mean"
    if weights is not None:
        n_frames, kind = np.count_nonzero(weights), "Weighted mean"
    ax.set_title(f"{kind} over {n_frames} held-out frames (dashed):", pad=22)
    ax.legend(loc="lower left", bbox_to_anchor=(-0.02, 1.0), ncols=3, handlelength=1.2, columnspacing=1.2)
    return ax
