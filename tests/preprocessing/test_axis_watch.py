import jax
import numpy as np
import pytest

from polyvae.preprocessing import center, principal_axes
from polyvae.preprocessing.axis_watch import AxisWatch, own_axes


def watched(positions, frames=None, chunk=1000):
    watch = AxisWatch()
    frames = np.arange(len(positions)) if frames is None else np.asarray(frames)
    for start in range(0, len(positions), chunk):
        watch.add(np.asarray(positions[start : start + chunk], np.float32), frames[start : start + chunk])
    return watch


def turned(positions, rng):
    """Each frame turned at random in the laboratory."""
    rotations = np.linalg.qr(rng.normal(size=(len(positions), 3, 3)))[0]
    rotations[np.linalg.det(rotations) < 0, :, 0] *= -1
    return np.einsum("fij,faj->fai", rotations, positions)


def elongated(rng, n_frames, noise=0.01):
    """A rigid body of three different moments that is lopsided along each axis."""
    body = np.array([[3.0, 0, 0], [-1, 0.5, 0.1], [-1, -1.2, 0.1], [-1, 0.4, 0.4], [0, 0.3, -0.6]])
    return body + noise * rng.normal(size=(n_frames, 5, 3))


@pytest.mark.parametrize("dims", [2, 3])
def test_the_axes_are_those_of_the_alignment(rng, dims):
    positions = (rng.normal(size=(50, 6, dims)) * np.array([1.0, 1.6, 2.5])[:dims] + 5).astype(np.float32)
    # No third moment along any axis: the first atom off the center decides.
    symmetric = np.zeros((6, 3), np.float32)
    symmetric[[0, 2], 0], symmetric[[1, 3], 1] = (-2, 2), (1, -1)
    positions[7] = symmetric[:, :dims]
    canonical, gap = own_axes(positions)
    expected = jax.jit(jax.vmap(lambda frame: center(frame) @ principal_axes(frame).T))(positions)
    # Axes of close moments are determined the less well.
    clear = gap > 0.02
    assert clear[7]
    assert clear.sum() > 30
    np.testing.assert_allclose(canonical[clear], expected[clear], atol=1e-4)


def test_the_gap_is_that_of_the_moments():
    # Moments 8, 2 and 0 of a sum of 10.
    frame = np.array([[-2, 0, 0], [2, 0, 0], [0, 1, 0], [0, -1, 0]], np.float32)
    assert own_axes(frame[None])[1] == pytest.approx([0.2])
    assert own_axes(frame[None, :, :2])[1] == pytest.approx([0.6])


def test_a_rigid_body_that_tumbles_does_not_flip(rng):
    watch = watched(turned(elongated(rng, 60), rng), chunk=7)
    assert (watch.flips, watch.degenerate) == ([], [])


def test_a_regular_polygon_has_degenerate_axes(rng):
    angles = 2 * np.pi * np.arange(6) / 6
    ring = np.stack([np.cos(angles), np.sin(angles), np.zeros(6)], axis=1)
    positions = elongated(rng, 20)
    positions = np.concatenate([positions, positions[:, :1] + 1], axis=1)
    positions[[4, 11]] = ring + 1e-3 * rng.normal(size=(2, 6, 3))
    assert watched(positions, chunk=6).degenerate == [4, 11]


def test_an_isotropic_cloud_flips_although_it_hardly_moves(rng):
    cloud = rng.normal(size=(200, 3))
    positions = cloud + 0.1 * rng.normal(size=(300, 200, 3))
    # The moments are those of a sphere to within noise: they cross again and again.
    whitened = cloud @ np.linalg.inv(np.linalg.cholesky(np.cov(cloud.T))).T
    watch = watched(whitened + 0.1 * rng.normal(size=positions.shape), chunk=50)
    assert len(watch.degenerate) > 150
    assert len(watch.flips) > 50


def test_a_sign_that_jumps_is_a_flip_at_both_ends(rng):
    # The third moment along the long axis changes sign where one end bead grows past the other.
    body = np.array([[-3.0, 0, 0], [3.0, 0, 0], [0, 1, 0], [0, 0, 0.5], [0, -0.6, 0.2]])
    positions = np.repeat(body[None], 10, axis=0)
    positions[:, 0, 0] -= 0.02
    positions[4:7, 1, 0] += 0.04
    assert watched(positions, chunk=3).flips == [4, 7]


def test_frames_that_do_not_follow_each_other_are_not_compared(rng):
    body = np.array([[-3.02, 0, 0], [3.0, 0, 0], [0, 1, 0], [0, 0, 0.5], [0, -0.6, 0.2]])
    other = body.copy()
    other[1, 0] = 3.04
    positions = np.stack([body, other])
    assert watched(positions).flips == [1]
    assert watched(positions, frames=[0, 2]).flips == []
    watch = AxisWatch()
    watch.add(positions[:1].astype(np.float32), np.array([0]))
    watch.begin_simulation()
    watch.add(positions[1:].astype(np.float32), np.array([1]))
    assert watch.flips == []


def test_unlike_neighbors_do_not_flip(rng):
    # No choice of axes brings random shapes near each other.
    assert len(watched(rng.normal(size=(500, 30, 3))).flips) < 10
