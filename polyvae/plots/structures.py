"""Conformations as beads and sticks: in the plane as they are, in space seen along the axis of least extent.

Three-dimensional conformations are turned on the principal axes of the first one drawn, and what lies
farther away is paler. Large molecules are drawn as thin lines. There is no coordinate axis but a scale bar,
and all panels of a figure share one scale.
"""

from collections.abc import Sequence

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import Collection, LineCollection
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from polyvae.plots.style import DATA, MODEL, axes_or_new, style
from polyvae.preprocessing import align, fit_alignment

_MOST_BEADS = 60
_NICE_LENGTHS = np.array([1.0, 2.0, 5.0])


@style()
def plot_conformations(
    positions: np.ndarray,
    *,
    bonds: np.ndarray | None,
    unit: str,
    color: str = DATA,
    ax: Axes | None = None,
) -> Axes:
    """One or many conformations, centered and drawn over one another in the orientation that they have.

    Args:
        positions: shape (atoms, dims) or (frames, atoms, dims), unit of length; align them before.
        bonds: zero-based atom pairs, or None where nothing is known; then atoms stand alone.
        unit: unit of length, for the scale bar.
        color: of the atoms and bonds.
        ax: axes to draw on, or None for a new figure.
    """
    ax = axes_or_new(ax, width=3.2, height=3.2)
    frames = projected(positions if positions.ndim == 3 else positions[None])
    draw_frames(ax, frames, bonds, color, alpha=max(0.25, len(frames) ** -0.5))
    finish_structures([ax], [frames], unit)
    return ax


@style()
def figure_structures(
    data: np.ndarray,
    *,
    reconstructed: np.ndarray | None = None,
    generated: np.ndarray | None = None,
    bonds: np.ndarray | None,
    unit: str,
    most: int = 4,
) -> Figure:
    """Frames of the data under their reconstructions and, below, generated conformations, at one scale.

    Args:
        data: frames of the data, shape (frames, atoms, dims), unit of length.
        reconstructed: the same frames as `ConformationModel.reconstruct` returns them, or None.
        generated: draws from the model, any number of frames, or None.
        bonds: zero-based atom pairs, or None.
        unit: unit of length.
        most: columns, at most.
    """
    columns = min(most, max(len(data), 0 if generated is None else len(generated)))
    rows = 1 if generated is None else 2
    figure = plt.figure(figsize=(1.75 * columns, 1.75 * rows + 0.45))
    panels = figure.subplots(rows, columns, squeeze=False)
    used, drawn = [], []
    for column, ax in enumerate(panels[0][: len(data)]):
        pair = data[column : column + 1]
        if reconstructed is not None:
            pair = np.concatenate([pair, reconstructed[column : column + 1]])
        frames = projected(pair)
        draw_frames(ax, frames[:1], bonds, DATA)
        draw_frames(ax, frames[1:], bonds, MODEL, alpha=0.85)
        ax.set_title(f"data {column + 1}")
        used, drawn = [*used, ax], [*drawn, frames]
    if generated is not None:
        for column, ax in enumerate(panels[1][: len(generated)]):
            frames = projected(generated[column : column + 1])
            draw_frames(ax, frames, bonds, MODEL)
            ax.set_title(f"generated {column + 1}")
            used, drawn = [*used, ax], [*drawn, frames]
    for ax in panels.ravel():
        ax.set_axis_off()
    finish_structures(used, drawn, unit)
    handles = [Line2D([], [], color=DATA, marker="o", markersize=4, label="data")]
    if reconstructed is not None or generated is not None:
        words = " and ".join(
            word
            for word, part in (("reconstructed", reconstructed), ("generated", generated))
            if part is not None
        )
        handles.append(Line2D([], [], color=MODEL, marker="o", markersize=4, label=words))
    figure.legend(handles=handles, loc="outside upper left", ncols=2)
    return figure


def draw_side_by_side(
    panels: Sequence[Axes],
    conformations: Sequence[np.ndarray],
    colors: Sequence[str],
    *,
    bonds: np.ndarray | None,
    unit: str,
) -> None:
    """One conformation of shape (atoms, dims) in each of the panels, at one scale, superposed on the first."""
    stacked = np.asarray(conformations, np.float32)
    onto_first, _ = fit_alignment(stacked, method="kabsch")
    turned = list(projected(align(onto_first, stacked))[:, None])
    for ax, frames, color in zip(panels, turned, colors, strict=True):
        draw_frames(ax, frames, bonds, color)
        ax.set_axis_off()
    finish_structures(panels, turned, unit)


