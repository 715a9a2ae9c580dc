r"""`vamp_score`: how much of the slow motion a coordinate sees, on frames that its modes were not fitted to.

VAMP-2 is \(1 + \lVert C_{00}^{-1/2} C_{0t} C_{tt}^{-1/2} \rVert_F^2\) on the scored frames, of the space that the
fitted modes span: 1 for a coordinate without memory, and at most one more for each mode. VAMP-E takes singular
functions f, g and values σ as they were fitted,

.. math:: 1 + 2\, \mathrm{tr}(\Sigma F^T C_{0t} G) - \mathrm{tr}(\Sigma F^T C_{00} F \Sigma G^T C_{tt} G),

and falls where these do not hold on the scored frames; on the fitted ones the two agree. Covariances are mean-free on
each set of frames, and the constant function counts for the 1.

References:
    Wu & Noé, Variational approach for learning Markov processes from time series data, 2020,
    doi:10.1007/s00332-019-09567-y.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from polyvae.analysis.free_energy.blocks import bootstrap_counts
from polyvae.analysis.kinetics.lagged_covariances import BlockSums, block_sums, pair_blocks
from polyvae.analysis.kinetics.series import Series, series_of
from polyvae.analysis.kinetics.slow_modes import SlowModes, modes_of
from polyvae.analysis.kinetics.whitening import vamp2_of, vampe_of
from polyvae.analysis.latent import LatentTrajectory
from polyvae.errors import InputError

_NEAREST_SHIFT = 0.1


@dataclass(frozen=True, kw_only=True, eq=False)
class VampScore:
    """VAMP scores of one coordinate with their errors and noise floors.

    Attributes:
        name: of the coordinate.
        lag_time: in frames.
        n_modes: modes scored; VAMP-2 lies between 1 and 1 + n_modes.
        vamp2: VAMP-2, the constant function included.
        vamp2_error: its standard error, from blocks drawn anew or from the folds.
        vamp2_floor: VAMP-2 where second frames are shifted in time against the first: what chance alone gives.
        vamp2_floor_spread: standard deviation of that over shifts.
        vampe: VAMP-E, the constant function included.
        vampe_error: its standard error.
        vampe_floor: VAMP-E where second frames are shifted.
        vampe_floor_spread: standard deviation of that over shifts.
        pairs: pairs of frames that were scored.
        is_held_out: whether the modes were fitted to other frames.
        per_fold: VAMP-2 and VAMP-E of every fold, shape (folds, 2); one row without cross-validation.
        scored_variance: variance of each mode over the scored frames, 1 over the fitted ones, shape (modes,). Well
            below 1, the scored frames hardly hold that motion, and no coordinate scores for it.
    """

    name: str
    lag_time: int
    n_modes: int
    vamp2: float
    vamp2_error: float
    vamp2_floor: float
    vamp2_floor_spread: float
    vampe: float
    vampe_error: float
    vampe_floor: float
    vampe_floor_spread: float
    pairs: int
    is_held_out: bool
    per_fold: np.ndarray
    scored_variance: np.ndarray

    @property
    def is_above_floor(self) -> bool:
        """Whether VAMP-2 is above its floor by more than two standard errors, those of both together."""
        return self.vamp2 - self.vamp2_floor > 2.0 * math.hypot(self.vamp2_error, self.vamp2_floor_spread)

    def __float__(self) -> float:
        return self.vamp2


def vamp_score(
    latent: LatentTrajectory | Series | np.ndarray,
    lag_time: int,
    *,
    modes: SlowModes | None = None,
    train: np.ndarray | None = None,
    test: np.ndarray | None = None,
    n_modes: int | None = None,
    blocks: int | None = None,
    shifts: int = 20,
    segments: tuple[int, ...] | None = None,
    weights: np.ndarray | None = None,
    name: str = "latent",
    seed: int = 0,
) -> VampScore:
    """VAMP-2 and VAMP-E of a coordinate, with errors, beside what chance gives.

    Modes are fitted to the training frames and scored on the test frames. With neither, they are fitted and scored on
    all frames, which flatters them. Errors come from 400 draws of blocks of consecutive frames. The noise floor is
    the score where the second frames of all pairs are shifted in time, around a circle, against the first, in fitting
    and in scoring: the coordinate keeps its distribution and its memory, and loses what connects a pair.

    Args:
        latent: a latent trajectory, or any coordinate of shape (frames, dims).
        lag_time: lag time in frames.
        modes: modes of this coordinate from `slow_modes` at this lag time, in place of `train`. The floor shifts the
            scored frames only.
        train: indices of the frames to fit modes to, such as the training frames of a split.
        test: indices of the frames to score; None for all frames.
        n_modes: how many modes; None for all that the coordinate has.
        blocks: number of blocks that errors come from; None lets the autocorrelation time choose.
        shifts: shifts that the floor is a mean of.
        segments: lengths of the joined simulations, for an array.
        weights: statistical weight of each frame; None for those of the latent trajectory, or equal ones.
        name: of the coordinate, for tables and figures.
        seed: of draws and shifts.

    Raises:
        InputError: if shapes do not fit, no two frames lie `lag_time` apart, the coordinate is constant, or `modes`
            and `train` are both given or the modes have another lag time.

    Warns:
        PolyvaeWarning: if fewer than ten independent blocks were scored.
    """
    series = series_of(latent, segments=segments, weights=weights)
    if shifts < 2:
        raise InputError(f"`shifts` must be at least 2; got {shifts}.")
    if modes is not None and train is not None:
        raise InputError("`modes` and `train` exclude each other: the modes are fitted already.")
    if modes is not None and modes.lag_time != lag_time:
        raise InputError(f"`modes` have the lag time {modes.lag_time}; expected `lag_time`={lag_time}.")
    if train is not None and test is None:
        raise InputError(
            "`train` without `test` leaves open what to score. Pass the test frames of the same split."
        )
    scored = _Pairs.of(series, lag_time, test)
    fitted = scored if train is None else _Pairs.of(series, lag_time, train)
    given = modes
    modes = fitted.modes(series, lag_time, n_modes) if modes is None else modes
    numbers = pair_blocks(series, scored.indices, lag_time, blocks)
    sums = scored.projected(modes, numbers)
    score = _scores(modes, sums, lag_time)
    draws = _scores(modes, sums, lag_time, bootstrap_counts(len(sums), seed))
    rng = np.random.default_rng([seed, 1])
    floors = []
    for share in rng.uniform(_NEAREST_SHIFT, 1.0 - _NEAREST_SHIFT, size=shifts):
        shifted = scored.shifted(share)
        shifted_modes = given
        if shifted_modes is None:
            apart = shifted if fitted is scored else fitted.shifted(share)
            shifted_modes = apart.modes(series, lag_time, len(modes))
        floors.append(_scores(shifted_modes, shifted.projected(shifted_modes), lag_time)[:, 0])
    floor, spread = np.mean(floors, axis=0), np.std(floors, axis=0)
    return VampScore(
        name=name,
        lag_time=lag_time,
        n_modes=len(modes),
        vamp2=float(score[0, 0]),
        vamp2_error=float(draws[0].std()),
        vamp2_floor=float(floor[0]),
        vamp2_floor_spread=float(spread[0]),
        vampe=float(score[1, 0]),
        vampe_error=float(draws[1].std()),
        vampe_floor=float(floor[1]),
        vampe_floor_spread=float(spread[1]),
        pairs=len(scored.indices),
        is_held_out=train is not None or given is not None,
        per_fold=score.T.copy(),
        scored_variance=np.diagonal(sums.covariances(lag_time).c00).copy(),
    )


def mean_score(scores: Sequence[VampScore]) -> VampScore:
    """Mean over folds of one coordinate; the error is that of the mean, from the scatter of the folds."""
    per_fold = np.concatenate([score.per_fold for score in scores])
    mean, error = per_fold.mean(axis=0), per_fold.std(axis=0, ddof=1) / math.sqrt(len(scores))
    floors = np.array([(score.vamp2_floor, score.vampe_floor) for score in scores]).mean(axis=0)
    spreads = np.array([(score.vamp2_floor_spread, score.vampe_floor_spread) for score in scores])
    # Folds are different frames: their floors scatter independently of one another.
    spread = np.sqrt((spreads**2).sum(axis=0)) / len(scores)
    return VampScore(
        name=scores[0].name,
        lag_time=scores[0].lag_time,
        n_modes=min(score.n_modes for score in scores),
        vamp2=float(mean[0]),
        vamp2_error=float(error[0]),
        vamp2_floor=float(floors[0]),
        vamp2_floor_spread=float(spread[0]),
        vampe=float(mean[1]),
        vampe_error=float(error[1]),
        vampe_floor=float(floors[1]),
        vampe_floor_spread=float(spread[1]),
        pairs=sum(score.pairs for score in scores),
        is_held_out=True,
        per_fold=per_fold,
        scored_variance=np.mean([score.scored_variance for score in scores], axis=0),
    )


@dataclass(frozen=True, kw_only=True, eq=False)
class _Pairs:
    """Both frames of some pairs, and the weight of each pair."""

    indices: np.ndarray
    first: np.ndarray
    second: np.ndarray
    weights: np.ndarray | None

    @classmethod
    def of(cls, series: Series, lag_time: int, frames: np.ndarray | None) -> "_Pairs":
        first, second = series.pairs(lag_time, frames)
        weights = None if series.weights is None else series.weights[first]
        return cls(indices=first, first=series.values[first], second=series.values[second], weights=weights)

    def shifted(self, share: float) -> "_Pairs":
        """The same first frames with second frames from elsewhere, a share of all pairs away."""
        steps = max(1, round(share * len(self.indices)))
        second = np.roll(self.second, steps, axis=0)
        return _Pairs(indices=self.indices, first=self.first, second=second, weights=self.weights)

    def modes(self, series: Series, lag_time: int, n_modes: int | None) -> SlowModes:
        numbers = np.zeros(len(self.indices), np.int64)
        sums = block_sums(self.first, self.second, self.weights, numbers)
        return modes_of(sums.covariances(lag_time), series, n_modes=n_modes)

    def projected(self, modes: SlowModes, numbers: np.ndarray | None = None) -> BlockSums:
        """Sums of the modes of the pairs, in blocks or all in one."""
        numbers = np.zeros(len(self.indices), np.int64) if numbers is None else numbers
        return block_sums(modes.of(self.first), modes.of_second(self.second), self.weights, numbers)


def _scores(modes: SlowModes, sums: BlockSums, lag_time: int, counts: np.ndarray | None = None) -> np.ndarray:
    """VAMP-2 and VAMP-E of all pairs, or of every draw of blocks, shape (2, draws)."""
    found = sums.covariances(lag_time, np.ones((1, len(sums))) if counts is None else counts)
    return np.stack(
        [vamp2_of(found.c00, found.c0t, found.ctt), vampe_of(modes.values, found.c00, found.c0t, found.ctt)]
    )
