import numpy as np
import pytest

from polyvae import InputError
from polyvae.trajectory import Trajectory, load


@pytest.fixture
def walk(rng):
    positions = rng.normal(size=(10, 4, 3)).astype(np.float32)
    return Trajectory(
        positions=positions, segments=(4, 6), times=np.arange(10.0), bonds=np.array([[0, 1], [2, 3]])
    )


def test_arrays_are_read_only(walk):
    with pytest.raises(ValueError, match="read-only"):
        walk.positions[0] = 0


def test_slices_keep_joins(walk):
    assert walk[2:7].segments == (2, 3)
    assert walk[::3].segments == (2, 2)
    assert walk[np.array([0, 5, 6])].segments == (1, 2)
    np.testing.assert_array_equal(walk[2:7].times, [2, 3, 4, 5, 6])


def test_atom_slices_renumber_bonds(walk):
    chosen = walk.atom_slice(np.array([3, 2, 0]), selection="three")
    assert chosen.bonds.tolist() == [[1, 0]]
    assert chosen.selection == "three"
    np.testing.assert_array_equal(chosen.positions, walk.positions[:, [3, 2, 0]])


def test_segment_ids_name_the_simulation(walk):
    assert walk.segment_ids.tolist() == [0] * 4 + [1] * 6


def test_doubles_become_singles():
    assert Trajectory(positions=np.zeros((1, 2, 3))).positions.dtype == np.float32


def test_wrong_fields_are_refused(walk):
    positions = walk.positions
    cases = [
        ({"positions": positions[0]}, "must have shape"),
        ({"positions": positions[:0]}, "no frames are left"),
        ({"positions": positions[:, :0]}, "no atoms are left"),
        ({"times": np.zeros(3)}, r"`times` must have shape \(10,\)"),
        ({"segments": (3, 3)}, "`segments` sum to 6"),
        ({"bonds": np.array([[0, 4]])}, "`bonds` must be atom indices from 0 to 3"),
        ({"weights": -np.ones(10)}, "`weights` must be finite"),
        ({"positions": np.full((10, 4, 3), np.nan)}, "10 of 10 frames hold NaN"),
    ]
    for change, message in cases:
        with pytest.raises(InputError, match=message):
            walk.replace(**change)


def test_repr_names_frames_atoms_and_unit(walk):
    assert repr(load(walk)) == "Trajectory(10 frames, 4 atoms, 3-D, nm, 2 segments, array)"
