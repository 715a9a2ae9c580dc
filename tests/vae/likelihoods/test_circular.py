"""The von Mises likelihood: known answers, draws from flat to narrow, and its refit."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.special
import scipy.stats

from polyvae.errors import InputError
from polyvae.vae.likelihoods import VonMises
from polyvae.vae.likelihoods.circular import _centered_draw


@eqx.filter_jit
def log_prob(likelihood, x, outputs):
    return likelihood.log_prob(x, outputs)


@eqx.filter_jit
def refit(likelihood, x, outputs):
    return likelihood.refitted(x, outputs, jnp.ones(len(x)))


@pytest.mark.parametrize("kappa", [1e-3, 1.0, 40.0, 1e4])
def test_log_density_equals_scipy(kappa, x64, rng):
    angles, means = rng.uniform(-np.pi, np.pi, size=(2, 5))
    expected = scipy.stats.vonmises.logpdf(angles, kappa, means).sum()
    unit = np.stack([np.cos(means), np.sin(means)], axis=1)
    shared = log_prob(VonMises.of(5, kappa=kappa), jnp.asarray(angles), jnp.asarray(0.3 * unit.ravel()))
    own = log_prob(
        VonMises.of(5, concentration="per-frame"), jnp.asarray(angles), jnp.asarray(kappa * unit.ravel())
    )
    # The largest term is 2 kappa for each angle.
    assert float(shared) == pytest.approx(expected, rel=1e-12, abs=1e-10)
    assert float(own) == pytest.approx(expected, rel=1e-12, abs=1e-10)


def test_a_narrow_angle_is_a_normal_in_float32():
    sigma = 1e-3
    likelihood = VonMises.of(1, kappa=1 / sigma**2)
    outputs = jnp.asarray([np.cos(0.7), np.sin(0.7)], jnp.float32)
    value = float(log_prob(likelihood, jnp.asarray([0.7 + sigma], jnp.float32), outputs))
    # Angles near one are known to 6e-8, a 6e-5th of sigma; a cosine would leave 6e-8 · 1e6 = 0.06.
    assert value == pytest.approx(scipy.stats.norm.logpdf(sigma, scale=sigma), abs=2e-3)


def test_the_density_is_periodic(x64, rng):
    x, outputs = jnp.asarray(rng.normal(size=2)), jnp.asarray(rng.normal(size=4))
    for likelihood in (VonMises.of(2), VonMises.of(2, concentration="per-frame")):
        turned = float(log_prob(likelihood, x + 2 * np.pi, outputs))
        assert turned == pytest.approx(float(log_prob(likelihood, x, outputs)), abs=1e-13)


def test_the_mean_is_the_direction_in_the_half_open_circle():
    outputs = jnp.asarray([1.0, 0.0, 0.0, 2.0, -3.0, 0.0, -3.0, -0.0, 0.0, -1.0, 0.0, 0.0])
    mean = VonMises.of(6).mean(outputs)
    np.testing.assert_allclose(mean, [0.0, np.pi / 2, np.pi, np.pi, -np.pi / 2, 0.0], rtol=1e-6)


def test_a_pair_of_length_zero_is_the_uniform_density_with_its_right_gradient(x64):
    likelihood = VonMises.of(1, concentration="per-frame")
    x = jnp.asarray([0.4])
    value, gradient = jax.jit(jax.value_and_grad(likelihood.log_prob, argnums=1))(x, jnp.zeros(2))
    assert float(value) == pytest.approx(-np.log(2 * np.pi), abs=1e-14)
    np.testing.assert_allclose(gradient, [np.cos(0.4), np.sin(0.4)], atol=1e-14)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_draws_follow_the_distribution_from_flat_to_narrow(dtype, x64):
    kappas = jnp.asarray([0.0, 1e-4, 0.5, 4.0, 100.0, 1e5], dtype)
    keys = jax.random.split(jax.random.key(3), 10_000)
    draws = np.asarray(jax.jit(jax.vmap(_centered_draw, in_axes=(0, None)))(keys, kappas), float)
    for kappa, column in zip(np.asarray(kappas, float), draws.T, strict=True):
        cdf = scipy.stats.uniform(-np.pi, 2 * np.pi).cdf if kappa == 0 else scipy.stats.vonmises(kappa).cdf
        # One in a thousand right samplers would fail; the seed is fixed.
        assert scipy.stats.kstest(column, cdf).pvalue > 1e-3


def test_draws_lie_in_the_half_open_circle():
    likelihood = VonMises.of(1, kappa=2.0)
    keys = jax.random.split(jax.random.key(4), 2000)
    draws = jax.jit(jax.vmap(likelihood.sample, in_axes=(None, 0)))(jnp.asarray([-1.0, 0.01]), keys)
    # To a rounding of pi in float32.
    assert float(jnp.max(jnp.abs(draws))) <= np.pi + 1e-6
    assert float(jnp.max(draws)) > 2 > -2 > float(jnp.min(draws))


def test_a_batch_of_draws_equals_single_draws():
    likelihood = VonMises.of(3, concentration="per-frame")
    outputs = jax.random.normal(jax.random.key(5), (4, 6))
    keys = jax.random.split(jax.random.key(6), 4)
    batch, single = jax.jit(jax.vmap(likelihood.sample))(outputs, keys), jax.jit(likelihood.sample)
    # Each vector is drawn from its own key, whatever its neighbors reject; float32 rounding.
    np.testing.assert_allclose(batch, [single(a, b) for a, b in zip(outputs, keys, strict=True)], atol=1e-5)


def test_a_concentration_that_is_no_number_gives_no_endless_loop():
    draw = _centered_draw(jax.random.key(0), jnp.asarray([jnp.nan, 1.0]))
    assert jnp.isnan(draw[0])
    assert jnp.isfinite(draw[1])


@pytest.mark.parametrize("kappa", [2e-3, 0.3, 3.0, 90.0, 110.0, 1e6])
def test_a_refit_solves_for_the_concentration(kappa, x64):
    mean_cosine = scipy.special.i1e(kappa) / scipy.special.i0e(kappa)
    angle = np.arccos(mean_cosine)
    x = jnp.asarray([[angle], [-angle]])
    outputs = jnp.broadcast_to(jnp.asarray([[2.0, 0.0]]), (2, 2))
    fitted = refit(VonMises.of(1), x, outputs)
    # 1 - R = 5e-7 at kappa = 1e6, from an arc cosine that has lost half of the digits.
    assert float(jnp.exp(fitted.log_concentration[0])) == pytest.approx(kappa, rel=1e-8)


def test_a_refit_without_a_finite_optimum_stops_as_stated():
    outputs = jnp.broadcast_to(jnp.asarray([[1.0, 0.0, 1.0, 0.0]]), (2, 4))
    x = jnp.asarray([[0.0, jnp.pi], [0.0, jnp.pi]])
    fitted = refit(VonMises.of(2, kappa=7.0), x, outputs)
    # A mean cosine of 5e-4, as one less something, has the digits of 6e-8 / 5e-4.
    np.testing.assert_allclose(np.exp(fitted.log_concentration), [7.0, 1e-3], rtol=2e-4)


def test_unusable_arguments_are_refused():
    with pytest.raises(InputError, match="`kappa` must be positive; got 0"):
        VonMises.of(2, kappa=0.0)
    with pytest.raises(InputError, match="must be an array for 'shared' and None for 'per-frame'"):
        VonMises(None, size=2)
