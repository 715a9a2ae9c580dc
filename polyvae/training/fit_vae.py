"""`fit_vae`: a VAE trained on vectors as they are, for data other than conformations and for one's own models."""

import dataclasses
import time
from collections.abc import Callable, Sequence
from typing import Any

import equinox as eqx
import jax
import numpy as np
from jaxtyping import Float

from polyvae.errors import InputError
from polyvae.training.config import TrainConfig
from polyvae.training.data import TrainingData
from polyvae.training.diagnosis import diagnose
from polyvae.training.kl_weight import check_lagged_target, check_warmup
from polyvae.training.loop import Outcome, train, train_members
from polyvae.training.plan import EpochPlan, plan_for
from polyvae.training.prior_fitting import with_fitted_prior
from polyvae.training.results import EpochReport, VAEFit
from polyvae.training.row_data import data_of_rows
from polyvae.training.step import DIAGNOSIS_STREAM
from polyvae.vae import VAE, ModelConfig


def fit_vae(
    vae: VAE,
    vectors: Float[np.ndarray, "rows features"],
    train_config: TrainConfig | None = None,
    *,
    beta: float = 1.0,
    weights: Float[np.ndarray, " rows"] | None = None,
    validation: Float[np.ndarray, "validation features"] | None = None,
    segments: tuple[int, ...] | None = None,
    analytic_scale: bool = False,
    seed: int = 0,
    on_epoch: Callable[[EpochReport], None] | None = None,
) -> VAEFit:
    """A VAE trained by maximizing the objective of the settings on independent rows, or on those of time series.

    Args:
        vae: an untrained VAE, from `make_vae`.
        vectors: one row a sample. Training starts from outputs near 0 and a width of 1: standardize real-valued
            columns to mean 0 and standard deviation 1. Angles are in radians.
        train_config: settings of training; `test_fraction` and `augmentation` have no part in it, `blocks` and `gap`
            only with a `lag_time`. The default `batch_size` shrinks with the rows; one larger than these is refused.
        beta: weight of the KL divergence; with a rate target, the weight to begin with.
        weights: weight of each row, not negative.
        validation: rows that decide on early stopping; None holds out a random `validation_fraction` of `vectors`,
            which is right for independent rows only. With `lag_time` it is one time series, and None holds out
            contiguous blocks, with a gap of `lag_time` rows unless the settings name another.
        segments: with `lag_time`, the lengths of the time series that follow one another in `vectors`; no pair crosses
            from one to the next. None takes a single one.
        analytic_scale: set the likelihood to its closed-form optimum after every step instead of learning it by
            gradient.
        seed: of shuffling, noise and the choice of validation rows.
        on_epoch: called after every epoch.

    Raises:
        InputError: if the rows do not fit the VAE or are not finite, the weights are negative or all zero, there are
            fewer rows than a batch holds, or one-hot rows do not sum to one.
        TrainingError: if the loss was not finite before there was any model to keep.

    Warns:
        PolyvaeWarning: if columns are far from mean 0 and standard deviation 1, or angles look like degrees.
    """
    started = time.perf_counter()
    config = _checked_config(vae, train_config)
    _check_seeds("seed", [seed])
    beta = _checked_beta("beta", beta)
    check_lagged_target(config, beta)
    data, rows = data_of_rows(vae, vectors, weights, validation, segments, config, seed)
    outcome = train(
        vae,
        data,
        _plan(config, data, analytic_scale),
        epochs=config.epochs,
        beta=beta,
        seed=seed,
        started=started,
        on_epoch=on_epoch,
    )
    return _result(outcome, data, rows, config, beta, seed)


def fit_vae_ensemble(
    vaes: Sequence[VAE],
    vectors: Float[np.ndarray, "rows features"],
    train_config: TrainConfig | None = None,
    *,
    betas: Sequence[float] | None = None,
    seeds: Sequence[int] | None = None,
    weights: Float[np.ndarray, " rows"] | None = None,
    validation: Float[np.ndarray, "validation features"] | None = None,
    segments: tuple[int, ...] | None = None,
    analytic_scale: bool = False,
    split_seed: int = 0,
) -> list[VAEFit]:
    """Several VAEs of one shape trained side by side in one compiled run, each as it would be alone, to rounding.

    Args:
        vaes: untrained VAEs with the same settings and different seeds.
        vectors: one row a sample.
        train_config: settings of training.
        betas: weight of the KL divergence for each; None takes 1.
        seeds: of shuffling and noise for each; None counts from 0.
        weights: weight of each row, not negative.
        validation: as in `fit_vae`.
        segments: as in `fit_vae`.
        analytic_scale: as in `fit_vae`.
        split_seed: of the choice of validation rows.

    Returns:
        One result a VAE, in their order.

    Raises:
        InputError: as `fit_vae`, or if the VAEs differ in shape.
        TrainingError: if a loss was not finite before there was any model to keep.
    """
    started = time.perf_counter()
    vaes = list(vaes)
    if not vaes:
        raise InputError("`vaes` must hold at least one VAE.")
    config = _checked_config(vaes[0], train_config)
    if len({_shape(vae) for vae in vaes}) > 1:
        raise InputError(
            "`vaes` must all have the same settings: arrays of the same shapes, the same families."
        )
    betas = [1.0] * len(vaes) if betas is None else [_checked_beta("betas", beta) for beta in betas]
    seeds = list(range(len(vaes))) if seeds is None else list(seeds)
    for name, values in (("betas", betas), ("seeds", seeds)):
        if len(values) != len(vaes):
            raise InputError(
                f"`{name}` needs one number for each of the {len(vaes)} VAEs; got {len(values)}."
            )
    _check_seeds("seeds", seeds)
    _check_seeds("split_seed", [split_seed])
    check_lagged_target(config, *betas)
    data, rows = data_of_rows(vaes[0], vectors, weights, validation, segments, config, split_seed)
    outcomes = train_members(
        vaes,
        data,
        _plan(config, data, analytic_scale),
        epochs=config.epochs,
        betas=betas,
        seeds=seeds,
        started=started,
    )
    return [
        _result(outcome, data, rows, config, beta, seed)
        for outcome, beta, seed in zip(outcomes, betas, seeds, strict=True)
    ]


