"""The decoder's covariance after training."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from polyvae.training.data import TrainingData
from polyvae.training.noise import shrunk_covariance, with_fitted_noise
from polyvae.vae import ModelConfig, make_vae
from polyvae.vae.likelihoods import CorrelatedNormal, LowRankNormal, Normal, PerFrameNormal, StudentT


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


def data_of(features: np.ndarray, held_out: np.ndarray, weights: np.ndarray | None = None) -> TrainingData:
    dtype = jnp.result_type(float)
    return TrainingData(
        train=jnp.asarray(features, dtype)[None],
        validation=jnp.asarray(held_out, dtype),
        train_weights=None if weights is None else jnp.asarray(weights, dtype),
        validation_weights=jnp.ones(len(held_out)),
    )


SMALL = ModelConfig(hidden=(8,))
ISOTROPIC = ModelConfig(hidden=(8,), residual="isotropic")


def drawn_residuals(vae, features, seed: int) -> np.ndarray:
    features = jnp.asarray(features, jnp.result_type(float))
    latent = vae.encode(features).sample(jax.random.key(seed))
    return np.asarray(features - vae.decode(latent), np.float64)


def test_the_noise_is_the_covariance_of_the_residuals_of_drawn_latents(rng):
    vae = make_vae(Normal.of(4), SMALL, seed=0)
    factor = np.tril(rng.normal(size=(4, 4))) + np.eye(4)
    features, held_out = (rng.normal(size=(5000, 4)) @ factor.T for _ in range(2))
    fitted = with_fitted_noise(vae, SMALL, data_of(features, held_out), jax.random.key(3)).likelihood
    residuals = drawn_residuals(vae, features, 9)
    moment = residuals.T @ residuals / len(residuals)
    assert isinstance(fitted, CorrelatedNormal)
    # Other draws of z, and shrinkage of at most a percent.
    np.testing.assert_allclose(fitted.covariance, moment, atol=0.03 * np.trace(moment) / 4)


def test_frames_count_by_their_weight(rng):
    vae = make_vae(Normal.of(3), SMALL, seed=0)
    narrow, wide = 0.1 * rng.normal(size=(3000, 3)), rng.normal(size=(1000, 3))
    features = np.concatenate([narrow, wide])
    weights = np.repeat([0.0, 4.0], [3000, 1000])
    fitted = with_fitted_noise(vae, SMALL, data_of(features, wide, weights), jax.random.key(3)).likelihood
    residuals = drawn_residuals(vae, wide, 9)
    # A thousand frames: 4.5 % of a variance, three of these.
    np.testing.assert_allclose(np.diagonal(fitted.covariance), np.mean(residuals**2, axis=0), rtol=0.14)


@pytest.mark.parametrize("per_feature", [False, True])
def test_a_learned_width_is_the_root_mean_square_of_the_residuals(x64, rng, per_feature):
    vae = make_vae(Normal.of(3, per_feature=per_feature), ISOTROPIC, seed=0)
    features, weights = rng.normal(size=(200, 3)), rng.uniform(0.0, 2.0, size=200)
    key = jax.random.key(3)
    fitted = with_fitted_noise(vae, ISOTROPIC, data_of(features, features, weights), key).likelihood
    # The draws: one block of 1024 rows, of which 200 are filled, the first symmetry and the first block.
    block = jnp.zeros((1024, 3)).at[:200].set(features)
    latent = vae.encode(block).sample(jax.random.fold_in(jax.random.fold_in(key, 0), 0))
    square = np.average(np.asarray(block - vae.decode(latent))[:200] ** 2, axis=0, weights=weights)
    expected = np.sqrt(square if per_feature else square.mean())
    np.testing.assert_allclose(jnp.exp(fitted.log_scale), expected, rtol=1e-9)


def test_noise_that_is_fixed_or_of_another_family_stays_as_it_was(rng):
    features = rng.normal(size=(50, 3))
    data, key = data_of(features, features), jax.random.key(3)
    for likelihood in (
        Normal.of(3, sigma=0.3, learn=False),
        StudentT.of(3),
        PerFrameNormal(3, per_feature=True),
    ):
        vae = make_vae(likelihood, ISOTROPIC, seed=0)
        assert with_fitted_noise(vae, ISOTROPIC, data, key) is vae


def test_network_and_prior_stay_as_they_are(rng):
    vae = make_vae(Normal.of(4), ModelConfig(hidden=(8,), prior="mixture"), seed=0)
    features = rng.normal(size=(50, 4))
    fitted = with_fitted_noise(vae, SMALL, data_of(features, features), jax.random.key(3))
    before, after = (jax.tree.leaves((model.network, model.prior)) for model in (vae, fitted))
    for one, other in zip(before, after, strict=True):
        np.testing.assert_array_equal(one, other)


def test_long_vectors_get_noise_in_a_few_directions_and_their_own(rng, monkeypatch):
    monkeypatch.setattr("polyvae.training.noise.LARGEST_COVARIANCE", 10)
    directions = np.linalg.qr(rng.normal(size=(20, 2)))[0] * np.array([3.0, 2.0])
    own = 0.5 + rng.uniform(size=20)
    features = rng.normal(size=(3000, 2)) @ directions.T + own * rng.normal(size=(3000, 20))
    vae = make_vae(Normal.of(20), SMALL, seed=0)
    # A decoder that always says zero: residuals are the features.
    silent = [0.0 * leaf for leaf in vae.network.decoder.weights]
    vae = eqx.tree_at(lambda tree: tree.network.decoder.weights, vae, tuple(silent))
    config = ModelConfig(hidden=(8,), residual_rank=2)
    fitted = with_fitted_noise(vae, config, data_of(features, features), jax.random.key(3)).likelihood
    assert isinstance(fitted, LowRankNormal)
    moment = features.T @ features / len(features)
    expected = LowRankNormal.from_moment(moment, 2)
    # The same estimate from random projections of the moment, in float32.
    np.testing.assert_allclose(fitted.covariance, expected.covariance, atol=2e-3 * moment.max())
    np.testing.assert_allclose(np.diagonal(fitted.covariance), np.diagonal(moment), rtol=1e-4)
