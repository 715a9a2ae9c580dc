import numpy as np
import pytest

from polyvae.analysis import Sensitivity
from polyvae.plots import plot_sensitivity, plot_variable_sensitivity


@pytest.fixture
def result(rng) -> Sensitivity:
    return Sensitivity(
        gradient=np.arange(10.0).reshape(2, 5),
        fluctuation=np.array([0.1, 0.2, 0.3, 0.2, 0.1]),
        variables=("distance:0-3", "torsion:0-1-2-3", "distance:1-4"),
        eta2=np.array([[0.1, 0.9, 0.3], [0.5, 0.2, 0.1]]),
        floor_eta2=np.full((2, 3), 0.05),
        atoms=tuple("ABCDE"),
        positions=rng.normal(size=(5, 3)),
        bonds=np.array([[0, 1], [1, 2], [2, 3], [3, 4]]),
        unit="nm",
        frames=10,
        bins=4,
    )


def test_atoms_are_colored_by_how_far_they_move_the_latent(result):
    ax = plot_sensitivity(result, labels=2)
    dots = ax.collections[1]
    np.testing.assert_allclose(dots.get_array(), np.sort(result.of_atoms))
    assert [text.get_text() for text in ax.texts[1:]] == [result.atoms[atom] for atom in result.top_atoms[:2]]
    assert ax.texts[0].get_text().endswith(" nm")
    one = plot_sensitivity(result, dimension=1)
    np.testing.assert_allclose(one.collections[1].get_array(), np.sort(result.scaled[1]))
    assert one.figure.axes[1].get_ylabel() == "how far the atom moves z₂"


def test_variables_stand_in_order_beside_their_floors(result):
    ax = plot_variable_sensitivity(result, 0, most=2)
    assert [label.get_text() for label in ax.get_yticklabels()] == ["torsion 0-1-2-3", "distance 1-4"]
    assert [patch.get_width() for patch in ax.patches] == [0.9, 0.3]
    np.testing.assert_array_equal(ax.lines[0].get_xdata(), [0.05, 0.05])
    assert "z₁" in ax.get_xlabel()
