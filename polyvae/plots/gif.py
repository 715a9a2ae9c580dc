"""The GIF writer of polyvae's films: one palette for all pictures, and no dithering.

matplotlib's own gives each picture a palette, so that what stands still changes its shade from one to the next and has
to be stored again. With one palette only what moves is stored. Its name among matplotlib's writers is `polyvae_gif`.
"""

import itertools

from matplotlib.animation import PillowWriter, writers
from PIL import Image

WRITER = "polyvae_gif"
_SAMPLED = 8
# One of 256 is left for what has not changed.
_COLORS = 255


@writers.register(WRITER)
class OnePaletteWriter(PillowWriter):
    """As `matplotlib.animation.PillowWriter`, with one palette."""

    def finish(self) -> None:
        """Write the file."""
        pictures = [picture.convert("RGB") for picture in self._frames]
        step = -(-len(pictures) // _SAMPLED)
        width, height = pictures[0].size
        sampled = list(itertools.islice(pictures, 0, None, step))
        together = Image.new("RGB", (width, height * len(sampled)))
        for row, picture in enumerate(sampled):
            together.paste(picture, (0, row * height))
        palette = together.quantize(_COLORS, method=Image.Quantize.MEDIANCUT)
        flat = [picture.quantize(palette=palette, dither=Image.Dither.NONE) for picture in pictures]
        flat[0].save(
            self.outfile,
            save_all=True,
            append_images=flat[1:],
            duration=round(1000 / self.fps),
            loop=0,
            optimize=True,
        )
