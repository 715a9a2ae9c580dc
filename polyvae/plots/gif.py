"""The GIF writer of polyvae's films: one palette for all pictures, and no dithering.

matplotlib's own gives each picture a palette, so that what stands still changes its shade from one to the next and has
to be stored again. With one palette only what moves is stored. Its name among matplotlib's writers is `polyvae_gif`.
"""

import io
from typing import Any

from matplotlib.animation import AbstractMovieWriter, writers
from matplotlib.figure import Figure
from PIL import Image

WRITER = "polyvae_gif"
_SAMPLED = 8
# One of 256 is left for what has not changed.
_COLORS = 255


@writers.register(WRITER)
class OnePaletteWriter(AbstractMovieWriter):
    """Pictures in memory, then one file of all of them."""

    @classmethod
    def isAvailable(cls) -> bool:
        """Whether it can be used: always, since matplotlib brings Pillow."""
        return True

    def setup(self, fig: Figure, outfile: Any, dpi: float | None = None) -> None:
        """Begin a film of a figure."""
        self.fig, self.outfile, self.dpi = fig, outfile, fig.dpi if dpi is None else dpi
        self._pictures: list[Image.Image] = []

    def grab_frame(self, **savefig_kwargs: Any) -> None:
        """Take the figure as it is now as the next picture."""
        buffer = io.BytesIO()
        self.fig.savefig(buffer, **{**savefig_kwargs, "format": "rgba", "dpi": self.dpi})
        picture = Image.frombytes("RGBA", self.frame_size, buffer.getvalue())
        self._pictures.append(picture.convert("RGB"))

    def finish(self) -> None:
        """Write the file."""
        sampled = self._pictures[:: -(-len(self._pictures) // _SAMPLED)]
        width, height = self.frame_size
        together = Image.new("RGB", (width, height * len(sampled)))
        for row, picture in enumerate(sampled):
            together.paste(picture, (0, row * height))
        palette = together.quantize(_COLORS, method=Image.Quantize.MEDIANCUT)
        flat = [picture.quantize(palette=palette, dither=Image.Dither.NONE) for picture in self._pictures]
        flat[0].save(
            self.outfile,
            save_all=True,
            append_images=flat[1:],
            duration=round(1000 / self.fps),
            loop=0,
            optimize=True,
        )
