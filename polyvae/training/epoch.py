"""One epoch as one compiled loop: shuffle, gather, gradient, update, validate, keep the best.

Data live on the device, the state is donated, and the function is compiled once for a shape: epochs, seeds and
repeated fits reuse it.
"""

from dataclasses import dataclass
from typing import Any, Literal

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, PRNGKeyArray

from polyvae.training.state import TrainingState
from polyvae.vae import VAE, ElboTerms, elbo_terms

# Epochs fold their number into the run's key; these numbers, which no epoch reaches, make the other streams.
VALIDATION_STREAM = 2**32 - 1
NOISE_STREAM = 2**32 - 2

SIGMA_RATE = 10.0
"""Learning rate of the decoder's log width, relative to that of the weights: the width has to follow the residuals,
which fall by orders of magnitude, and Adam moves any one number by no more than the learning rate a step."""


@dataclass(frozen=True, kw_only=True)
class EpochPlan:
    """The settings that the compiled epoch depends on; equal plans share one compilation."""

    batch_size: int
    steps: int
    total_steps: int
    warmup_steps: int
    learning_rate: float
    schedule: Literal["cosine", "constant"]
    gradient_clip: float
    beta: float

    def optimizer(self) -> optax.GradientTransformation:
        """Adam with the plan's schedule and clipping."""
        if self.schedule == "cosine":
            rate = optax.cosine_decay_schedule(self.learning_rate, self.total_steps, alpha=0.01)
        else:
            rate = self.learning_rate
        clip = optax.clip_by_global_norm(self.gradient_clip) if self.gradient_clip > 0 else optax.identity()
        return optax.chain(clip, optax.adam(rate))


class EpochInputs(eqx.Module):
    """What an epoch reads and leaves alone.

    Attributes:
        train: training features under every symmetry, shape (symmetries, frames, features).
        validation: validation features, shape (frames, features).
        key: the run's key; every epoch folds its number in.
        static: the parts of the VAE that are not trained.
    """

    train: Float[Array, "symmetries frames features"]
    validation: Float[Array, "validation features"]
    key: PRNGKeyArray
    static: Any


class EpochMetrics(eqx.Module):
    """Terms of the objective over one epoch, nats per frame."""

    train: ElboTerms
    validation: ElboTerms
    sigma: Float[Array, ""]


def trainable(vae: VAE) -> tuple[Any, Any]:
    """The VAE split into trained arrays and the rest."""
    return eqx.partition(vae, eqx.is_inexact_array)


def _with_sigma_rate(updates: Any) -> Any:
    """The optimizer's updates with the larger rate of the decoder's width."""
    return eqx.tree_at(lambda tree: tree.log_sigma, updates, SIGMA_RATE * updates.log_sigma)


def initial_state(vae: VAE, plan: EpochPlan) -> TrainingState:
    """The state before the first epoch."""
    parameters, _ = trainable(vae)
    copy = jax.tree.map(jnp.copy, parameters)
    return TrainingState(
        parameters=jax.tree.map(jnp.copy, parameters),
        optimizer=plan.optimizer().init(parameters),
        best_parameters=copy,
        best_bound=jnp.asarray(-jnp.inf, jnp.result_type(float)),
        best_epoch=jnp.asarray(-1, jnp.int32),
        epoch=jnp.asarray(0, jnp.int32),
    )


@eqx.filter_jit(donate="all-except-first")
def run_epoch(
    inputs: EpochInputs, state: TrainingState, plan: EpochPlan
) -> tuple[TrainingState, EpochMetrics]:
    """One pass over the training frames and one over the validation frames.

    Args:
        inputs: data and key, left untouched.
        state: donated; use the one returned.
        plan: settings known at compile time.
    """
    n_symmetries, n_frames, _ = inputs.train.shape
    optimizer = plan.optimizer()
    shuffle_key, symmetry_key, noise_key = jax.random.split(jax.random.fold_in(inputs.key, state.epoch), 3)
    used = plan.steps * plan.batch_size
    order = jax.random.permutation(shuffle_key, n_frames)[:used].reshape(plan.steps, plan.batch_size)
    images = jax.random.randint(symmetry_key, order.shape, 0, n_symmetries)
    first_step = state.epoch * plan.steps

    def loss(parameters: Any, batch: Array, key: PRNGKeyArray, weight: Array) -> tuple[Array, ElboTerms]:
        vae = eqx.combine(parameters, inputs.static)
        if not vae.learn_sigma:
            vae = eqx.tree_at(lambda tree: tree.log_sigma, vae, jax.lax.stop_gradient(vae.log_sigma))
        terms = elbo_terms(vae, batch, key)
        return -terms.bound(weight), terms

    def step(carry: tuple[Any, Any], item: tuple[Array, Array, Array]) -> tuple[tuple[Any, Any], ElboTerms]:
        parameters, optimizer_state = carry
        rows, image, index = item
        batch = inputs.train[image, rows]
        ramp = jnp.minimum(1.0, (first_step + index + 1) / max(plan.warmup_steps, 1))
        weight = jnp.asarray(plan.beta * ramp, batch.dtype)
        gradient, terms = jax.grad(loss, has_aux=True)(
            parameters, batch, jax.random.fold_in(noise_key, index), weight
        )
        # Optax mixes integer counters with floats, which strict promotion forbids.
        with jax.numpy_dtype_promotion("standard"):
            updates, optimizer_state = optimizer.update(gradient, optimizer_state, parameters)
        updates = _with_sigma_rate(updates)
        return (optax.apply_updates(parameters, updates), optimizer_state), terms

    steps = jnp.arange(plan.steps, dtype=jnp.int32)
    (parameters, optimizer_state), terms = jax.lax.scan(
        step, (state.parameters, state.optimizer), (order, images, steps)
    )
    vae = eqx.combine(parameters, inputs.static)
    # The same noise every epoch, so that epochs are compared on equal terms.
    validation = elbo_terms(vae, inputs.validation, jax.random.fold_in(inputs.key, VALIDATION_STREAM))
    bound = validation.bound(plan.beta)
    # A bound reached before the KL term has its full weight is not comparable with later ones.
    warmed_up = (state.epoch + 1) * plan.steps >= plan.warmup_steps
    is_best = (bound > state.best_bound) & warmed_up
    new_state = TrainingState(
        parameters=parameters,
        optimizer=optimizer_state,
        best_parameters=jax.tree.map(
            lambda new, old: jnp.where(is_best, new, old), parameters, state.best_parameters
        ),
        best_bound=jnp.where(is_best, bound, state.best_bound),
        best_epoch=jnp.where(is_best, state.epoch, state.best_epoch),
        epoch=state.epoch + 1,
    )
    metrics = EpochMetrics(
        train=jax.tree.map(lambda leaf: jnp.mean(leaf, axis=0), terms),
        validation=validation,
        sigma=jnp.exp(vae.log_sigma),
    )
    return new_state, metrics
