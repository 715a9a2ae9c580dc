"""Reconstruction error of held-out frames: the model beside PCA and the mean structure."""

import numpy as np
from matplotlib.axes import Axes

from polyvae.analysis import ReconstructionReport
from polyvae.plots.style import MODEL, NO_LATENT, PCA, axes_or_new, style


@style()
def plot_reconstruction(report: ReconstructionReport, *, ax: Axes | None = None) -> Axes:
    """Distribution of the RMSD of held-out frames: the model, PCA of the same dimension, the mean structure.

    Args:
        report: reconstruction errors.
        ax: axes to draw on, or None for a new figure.
    """
    ax = axes_or_new(ax, width=5.4)
    kinds = (
        ("mean structure", report.mean_rmsd, NO_LATENT),
        ("PCA", report.pca_rmsd, PCA),
        ("VAE", report.rmsd, MODEL),
    )
    # A few frames far out would leave the rest in a handful of bins.
    high = 1.02 * max(float(np.quantile(values, 0.998)) for _, values, _ in kinds)
    bins = np.linspace(0.0, high if high > 0 else 1.0, int(np.clip(2 * np.sqrt(len(report.rmsd)), 12, 70)))
    for name, values, color in kinds:
        label = f"{name} {values.mean():.3g} {report.unit}"
        ax.hist(values, bins=bins.tolist(), density=True, histtype="stepfilled", color=color, alpha=0.18)
        ax.hist(
            values, bins=bins.tolist(), density=True, histtype="step", color=color, linewidth=1.4, label=label
        )
        ax.axvline(float(values.mean()), color=color, linewidth=1.0, linestyle="--")
    ax.set_xlim(0.0, bins[-1])
    ax.set_xlabel(f"RMSD of held-out frames ({report.unit})")
    ax.set_ylabel(f"density (1/{report.unit})")
    ax.set_title(f"Mean over {len(report.rmsd)} held-out frames (dashed):", pad=22)
    ax.legend(loc="lower left", bbox_to_anchor=(-0.02, 1.0), ncols=3, handlelength=1.2, columnspacing=1.2)
    return ax
