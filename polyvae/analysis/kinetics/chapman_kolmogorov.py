r"""`chapman_kolmogorov`: whether a Markov model at one lag time predicts what is seen at its multiples.

Predicted is \(p_i T(\tau)^k 1_j\), estimated \(p_i T(k\tau) 1_j\): the probability to be in set j after k lags for a
start in equilibrium within set i. Sets are those of PCCA+, every state in the set that it belongs to most.

References:
    Prinz et al., Markov models of molecular kinetics: generation and validation, 2011, doi:10.1063/1.3565032.
    Röblitz & Weber, Fuzzy spectral clustering by PCCA+, 2013, doi:10.1007/s11634-013-0134-6.
"""

from dataclasses import dataclass

import numpy as np

from polyvae.analysis.kinetics.markov_models import (
    DiscreteTrajectories,
    connected_counts,
    import_deeptime,
    long_enough,
)
from polyvae.errors import InputError

_BLOCKS = 50
# Of all counts, added to those of every draw of blocks: it keeps the states connected.
_SHARE_OF_ALL = 1e-3
_TAILS = (2.5, 97.5)


@dataclass(frozen=True, kw_only=True, eq=False)
class ChapmanKolmogorov:
    """Predicted and estimated probabilities between metastable sets; intervals hold 95 % of the draws of blocks.

    Attributes:
        lag_times: 0, τ, 2τ, ..., in frames, shape (steps,).
        predicted: by the model at τ, shape (steps, sets, sets), from set (rows) to set (columns).
        predicted_low: lower end of its interval.
        predicted_high: upper end.
        estimated: by a model at each lag time.
        estimated_low: lower end of its interval.
        estimated_high: upper end.
        set_of: set of each state, shape (states,); -1 for states that are not connected.
        frame_time: time from frame to frame, in `unit`.
        unit: of times.
    """

    lag_times: np.ndarray
    predicted: np.ndarray
    predicted_low: np.ndarray
    predicted_high: np.ndarray
    estimated: np.ndarray
    estimated_low: np.ndarray
    estimated_high: np.ndarray
    set_of: np.ndarray
    frame_time: float
    unit: str

    @property
    def n_sets(self) -> int:
        """Number of metastable sets."""
        return self.predicted.shape[1]

    @property
    def times(self) -> np.ndarray:
        """The lag times in `unit`."""
        return self.lag_times * self.frame_time

    @property
    def share_inside(self) -> float:
        """Share of the probabilities after τ whose two intervals overlap; near one for a Markov model."""
        overlaps = (self.predicted_low <= self.estimated_high) & (self.estimated_low <= self.predicted_high)
        return float(overlaps[2:].mean()) if len(overlaps) > 2 else 1.0


