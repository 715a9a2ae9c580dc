"""The decoder's covariance after training."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from polyvae.training.noise import shrunk_covariance, with_residual_covariance
from polyvae.vae import ModelConfig
from polyvae.vae.vae import initialize_vae


def random_covariance(rng: np.random.Generator, n: int) -> np.ndarray:
    factor = rng.normal(size=(n, n)) * np.geomspace(0.1, 1.0, n)[:, None]
    return factor @ factor.T + 0.01 * np.eye(n)


def test_without_need_to_shrink_the_covariance_is_that_of_the_data(rng):
    moment = random_covariance(rng, 6)
    # Held-out data of the very same covariance ask for the smallest shrinkage on the list, 1e-4.
    np.testing.assert_allclose(shrunk_covariance(moment, moment), moment, atol=2e-4 * np.trace(moment))


def test_shrinkage_keeps_the_mean_variance(rng):
    moment, held_out = random_covariance(rng, 6), random_covariance(rng, 6)
    assert np.trace(shrunk_covariance(moment, held_out)) == pytest.approx(np.trace(moment), rel=1e-9)


def test_few_frames_are_shrunk_towards_the_truth_and_stay_positive_definite(rng):
    truth, n = np.eye(20), 10
    frames = rng.normal(size=(n, 20))
    moment = frames.T @ frames / n
    shrunk = shrunk_covariance(moment, truth)
    assert np.linalg.eigvalsh(moment).min() < 1e-10
    assert np.linalg.eigvalsh(shrunk).min() > 1e-3
    assert np.linalg.norm(shrunk - truth) < np.linalg.norm(moment - truth)


def test_the_noise_is_the_covariance_of_the_residuals_of_drawn_latents(rng):
    vae = initialize_vae(ModelConfig(hidden=(8,)), 4, seed=0)
    factor = np.tril(rng.normal(size=(4, 4))) + np.eye(4)
    features = jnp.asarray(rng.normal(size=(5000, 4)) @ factor.T, jnp.float32)
    held_out = jnp.asarray(rng.normal(size=(5000, 4)) @ factor.T, jnp.float32)
    fitted = with_residual_covariance(vae, features[None], held_out, jax.random.key(3))
    residuals = np.asarray(features - vae.decode(vae.encode(features).sample(jax.random.key(9))), np.float64)
    moment = residuals.T @ residuals / len(residuals)
    ours = np.asarray(fitted.residual_cholesky @ fitted.residual_cholesky.T)
    # Other draws of z, and shrinkage of at most a percent.
    np.testing.assert_allclose(ours, moment, atol=0.03 * np.trace(moment) / 4)
    np.testing.assert_array_equal(np.triu(fitted.residual_cholesky, 1), 0.0)
    assert float(jnp.exp(fitted.log_sigma)) == pytest.approx(np.sqrt(np.trace(moment) / 4), rel=0.01)


def test_encoder_and_decoder_stay_as_they_are(rng):
    vae = initialize_vae(ModelConfig(hidden=(8,)), 4, seed=0)
    features = jnp.asarray(rng.normal(size=(50, 4)), jnp.float32)
    fitted = with_residual_covariance(vae, features[None], features, jax.random.key(3))
    before, after = (jax.tree.leaves((model.encoder, model.decoder)) for model in (vae, fitted))
    for one, other in zip(before, after, strict=True):
        np.testing.assert_array_equal(one, other)
