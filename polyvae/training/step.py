"""What an epoch is made of: frames dealt to steps, gradient, update, validation, the best parameters so far."""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float, Int, Key, PRNGKeyArray

from polyvae._arrays import device_array
from polyvae.training.kl_weight import elbo_share, next_log_beta, ramp
from polyvae.training.plan import EpochPlan
from polyvae.training.shuffling import shuffled
from polyvae.training.state import TrainingState
from polyvae.training.stored_vectors import StoredVectors
from polyvae.vae import VAE, ElboTerms
from polyvae.vae.objectives import objective_terms

# Epochs fold their number into the run's key; these numbers, which no epoch reaches, make the other streams.
VALIDATION_STREAM = 2**32 - 1
NOISE_STREAM = 2**32 - 2
DIAGNOSIS_STREAM = 2**32 - 3

_SHUFFLE, _SYMMETRY, _NOISE = range(3)

SIGMA_RATE = 10.0
"""Learning rate of the logarithms of a likelihood's widths, relative to that of the weights: a width has to follow the
residuals, which fall by orders of magnitude, and Adam moves any one number by no more than the learning rate a step."""

FEWEST_VALIDATION_DRAWS = 1024
"""Few validation frames are drawn for several times over, so that epochs are not chosen by the luck of a draw."""

_RATE_PENALTY = 10.0
_RATE_TOLERANCE = 0.02


class EpochInputs(eqx.Module):
    """What an epoch reads and leaves alone.

    Attributes:
        train: training features under every symmetry, shape (symmetries, frames, features), on the device or in a file;
            no frames for what does not look at them.
        train_weights: weight of each training frame, of mean 1; None for equal ones.
        n_frames: number of training frames, or of pairs of them, that an epoch deals out.
        validation: validation features, shape (frames, features).
        validation_weights: weight of each validation frame, of mean 1.
        key: the run's key; every epoch folds its number in. One key a member for several.
        static: the parts of the VAE that are not trained.
        pairs: training frames a lag time apart, dealt out in place of single ones; None for single frames.
        validation_lagged: the vector a lag time after each validation frame, likewise.
    """

    train: Float[Array, "symmetries held features"] | StoredVectors
    train_weights: Float[Array, " frames"] | None
    n_frames: int = eqx.field(static=True)
    validation: Float[Array, "validation features"]
    validation_weights: Float[Array, " validation"]
    key: Key[Array, "*members"]
    static: Any
    pairs: Int[Array, "pairs 2"] | None = None
    validation_lagged: Float[Array, "validation features"] | None = None

    def weights_of(self, rows: Int[Array, "*shape"]) -> Float[Array, "*dealt"]:
        """Weights of some training frames; a pair has that of its first frame."""
        if self.pairs is not None:
            rows = rows[..., 0]
        if self.train_weights is None:
            return jnp.ones(rows.shape, self.train.dtype)
        return self.train_weights[rows]

    def without_frames(self) -> "EpochInputs":
        """The same without training features: what a compiled function takes that does not look at them."""
        n_symmetries, _, n_features = self.train.shape
        empty = jnp.zeros((n_symmetries, 0, n_features), self.train.dtype)
        return eqx.tree_at(lambda tree: tree.train, self, empty)


class EpochMetrics(eqx.Module):
    """Terms of the objective over one epoch, nats per frame.

    Attributes:
        train: mean over the epoch's steps.
        validation: at the end of the epoch.
        train_bound: the objective with the full weight of the KL divergence.
        validation_bound: the same on validation frames; what early stopping compares.
        sigma: width of a normal likelihood, NaN for other families.
        beta: weight of the KL divergence at the end of the epoch.
    """

    train: ElboTerms
    validation: ElboTerms
    train_bound: Float[Array, ""]
    validation_bound: Float[Array, ""]
    sigma: Float[Array, ""]
    beta: Float[Array, ""]


def trainable(vae: VAE) -> tuple[Any, Any]:
    """The VAE split into trained arrays and the rest."""
    return eqx.partition(vae, eqx.is_inexact_array)


def initial_state(vae: VAE, plan: EpochPlan, beta: float) -> TrainingState:
    """The state before the first epoch."""
    parameters, _ = trainable(vae)
    dtype = np.dtype(jnp.result_type(float))
    with np.errstate(divide="ignore"):
        log_beta = np.asarray(np.log(beta), dtype)

    def put(tree: Any) -> Any:
        # A copy made by the host: each function for a shape would be traced and compiled.
        return jax.tree.map(device_array, tree)

    return TrainingState(
        parameters=put(parameters),
        optimizer=jax.jit(plan.optimizer().init)(parameters),
        best_parameters=put(parameters),
        best_bound=device_array(-np.inf, dtype),
        best_epoch=device_array(np.int32(-1)),
        epoch=device_array(np.int32(0)),
        log_beta=device_array(log_beta),
    )


