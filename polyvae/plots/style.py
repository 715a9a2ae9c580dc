"""The look of every figure: one set of matplotlib settings, and one meaning for each color.

The colors are those of Okabe and Ito, which readers with any kind of color blindness can tell apart, and
every figure gives them the same meaning: the data are dark grey, the model is vermillion, PCA is green, and
what uses no latent at all is light grey. Sizes are for print: a figure of 6.8 inches is readable at the
width of a page.

References:
    Okabe & Ito, Color universal design, 2008, https://jfly.uni-koeln.de/color/.
"""

import io
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import matplotlib as mpl
import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

DATA = "#36454f"
MODEL = "#d55e00"
PCA = "#009e73"
VALIDATION = "#0072b2"
NO_LATENT = "#9a9a9a"
NOISE = "#b8c4ce"
MANY = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00", "#000000", "#7f7f7f")
DENSITY_MAP = "cividis"

_SETTINGS: dict[Any, Any] = {
    "figure.dpi": 110,
    "figure.constrained_layout.use": True,
    "font.size": 9,
    "axes.titlesize": 9,
    "axes.titlelocation": "left",
    "axes.labelsize": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.8,
    "axes.axisbelow": True,
    "axes.formatter.useoffset": False,
    "xtick.labelsize": 8,
    "ytick.labelsize": 8,
    "legend.fontsize": 8,
    "legend.frameon": False,
    "lines.linewidth": 1.4,
    "lines.solid_capstyle": "round",
    "image.cmap": DENSITY_MAP,
}


@contextmanager
def style() -> Iterator[None]:
    """The settings of polyvae's figures, for a `with` block or a function decorated with `@style()`."""
    with mpl.rc_context(_SETTINGS):
        yield


def axes_or_new(ax: Axes | None, *, width: float = 4.8, height: float = 3.4) -> Axes:
    """The axes given, or those of a new figure of that size in inches."""
    if ax is not None:
        return ax
    return plt.figure(figsize=(width, height)).add_subplot()


def latent_name(dimension: int) -> str:
    """The name of a latent dimension, given from 0 and written from 1: z₁, z₂, ..."""
    return f"z{dimension + 1}".translate(str.maketrans("0123456789", "₀₁₂₃₄₅₆₇₈₉"))


def to_png(drawing: Axes | Figure, *, dpi: int = 160) -> bytes:
    """A figure, or the figure that axes stand in, as a PNG image; the figure is closed, so that none pile up.

    Args:
        drawing: what a function of this room returned.
        dpi: pixels per inch.
    """
    figure = drawing if isinstance(drawing, Figure) else drawing.get_figure(root=True)
    assert figure is not None
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=dpi)
    plt.close(figure)
    return buffer.getvalue()
