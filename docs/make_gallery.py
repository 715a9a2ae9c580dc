"""Makes the pictures of the gallery again: runs the examples in their quick preset and keeps the figures shown.

    python docs/make_gallery.py [EXAMPLE ...]

Pictures go to docs/_static/gallery as <example>-<figure>.png, 900 pixels wide with a palette, so that a checkout stays
small; a film stays as it is. About ten minutes on one idle core for all of them.
"""

import subprocess
import sys
import tempfile
from pathlib import Path

from PIL import Image

ROOT = Path(__file__).resolve().parents[1]
GALLERY = ROOT / "docs" / "_static" / "gallery"
SHOWN = {
    "bead_spring_polymer": (
        *("film.gif", "alignment_principal_axes.png", "alignment_procrustes.png", "ensembles.png"),
        *("generated_marginals.png", "compact.png", "linear_maps.png"),
    ),
    "peptide_free_energy": ("free_energy_torsions.png", "free_energy_latent.png", "linear_maps.png"),
    "latent_size": ("rate_distortion.png", "likelihoods.png"),
    "score_ensemble": ("gaussian.png",),
    "biased_along_latent": ("umbrellas.png",),
    "categorical": ("marginals.png", "balance.png"),
    "disentangling": ("information.png",),
    "regression": ("density.png", "width.png"),
}
WIDTH = 900
COLORS = 96
MOST_BYTES = {".png": 120_000, ".gif": 700_000}
MOST_TOGETHER = 2_000_000


def main(names: list[str]) -> None:
    GALLERY.mkdir(parents=True, exist_ok=True)
    for name in names or SHOWN:
        with tempfile.TemporaryDirectory() as folder:
            words = [sys.executable, str(ROOT / "examples" / f"{name}.py"), "--quick", "--output", folder]
            subprocess.run(words, check=True)
            keep(name, Path(folder))
    sizes = {path.name: path.stat().st_size for path in sorted(GALLERY.iterdir())}
    for name, size in sizes.items():
        print(f"{size / 1000:8.0f} kB  {name}")
        if size > MOST_BYTES[Path(name).suffix]:
            raise SystemExit(f"{name} is larger than {MOST_BYTES[Path(name).suffix] / 1000:.0f} kB.")
    if sum(sizes.values()) > MOST_TOGETHER:
        raise SystemExit(f"The gallery is larger than {MOST_TOGETHER / 1e6:.0f} MB.")


def keep(name: str, folder: Path) -> None:
    """Copy the figures shown of an example, made small."""
    for figure in SHOWN[name]:
        target = GALLERY / f"{name}-{figure}"
        if target.suffix == ".gif":
            target.write_bytes((folder / figure).read_bytes())
            continue
        with Image.open(folder / figure) as image:
            picture = image.convert("RGB")
        if picture.width > WIDTH:
            picture = picture.resize(
                (WIDTH, round(picture.height * WIDTH / picture.width)), Image.Resampling.LANCZOS
            )
        picture.quantize(COLORS, dither=Image.Dither.NONE).save(target, optimize=True)


if __name__ == "__main__":
    main(sys.argv[1:])