Carry = tuple[Any, Any, Array]
"""Parameters, the optimizer's state and the logarithm of the full weight of the KL divergence."""


def _epoch_key(inputs: EpochInputs, epoch: Array, stream: int) -> Array:
    # Folded twice rather than split: one function less to lower in every process.
    return jax.random.fold_in(jax.random.fold_in(inputs.key, epoch), stream)


def dealt_frames(
    inputs: EpochInputs, epoch: Array, plan: EpochPlan, steps: Int[Array, " some"]
) -> tuple[Array, Array]:
    """The frames of some steps of an epoch and the symmetry that each is seen under, shape (some, batch).

    Every frame has its turn once an epoch; where the frames do not fill the last batch, some wait for the next one.
    Where pairs are dealt out, frames have the shape (some, batch, 2) and symmetries (some, batch, 1).
    """
    n_symmetries, batch_size = inputs.train.shape[0], plan.batch_size
    places = steps[:, None] * batch_size + jnp.arange(batch_size, dtype=jnp.int32)[None, :]
    rows = shuffled(_epoch_key(inputs, epoch, _SHUFFLE), inputs.n_frames, places)
    if inputs.pairs is not None:
        rows = inputs.pairs[rows]
    # Both frames of a pair are seen under the same symmetry.
    shape = (len(steps), batch_size) + (1,) * (rows.ndim - 2)
    if n_symmetries == 1:
        return rows, jnp.zeros(shape, jnp.uint8)
    symmetry_key = _epoch_key(inputs, epoch, _SYMMETRY)

    def images(step: Array) -> Array:
        return jax.random.randint(jax.random.fold_in(symmetry_key, step), (batch_size,), 0, n_symmetries)

    return rows, jax.vmap(images)(steps).astype(jnp.uint8).reshape(shape)


def stepper(
    inputs: EpochInputs, epoch: Array, plan: EpochPlan
) -> Callable[[Carry, Array, Array, Array], tuple[Carry, ElboTerms]]:
    """The step of an epoch: from a batch, the weights of its frames and the step's number."""
    optimizer = plan.optimizer()
    noise_key = _epoch_key(inputs, epoch, _NOISE)
    first_step = epoch * plan.steps

    def loss(
        parameters: Any, batch: Array, weights: Array, key: PRNGKeyArray, beta: Array, share: Array
    ) -> tuple[Array, tuple[ElboTerms, Any]]:
        vae = eqx.combine(parameters, inputs.static)
        lagged = None
        if inputs.pairs is not None:
            batch, lagged = batch[:, 0], batch[:, 1]
        terms = objective_terms(
            vae,
            batch,
            key,
            plan.objective,
            beta=beta,
            weights=weights,
            n_frames=inputs.n_frames,
            lagged=lagged,
        )
        refitted = None
        if plan.analytic_scale:
            target = lagged if plan.objective.lagged_target and lagged is not None else batch
            refitted = _refitted(vae, batch, target, weights, key)
        bound = terms.bound(beta, free_bits=plan.objective.free_bits)
        if plan.objective.vamp > 0:
            bound = share * (bound - terms.extra) + terms.extra
        return -bound, (terms, refitted)

    def step(carry: Carry, batch: Array, weights: Array, index: Array) -> tuple[Carry, ElboTerms]:
        parameters, optimizer_state, log_beta = carry
        full = jnp.exp(log_beta)
        grown = ramp(first_step + index, plan).astype(full.dtype)
        beta = full * grown
        gradient, (terms, refitted) = jax.grad(loss, has_aux=True)(
            parameters, batch, weights, jax.random.fold_in(noise_key, index), beta, elbo_share(grown)
        )
        # Optax mixes integer counters with floats, which strict promotion forbids.
        with jax.numpy_dtype_promotion("standard"):
            updates, optimizer_state = optimizer.update(gradient, optimizer_state, parameters)
        parameters = optax.apply_updates(parameters, _with_sigma_rate(updates))
        if refitted is not None:
            parameters = eqx.tree_at(lambda tree: tree.likelihood, parameters, refitted)
        if plan.rate_target is not None:
            rate = jnp.sum(terms.kl)
            log_beta = next_log_beta(log_beta, rate, first_step + index, plan, inputs.static.latent_dim)
        return (parameters, optimizer_state, log_beta), terms

    return step


