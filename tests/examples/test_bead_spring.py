"""The tour of the bead-spring polymer in its quick preset."""

import re
from pathlib import Path

import pytest
from PIL import Image

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.science  # Compiles, trains and draws for a minute and a half.
def test_bead_spring_tour_beats_pca_and_stays_continuous(run_quick, tmp_path):
    numbers, _ = run_quick("bead_spring_polymer", tmp_path)
    assert numbers["held_out_rmsd"] < numbers["pca_rmsd"]
    # Beads move by 0.5 % of R_g, about 0.013 σ, between two dense frames; principal axes turn the chain over.
    assert numbers["procrustes_jump"] < 0.5 < 2.0 < numbers["principal_axes_jump"]
    assert numbers["largest_step"] < 0.15
    with Image.open(tmp_path / "film.gif") as film:
        assert film.n_frames == 80
    assert numbers["film_kB"] < 1000
    named = set(
        re.findall(
            r"`([a-z_]+)`",
            (ROOT / "docs" / "examples.md").read_text("utf-8").split("\n## ")[1].partition("| step")[2],
        )
    )
    assert {path.stem for path in tmp_path.glob("*.png")} == named
