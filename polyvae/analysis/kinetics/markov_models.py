"""A coordinate cut into states, for Markov state models: k-means here, the model by deeptime.

deeptime is an extra, `pip install 'polyvae[kinetics]'`, and imported only where a model is asked for.

References:
    Prinz et al., Markov models of molecular kinetics: generation and validation, 2011, doi:10.1063/1.3565032.
    Hoffmann et al., Deeptime: a Python library for machine learning dynamical models from time series data, 2022,
    doi:10.1088/2632-2153/ac3de0.
"""

import warnings
from dataclasses import dataclass
from importlib import import_module
from typing import Any

import numpy as np

from polyvae.analysis.kinetics.series import Series, series_of
from polyvae.analysis.latent import LatentTrajectory
from polyvae.errors import InputError, MissingDependencyError, PolyvaeWarning

_MOST_FITTED = 50_000
_ITERATIONS = 50
_ROWS_AT_ONCE = 100_000


@dataclass(frozen=True, kw_only=True, eq=False)
class DiscreteTrajectories:
    """The state of every frame, one array for each joined simulation, as deeptime takes them.

    Attributes:
        states: for each simulation its frames' states, int32, counted from 0.
        centers: of the states, shape (states, dims).
        frame_time: time from frame to frame, in `unit`.
        unit: of times.
        source: what was cut into states.
    """

    states: tuple[np.ndarray, ...]
    centers: np.ndarray
    frame_time: float
    unit: str
    source: str

    @property
    def n_states(self) -> int:
        """Number of states."""
        return len(self.centers)

    @property
    def populations(self) -> np.ndarray:
        """Share of the frames in each state, shape (states,)."""
        counts = np.bincount(np.concatenate(self.states), minlength=self.n_states)
        return counts / counts.sum()


def discrete_trajectories(
    latent: LatentTrajectory | Series | np.ndarray,
    n_states: int,
    *,
    segments: tuple[int, ...] | None = None,
    seed: int = 0,
) -> DiscreteTrajectories:
    """The state of every frame by k-means on the coordinate as it is, with k-means++ starts.

    Dimensions count by their scale. Weights are not looked at: a Markov model is made of unbiased dynamics.

    Args:
        latent: a latent trajectory, or any coordinate of shape (frames, dims), such as slow modes.
        n_states: number of states; those that end empty are left out.
        segments: lengths of the joined simulations, for an array.
        seed: of the starts, and of the 50 000 frames that centers are fitted to where there are more.

    Raises:
        InputError: if there are fewer distinct frames than states, or shapes do not fit.
    """
    # Half a second of imports, which most callers need not wait for.
    from scipy.cluster.vq import kmeans2, vq

    series = series_of(latent, segments=segments)
    rng = np.random.default_rng(seed)
    values = series.values
    some = values
    if len(values) > _MOST_FITTED:
        some = values[np.sort(rng.choice(len(values), _MOST_FITTED, replace=False))]
    n_distinct = len(np.unique(some, axis=0))
    if not 2 <= n_states <= n_distinct:
        raise InputError(
            f"`n_states` must be at least 2 and at most the {n_distinct} distinct frames; got {n_states}."
        )
    with warnings.catch_warnings():
        # An empty cluster is left out below.
        warnings.simplefilter("ignore")
        centers, _ = kmeans2(some, n_states, iter=_ITERATIONS, minit="++", rng=rng)
    labels = np.concatenate(
        [
            vq(values[start : start + _ROWS_AT_ONCE], centers)[0]
            for start in range(0, len(values), _ROWS_AT_ONCE)
        ]
    )
    used, labels = np.unique(labels, return_inverse=True)
    ends = np.cumsum(series.segments)[:-1]
    return DiscreteTrajectories(
        states=tuple(np.split(labels.astype(np.int32), ends)),
        centers=centers[used],
        frame_time=series.frame_time,
        unit=series.unit,
        source=series.source,
    )


def markov_model(discrete: DiscreteTrajectories, lag_time: int, *, reversible: bool = True) -> Any:
    """Deeptime's `MarkovStateModel`, by its maximum-likelihood estimator on the largest connected set of states.

    Args:
        discrete: states of frames.
        lag_time: lag time in frames.
        reversible: whether to assume detailed balance.

    Raises:
        InputError: if no simulation is longer than the lag time, or fewer than two states are connected.
        MissingDependencyError: if deeptime is not installed.

    Warns:
        PolyvaeWarning: if some states are not connected to the others, and so left out.
    """
    msm = import_deeptime("markov.msm")
    counts = connected_counts(discrete, lag_time)
    return msm.MaximumLikelihoodMSM(reversible=reversible).fit(counts).fetch_model()


def connected_counts(discrete: DiscreteTrajectories, lag_time: int) -> Any:
    """Deeptime's `TransitionCountModel` on the largest connected set; errors and warnings as `markov_model`."""
    markov = import_deeptime("markov")
    estimator = markov.TransitionCountEstimator(
        lagtime=lag_time, count_mode="sliding", n_states=discrete.n_states
    )
    counts = estimator.fit(long_enough(discrete, lag_time)).fetch_model().submodel_largest()
    if counts.n_states < 2:
        raise InputError(
            f"{discrete.source}: no two of the {discrete.n_states} states are connected in both directions at "
            f"`lag_time`={lag_time}. Take fewer states, or sample longer."
        )
    if counts.n_states < discrete.n_states:
        warnings.warn(
            f"{discrete.source}: {discrete.n_states - counts.n_states} of {discrete.n_states} states are not connected "
            f"to the others in both directions at `lag_time`={lag_time} and are left out, with "
            f"{1 - counts.selected_state_fraction:.0%} of the states' frames. Take fewer states, or sample longer.",
            PolyvaeWarning,
            stacklevel=3,
        )
    return counts


def long_enough(discrete: DiscreteTrajectories, lag_time: int) -> list[np.ndarray]:
    """The simulations that are longer than the lag time.

    Raises:
        InputError: if there is none, or the lag time is below 1.
    """
    if lag_time < 1:
        raise InputError(f"`lag_time` must be at least 1 frame; got {lag_time}.")
    long = [states for states in discrete.states if len(states) > lag_time]
    if not long:
        raise InputError(
            f"{discrete.source}: no simulation is longer than `lag_time`={lag_time} frames; the longest has "
            f"{max(map(len, discrete.states))}. Lower `lag_time`."
        )
    return long


def import_deeptime(name: str) -> Any:
    """A module of deeptime.

    Raises:
        MissingDependencyError: if it is not installed.
    """
    try:
        return import_module(f"deeptime.{name}")
    except ImportError as error:
        raise MissingDependencyError(
            'Markov state models need deeptime. Install it with: pip install "polyvae[kinetics]"'
        ) from error