def chapman_kolmogorov(
    discrete: DiscreteTrajectories,
    lag_time: int,
    *,
    steps: int = 5,
    n_sets: int = 2,
    reversible: bool = True,
    samples: int = 100,
    seed: int = 0,
) -> ChapmanKolmogorov:
    """The Chapman-Kolmogorov test of a Markov model, with errors from blocks of frames drawn anew.

    Args:
        discrete: states of frames.
        lag_time: lag time τ of the model, in frames.
        steps: largest multiple of τ.
        n_sets: metastable sets.
        reversible: whether to assume detailed balance.
        samples: draws of blocks.
        seed: of the draws.

    Raises:
        InputError: if no simulation is longer than `steps` lag times, or there are too few connected states.
        MissingDependencyError: if deeptime is not installed.

    Warns:
        PolyvaeWarning: if some states are not connected to the others, and so left out.
    """
    estimation = import_deeptime("markov.tools.estimation")
    msm = import_deeptime("markov.msm")
    if steps < 2 or samples < 10:
        raise InputError(f"`steps` must be at least 2 and `samples` at least 10; got {steps} and {samples}.")
    long_enough(discrete, steps * lag_time)
    counts = connected_counts(discrete, lag_time)
    if not 2 <= n_sets <= counts.n_states:
        raise InputError(
            f"`n_sets` must be at least 2 and at most the {counts.n_states} connected states; got {n_sets}."
        )
    model = msm.MaximumLikelihoodMSM(reversible=reversible).fit(counts).fetch_model()
    sets = np.asarray(model.pcca(n_sets).memberships).argmax(axis=1)
    if len(np.unique(sets)) < n_sets:
        raise InputError(
            f"Only {len(np.unique(sets))} of `n_sets`={n_sets} metastable sets hold a state. Ask for fewer."
        )
    # Sets in order of population, the most populated first.
    stationary = np.asarray(model.stationary_distribution)
    order = np.argsort(-np.bincount(sets, stationary, n_sets), kind="stable")
    sets = np.argsort(order)[sets]
    ends = (sets[:, None] == np.arange(n_sets)).astype(np.float64)
    starts = (stationary[:, None] * ends / (stationary @ ends)).T
    symbols = np.asarray(counts.state_symbols)
    lags = lag_time * np.arange(steps + 1)
    drawn = np.random.default_rng(seed)
    predicted = np.tile(starts @ ends, (steps + 1, 1 + samples, 1, 1))
    estimated = predicted.copy()
    for step in range(1, steps + 1):
        blocks = _block_counts(discrete, step * lag_time, symbols)
        shares = drawn.multinomial(len(blocks), np.full(len(blocks), 1 / len(blocks)), size=samples)
        for draw in range(1 + samples):
            total = blocks.sum(axis=0)
            if draw:
                total = np.tensordot(shares[draw - 1].astype(float), blocks, axes=1) + _SHARE_OF_ALL * total
            if not total.sum(axis=1).all():
                raise InputError(
                    f"{discrete.source}: a state has no transitions left at the lag time {step * lag_time}. Take fewer "
                    "states, or fewer `steps`."
                )
            matrix = np.asarray(estimation.transition_matrix(total, reversible=reversible))
            estimated[step, draw] = starts @ matrix @ ends
            if step == 1:
                power = starts
                for multiple in range(1, steps + 1):
                    power = power @ matrix
                    predicted[multiple, draw] = power @ ends
    set_of = np.full(discrete.n_states, -1)
    set_of[symbols] = sets
    intervals = {
        f"{name}_{end}": np.percentile(values[:, 1:], tail, axis=1)
        for name, values in (("predicted", predicted), ("estimated", estimated))
        for end, tail in zip(("low", "high"), _TAILS, strict=True)
    }
    return ChapmanKolmogorov(
        lag_times=lags,
        predicted=predicted[:, 0],
        estimated=estimated[:, 0],
        **intervals,
        set_of=set_of,
        frame_time=discrete.frame_time,
        unit=discrete.unit,
    )


def _block_counts(discrete: DiscreteTrajectories, lag_time: int, symbols: np.ndarray) -> np.ndarray:
    """Transitions between the connected states in each block of frames, shape (blocks, states, states)."""
    place = np.full(discrete.n_states, -1)
    place[symbols] = np.arange(len(symbols))
    long = long_enough(discrete, lag_time)
    n_pairs = sum(len(states) - lag_time for states in long)
    n_states, parts = len(symbols), []
    for states in long:
        first, second = place[states[:-lag_time]], place[states[lag_time:]]
        # A block is no shorter than the lag time.
        count = max(1, min(round(_BLOCKS * len(first) / n_pairs), len(first) // lag_time))
        block = np.arange(len(first)) * count // len(first)
        inside = (first >= 0) & (second >= 0)
        flat = (block * n_states + first) * n_states + second
        found = np.bincount(flat[inside], minlength=count * n_states**2)
        parts.append(found.reshape(count, n_states, n_states).astype(np.float64))
    return np.concatenate(parts)
