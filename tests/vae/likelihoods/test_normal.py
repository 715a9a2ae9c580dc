"""Normal likelihoods with shared and per-frame widths: known answers."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

from polyvae.errors import InputError
from polyvae.vae.likelihoods import Normal, PerFrameNormal


@pytest.mark.parametrize("per_feature", [False, True])
def test_log_density_equals_scipy(per_feature, x64, rng):
    x, mean = rng.normal(size=(2, 5))
    likelihood = Normal.of(5, sigma=0.3, per_feature=per_feature)
    expected = scipy.stats.norm.logpdf(x, mean, 0.3).sum()
    assert float(likelihood.log_prob(jnp.asarray(x), jnp.asarray(mean))) == pytest.approx(expected, abs=1e-10)


def test_squared_error_is_the_square_up_to_the_stated_constant(x64, rng):
    x, mean = rng.normal(size=(2, 7))
    value = Normal.squared_error(7).log_prob(jnp.asarray(x), jnp.asarray(mean))
    assert -float(value) == pytest.approx(np.sum((x - mean) ** 2) + 3.5 * np.log(np.pi), abs=1e-10)


@pytest.mark.parametrize("per_feature", [False, True])
def test_a_refitted_width_is_the_weighted_root_mean_square_residual(per_feature, x64, rng):
    x, mean = rng.normal(size=(2, 50, 3)) * np.array([1.0, 2.0, 3.0])
    weights = rng.uniform(size=50)
    fitted = Normal.of(3, per_feature=per_feature).refitted(
        jnp.asarray(x), jnp.asarray(mean), jnp.asarray(weights)
    )
    square = np.average((x - mean) ** 2, axis=0, weights=weights)
    expected = np.sqrt(square if per_feature else square.mean())
    np.testing.assert_allclose(np.exp(fitted.log_scale), expected, rtol=1e-12)


def test_an_entry_without_residual_keeps_its_width():
    x = jnp.asarray([[0.0, 1.0], [0.0, 3.0]])
    fitted = Normal.of(2, sigma=0.5, per_feature=True).refitted(x, jnp.zeros((2, 2)), jnp.ones(2))
    np.testing.assert_allclose(np.exp(fitted.log_scale), [0.5, np.sqrt(5.0)], rtol=1e-6)


def test_a_residual_that_is_no_number_shows_in_the_refit():
    x = jnp.asarray([[jnp.nan], [1.0]])
    assert jnp.isnan(Normal.of(1).refitted(x, jnp.zeros((2, 1)), jnp.ones(2)).log_scale)


@pytest.mark.parametrize("per_feature", [False, True])
def test_the_width_of_a_frame_follows_the_outputs(per_feature, x64, rng):
    x, mean = rng.normal(size=(2, 3))
    raw = np.array([-0.02, 0.01, 0.03])[: 3 if per_feature else 1]
    likelihood = PerFrameNormal(3, per_feature=per_feature)
    assert likelihood.n_outputs == 3 + len(raw)
    outputs = jnp.asarray(np.concatenate([mean, raw]))
    expected = scipy.stats.norm.logpdf(x, mean, np.exp(10 * np.tanh(raw / 10))).sum()
    assert float(likelihood.log_prob(jnp.asarray(x), outputs)) == pytest.approx(expected, abs=1e-10)


def test_the_width_of_a_frame_is_the_output_while_small_and_bounded():
    likelihood = PerFrameNormal(1, per_feature=False)
    log_scale = jax.vmap(likelihood.log_scale)(jnp.asarray([[0.0, 0.1], [0.0, 1e4], [0.0, -1e4]]))
    # 10 tanh(0.01) = 0.1 to 3e-6.
    np.testing.assert_allclose(log_scale[:, 0], [0.1, 10.0, -10.0], rtol=1e-4)


@pytest.mark.parametrize("sigma", [0.0, -1.0, float("nan")])
def test_a_width_that_is_not_positive_is_refused(sigma):
    with pytest.raises(InputError, match="`sigma` must be positive"):
        Normal.of(3, sigma=sigma)
