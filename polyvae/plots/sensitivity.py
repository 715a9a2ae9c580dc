"""What a latent listens to: atoms colored on the structure, and internal variables as bars beside their floor."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.patheffects import withStroke

from polyvae.analysis import Sensitivity
from polyvae.plots.structures import finish_structures, projected
from polyvae.plots.style import DATA, MODEL, NO_LATENT, axes_or_new, latent_name, style


@style()
def plot_sensitivity(
    result: Sensitivity, *, dimension: int | None = None, labels: int = 5, ax: Axes | None = None
) -> Axes:
    """The structure seen along the axis of least extent, its atoms colored and sized by how far they move the latent.

    Args:
        result: what `polyvae.analysis.sensitivity` returned.
        dimension: latent dimension, counted from 0; None takes all together.
        labels: names of so many atoms are written, the most listened to first.
        ax: axes to draw on, or None for a new figure.
    """
    ax = axes_or_new(ax, width=4.6, height=3.8)
    values = result.of_atoms if dimension is None else result.scaled[dimension]
    frames = projected(result.positions[None])
    frame = frames[0]
    if result.bonds is not None and len(result.bonds):
        ax.add_collection(
            LineCollection(list(frame[result.bonds, :2]), colors=NO_LATENT, linewidths=1.4, zorder=1)
        )
    order = np.argsort(values)
    largest = float(values.max()) if values.max() > 0 else 1.0
    small, large = (24.0, 110.0) if len(frame) <= 60 else (4.0, 40.0)
    dots = ax.scatter(
        frame[order, 0],
        frame[order, 1],
        s=small + (large - small) * values[order] / largest,
        c=values[order],
        vmin=0.0,
        vmax=largest,
        edgecolors=DATA,
        linewidths=0.4,
        zorder=2,
    )
    finish_structures([ax], [frames], result.unit)
    for atom in order[::-1][:labels]:
        # Away from the middle, so that names stay off the bonds.
        side = frame[atom, :2] / (np.linalg.norm(frame[atom, :2]) or 1.0)
        ax.annotate(
            result.atoms[atom],
            frame[atom, :2],
            xytext=11.0 * side,
            textcoords="offset points",
            fontsize=8,
            ha="left" if side[0] > 0.3 else "right" if side[0] < -0.3 else "center",
            va="bottom" if side[1] > 0 else "top",
            path_effects=[withStroke(linewidth=2.0, foreground="white")],
            zorder=3,
        )
    which = "the latent" if dimension is None else latent_name(dimension)
    figure = ax.get_figure()
    assert figure is not None
    figure.colorbar(dots, ax=ax, label=f"how far the atom moves {which}", shrink=0.8)
    return ax


@style()
def plot_variable_sensitivity(
    result: Sensitivity, dimension: int = 0, *, most: int = 10, ax: Axes | None = None
) -> Axes:
    """The internal variables that a latent dimension follows best: η² as bars beside the floor of each.

    Args:
        result: what `polyvae.analysis.sensitivity` returned.
        dimension: latent dimension, counted from 0.
        most: variables shown, at most.
        ax: axes to draw on, or None for a new figure.
    """
    shown = result.top_variables(dimension)[:most]
    ax = axes_or_new(ax, width=4.8, height=1.0 + 0.24 * len(shown))
    places = np.arange(len(shown))
    ax.barh(places, result.eta2[dimension, shown], height=0.6, color=MODEL, label="η²")
    ax.plot(
        result.floor_eta2[dimension, shown],
        places,
        "|",
        color=DATA,
        markersize=9,
        mew=1.6,
        label="noise floor",
    )
    ax.set_yticks(places, [result.variables[place].replace(":", " ") for place in shown])
    ax.set_ylim(len(shown) - 0.4, -0.6)
    ax.set_xlim(0.0, 1.0)
    ax.tick_params(axis="y", length=0)
    ax.set_xlabel(f"share of the variance of {latent_name(dimension)} explained")
    ax.legend(loc="lower right")
    return ax
