import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from polyvae.preprocessing import Alignment
from polyvae.preprocessing.alignment import METHODS

canonical = jax.jit(lambda alignment, frame: alignment(frame))
gradient = jax.jit(jax.grad(lambda frame, alignment, weight: jnp.sum(alignment(frame) * weight)))


def make(method, rng, n_atoms=6, dims=3, dtype=np.float32):
    weights = rng.uniform(1, 16, n_atoms)
    weights /= weights.sum()
    reference = rng.normal(size=(n_atoms, dims)) * [3, 2, 1][:dims]
    reference = jnp.asarray((reference - weights @ reference).astype(dtype))
    return Alignment(
        method=method,
        weights=jnp.asarray(weights.astype(dtype)),
        reference=reference if method in ("kabsch", "procrustes") else None,
    )


@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float32, 1e-4), (np.float64, 1e-9)])
def test_canonical_frames_obey_the_linear_constraints(x64, rng, dtype, tolerance):
    alignment = make("kabsch", rng, dtype=dtype)
    frame = jnp.asarray((rng.normal(size=(6, 3)) + 3).astype(dtype))
    aligned, weights, reference = (
        np.asarray(a, np.float64)
        for a in (canonical(alignment, frame), alignment.weights, alignment.reference)
    )
    np.testing.assert_allclose(weights @ aligned, 0, atol=tolerance)
    covariance = aligned.T @ (weights[:, None] * reference)
    np.testing.assert_allclose(covariance, covariance.T, atol=tolerance * np.linalg.norm(covariance))


ALIGNMENT = make("kabsch", np.random.default_rng(3))


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_kabsch_is_invariant_to_rigid_motion_and_changes_no_distance(seed):
    rng = np.random.default_rng(seed)
    frame = np.asarray(ALIGNMENT.reference) + 0.3 * rng.normal(size=(6, 3))
    moved = frame @ Rotation.random(rng=rng).as_matrix().T + rng.normal(size=3)
    first, second = (canonical(ALIGNMENT, jnp.asarray(x, jnp.float32)) for x in (frame, moved))
    np.testing.assert_allclose(first, second, atol=2e-5)
    distances = [np.linalg.norm(x[:, None] - x[None], axis=-1) for x in (frame, np.asarray(first))]
    np.testing.assert_allclose(distances[0], distances[1], atol=2e-5)


@pytest.mark.parametrize("method", METHODS)
def test_motion_is_proper_and_inverts(rng, method):
    alignment = make(method, rng)
    frame = jnp.asarray(rng.normal(size=(6, 3)).astype(np.float32) * [3, 2, 1] + 5).astype(jnp.float32)
    motion = jax.jit(lambda a, x: a.motion(x))(alignment, frame)
    assert np.linalg.det(motion.rotation) == pytest.approx(1, abs=1e-5)
    np.testing.assert_allclose(motion.invert(canonical(alignment, frame)), frame, atol=2e-5)
    if method == "none":
        np.testing.assert_array_equal(canonical(alignment, frame), frame)


def test_jit_equals_eager(rng):
    alignment = make("kabsch", rng, dims=2)
    frame = jnp.asarray(rng.normal(size=(6, 2)).astype(np.float32))
    np.testing.assert_allclose(canonical(alignment, frame), alignment(frame), atol=1e-6)


@pytest.mark.parametrize("method", ["kabsch", "principal_axes"])
@pytest.mark.parametrize("dims", [2, 3])
def test_gradients_are_finite_on_degenerate_frames(rng, method, dims):
    alignment = make(method, rng, dims=dims)
    line = np.linspace(-1, 1, 6)[:, None] * np.ones(dims)
    plane = rng.normal(size=(6, dims)) * ([1] * (dims - 1) + [0])
    mirror = np.zeros((6, dims)) if alignment.reference is None else -np.asarray(alignment.reference)
    octahedron = np.concatenate([np.eye(3), -np.eye(3)])[:, :dims]
    weight = jnp.asarray(rng.normal(size=(6, dims)).astype(np.float32))
    for frame in (np.zeros((6, dims)), np.full((6, dims), 7.3), line, plane, mirror, octahedron):
        frame = jnp.asarray(frame, jnp.float32)
        assert np.all(np.isfinite(canonical(alignment, frame)))
        assert np.all(np.isfinite(gradient(frame, alignment, weight)))


def test_single_bead_lands_on_the_origin_with_finite_gradient():
    one = jnp.ones((1, 3))
    alignment = Alignment(method="kabsch", weights=jnp.ones(1), reference=jnp.zeros((1, 3)))
    np.testing.assert_array_equal(canonical(alignment, 5 * one), 0 * one)
    np.testing.assert_array_equal(gradient(5 * one, alignment, one), 0 * one)


@pytest.mark.parametrize("method", ["kabsch", "principal_axes"])
def test_gradient_equals_finite_difference(x64, rng, method):
    alignment = make(method, rng, dtype=np.float64)
    frame, change, weight = jnp.asarray(rng.normal(size=(3, 6, 3)))
    step = 1e-6
    up, down = (jnp.sum(canonical(alignment, frame + sign * step * change) * weight) for sign in (1, -1))
    expected = (up - down) / (2 * step)
    np.testing.assert_allclose(jnp.sum(gradient(frame, alignment, weight) * change), expected, atol=1e-7)
