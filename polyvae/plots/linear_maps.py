"""The latent beside PCA and TICA: the same frames in the same colors on three maps."""

from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from polyvae.analysis import LinearMaps
from polyvae.plots.latent import ordinal
from polyvae.plots.style import latent_name, style

_MOST_POINTS = 5000
_CYCLIC_MAP = "twilight_shifted"


@style()
def figure_linear_maps(maps: LinearMaps) -> Figure:
    """Latent, PCA and TICA side by side, colored by one observable.

    Where colors lie in order along an axis, that axis follows the observable. Above stand the share of the variance
    that principal components explain, and the timescales of TICA. A single dimension is drawn against the observable.

    Args:
        maps: what `polyvae.analysis.linear_maps` returned.
    """
    figure = plt.figure(figsize=(7.6, 2.9))
    panels = list(figure.subplots(1, 3))
    every = -(-len(maps.frames) // _MOST_POINTS)
    every_color, color_label = maps.colors, maps.color_label
    if "(rad)" in color_label:
        every_color, color_label = np.degrees(every_color), color_label.replace("(rad)", "(°)")
    norm = _color_limits(every_color, is_periodic=maps.color_period is not None)
    kinds = ((maps.latent, "latent"), (maps.pca, "PCA"), (maps.tica, "TICA"))
    points = None
    for ax, (values, kind) in zip(panels, kinds, strict=True):
        ax.set_title(_title(maps, kind))
        if values is None:
            ax.set_axis_off()
            ax.text(0.0, 0.9, f"No two frames lie {maps.lag_time}\nframes apart.", va="top", fontsize=8)
            continue
        colors = every_color[::every]
        x = values[::every, 0]
        y = values[::every, 1] if values.shape[1] > 1 else colors
        points = ax.scatter(x, y, c=colors, s=3.0, linewidths=0, alpha=0.7, rasterized=True, **norm)
        _limits(ax, x, y)
        ax.set_xlabel(_axis(maps, kind, 0))
        ax.set_ylabel(_axis(maps, kind, 1) if values.shape[1] > 1 else color_label)
    assert points is not None
    label = color_label if every == 1 else f"{color_label}\nevery {ordinal(every)} frame shown"
    bar = figure.colorbar(points, ax=panels, label=label, shrink=0.9, aspect=25)
    if bar.solids is not None:
        bar.solids.set_alpha(1.0)
    return figure


def _color_limits(colors: np.ndarray, *, is_periodic: bool) -> dict[str, Any]:
    if is_periodic:
        return {"vmin": -180.0, "vmax": 180.0, "cmap": _CYCLIC_MAP}
    low, high = np.quantile(colors, (0.01, 0.99))
    return {"vmin": float(low), "vmax": float(high) if high > low else float(low) + 1e-6, "cmap": "viridis"}


def _title(maps: LinearMaps, kind: str) -> str:
    if kind == "PCA":
        return f"PCA: {' + '.join(f'{share:.0%}' for share in maps.explained)} of variance"
    if kind == "TICA":
        if maps.timescales is None:
            return "TICA"
        times = ", ".join("none" if np.isnan(time) else f"{time:.2g}" for time in maps.timescales)
        word = "timescale" if len(maps.timescales) == 1 else "timescales"
        return f"TICA: {word} {times} {maps.unit}"
    return "latent"


def _axis(maps: LinearMaps, kind: str, place: int) -> str:
    if kind == "latent":
        return f"latent {latent_name(maps.dimensions[place])}"
    if kind == "PCA":
        return f"component {place + 1}"
    return f"mode {place + 1}, lag {maps.lag_time * maps.frame_time:.3g} {maps.unit}"


def _limits(ax: Axes, x: np.ndarray, y: np.ndarray) -> None:
    """All but a few outliers, so that one frame does not press the others together."""
    for values, set_limits in ((x, ax.set_xlim), (y, ax.set_ylim)):
        low, high = np.quantile(values, (0.001, 0.999))
        margin = 0.05 * max(float(high - low), 1e-6)
        set_limits(float(low) - margin, float(high) + margin)