def fit_prior(
    vae: VAE,
    vectors: Float[np.ndarray, "rows features"],
    config: ModelConfig,
    *,
    weights: Float[np.ndarray, " rows"] | None = None,
    validation: Float[np.ndarray, "validation features"] | None = None,
    seed: int = 0,
) -> VAE:
    """A trained VAE with another prior, fitted to its aggregate posterior; networks and likelihood stay.

    Args:
        vae: a trained VAE.
        vectors: the rows that it was trained on.
        config: `prior` ("mixture", "vamp" or "flow") and `prior_components` are used.
        weights: weight of each row, not negative.
        validation: rows that decide when to stop; None holds out a random tenth.
        seed: of start values, draws and the choice of validation rows.

    Raises:
        InputError: if the prior has nothing to fit, or the rows or weights cannot be used.
    """
    if not isinstance(vae, VAE):
        raise InputError(f"`vae` must be a trained VAE, such as `fit_vae(...).vae`; got {_described(vae)}.")
    if config.prior not in ("mixture", "vamp", "flow"):
        raise InputError(f"`prior={config.prior!r}` has nothing to fit; choose 'mixture', 'vamp' or 'flow'.")
    _check_seeds("seed", [seed])
    data, _ = data_of_rows(vae, vectors, weights, validation, None, TrainConfig(batch_size=1), seed)
    config = dataclasses.replace(config, latent_dim=vae.latent_dim, prior_scales=())
    return with_fitted_prior(vae, config, data, seed=seed)


def _check_seeds(name: str, seeds: Sequence[int]) -> None:
    if min(seeds) < 0:
        raise InputError(f"`{name}` must not be negative; got {min(seeds)}.")


def _plan(config: TrainConfig, data: TrainingData, analytic_scale: bool) -> EpochPlan:
    return plan_for(config, data.n_dealt, analytic_scale=analytic_scale)


def _shape(vae: VAE) -> tuple[Any, ...]:
    """What VAEs of one compiled run have in common; other leaves than arrays, such as functions, are compared whole."""
    leaves, structure = jax.tree.flatten(vae)
    return (structure, *((leaf.shape, str(leaf.dtype)) if eqx.is_array(leaf) else leaf for leaf in leaves))


def _checked_config(vae: object, config: object) -> TrainConfig:
    """The settings, or the defaults; the two are taken for each other easily."""
    if not isinstance(vae, VAE):
        raise InputError(
            f"`vae` must be a VAE, such as make_vae(likelihood, ModelConfig()) returns; got {_described(vae)}."
        )
    if config is None:
        config = TrainConfig()
    if not isinstance(config, TrainConfig):
        raise InputError(
            f"`train_config` must be a TrainConfig; got {_described(config)}. A ModelConfig belongs to make_vae."
        )
    check_warmup(config)
    return config


def _described(value: object) -> str:
    """What an argument is, for messages."""
    return (
        f"the class {value.__name__}"
        if isinstance(value, type)
        else f"an object of type {type(value).__name__}"
    )


def _checked_beta(name: str, beta: float) -> float:
    if not 0 <= beta < np.inf:
        raise InputError(f"`{name}` must be finite and not negative; got {beta}.")
    return float(beta)


def _result(
    outcome: Outcome,
    data: TrainingData,
    rows: tuple[np.ndarray, np.ndarray],
    config: TrainConfig,
    beta: float,
    seed: int,
) -> VAEFit:
    history = outcome.history()
    steered = config.rate_target is not None and len(history) > 0
    last = float(history.beta[outcome.best_epoch - 1]) if steered else float(beta)
    some, targets, weights = data.to_diagnose()
    return VAEFit(
        vae=outcome.vae,
        diagnosis=diagnose(
            outcome.vae,
            some,
            weights=weights,
            beta=last,
            key=jax.random.fold_in(jax.random.key(seed), DIAGNOSIS_STREAM),
            course=outcome.course(config),
            vectors=True,
            targets=targets,
        ),
        history=history,
        best_epoch=outcome.best_epoch,
        train=rows[0],
        validation=rows[1],
        beta=beta,
        seed=seed,
        status=outcome.status,
        seconds=outcome.seconds,
        startup_seconds=outcome.startup_seconds,
    )
