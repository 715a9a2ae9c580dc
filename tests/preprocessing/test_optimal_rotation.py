import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from polyvae.preprocessing import optimal_rotation as module
from polyvae.preprocessing.symmetric_eigen import entries_of, matrix_of

optimal_rotation = jax.jit(module.optimal_rotation)
fast_optimal_rotation = jax.jit(
    lambda matrices: matrix_of(module.fast_optimal_rotation(entries_of(matrices)))
)
turning_stiffness = jax.jit(module.turning_stiffness)


def covariances_with_hard_cases(rng, n=10_000):
    """Random 3x3 matrices; three fifths nearly degenerate: collinear, mirrored, equal singular values."""
    left, values, right = np.linalg.svd(rng.normal(size=(n, 3, 3)))
    fifth, small = n // 5, 10.0 ** rng.uniform(-8, 0, (n, 3))
    values[:fifth, 2] = values[:fifth, 1] * (1 + small[:fifth, 0])
    values[fifth : 2 * fifth] = 1 + small[fifth : 2 * fifth]
    values[2 * fifth : 3 * fifth, 1:] = small[2 * fifth : 3 * fifth, 1:]
    scale = 10.0 ** rng.uniform(-6, 6, (n, 1, 1))
    return ((left * values[:, None]) @ right * scale).astype(np.float32)


@pytest.mark.parametrize("rotate", [optimal_rotation, fast_optimal_rotation], ids=["squaring", "polynomial"])
def test_rotation_reaches_the_optimum_of_svd_on_nearly_degenerate_matrices(rng, rotate):
    covariances = covariances_with_hard_cases(rng)
    rotations = np.asarray(rotate(jnp.asarray(covariances)), np.float64)
    left, values, right = np.linalg.svd(covariances.astype(np.float64))
    best = values[:, 0] + values[:, 1] + values[:, 2] * np.sign(np.linalg.det(left @ right))
    reached = np.einsum("nba,nab->n", rotations, covariances.astype(np.float64))
    # A few float32 roundings of the nine entries of the rotation.
    np.testing.assert_array_less((best - reached) / np.linalg.norm(covariances, axis=(1, 2)), 2e-6)
    np.testing.assert_allclose(np.linalg.det(rotations), 1, atol=3e-6)
    np.testing.assert_allclose(
        rotations @ np.swapaxes(rotations, 1, 2), np.broadcast_to(np.eye(3), rotations.shape), atol=3e-6
    )


@pytest.mark.parametrize("dims", [2, 3])
def test_zero_covariance_gives_the_identity(dims):
    np.testing.assert_array_equal(optimal_rotation(jnp.zeros((dims, dims))), np.eye(dims))


def test_two_dimensions_agree_with_a_scan_over_angles(rng):
    covariance = rng.normal(size=(2, 2)).astype(np.float32)
    angles = np.linspace(0, 2 * np.pi, 100_001)
    objective = (covariance[0, 0] + covariance[1, 1]) * np.cos(angles) + (
        covariance[0, 1] - covariance[1, 0]
    ) * np.sin(angles)
    angle = angles[np.argmax(objective)]
    expected = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    np.testing.assert_allclose(optimal_rotation(jnp.asarray(covariance)), expected, atol=1e-4)


@pytest.mark.parametrize("dims", [2, 3])
def test_derivative_equals_finite_difference(x64, rng, dims):
    covariance, change = jnp.asarray(rng.normal(size=(2, 4, dims, dims)))
    derivative = jax.jit(lambda *pair: jax.jvp(optimal_rotation, pair[:1], pair[1:])[1])(covariance, change)
    step = 1e-6
    difference = (
        optimal_rotation(covariance + step * change) - optimal_rotation(covariance - step * change)
    ) / (2 * step)
    np.testing.assert_allclose(derivative, difference, atol=1e-7)


@pytest.mark.parametrize("dims", [2, 3])
def test_derivative_is_finite_where_the_rotation_is_not_unique(dims):
    mirror = np.diag([1.0] * (dims - 1) + [-1.0])
    line = np.diag([1.0] + [0.0] * (dims - 1))
    hard = [np.zeros((dims, dims)), mirror, -np.eye(dims), line, 1e-30 * line, np.ones((dims, dims))]
    jacobian = jax.jit(jax.vmap(jax.jacfwd(optimal_rotation)))(jnp.asarray(np.stack(hard), jnp.float32))
    assert np.all(np.isfinite(jacobian))


def test_stiffness_is_the_smallest_sum_of_two_signed_singular_values(rng):
    rotation = Rotation.random(rng=rng).as_matrix()
    covariance = jnp.asarray((np.diag([3.0, 2.0, 1.0]) @ rotation).astype(np.float32))
    stiffness = turning_stiffness(optimal_rotation(covariance), covariance)
    np.testing.assert_allclose(stiffness, 3 / np.sqrt(14), rtol=1e-5)
