"""Scaled Bessel functions against scipy and their asymptotic series."""

import jax
import jax.numpy as jnp
import numpy as np
import scipy.special

from polyvae.vae.likelihoods.bessel import bessel_ratio_complement, log_scaled_i0

K = np.concatenate([[0.0], np.logspace(-6, 6, 200)])


def test_log_scaled_i0_equals_scipy(x64):
    np.testing.assert_allclose(
        log_scaled_i0(jnp.asarray(K)), np.log(scipy.special.i0e(K)), rtol=1e-13, atol=1e-14
    )


def test_the_ratio_complement_equals_scipy_where_scipy_does_not_cancel(x64):
    k = K[K < 1e3]
    expected = 1 - scipy.special.i1e(k) / scipy.special.i0e(k)
    # The difference on the right loses 2k roundings.
    np.testing.assert_allclose(bessel_ratio_complement(jnp.asarray(k)), expected, rtol=1e-12)


def test_the_ratio_complement_of_a_large_argument_is_its_asymptotic_series(x64):
    k = np.array([1e4, 1e6, 1e8])
    expected = 1 / (2 * k) + 1 / (8 * k**2) + 1 / (8 * k**3) + 25 / (128 * k**4)
    np.testing.assert_allclose(bessel_ratio_complement(jnp.asarray(k)), expected, rtol=1e-13)


def test_the_ratio_complement_keeps_its_digits_in_float32():
    k = np.array([1.0, 50.0, 1e3, 1e6])
    expected = 1 - scipy.special.i1e(k) / scipy.special.i0e(k)
    # Just below the switch at 100 the difference loses 200 roundings.
    np.testing.assert_allclose(bessel_ratio_complement(jnp.asarray(k, jnp.float32)), expected, rtol=2e-5)


def test_the_slope_at_zero_is_minus_one(x64):
    slope = jax.vmap(jax.grad(log_scaled_i0))(jnp.asarray([0.0, -1e-18, 1e-18]))
    np.testing.assert_allclose(slope, -1.0)
