import numpy as np
import pytest

from polyvae.errors import InputError
from polyvae.plots import figure_ensembles
from polyvae.trajectory import Trajectory


@pytest.mark.parametrize("dims", [2, 3])
def test_two_ensembles_are_superposed_at_one_scale(rng, make_chain, dims):
    positions = rng.normal(size=(30, 6, dims)).astype(np.float32)
    turn, _ = np.linalg.qr(rng.normal(size=(dims, dims)))
    turn[0] *= np.sign(np.linalg.det(turn))
    data = Trajectory(positions=positions, bonds=make_chain(6))
    moved = data.replace(positions=(positions @ turn + 1.0).astype(np.float32))
    first, second, both = figure_ensembles(data, moved, most=4).axes
    beads = [[np.asarray(points.get_offsets()) for points in ax.collections[1::2]] for ax in (first, second)]
    assert len(beads[0]) == 4
    # Superposed in single precision.
    np.testing.assert_allclose(beads[0], beads[1], atol=2e-5)
    assert len(both.collections) == 16
    assert first.get_xlim() == second.get_xlim() == both.get_xlim()
    assert [ax.get_title("left") for ax in (first, second, both)] == ["4 data", "4 generated", "both"]


def test_ensembles_of_other_atoms_are_an_error(rng):
    data, other = (Trajectory(positions=rng.normal(size=(3, atoms, 2))) for atoms in (4, 5))
    with pytest.raises(
        InputError, match="`generated` must have 4 atoms in 2 dimensions as the data; got 5 in 2"
    ):
        figure_ensembles(data, other)
