"""Rows as training sees them: checked, held out in part, weighted, and with a lag time in pairs."""

import jax.numpy as jnp
import numpy as np

from polyvae._arrays import device_array
from polyvae._compiled_code import keep_compiled_code
from polyvae.errors import InputError
from polyvae.training.config import TrainConfig
from polyvae.training.data import LaggedData, TrainingData, training_weights, unit_mean
from polyvae.training.rows import check_scales, checked_rows, checked_weights
from polyvae.training.splitting import blocked_split
from polyvae.trajectory.lag_pairs import lag_pairs
from polyvae.vae import VAE

# The diagnosis compares frames with each other.
_FEWEST_HELD_OUT = 2


def data_of_rows(
    vae: VAE,
    vectors: np.ndarray,
    weights: np.ndarray | None,
    validation: np.ndarray | None,
    segments: tuple[int, ...] | None,
    config: TrainConfig,
    seed: int,
) -> tuple[TrainingData, tuple[np.ndarray, np.ndarray]]:
    """The checked rows on the device, and the indices of training and validation rows.

    Arguments are those of `fit_vae`.
    """
    keep_compiled_code()
    vectors = checked_rows("vectors", vectors, vae)
    n_rows = len(vectors)
    segments = _checked_segments(segments, n_rows, config)
    weights = checked_weights(weights, n_rows, fewest=1 if validation is not None else 1 + _FEWEST_HELD_OUT)
    if validation is None:
        train_rows, validation_rows = _split(n_rows, segments, config, seed)
        held = vectors[validation_rows]
        held_weights = None if weights is None else weights[validation_rows]
    else:
        train_rows, validation_rows = np.arange(n_rows), np.arange(0)
        held, held_weights = checked_rows("validation", validation, vae), None
    # The default gives way silently; who asks for a batch is told.
    if len(train_rows) < config.batch_size != TrainConfig.batch_size:
        raise InputError(
            f"`batch_size`={config.batch_size} is larger than the {len(train_rows)} rows to train on. Lower it, or "
            "give more rows."
        )
    pairs, held_later = None, None
    if segments is not None:
        pairs = lag_pairs(train_rows, segments, config.lag_time, source="`vectors`, rows to train on")
        if validation is None:
            held_pairs = lag_pairs(
                validation_rows, segments, config.lag_time, source="`vectors`, held-out rows"
            )
        else:
            held_pairs = lag_pairs(np.arange(len(held)), (len(held),), config.lag_time, source="`validation`")
        held, held_later = held[held_pairs[:, 0]], held[held_pairs[:, 1]]
        held_weights = None if held_weights is None else held_weights[held_pairs[:, 0]]
    train_weights = None if weights is None else weights[train_rows]
    counted = None if pairs is None else pairs[:, 0]
    _check_counts("training", train_weights, counted, 1)
    _check_counts("validation", held_weights, None, _FEWEST_HELD_OUT)
    check_scales(vectors[train_rows], train_weights, vae.likelihood)
    dtype = jnp.result_type(float)
    lagged = None
    if pairs is not None:
        lagged = LaggedData(
            pairs=pairs, validation=device_array(held_later, dtype), is_target=config.lagged_target
        )
    data = TrainingData(
        train=device_array(vectors[train_rows][None], dtype),
        validation=device_array(held, dtype),
        train_weights=training_weights(train_weights, dtype, counted=counted),
        validation_weights=device_array(unit_mean(held_weights, len(held)), dtype),
        lagged=lagged,
        remedy="scale the columns of `vectors` to mean 0 and standard deviation 1",
    )
    return data, (train_rows, validation_rows)


def _checked_segments(
    segments: tuple[int, ...] | None, n_rows: int, config: TrainConfig
) -> tuple[int, ...] | None:
    """Lengths of the time series with a lag time, or None for independent rows."""
    if segments is None:
        return (n_rows,) if config.lag_time else None
    segments = tuple(int(length) for length in segments)
    if not segments or min(segments) < 1 or sum(segments) != n_rows:
        raise InputError(
            f"`segments` must be lengths of time series that add up to the {n_rows} rows of `vectors`; got {segments}, "
            f"{sum(segments)} in all."
        )
    return segments if config.lag_time else None


def _split(
    n_rows: int, segments: tuple[int, ...] | None, config: TrainConfig, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Rows to train on and rows held out: at random, or in blocks of time series."""
    if segments is None:
        order = np.random.default_rng([seed, 2]).permutation(n_rows)
        held_out = max(_FEWEST_HELD_OUT, round(config.validation_fraction * n_rows))
        return np.sort(order[held_out:]), np.sort(order[:held_out])
    split = blocked_split(
        segments,
        validation_fraction=config.validation_fraction,
        test_fraction=0.0,
        blocks=config.blocks,
        gap=config.lag_time if config.gap is None else config.gap,
        correlation_time=float(config.lag_time),
        seed=seed,
    )
    return split.train, split.validation


def _check_counts(name: str, weights: np.ndarray | None, counted: np.ndarray | None, fewest: int) -> None:
    """Raise an `InputError` if too few rows of a part have a weight above zero.

    Args:
        name: of the part.
        weights: of its rows, or None.
        counted: the rows that training looks at, or None for all.
        fewest: how many there must be.
    """
    if weights is None:
        return
    above = np.count_nonzero(weights if counted is None else weights[counted])
    if above < fewest:
        raise InputError(
            f"{above} of the {name} rows have a weight above zero; at least {fewest} must. Another `seed` splits "
            "the rows differently."
        )
