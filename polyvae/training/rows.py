"""Rows that a VAE of vectors is trained on: what cannot be trained on, and what it would be unwise to train on."""

import warnings

import numpy as np

from polyvae.errors import InputError, PolyvaeWarning
from polyvae.training.remedies import parts_of
from polyvae.vae import VAE
from polyvae.vae.likelihoods import Categorical, Likelihood, VonMises, check_one_hot

_NARROWEST, _WIDEST = 0.03, 30.0
_FARTHEST = 10.0
_TYPICAL = 10.0
_MOST_NAMED = 8
_ROWS_AT_ONCE = 256


def checked_rows(name: str, rows: np.ndarray, vae: VAE) -> np.ndarray:
    """The rows as an array that fits the VAE.

    Args:
        name: what messages call them.
        rows: one row a sample.
        vae: the VAE to train.

    Raises:
        InputError: if the shape does not fit, a row is not finite, or one-hot rows do not sum to one.
    """
    rows = np.asarray(rows)
    if rows.ndim != 2 or rows.shape[1] != vae.n_features:
        raise InputError(f"`{name}` must have shape (rows, {vae.n_features}); got {rows.shape}.")
    if len(rows) < 2:
        raise InputError(f"`{name}` needs at least two rows; got {len(rows)}.")
    bad = np.flatnonzero(~np.isfinite(rows).all(axis=1))
    if len(bad):
        raise InputError(f"`{name}` hold NaN or infinity in {len(bad)} row(s), first row {bad[0]}.")
    if vae.latent_dim > max(vae.n_features, 1):
        raise InputError(
            f"`latent_dim`={vae.latent_dim} is larger than the {vae.n_features} features. Lower `latent_dim`."
        )
    for part, columns in _columns(vae.likelihood):
        if isinstance(part, Categorical):
            check_one_hot(rows[:, columns], name)
    return rows


def checked_weights(weights: np.ndarray | None, n_rows: int, *, fewest: int = 1) -> np.ndarray | None:
    """The weights in float64.

    Args:
        weights: weight of each row, or None for equal ones.
        n_rows: number of rows.
        fewest: rows that must have a weight above zero.

    Raises:
        InputError: if they have another shape, one is not finite or negative, or too few are above zero.
    """
    if weights is None:
        return None
    weights = np.asarray(weights, np.float64)
    if weights.shape != (n_rows,):
        raise InputError(f"`weights` must have shape ({n_rows},), one number a row; got {weights.shape}.")
    bad = np.flatnonzero(~(np.isfinite(weights) & (weights >= 0)))
    if len(bad):
        raise InputError(
            f"`weights` must be finite and not negative; got {weights[bad[0]]} for row {bad[0]}"
            f"{f' and {len(bad) - 1} more' if len(bad) > 1 else ''}. Leave such rows out, or give them the weight 0."
        )
    counted = np.count_nonzero(weights)
    if counted < fewest:
        raise InputError(
            f"`weights` are above zero for {counted} of {n_rows} rows; at least {fewest} rows must count, to train on "
            "and to validate with."
        )
    return weights


def check_scales(rows: np.ndarray, weights: np.ndarray | None, likelihood: Likelihood) -> None:
    """Warn where columns are far from what a VAE starts from: mean 0, standard deviation 1, angles in radians.

    Args:
        rows: training rows.
        weights: weight of each; rows of weight zero do not count.
        likelihood: says which columns are real-valued and which are angles.

    Warns:
        PolyvaeWarning: names the columns.
    """
    counted = slice(None) if weights is None else weights > 0
    shares = np.ones(len(rows)) if weights is None else weights[counted]
    for part, columns in _columns(likelihood):
        if isinstance(part, Categorical) or columns.start == columns.stop:
            continue
        values = rows[counted, columns]
        if isinstance(part, VonMises):
            wide = np.flatnonzero(np.abs(values).max(axis=0) > 2.0 * np.pi * (1 + 1e-6))
            _warn(
                wide + columns.start,
                "hold angles beyond ±2 pi, like degrees. Angles are in radians: numpy.deg2rad(angles).",
            )
            continue
        mean, width = _moments(values, shares)
        # What rounding leaves of a constant column.
        constant = width <= 1e-6 * np.abs(mean)
        _warn(
            np.flatnonzero(constant) + columns.start,
            "never vary. There is nothing to learn there, and a width of its own would shrink to nothing. Leave "
            "constant columns out.",
        )
        typical = float(np.median(width[~constant])) if not constant.all() else 1.0
        off = (width < _NARROWEST) | (width > _WIDEST) | (np.abs(mean) > _FARTHEST * width)
        off |= not 1.0 / _TYPICAL <= typical <= _TYPICAL
        off &= ~constant
        _warn(
            np.flatnonzero(off) + columns.start,
            f"lie far from mean 0 and standard deviation 1 (means from {_smallest(mean, off):.3g} to "
            f"{_largest(mean, off):.3g}, standard deviations from {_smallest(width, off):.3g} to "
            f"{_largest(width, off):.3g}), where training starts. Standardize: "
            "(vectors - vectors.mean(axis=0)) / vectors.std(axis=0).",
        )


def _moments(values: np.ndarray, shares: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Weighted mean and standard deviation of each column, in double precision, without a copy of them all."""
    first = values[0].astype(np.float64)
    total, square = np.zeros(len(first)), np.zeros(len(first))
    for start in range(0, len(values), _ROWS_AT_ONCE):
        # Around one row: no cancellation where a mean is large.
        part = values[start : start + _ROWS_AT_ONCE] - first
        total += shares[start : start + _ROWS_AT_ONCE] @ part
        square += shares[start : start + _ROWS_AT_ONCE] @ part**2
    mean = total / shares.sum()
    return first + mean, np.sqrt(np.maximum(square / shares.sum() - mean**2, 0.0))


def _columns(likelihood: Likelihood) -> list[tuple[Likelihood, slice]]:
    """Each family with its columns."""
    found, start = [], 0
    for part in parts_of(likelihood):
        found.append((part, slice(start, start + part.n_values)))
        start += part.n_values
    return found


def _smallest(values: np.ndarray, chosen: np.ndarray) -> float:
    return float(values[chosen].min()) if chosen.any() else np.nan


def _largest(values: np.ndarray, chosen: np.ndarray) -> float:
    return float(values[chosen].max()) if chosen.any() else np.nan


def _warn(columns: np.ndarray, words: str) -> None:
    if len(columns) == 0:
        return
    named = ", ".join(str(column) for column in columns[:_MOST_NAMED])
    more = f" and {len(columns) - _MOST_NAMED} more" if len(columns) > _MOST_NAMED else ""
    # From `fit_vae`, through its preparation of the rows, to whoever called it.
    noun = "Column" if len(columns) == 1 else "Columns"
    warnings.warn(f"{noun} {named}{more} of `vectors` {words}", PolyvaeWarning, stacklevel=5)
