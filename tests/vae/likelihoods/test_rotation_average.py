"""The average of exp(tr(F^T R)) over rotations, against other quadratures."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import i0, i0e

from polyvae.vae.likelihoods.rotation_average import log_scaled_rotation_average


def _reference(singular):
    """Lee's integral by Gauss-Legendre rules on panels that shrink towards both ends."""
    first, second, third = singular
    a, b, d = (first - second) / 2, (first + second) / 2, second + third
    nodes, weights = np.polynomial.legendre.leggauss(40)
    edges = np.concatenate([[0], np.logspace(-12, 0, 49)])
    half, middle = np.diff(edges)[:, None] / 2, (edges[1:] + edges[:-1])[:, None] / 2
    t, weight = middle + half * nodes, half * weights

    def integrand(t, rest):
        return i0e(a * t) * i0e(b * rest) * np.exp(-d * t) / 2

    return np.log(np.sum(weight * (integrand(t, 2 - t) + integrand(2 - t, t))))


SHAPES = {
    "generic": (1.0, 0.5, 0.2),
    "mirror image": (1.0, 0.5, -0.2),
    "planar": (1.0, 0.5, 0.0),
    "collinear": (1.0, 0.0, 0.0),
    "nearly collinear": (1.0, 1e-5, -1e-6),
    "undetermined": (1.0, 0.3, -0.3),
    "isotropic": (1.0, 1.0, 1.0),
    "isotropic mirror image": (1.0, 1.0, -1.0),
}
SIZES = (0.0, 1e-3, 0.1, 1.0, 10.0, 1e3, 1e4, 1e5, 1e6)


def test_it_equals_a_graded_quadrature_for_all_shapes_and_sizes(x64):
    singular = np.array([np.multiply(size, shape) for shape in SHAPES.values() for size in SIZES])
    value = jax.jit(jax.vmap(log_scaled_rotation_average))(jnp.asarray(singular))
    expected = [_reference(row) for row in singular]
    # The stated accuracy; without scale the average is 1e-6 to the power 3/2 of the largest exponential.
    np.testing.assert_allclose(value, expected, rtol=0, atol=2e-10)


def test_it_equals_the_average_over_euler_angles(x64):
    singular = np.array([2.0, 1.0, -0.5])
    angle = np.linspace(0, 2 * np.pi, 48, endpoint=False)
    cosine, weight = np.polynomial.legendre.leggauss(32)
    z, y, v = np.meshgrid(angle, cosine, angle, indexing="ij")
    # Diagonal of Rz(z) Ry(arccos y) Rz(v).
    diagonal = (
        np.cos(z) * y * np.cos(v) - np.sin(z) * np.sin(v),
        -np.sin(z) * y * np.sin(v) + np.cos(z) * np.cos(v),
        y,
    )
    values = np.exp(sum(s * entry for s, entry in zip(singular, diagonal, strict=True)))
    average = np.mean(np.sum(values * weight[None, :, None] / 2, axis=1))
    value = float(log_scaled_rotation_average(jnp.asarray(singular))) + singular.sum()
    assert value == pytest.approx(np.log(average), abs=1e-10)


def test_in_the_plane_it_is_a_bessel_function(x64):
    value = float(log_scaled_rotation_average(jnp.asarray([1.7, -0.4])))
    assert value == pytest.approx(np.log(i0(1.3)) - 1.3, abs=1e-13)


def test_it_is_symmetric_in_the_singular_values_and_their_pairwise_signs(x64):
    # The rule was derived for an order; rounding may break it at a tie.
    tie, swapped = jnp.asarray([1.0, 1.0 - 1e-9, 0.5]), jnp.asarray([1.0 - 1e-9, 1.0, 0.5])
    value = float(log_scaled_rotation_average(tie))
    assert float(log_scaled_rotation_average(swapped)) == pytest.approx(value, abs=1e-12)


def test_the_gradient_is_the_mean_diagonal_of_the_rotation_less_one(x64):
    cases = jnp.asarray([[0.0, 0.0, 0.0], [1e6, 1e6, -1e6]])
    none, mirrored = jax.jit(jax.vmap(jax.grad(log_scaled_rotation_average)))(cases)
    # No preference: a mean of zero. A strong one for the mirror image: reflections about random axes, 1 - 2/3.
    np.testing.assert_allclose(none, -1.0, atol=1e-10)
    np.testing.assert_allclose(mirrored, [1 / 3 - 1, 1 / 3 - 1, -1 / 3 - 1], atol=2e-6)


def test_float32_is_as_good_as_its_digits():
    singular = np.array([np.multiply(size, shape) for shape in SHAPES.values() for size in SIZES])
    value = jax.jit(jax.vmap(log_scaled_rotation_average))(jnp.asarray(singular, jnp.float32))
    # Sums and differences of singular values of one sign keep their digits; 64 terms are added.
    exact = [_reference(np.asarray(row, np.float32).astype(float)) for row in singular]
    np.testing.assert_allclose(value, exact, rtol=0, atol=1e-5)
