"""A film: the point that moves through the latent space beside the conformation of the same frame.

Frames are superposed on their mean and seen along its axis of least extent, so that nothing tumbles. In the plane,
beads and bonds are drawn as they lie; in space, balls and sticks, or a trace through the alpha carbons of larger
proteins, paler the farther away. `polyvae.storage.save_film` writes a film.
"""

import itertools
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from matplotlib.animation import FuncAnimation
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import LineCollection
from matplotlib.colors import to_rgb, to_rgba
from matplotlib.figure import Figure

from polyvae.analysis import FreeEnergySurface, LatentTrajectory
from polyvae.errors import InputError
from polyvae.plots import gif as _registered  # noqa: F401
from polyvae.plots.free_energy import plot_free_energy
from polyvae.plots.latent import (
    SMOOTH_STEP,
    frame_times,
    ordinal,
    plot_latent_map,
    plot_latent_trajectory,
    widest,
)
from polyvae.plots.structures import draw_frames, finish_structures, projected
from polyvae.plots.style import DATA, MODEL, style
from polyvae.preprocessing import align, fit_alignment
from polyvae.trajectory import Trajectory

_MOST_STICKS = 60
_FEWEST_TRACED = 10
_MOST_TRAIL_STEPS = 5000
_ELEMENTS = {"H": "#b9bec2", "C": "#4d5a64", "N": "#0072b2", "O": "#d55e00", "S": "#e69f00", "P": "#cc79a7"}


class _Molecule(NamedTuple):
    """What is drawn of each frame: atoms as `projected` gives them, with bonds and color."""

    frames: np.ndarray
    bonds: np.ndarray | None
    color: str | np.ndarray
    is_trace: bool


