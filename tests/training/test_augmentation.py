"""Symmetry images: what they are, and where a symmetry does not hold."""

import mdtraj
import numpy as np
import pytest

from polyvae.errors import InputError
from polyvae.training import symmetry_images
from polyvae.trajectory import Trajectory


def trajectory(dims: int = 2, **fields) -> Trajectory:
    positions = np.random.default_rng(0).normal(size=(4, 3, dims)).astype(np.float32)
    return Trajectory(positions=positions, **fields)


def test_without_symmetries_there_is_the_data_alone():
    frames = trajectory()
    images = symmetry_images(frames, ())
    assert len(images) == 1
    np.testing.assert_array_equal(images[0], frames.positions)


def test_mirror_and_reversal_make_four_different_images_that_keep_the_distances():
    frames = trajectory()
    images = symmetry_images(frames, ("mirror", "reversal"))
    assert len(images) == 4
    assert len({image.tobytes() for image in images}) == 4
    lengths = [np.linalg.norm(image[:, 0] - image[:, 2], axis=1) for image in images]
    np.testing.assert_allclose(lengths, np.broadcast_to(lengths[0], (4, 4)), rtol=1e-6)
    assert {image.dtype for image in images} == {np.dtype("float32")}


def test_a_mirror_image_is_not_a_rotation_of_the_original():
    first, second = symmetry_images(trajectory(), ("mirror",))

    def area(image: np.ndarray) -> np.ndarray:
        (x1, y1), (x2, y2) = (image[:, 1] - image[:, 0]).T, (image[:, 2] - image[:, 0]).T
        return x1 * y2 - y1 * x2

    np.testing.assert_allclose(area(first), -area(second), rtol=1e-5)


def test_a_mirror_image_in_three_dimensions_is_refused():
    with pytest.raises(InputError, match=r"'mirror'.*two dimensions only.*chirality"):
        symmetry_images(trajectory(3), ("mirror",))


def test_reversal_needs_equal_masses_from_both_ends():
    with pytest.raises(InputError, match=r"'reversal'` needs .*the masses differ"):
        symmetry_images(trajectory(masses=np.array([1.0, 2.0, 3.0])), ("reversal",))
    assert len(symmetry_images(trajectory(masses=np.array([1.0, 2.0, 1.0])), ("reversal",))) == 2


def test_reversal_needs_equal_bonds_from_both_ends():
    with pytest.raises(InputError, match="the bonds differ"):
        symmetry_images(trajectory(bonds=np.array([[0, 1]])), ("reversal",))
    assert len(symmetry_images(trajectory(bonds=np.array([[2, 1], [0, 1]])), ("reversal",))) == 2


def test_reversal_needs_equal_atoms_from_both_ends():
    topology = mdtraj.Topology()
    residue = topology.add_residue("MOL", topology.add_chain())
    for name in ("A", "B", "C"):
        topology.add_atom(name, mdtraj.element.carbon, residue)
    with pytest.raises(InputError, match="the atoms differ"):
        symmetry_images(trajectory(3, topology=topology), ("reversal",))
