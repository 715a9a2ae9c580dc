import numpy as np
import pytest

from polyvae.analysis import reproducibility
from polyvae.plots import plot_reproducibility


@pytest.mark.parametrize(("measure", "label"), [("r2", "R²"), ("correlation", "canonical correlation")])
def test_agreement_is_a_matrix_with_its_numbers_and_floor(rng, measure, label):
    base = rng.normal(size=(400, 2))
    result = reproducibility([base + width * rng.normal(size=(400, 2)) for width in (0.1, 0.5, 2.0)])
    ax = plot_reproducibility(result, measure=measure)
    matrix = result.r2 if measure == "r2" else result.mean_correlation
    np.testing.assert_allclose(ax.images[0].get_array(), np.clip(matrix, 0, 1))
    assert [text.get_text() for text in ax.texts] == [f"{value:.2f}" for value in matrix.ravel()]
    assert ax.get_title(loc="left").startswith("all frames; floor ")
    assert label in ax.figure.axes[1].get_ylabel()
