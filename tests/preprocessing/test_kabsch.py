import jax
import jax.numpy as jnp
import mdtraj
import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from polyvae import preprocessing

kabsch_rmsd = jax.jit(preprocessing.kabsch_rmsd)
kabsch_rotation = jax.jit(preprocessing.kabsch_rotation)
rmsd_gradient = jax.jit(jax.grad(preprocessing.kabsch_rmsd))


def random_rotation(rng, dims):
    if dims == 3:
        return Rotation.random(rng=rng).as_matrix()
    angle = rng.uniform(0, 2 * np.pi)
    return np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])


def as_float32(*arrays):
    return tuple(jnp.asarray(np.asarray(array, np.float32)) for array in arrays)


@pytest.mark.parametrize("dims", [2, 3])
def test_known_rotation_is_recovered(rng, dims):
    cloud, rotation = rng.normal(size=(6, dims)), random_rotation(rng, dims)
    frame, reference = as_float32(cloud, cloud @ rotation.T + 5)
    np.testing.assert_allclose(kabsch_rotation(frame, reference), rotation, atol=3e-6)
    np.testing.assert_allclose(kabsch_rmsd(frame, reference), 0, atol=3e-6)


def test_weighted_rotation_agrees_with_scipy(x64, rng):
    frame, reference = rng.normal(size=(2, 9, 3))
    weights = rng.uniform(0.5, 16, 9)
    centered = [cloud - weights @ cloud / weights.sum() for cloud in (frame, reference)]
    expected, rssd = Rotation.align_vectors(centered[1], centered[0], weights=weights)
    arguments = jnp.asarray(frame), jnp.asarray(reference), jnp.asarray(weights)
    np.testing.assert_allclose(kabsch_rotation(*arguments), expected.as_matrix(), atol=1e-10)
    np.testing.assert_allclose(kabsch_rmsd(*arguments), rssd / np.sqrt(weights.sum()), rtol=1e-10)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_rmsd_agrees_with_mdtraj(rng):
    frames = rng.normal(size=(50, 22, 3)).astype(np.float32)
    trajectory = mdtraj.Trajectory(frames, topology=None)
    ours = kabsch_rmsd(jnp.asarray(frames), jnp.asarray(frames[3]))
    np.testing.assert_allclose(ours, mdtraj.rmsd(trajectory, trajectory, 3), atol=1e-3)


@pytest.mark.parametrize("dims", [2, 3])
def test_mirror_image_is_not_turned_into_its_original(rng, dims):
    (frame,) = as_float32(rng.normal(size=(6, dims)))
    mirror = frame * jnp.array([1.0] * (dims - 1) + [-1.0])[None, :]
    assert np.linalg.det(kabsch_rotation(frame, mirror)) == pytest.approx(1, abs=1e-5)
    assert kabsch_rmsd(frame, mirror) > 0.1


def test_rmsd_is_never_above_that_of_svd(rng):
    """Frames near the reference and far, thin rods, plates, mirror images; 10 000 in all, in float32."""
    reference = rng.normal(size=(7, 3))
    noise = 10.0 ** rng.uniform(-2, 1, (10_000, 1, 1))
    frames = reference + noise * rng.normal(size=(10_000, 7, 3))
    flatten = np.ones((10_000, 1, 3))
    flatten[:2000, :, 1:] = 10.0 ** rng.uniform(-2, 0, (2000, 1, 1))
    flatten[2000:4000, :, 2] = 0
    flatten[4000:5000, :, 2] = -1
    frames = (frames * flatten).astype(np.float32)
    ours = np.asarray(kabsch_rmsd(jnp.asarray(frames), jnp.asarray(reference, jnp.float32)), np.float64)
    x = frames.astype(np.float64) - frames.mean(axis=1, dtype=np.float64, keepdims=True)
    y = reference.astype(np.float32).astype(np.float64)
    y = y - y.mean(axis=0)
    left, _, right = np.linalg.svd(np.einsum("nia,ib->nab", x, y))
    left[:, :, 2] *= np.sign(np.linalg.det(left @ right))[:, None]
    best = np.sqrt(np.mean(np.sum((x @ (left @ right) - y) ** 2, axis=2), axis=1))
    assert np.max(ours / best - 1) < 1e-5


def test_rmsd_of_planar_frames_gives_the_mirror_image_zero(rng):
    plate = rng.normal(size=(6, 3)) * [1, 1, 0]
    frame, mirror = as_float32(plate, plate * [1, -1, 1])
    np.testing.assert_allclose(kabsch_rmsd(frame, mirror), 0, atol=2e-6)


@pytest.mark.parametrize("dims", [2, 3])
def test_rmsd_gradient_equals_finite_difference(x64, rng, dims):
    frame, reference, change = jnp.asarray(rng.normal(size=(3, 6, dims)))
    gradient = jnp.sum(rmsd_gradient(frame, reference) * change)
    step = 1e-6
    up, down = (kabsch_rmsd(frame + sign * step * change, reference) for sign in (1, -1))
    np.testing.assert_allclose(gradient, (up - down) / (2 * step), atol=1e-8)


def test_rmsd_gradient_is_zero_where_frames_coincide(rng):
    (frame,) = as_float32(rng.integers(-3, 4, (6, 3)))
    assert np.all(np.isfinite(rmsd_gradient(frame, frame)))
    np.testing.assert_array_equal(rmsd_gradient(jnp.zeros((6, 3)), jnp.zeros((6, 3))), 0)
