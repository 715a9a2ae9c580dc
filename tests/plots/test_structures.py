import numpy as np
import pytest
from matplotlib.figure import Figure

from polyvae.plots import figure_structures, plot_conformations, to_png
from polyvae.plots.structures import draw_side_by_side


def _drawn(ax) -> np.ndarray:
    """Ends of the bonds drawn, shape (bonds, 2, 2)."""
    return np.array(ax.collections[0].get_segments())


def test_bonds_keep_their_lengths_in_the_plane(rng, make_chain):
    positions = rng.normal(size=(6, 2)).astype(np.float32)
    ax = plot_conformations(positions, bonds=make_chain(6), unit="σ")
    ends = _drawn(ax)
    lengths = np.linalg.norm(ends[:, 1] - ends[:, 0], axis=1)
    expected = np.linalg.norm(np.diff(positions, axis=0), axis=1)
    # Bonds are drawn from back to front, so only their set is known; float32 input.
    np.testing.assert_allclose(np.sort(lengths), np.sort(expected), rtol=1e-5)
    assert ax.get_aspect() == 1.0


def test_space_is_seen_along_the_axis_of_least_extent(rng, make_chain):
    flat = rng.normal(size=(6, 3)) * np.array([0.0, 1.0, 2.0])
    ends = _drawn(plot_conformations(flat, bonds=make_chain(6), unit="nm"))
    lengths = np.linalg.norm(ends[:, 1] - ends[:, 0], axis=1)
    np.testing.assert_allclose(np.sort(lengths), np.sort(np.linalg.norm(np.diff(flat, axis=0), axis=1)))


def test_scale_bar_has_its_length_and_unit(rng, make_chain):
    ax = plot_conformations(rng.normal(size=(6, 2)), bonds=make_chain(6), unit="nm")
    bar = ax.lines[0].get_xdata()
    assert ax.texts[0].get_text() == f"{bar[1] - bar[0]:g} nm"


@pytest.mark.parametrize("dims", [2, 3])
@pytest.mark.parametrize("atoms", [1, 2, 100])
def test_any_number_of_atoms_can_be_drawn(rng, make_chain, atoms, dims):
    data = rng.normal(size=(3, atoms, dims))
    figure = figure_structures(
        data, reconstructed=data, generated=data[:1], bonds=make_chain(atoms), unit="nm"
    )
    assert to_png(figure)


def test_atoms_without_bonds_stand_alone(rng):
    ax = plot_conformations(rng.normal(size=(4, 5, 3)), bonds=None, unit="nm")
    assert [len(points.get_offsets()) for points in ax.collections] == [5] * 4


def test_all_panels_have_one_scale_and_their_names(rng, make_chain):
    data = rng.normal(size=(2, 6, 2))
    figure = figure_structures(data, generated=3 * rng.normal(size=(5, 6, 2)), bonds=make_chain(6), unit="σ")
    named = [ax for ax in figure.axes if ax.get_title("left")]
    assert [ax.get_title("left") for ax in named] == [
        *("data 1", "data 2"),
        *("generated 1", "generated 2", "generated 3", "generated 4"),
    ]
    assert len({ax.get_xlim() for ax in named}) == 1


def test_reconstruction_is_drawn_where_it_lies_over_its_frame(rng, make_chain):
    data = rng.normal(size=(1, 6, 3))
    figure = figure_structures(data, reconstructed=data + 0.25, bonds=make_chain(6), unit="nm")
    beads = [points.get_offsets() for points in figure.axes[0].collections if len(points.get_offsets()) == 6]
    shift = beads[1].mean(axis=0) - beads[0].mean(axis=0)
    assert np.linalg.norm(shift) <= 0.25 * np.sqrt(3) + 1e-9
    assert np.linalg.norm(shift) > 0


@pytest.mark.parametrize("dims", [2, 3])
def test_side_by_side_conformations_are_superposed_at_one_scale(rng, make_chain, dims):
    first = rng.normal(size=(7, dims))
    turn, _ = np.linalg.qr(rng.normal(size=(dims, dims)))
    turn[0] *= np.sign(np.linalg.det(turn))
    panels = list(Figure(figsize=(4, 2)).subplots(1, 2))
    draw_side_by_side(
        panels, [first, first @ turn + 3.0], ["#0072b2", "#d55e00"], bonds=make_chain(7), unit="nm"
    )
    drawn = [np.asarray(ax.collections[1].get_offsets()) for ax in panels]
    # Superposed in single precision, at a distance of 3.
    np.testing.assert_allclose(drawn[0], drawn[1], atol=1e-4)
    assert panels[0].get_xlim() == panels[1].get_xlim()
