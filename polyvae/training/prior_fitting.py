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
from jaxtyping import Array, Bool, Float, Key, PRNGKeyArray

from polyvae.training.data import TrainingData
from polyvae.training.stored_vectors import vectors_at
from polyvae.trajectory.sampling import spread_rows
from polyvae.vae import VAE, ModelConfig
from polyvae.vae.posteriors import DiagonalNormal
from polyvae.vae.priors import NormalMixture, Prior
from polyvae.vae.vae import initial_prior

_STEPS = 3000
_BATCH = 512
_LEARNING_RATE = 3e-3
_CHECKS = 30
_AT_ONCE = 10


def with_fitted_prior(vae: VAE, config: ModelConfig, data: TrainingData, *, seed: int) -> VAE:
    """The VAE with the prior of the settings, fitted to its aggregate posterior.

    Args:
        vae: trained with a standard normal prior.
        config: names the prior.
        data: training frames, which the prior is fitted to, and validation frames, which decide when to stop.
        seed: of start values and draws.
    """
    n_symmetries, n_frames, _ = data.train.shape
    rng = np.random.default_rng([seed, 3])
    examples = np.asarray(_frames(data, spread_rows(n_symmetries * n_frames)))
    prior = initial_prior(config, vae.n_features, rng, examples)
    if isinstance(prior, NormalMixture):
        prior = _spread_over(prior, vae, data, rng)
    vae = eqx.tree_at(lambda tree: tree.prior, vae, prior)
    parameters, static = eqx.partition(prior, eqx.is_inexact_array)
    best = _fitted(vae, parameters, static, data, jax.random.key(seed))
    return eqx.tree_at(lambda tree: tree.prior, vae, eqx.combine(best, static))


def _frames(data: TrainingData, numbers: np.ndarray) -> Array:
    """Training vectors by their numbers, those under one symmetry after those under the other."""
    images, rows = np.divmod(numbers, data.train.shape[1])
    return vectors_at(data.train, images, rows)


def _spread_over(prior: NormalMixture, vae: VAE, data: TrainingData, rng: np.random.Generator) -> Prior:
    """The mixture with its means at posterior means of frames far apart, as wide as leaves no hole between them."""
    n_components, latent_dim = prior.components.mean.shape
    n_vectors, shares = data.train.shape[0] * data.n_frames, None
    n_counted = n_vectors
    if data.train_weights is not None:
        shares = np.tile(np.asarray(data.train_weights, np.float64), data.train.shape[0])
        shares, n_counted = shares / shares.sum(), int(np.count_nonzero(shares))
    count = min(n_counted, 20 * n_components)
    some = _frames(data, rng.choice(n_vectors, count, replace=False, p=shares))
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


def _fitted(vae: VAE, parameters: Any, static: Any, data: TrainingData, key: PRNGKeyArray) -> Any:
    """The prior's arrays at the step with the best mean log-density on validation draws."""
    validation_key, train_key = jax.random.split(key)
    held_out, value = _held_out(vae, parameters, static, data, validation_key)
    keys, numbers = _dealt(train_key, data.train.shape[0] * data.train.shape[1])
    numbers = np.asarray(numbers)
    n_frames = data.train.shape[1]
    state: _Fit = (parameters, _optimizer().init(parameters), parameters, value)
    for first in range(0, _STEPS, _AT_ONCE):
        rows = numbers[first : first + _AT_ONCE]
        state = _advanced(
            vae,
            static,
            state,
            _frames(data, rows),
            data.weights_of(rows % n_frames),
            keys[first : first + _AT_ONCE],
            held_out,
            data.validation_weights,
            jnp.asarray((first + _AT_ONCE) % (_STEPS // _CHECKS) == 0),
        )
    return state[2]


_Fit = tuple[Any, Any, Any, Array]
"""Parameters, the optimizer's state, the best parameters so far and their mean log-density."""


def _optimizer() -> optax.GradientTransformation:
    return optax.chain(
        optax.clip_by_global_norm(10.0), optax.adam(optax.cosine_decay_schedule(_LEARNING_RATE, _STEPS, 0.01))
    )


@eqx.filter_jit
def _dealt(key: PRNGKeyArray, n_vectors: int) -> tuple[Array, Array]:
    """The key of every step's noise, and the numbers of its vectors."""

    def one(index: Array) -> tuple[Array, Array]:
        rows_key, noise_key = jax.random.split(jax.random.fold_in(key, index))
        return noise_key, jax.random.randint(rows_key, (_BATCH,), 0, n_vectors)

    return jax.vmap(one)(jnp.arange(_STEPS, dtype=jnp.int32))


@eqx.filter_jit
def _held_out(
    vae: VAE, parameters: Any, static: Any, data: TrainingData, key: PRNGKeyArray
) -> tuple[Array, Array]:
    """Validation draws, and their mean log-density at the start."""
    drawn = vae.encode(data.validation).sample(key)
    return drawn, _log_density(vae, parameters, static, drawn, data.validation_weights)


def _log_density(vae: VAE, parameters: Any, static: Any, latent: Array, weights: Array) -> Array:
    prior = eqx.combine(parameters, static).resolved(vae.encode)
    return jnp.mean(weights * jax.vmap(prior.log_prob)(latent))


@eqx.filter_jit
def _advanced(
    vae: VAE,
    static: Any,
    fit: _Fit,
    batches: Float[Array, "steps batch features"],
    weights: Float[Array, "steps batch"],
    keys: Key[Array, " steps"],
    held_out: Float[Array, "validation latent"],
    validation_weights: Float[Array, " validation"],
    check: Bool[Array, ""],
) -> _Fit:
    """Some steps of gradient ascent; where `check` says so, the parameters are compared with the best so far."""
    optimizer = _optimizer()

    def step(carry: tuple[Any, Any], item: tuple[Array, Array, Array]) -> tuple[tuple[Any, Any], None]:
        parameters, state = carry
        batch, weights, key = item
        latent = vae.encode(batch).sample(key)
        gradient = jax.grad(lambda values: -_log_density(vae, values, static, latent, weights))(parameters)
        # Optax mixes integer counters with floats, which strict promotion forbids.
        with jax.numpy_dtype_promotion("standard"):
            updates, state = optimizer.update(gradient, state, parameters)
        return (optax.apply_updates(parameters, updates), state), None

    parameters, state, best, best_value = fit
    (parameters, state), _ = jax.lax.scan(step, (parameters, state), (batches, weights, keys))
    value = jax.lax.cond(
        check,
        lambda: _log_density(vae, parameters, static, held_out, validation_weights),
        lambda: jnp.full_like(best_value, -jnp.inf),
    )
    best = jax.tree.map(lambda new, old: jnp.where(value > best_value, new, old), parameters, best)
    return parameters, state, best, jnp.maximum(value, best_value)
