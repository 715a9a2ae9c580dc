import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from polyvae.preprocessing import principal_axes as module_function
from polyvae.preprocessing.principal_axes import moment_gap as module_gap

principal_axes = jax.jit(module_function)
moment_gap = jax.jit(module_gap)
derivative = jax.jit(lambda frame, change: jax.jvp(principal_axes, (frame,), (change,))[1])

HARD_FRAMES = {
    "single bead position": np.zeros((6, 3)),
    "line": np.linspace(-1, 1, 6)[:, None] * np.array([1.0, 2.0, 3.0]),
    "plane": np.array([[0, 0, 0], [1, 0, 0], [0, 2, 0], [1, 3, 0], [4, 1, 0], [2, 2, 0]], float),
    "octahedron": np.concatenate([np.eye(3), -np.eye(3)]),
    "prism": np.array([[np.cos(t), np.sin(t), z] for t in (0, 2.0944, 4.1888) for z in (-1, 1)]),
}


def test_axes_of_a_box_are_its_edges_longest_first():
    corners = np.array([[x, y, z] for x in (0, 2) for y in (0, 6) for z in (0, 4)], np.float32)
    axes = principal_axes(jnp.asarray(corners))
    np.testing.assert_allclose(np.abs(axes), [[0, 1, 0], [0, 0, 1], [1, 0, 0]], atol=1e-6)


@pytest.mark.parametrize("dims", [2, 3])
def test_gyration_tensor_is_diagonal_and_descending_in_the_axes(rng, dims):
    frame = rng.normal(size=(9, dims)).astype(np.float32)
    weights = rng.uniform(1, 16, 9).astype(np.float32)
    axes = np.asarray(principal_axes(jnp.asarray(frame), jnp.asarray(weights)))
    canonical = (frame - weights @ frame / weights.sum()) @ axes.T
    tensor = canonical.T @ (canonical * weights[:, None]) / weights.sum()
    np.testing.assert_allclose(tensor, np.diag(np.diag(tensor)), atol=1e-5)
    assert np.all(np.diff(np.diag(tensor)) < 0)
    assert np.linalg.det(axes) == pytest.approx(1, abs=1e-5)
    assert np.all(weights @ canonical[:, : dims - 1] ** 3 > 0)


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_canonical_frame_is_invariant_to_rigid_motion(seed):
    rng = np.random.default_rng(seed)
    # Well separated moments and a skewed distribution: the frames for which the axes are determined.
    frame = rng.gamma(1, size=(6, 3)) * [4, 2, 1]
    moved = frame @ Rotation.random(rng=rng).as_matrix().T + rng.normal(size=3)
    first, second = (jnp.asarray(positions, jnp.float32) for positions in (frame, moved))
    if moment_gap(first) < 0.05:
        return
    canonical = [
        (np.asarray(positions) - np.asarray(positions).mean(axis=0)) @ np.asarray(principal_axes(positions)).T
        for positions in (first, second)
    ]
    skewness = np.mean(canonical[0] ** 3, axis=0) / np.mean(canonical[0] ** 2, axis=0) ** 1.5
    if np.min(np.abs(skewness[:2])) < 0.01:
        return
    np.testing.assert_allclose(canonical[0], canonical[1], atol=2e-4 * np.abs(frame).max())


def test_first_bead_decides_the_sign_of_a_symmetric_chain():
    chain = np.outer(np.array([2.0, 1.0, -1.0, -2.0]), [1.0, 0.0]) + np.outer([1, -1, -1, 1], [0.0, 0.1])
    for sign in (1, -1):
        frame = jnp.asarray(sign * chain, jnp.float32)
        assert (frame @ principal_axes(frame).T)[0, 0] > 0


@pytest.mark.parametrize("name", HARD_FRAMES)
def test_axes_and_gradient_are_finite_and_flagged_on(name):
    frame = jnp.asarray(HARD_FRAMES[name], jnp.float32)
    change = jnp.asarray(np.random.default_rng(1).normal(size=frame.shape), jnp.float32)
    assert np.linalg.det(principal_axes(frame)) == pytest.approx(1, abs=1e-5)
    assert np.all(np.isfinite(derivative(frame, change)))
    assert (moment_gap(frame) < 0.01) == (name != "plane")


@pytest.mark.parametrize("dims", [2, 3])
def test_derivative_equals_finite_difference(x64, rng, dims):
    frame, change = jnp.asarray(rng.normal(size=(2, 6, dims)))
    step = 1e-6
    difference = (principal_axes(frame + step * change) - principal_axes(frame - step * change)) / (2 * step)
    np.testing.assert_allclose(derivative(frame, change), difference, atol=1e-7)
