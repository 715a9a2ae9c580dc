"""The rotation-marginalized normal: invariance, direct averages over rotations, and degenerate shapes."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats
from scipy.spatial.transform import Rotation

from polyvae.errors import InputError
from polyvae.vae.likelihoods import RotationNormal


def _pair(rng, modes, dims, sigma):
    center = rng.normal(size=(modes, dims))
    return center + sigma * rng.normal(size=(modes, dims)), center


@eqx.filter_jit
def _compiled(likelihood, x, outputs):
    return likelihood.log_prob(x, outputs)


def _log_prob(likelihood, x, center):
    return float(_compiled(likelihood, jnp.asarray(x.reshape(-1)), jnp.asarray(center.reshape(-1))))


def _plane_rotation(angle):
    return np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])


def _average(x, center, rotations, sigma):
    """Log of the mean of the normal densities around the turned centers."""
    turned = np.einsum("rab,mb->rma", rotations, center)
    densities = scipy.stats.norm.logpdf(x[None], turned, sigma).sum(axis=(1, 2))
    return np.logaddexp.reduce(densities) - np.log(len(rotations))


@pytest.mark.parametrize("sigma", [0.3, 3.0])
def test_in_two_dimensions_it_is_the_average_over_angles(sigma, x64, rng):
    x, center = _pair(rng, 4, 2, sigma)
    rotations = np.array(
        [_plane_rotation(angle) for angle in np.linspace(0, 2 * np.pi, 2000, endpoint=False)]
    )
    value = _log_prob(RotationNormal.of(8, 2, sigma=sigma), x, center)
    assert value == pytest.approx(_average(x, center, rotations, sigma), abs=1e-10)


def test_in_three_dimensions_it_is_the_average_over_rotations(x64, rng):
    x, center = _pair(rng, 3, 3, 1.0)
    likelihood = RotationNormal.of(9, 3, sigma=1.2)
    cosine, weight = np.polynomial.legendre.leggauss(40)
    angle = np.linspace(0, 2 * np.pi, 60, endpoint=False)
    z, y, v = (grid.ravel() for grid in np.meshgrid(angle, np.arccos(cosine), angle, indexing="ij"))
    rotations = Rotation.from_euler("ZYZ", np.stack([z, y, v], axis=1)).as_matrix()
    weights = np.broadcast_to(weight[None, :, None] / 2 / 60**2, (60, 40, 60)).ravel()
    exponent = np.einsum("ma,rab,mb->r", x, rotations, center) / 1.2**2
    square = (np.sum(x**2) + np.sum(center**2)) / (2 * 1.2**2)
    expected = np.log(weights @ np.exp(exponent)) - square - 9 * np.log(1.2) - 4.5 * np.log(2 * np.pi)
    # Trapezoidal and Gauss rules are exact to rounding for an exponent of this size.
    assert _log_prob(likelihood, x, center) == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("dims", [2, 3])
def test_it_does_not_change_when_x_or_the_center_is_turned(dims, x64, rng):
    x, center = _pair(rng, 5, dims, 0.1)
    likelihood = RotationNormal.of(5 * dims, dims, sigma=0.1)
    turn = _plane_rotation(1.1) if dims == 2 else Rotation.random(rng=rng).as_matrix()
    value = _log_prob(likelihood, x, center)
    # The largest term is |x|² / sigma² = 1500.
    assert _log_prob(likelihood, x @ turn.T, center) == pytest.approx(value, abs=1e-10)
    assert _log_prob(likelihood, x, center @ turn.T) == pytest.approx(value, abs=1e-10)


@pytest.mark.parametrize("dims", [2, 3])
def test_a_mirror_image_is_far_less_likely(dims, x64, rng):
    x, center = _pair(rng, 5, dims, 0.1)
    likelihood = RotationNormal.of(5 * dims, dims, sigma=0.1)
    mirror = np.diag([1.0] * (dims - 1) + [-1.0])
    assert _log_prob(likelihood, x @ mirror, center) < _log_prob(likelihood, x, center) - 10


def test_a_planar_conformation_in_space_is_its_own_mirror_image(x64, rng):
    x, center = _pair(rng, 5, 3, 0.1)
    x[:, 2] = center[:, 2] = 0
    likelihood = RotationNormal.of(15, 3, sigma=0.1)
    mirror = np.diag([1.0, -1.0, 1.0])
    assert _log_prob(likelihood, x @ mirror, center) == pytest.approx(
        _log_prob(likelihood, x, center), abs=1e-9
    )


def test_a_narrow_one_is_the_aligned_normal_with_laplace_term(x64, rng):
    sigma = 1e-3
    x, center = _pair(rng, 6, 3, sigma)
    fitted = Rotation.align_vectors(x, center)[0]
    aligned = scipy.stats.norm.logpdf(x, center @ fitted.as_matrix().T, sigma).sum()
    s = np.linalg.svd(x.T @ center)[1] * [1, 1, np.sign(np.linalg.det(x.T @ center))] / sigma**2
    # Rotation vectors w near zero have the density dw / (8 pi²) and the exponent -w·(tr S - S)w / 2.
    stiffness = np.prod([s[0] + s[1], s[1] + s[2], s[0] + s[2]])
    laplace = 1.5 * np.log(2 * np.pi) - 0.5 * np.log(stiffness) - np.log(8 * np.pi**2)
    value = _log_prob(RotationNormal.of(18, 3, sigma=sigma), x, center)
    # The next term of the expansion is of the order 1 / s = 1e-6.
    assert value == pytest.approx(aligned + laplace, abs=1e-5)


def test_float32_keeps_its_digits_at_small_sigma(rng):
    sigma = 1e-3
    x, center = (array.astype(np.float32) for array in _pair(rng, 6, 3, sigma))
    likelihood = RotationNormal.of(18, 3, sigma=sigma)
    value = _log_prob(likelihood, x, center)
    with jax.enable_x64(True):
        exact = RotationNormal.of(18, 3, sigma=sigma)
        expected = _log_prob(exact, x.astype(float), center.astype(float))
    # Residuals of 1e-3 are known to 1e-7; the two halves of |x - R mu|² / sigma² would leave 2e7 · 6e-8 = 1.
    assert value == pytest.approx(expected, abs=0.02)


SHAPES = {
    "all zero": np.zeros((4, 3)),
    "collinear": np.outer([1.0, 2.0, -1.0, 0.5], [1.0, 0.0, 0.0]),
    "planar": np.array([[1.0, 0, 0], [0, 1, 0], [1, 1, 0], [0, 0.5, 0]]),
    "isotropic": np.array([[1.0, 0, 0], [0, 1, 0], [0, 0, 1], [0, 0, 0]]),
    "isotropic mirror image": np.array([[1.0, 0, 0], [0, 1, 0], [0, 0, -1], [0, 0, 0]]),
}
CENTER = np.array([[1.0, 0, 0], [0, 1, 0], [0, 0, 1], [0, 0, 0]])


@pytest.mark.parametrize("dims", [2, 3])
def test_gradients_of_degenerate_shapes_equal_finite_differences(dims, x64, rng):
    shapes = np.array([shape[:, :dims].reshape(-1) for shape in SHAPES.values()])
    center = jnp.asarray(CENTER[:, :dims].reshape(-1))
    likelihood = RotationNormal.of(4 * dims, dims, sigma=0.5)
    way = jnp.asarray(rng.normal(size=(2, 4 * dims)))

    @jax.jit
    @jax.vmap
    def along(x, step):
        return likelihood.log_prob(x + step * way[0], center + step * way[1])

    @jax.jit
    @jax.vmap
    def slope(x):
        by_x, by_center = jax.grad(likelihood.log_prob, argnums=(0, 1))(x, center)
        return jnp.sum(by_x * way[0]) + jnp.sum(by_center * way[1])

    x, step = jnp.asarray(shapes), jnp.full(len(shapes), 1e-4)
    # Truncation 1e-8, quadrature 1e-11 / 1e-4.
    np.testing.assert_allclose(slope(x), (along(x, step) - along(x, -step)) / 2e-4, rtol=1e-5, atol=1e-5)


def test_gradients_are_finite_in_float32_at_small_sigma():
    likelihood = RotationNormal.of(12, 3, sigma=1e-3)
    x = jnp.asarray(np.array([shape.reshape(-1) for shape in SHAPES.values()]), jnp.float32)
    center = jnp.asarray(CENTER.reshape(-1), jnp.float32)
    gradient = jax.jit(jax.vmap(jax.grad(likelihood.log_prob, argnums=(0, 1)), in_axes=(0, None)))(x, center)
    assert all(bool(jnp.all(jnp.isfinite(leaf))) for leaf in gradient)


@pytest.mark.parametrize("dims", [2, 3])
def test_draws_have_no_preferred_orientation_and_the_right_size(dims, x64):
    center = jnp.asarray(CENTER[:, :dims].reshape(-1))
    likelihood = RotationNormal.of(4 * dims, dims, sigma=0.2)
    keys = jax.random.split(jax.random.key(5), 8000)
    draws = np.asarray(jax.jit(jax.vmap(likelihood.sample, in_axes=(None, 0)))(center, keys))
    # Each entry has variance |row|²/dims + sigma² <= 0.54: five standard errors of the mean are 0.041.
    np.testing.assert_allclose(draws.mean(axis=0), 0.0, atol=0.042)
    modes = draws.reshape(-1, 4, dims)
    moment = np.einsum("fmi,fmj->mij", modes, modes) / len(modes)
    expected = (np.sum(CENTER[:, :dims] ** 2, axis=1) / dims + 0.04)[:, None, None] * np.eye(dims)
    np.testing.assert_allclose(moment, expected, atol=0.03)  # five standard errors of 0.5 / sqrt(8000)
    # Handedness is kept: the center's signed volume, with noise.
    volume = np.linalg.det(modes[:, :dims])
    assert np.mean(volume > 0) > 0.95


def test_unusable_arguments_are_refused():
    with pytest.raises(InputError, match="`n_values` must be a multiple of dims=3; got 10"):
        RotationNormal.of(10, 3)
    with pytest.raises(InputError, match="`dims` must be 2 or 3; got 4"):
        RotationNormal.of(8, 4)
    with pytest.raises(InputError, match="`sigma` must be positive"):
        RotationNormal.of(6, 3, sigma=0.0)