@style()
def latent_film(
    latent: LatentTrajectory,
    trajectory: Trajectory,
    *,
    surface: FreeEnergySurface | None = None,
    dimensions: tuple[int, int] = (0, 1),
    frames: int = 150,
    trail: int = 12,
) -> FuncAnimation:
    """The latent trajectory beside the moving structure, with the time above.

    Of more frames than `frames` every so many are shown, as the film says. The latent point draws a fading trail, which
    crosses no join of two simulations. One latent dimension is drawn against time. In a notebook,
    `IPython.display.HTML(film.to_jshtml())` plays the film.

    Args:
        latent: posterior of every frame of `trajectory`.
        trajectory: the frames themselves.
        surface: free energy along two latent dimensions, to draw the point on; None for the density of the frames along
            the two dimensions of largest variance.
        dimensions: the latent dimensions of `surface`.
        frames: pictures in the film, at most.
        trail: how many of the pictures before the trail goes back.

    Raises:
        InputError: if the two do not have the same frames, or `frames` or `trail` is too small.
    """
    n_frames, n_latent = latent.mean.shape
    if trajectory.n_frames != n_frames:
        raise InputError(
            f"`latent` must have the {trajectory.n_frames} frames of the trajectory; got {n_frames}. Encode this very "
            "trajectory."
        )
    if frames < 2 or trail < 0:
        raise InputError(
            f"`frames` must be at least 2 and `trail` not negative; got frames={frames}, trail={trail}."
        )
    every = -(-n_frames // frames)
    shown = np.arange(0, n_frames, every)
    molecule = _molecule(trajectory, shown)
    scene = Figure(figsize=(7.6, 3.8))
    left, right = scene.subplots(1, 2, width_ratios=(1.25, 1.0))
    if n_latent == 1:
        plot_latent_trajectory(latent, ax=left)
        path = np.stack([frame_times(latent)[0], latent.mean[:, 0]], axis=1)
    elif surface is None:
        plot_latent_map(latent, ax=left)
        path = latent.mean[:, widest(latent, 2)]
    else:
        plot_free_energy(surface, ax=left)
        path = latent.mean[:, list(dimensions)]
    finish_structures([right], [molecule.frames], trajectory.units.length)
    clock = _clock(latent, shown)
    note = f", every {ordinal(every)} of {n_frames} frames" if every > 1 else f", {n_frames} frames"
    # Room for the words that change.
    right.set_title(f"{clock(0)}{note}")
    scene.draw_without_rendering()
    scene.set_layout_engine("none")
    right.set_title("")
    figure, (map_layer, molecule_layer) = _painted(scene, [left, right])
    title = molecule_layer.set_title("")
    # A path in small steps is drawn through all of its frames.
    smooth = latent.largest_step < SMOOTH_STEP and every * trail <= _MOST_TRAIL_STEPS
    kept, shift = (np.arange(n_frames), every) if smooth else (shown, 1)
    point = _moving_point(map_layer, path[kept], trajectory.segment_ids[kept], shift, trail)
    old: list[Artist] = []

    def draw(picture: int) -> list[Artist]:
        for artist in old:
            artist.remove()
        old[:] = draw_frames(
            molecule_layer,
            molecule.frames[picture : picture + 1],
            molecule.bonds,
            molecule.color,
            is_trace=molecule.is_trace,
        )
        title.set_text(clock(picture) + note)
        point(picture)
        return old

    return FuncAnimation(figure, draw, frames=len(shown), init_func=list, cache_frame_data=False)


def _painted(scene: Figure, panels: list[Axes]) -> tuple[Figure, list[Axes]]:
    """A figure with the scene as one image, which is quick to draw again, and an empty layer over each panel."""
    canvas = FigureCanvasAgg(scene)
    canvas.draw()
    figure = Figure(figsize=(scene.get_figwidth(), scene.get_figheight()), dpi=scene.dpi)
    figure.set_layout_engine("none")
    backdrop = figure.add_axes((0.0, 0.0, 1.0, 1.0))
    backdrop.imshow(np.asarray(canvas.buffer_rgba()), aspect="auto")
    backdrop.set_axis_off()
    layers = []
    for panel in panels:
        layer = figure.add_axes(panel.get_position().bounds)
        layer.set_axis_off()
        layer.set_xlim(panel.get_xlim())
        layer.set_ylim(panel.get_ylim())
        layers.append(layer)
    return figure, layers


def _moving_point(
    ax: Axes, path: np.ndarray, segments: np.ndarray, every: int, trail: int
) -> Callable[[int], None]:
    """Puts the point, and the trail behind it, where they are in a picture: at every so many points of the path."""
    (dot,) = ax.plot(*path[0], "o", color=MODEL, markersize=9, mec="white", mew=1.4, zorder=6)
    lines = LineCollection([], linewidths=2.0, capstyle="round", zorder=5)
    ax.add_collection(lines)
    steps = np.stack([path[:-1], path[1:]], axis=1)
    is_step = segments[1:] == segments[:-1]

    def place(picture: int) -> None:
        now = picture * every
        dot.set_data(*path[now : now + 1].T)
        behind = np.arange(max(now - trail * every, 0), now)
        behind = behind[is_step[behind]]
        colors = np.tile(to_rgba(MODEL), (len(behind), 1))
        colors[:, 3] = (1.0 - (now - 1 - behind) / max(trail * every, 1)) ** 1.5
        lines.set_segments(list(steps[behind]))
        lines.set_color(list(map(tuple, colors)))

    return place


def _clock(latent: LatentTrajectory, shown: np.ndarray) -> Callable[[int], str]:
    """Words for the moment of a picture: its time, or its number where there are no times that only rise."""
    along, unit = frame_times(latent)
    values = along[shown]
    if not unit:
        return lambda picture: f"frame {values[picture]:.0f}"
    step = float(np.min(np.diff(values))) if len(values) > 1 else 1.0
    decimals = int(np.clip(np.ceil(-np.log10(step) - 1e-9), 0, 6))
    return lambda picture: f"{values[picture]:.{decimals}f} {unit}"


def _molecule(trajectory: Trajectory, shown: np.ndarray) -> _Molecule:
    """The frames shown, superposed on their mean and seen from where it is broadest."""
    positions, bonds, is_trace = trajectory.positions[shown], trajectory.bonds, False
    color: str | np.ndarray = DATA
    traced = _alpha_carbons(trajectory)
    if traced is not None:
        atoms, bonds = traced
        positions, is_trace = positions[:, atoms], True
    elif trajectory.topology is not None and trajectory.n_atoms <= _MOST_STICKS:
        symbols = ["" if atom.element is None else atom.element.symbol for atom in trajectory.topology.atoms]
        color = np.array([to_rgb(_ELEMENTS.get(symbol, DATA)) for symbol in symbols])
    onto_mean, _ = fit_alignment(positions)
    # The first frame sets the view, so the mean comes first.
    mean = np.asarray(onto_mean.reference)
    frames = projected(np.concatenate([mean[None], align(onto_mean, positions)]))[1:]
    return _Molecule(frames, bonds, color, is_trace)


def _alpha_carbons(trajectory: Trajectory) -> tuple[np.ndarray, np.ndarray] | None:
    """Alpha carbons and the lines between consecutive ones of a chain, for proteins too large for sticks."""
    if trajectory.topology is None or trajectory.n_atoms <= _MOST_STICKS:
        return None
    carbons = [atom for atom in trajectory.topology.atoms if atom.name == "CA"]
    if len(carbons) < _FEWEST_TRACED:
        return None
    pairs = [
        (place, place + 1)
        for place, (first, second) in enumerate(itertools.pairwise(carbons))
        if first.residue.chain.index == second.residue.chain.index
    ]
    return np.array([atom.index for atom in carbons]), np.array(pairs, int).reshape(-1, 2)
