"""The second stage: a learned prior fitted to the aggregate posterior of a trained VAE.

Networks and likelihood stay as they are. The prior that maximizes the bound is then the one nearest to the aggregate
posterior: it maximizes the mean of log p(z) over draws z ~ q(z|x) of the training frames. Generated conformations come
from where the data are, and the bound can only rise.

References:
    Dai & Wipf, Diagnosing and enhancing VAE models, 2019, arXiv:1903.05789, for the two stages.
"""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float, PRNGKeyArray

from polyvae.training.loop import TrainingData
from polyvae.vae import VAE, ModelConfig
from polyvae.vae.posteriors import DiagonalNormal
from polyvae.vae.priors import NormalMixture, Prior
from polyvae.vae.vae import initial_prior

_STEPS = 3000
_BATCH = 512
_LEARNING_RATE = 3e-3
_CHECKS = 30


def with_fitted_prior(vae: VAE, config: ModelConfig, data: TrainingData, *, seed: int) -> VAE:
    """The VAE with the prior of the settings, fitted to its aggregate posterior.

    Args:
        vae: trained with a standard normal prior.
        config: names the prior.
        data: training frames, which the prior is fitted to, and validation frames, which decide when to stop.
        seed: of start values and draws.
    """
    train = data.train.reshape(-1, data.train.shape[2])
    weights = jnp.tile(data.train_weights, data.train.shape[0])
    rng = np.random.default_rng([seed, 3])
    prior = initial_prior(config, vae.n_features, rng, np.asarray(train))
    if isinstance(prior, NormalMixture):
        prior = _spread_over(prior, vae, train, np.asarray(weights, np.float64), rng)
    vae = eqx.tree_at(lambda tree: tree.prior, vae, prior)
    parameters, static = eqx.partition(prior, eqx.is_inexact_array)
    best = _fitted(
        vae,
        parameters,
        static,
        train,
        weights,
        data.validation,
        data.validation_weights,
        jax.random.key(seed),
    )
    return eqx.tree_at(lambda tree: tree.prior, vae, eqx.combine(best, static))


def _spread_over(
    prior: NormalMixture, vae: VAE, train: Array, weights: np.ndarray, rng: np.random.Generator
) -> Prior:
    """The mixture with its means at posterior means of frames far apart, as wide as leaves no hole between them."""
    n_components, latent_dim = prior.components.mean.shape
    shares = weights / weights.sum()
    count = min(int(np.count_nonzero(shares)), 20 * n_components)
    some = train[rng.choice(len(train), count, replace=False, p=shares)]
    means = np.asarray(vae.encode(some).mean, np.float64)
    width = np.maximum(means.std(axis=0), 1e-3) * max(n_components ** (-1.0 / latent_dim), 0.1)
    dtype = prior.logits.dtype
    log_scale = jnp.broadcast_to(jnp.asarray(np.log(width), dtype)[None, :], (n_components, latent_dim))
    centers = jnp.asarray(_far_apart(means, n_components, rng), dtype)
    return NormalMixture(logits=prior.logits, components=DiagonalNormal(mean=centers, log_scale=log_scale))


def _far_apart(points: np.ndarray, count: int, rng: np.random.Generator) -> np.ndarray:
    """Some of the points, each drawn in proportion to the squared distance from those before: no peak is left out.

    References:
        Arthur & Vassilvitskii, k-means++: the advantages of careful seeding, 2007, SODA, p. 1027.
    """
    chosen = [points[rng.integers(len(points))]]
    square = np.sum((points - chosen[0]) ** 2, axis=1)
    for _ in range(count - 1):
        # More components than points: any will do.
        odds = square / square.sum() if square.sum() > 0 else None
        chosen.append(points[rng.choice(len(points), p=odds)])
        square = np.minimum(square, np.sum((points - chosen[-1]) ** 2, axis=1))
    return np.stack(chosen)


@eqx.filter_jit
def _fitted(
    vae: VAE,
    parameters: Any,
    static: Any,
    train: Float[Array, "frames features"],
    weights: Float[Array, " frames"],
    validation: Float[Array, "validation features"],
    validation_weights: Float[Array, " validation"],
    key: PRNGKeyArray,
) -> Any:
    """The prior's arrays at the step with the best mean log-density on validation draws."""
    optimizer = optax.chain(
        optax.clip_by_global_norm(10.0), optax.adam(optax.cosine_decay_schedule(_LEARNING_RATE, _STEPS, 0.01))
    )
    validation_key, train_key = jax.random.split(key)
    held_out = vae.encode(validation).sample(validation_key)

    def log_density(parameters: Any, latent: Array, weights: Array) -> Array:
        prior = eqx.combine(parameters, static).resolved(vae.encode)
        return jnp.mean(weights * jax.vmap(prior.log_prob)(latent))

    def step(carry: tuple[Any, Any], index: Array) -> tuple[tuple[Any, Any], None]:
        parameters, state = carry
        rows_key, noise_key = jax.random.split(jax.random.fold_in(train_key, index))
        rows = jax.random.randint(rows_key, (_BATCH,), 0, train.shape[0])
        latent = vae.encode(train[rows]).sample(noise_key)
        gradient = jax.grad(lambda values: -log_density(values, latent, weights[rows]))(parameters)
        # Optax mixes integer counters with floats, which strict promotion forbids.
        with jax.numpy_dtype_promotion("standard"):
            updates, state = optimizer.update(gradient, state, parameters)
        return (optax.apply_updates(parameters, updates), state), None

    def stage(carry: tuple[Any, Any, Any, Array], steps: Array) -> tuple[tuple[Any, Any, Any, Array], None]:
        parameters, state, best, best_value = carry
        (parameters, state), _ = jax.lax.scan(step, (parameters, state), steps)
        value = log_density(parameters, held_out, validation_weights)
        better = value > best_value
        best = jax.tree.map(lambda new, old: jnp.where(better, new, old), parameters, best)
        return (parameters, state, best, jnp.maximum(value, best_value)), None

    start = (
        parameters,
        optimizer.init(parameters),
        parameters,
        log_density(parameters, held_out, validation_weights),
    )
    steps = jnp.arange(_STEPS, dtype=jnp.int32).reshape(_CHECKS, -1)
    (_, _, best, _), _ = jax.lax.scan(stage, start, steps)
    return best