def projected(frames: np.ndarray) -> np.ndarray:
    """Centered frames in the plane of the page and the depth behind it, shape (frames, atoms, 3)."""
    frames = np.asarray(frames, np.float64)
    center = frames[:1].mean(axis=1, keepdims=True)
    centered = frames - center
    if frames.shape[2] == 2:
        return np.concatenate([centered, np.zeros((*frames.shape[:2], 1))], axis=2)
    axes = np.linalg.svd(centered[0], full_matrices=True)[2]
    axes[2] *= np.sign(np.linalg.det(axes))
    return centered @ axes.T


def draw_frames(
    ax: Axes,
    frames: np.ndarray,
    bonds: np.ndarray | None,
    color: str | np.ndarray,
    alpha: float = 1.0,
    *,
    is_trace: bool = False,
    is_cloud: bool = False,
) -> list[Collection]:
    """Projected conformations as beads and sticks, and what was drawn.

    Args:
        ax: axes to draw on.
        frames: as `projected` returns them, shape (frames, atoms, 3).
        bonds: zero-based atom pairs, or None.
        color: of everything, or of each atom, RGB of shape (atoms, 3); sticks then have the color of data.
        alpha: opacity.
        is_trace: whether to draw the bonds as one thick line, without beads.
        is_cloud: whether many conformations are laid over one another; thin, and without edges that would hide others.
    """
    n_atoms = frames.shape[1]
    has_bonds = bonds is not None and len(bonds) > 0
    small = n_atoms <= _MOST_BEADS
    of_atoms = np.broadcast_to(to_rgb(color), (n_atoms, 3)) if isinstance(color, str) else color
    of_bonds = np.array(to_rgb(color if isinstance(color, str) else DATA))
    drawn: list[Collection] = []
    for frame in frames:
        depth = frame[:, 2]
        # 1 in front, 0 at the back; a flat conformation has no depth.
        nearness = (depth - depth.min()) / np.ptp(depth) if np.ptp(depth) > 0 else np.ones(n_atoms)
        if has_bonds and bonds is not None:
            near = nearness[bonds].mean(axis=1)
            order = np.argsort(near)
            lines = LineCollection(
                list(frame[bonds[order], :2]),
                colors=_faded(of_bonds, near[order], alpha),
                linewidths=2.4 if is_trace else 1.8 if small and not is_cloud else 0.9,
                capstyle="round",
                zorder=2,
            )
            ax.add_collection(lines)
            drawn.append(lines)
        if (small and not is_trace) or not has_bonds:
            order = np.argsort(nearness)
            size = 26.0 if n_atoms <= 30 else 9.0 if small else 2.0
            size = min(size, 9.0) if is_cloud else size
            beads = ax.scatter(
                frame[order, 0],
                frame[order, 1],
                s=size,
                c=_faded(of_atoms[order], nearness[order], alpha),
                edgecolors="white",
                linewidths=0.4 if small and not is_cloud else 0.0,
                zorder=3,
            )
            drawn.append(beads)
    return drawn


def _faded(color: np.ndarray, nearness: np.ndarray, alpha: float) -> np.ndarray:
    """RGBA, shape (n, 4), of one color, or n of them."""
    strength = (0.35 + 0.65 * nearness)[:, None]
    colors = strength * color + (1.0 - strength)
    return np.concatenate([colors, np.full((len(colors), 1), alpha)], axis=1)


def finish_structures(panels: Sequence[Axes], drawn: Sequence[np.ndarray], unit: str) -> None:
    """The same scale on all panels, and a scale bar on the first."""
    reach = 1.15 * max(float(np.abs(frames[..., :2]).max()) for frames in drawn)
    reach = reach if reach > 0 else 1.0
    for ax in panels:
        ax.set_axis_off()
        ax.set_aspect("equal")
        ax.set_xlim(-reach, reach)
        ax.set_ylim(-1.12 * reach, reach)
    steps = _NICE_LENGTHS * 10.0 ** np.floor(np.log10(reach))
    steps = np.concatenate([steps / 10, steps])
    length = float(steps[steps <= 0.8 * reach].max())
    ax, left, low = panels[0], -0.98 * reach, -1.05 * reach
    ax.plot((left, left + length), (low, low), color="black", linewidth=1.6, solid_capstyle="butt")
    ax.annotate(
        f"{length:g} {unit}",
        (left + length, low),
        xytext=(4, 0),
        textcoords="offset points",
        fontsize=8,
        va="center",
    )