def closed_epoch(
    inputs: EpochInputs, state: TrainingState, terms: ElboTerms, plan: EpochPlan
) -> tuple[TrainingState, EpochMetrics]:
    """The end of an epoch: validation, the best parameters so far, and what is reported.

    Args:
        inputs: data and key.
        state: the state after the last step.
        terms: those of every step, with a leading axis of steps.
        plan: settings.
    """
    parameters, optimizer_state, log_beta = state.parameters, state.optimizer, state.log_beta
    vae = eqx.combine(parameters, inputs.static)
    train = jax.tree.map(lambda leaf: jnp.mean(leaf, axis=0), terms)
    beta = jnp.exp(log_beta)
    validation = validation_terms(vae, inputs, plan, beta)
    rate = jnp.sum(train.kl)
    bound = _compared_bound(validation, rate, beta, plan)
    # A bound reached before the KL term has its full weight is not comparable with later ones.
    full_weight = ramp((state.epoch + 1) * plan.steps - 1, plan) >= 1.0
    is_best = (bound > state.best_bound) & full_weight
    if plan.patience is not None:
        waited = jnp.where(state.best_epoch >= 0, state.epoch - 1 - state.best_epoch, 0)
        is_best = is_best & (waited < plan.patience)
    new_state = TrainingState(
        parameters=parameters,
        optimizer=optimizer_state,
        best_parameters=jax.tree.map(
            lambda new, old: jnp.where(is_best, new, old), parameters, state.best_parameters
        ),
        best_bound=jnp.where(is_best, bound, state.best_bound),
        best_epoch=jnp.where(is_best, state.epoch, state.best_epoch),
        epoch=state.epoch + 1,
        log_beta=log_beta,
    )
    metrics = EpochMetrics(
        train=train,
        validation=validation,
        train_bound=_compared_bound(train, rate, beta, plan),
        validation_bound=bound,
        sigma=shared_sigma(vae),
        beta=beta,
    )
    return new_state, metrics


def validation_terms(vae: VAE, inputs: EpochInputs, plan: EpochPlan, beta: Array) -> ElboTerms:
    """Terms of the objective on validation frames, averaged over several draws where frames are few."""
    # The same noise every epoch, so that epochs are compared on equal terms.
    key = jax.random.fold_in(inputs.key, VALIDATION_STREAM)

    def terms(key: PRNGKeyArray) -> ElboTerms:
        return objective_terms(
            vae,
            inputs.validation,
            key,
            plan.objective,
            beta=beta,
            weights=inputs.validation_weights,
            lagged=inputs.validation_lagged,
        )

    draws = -(-FEWEST_VALIDATION_DRAWS // max(len(inputs.validation), 1))
    if draws == 1:
        return terms(key)
    drawn = jax.vmap(lambda draw: terms(jax.random.fold_in(key, draw)))(jnp.arange(draws))
    return jax.tree.map(lambda leaf: jnp.mean(leaf, axis=0), drawn)


def shared_sigma(vae: VAE) -> Float[Array, ""]:
    """Root mean square width of a likelihood whose widths are shared by all frames, scaled units; NaN for others."""
    log_scale = getattr(vae.likelihood, "log_scale", None)
    if not isinstance(log_scale, jax.Array):
        return jnp.asarray(jnp.nan, jnp.result_type(float))
    return jnp.sqrt(jnp.mean(jnp.exp(2.0 * log_scale)))


def _compared_bound(terms: ElboTerms, rate: Array, beta: Array, plan: EpochPlan) -> Array:
    """The number by which epochs are compared.

    With a rate target the weight of the KL divergence changes from epoch to epoch; there it is the ELBO, less a
    penalty where the rate on training frames, which the controller steers, is further than 2 % from the target.
    """
    if plan.rate_target is None:
        return terms.bound(beta, free_bits=plan.objective.free_bits)
    missed = jnp.abs(rate - plan.rate_target) - _RATE_TOLERANCE * plan.rate_target
    return terms.bound(1.0) - _RATE_PENALTY * jnp.maximum(missed, 0.0)


def _refitted(vae: VAE, batch: Array, target: Array, weights: Array, key: PRNGKeyArray) -> Any:
    """The trained arrays of the likelihood at its closed-form optimum for this batch, if any frame has weight."""
    vae = eqx.combine(jax.lax.stop_gradient(eqx.filter(vae, eqx.is_inexact_array)), vae)
    latent = vae.encode(batch).sample(key)
    refitted = vae.likelihood.refitted(target, vae.outputs(latent), weights)
    new, old = (eqx.filter(likelihood, eqx.is_inexact_array) for likelihood in (refitted, vae.likelihood))
    some = jnp.sum(weights) > 0
    return jax.tree.map(lambda new, old: jnp.where(some, new, old), new, old)


def _with_sigma_rate(updates: Any) -> Any:
    """The optimizer's updates with the larger rate of the likelihood's widths."""

    def scaled(path: tuple[Any, ...], leaf: Array) -> Array:
        name = path[-1].name if path and hasattr(path[-1], "name") else ""
        return SIGMA_RATE * leaf if name.startswith("log_") else leaf

    return eqx.tree_at(
        lambda tree: tree.likelihood, updates, jax.tree_util.tree_map_with_path(scaled, updates.likelihood)
    )
