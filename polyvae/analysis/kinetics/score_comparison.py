"""`compare_vamp_scores`: a latent's score beside those of PCA and TICA, on a split or cross-validated over blocks.

Neighboring frames are nearly the same, so folds are contiguous blocks, dealt out at random as in training, and frames
within a gap of a scored block leave the fitted ones.
"""

import itertools
from dataclasses import dataclass

import numpy as np

from polyvae.analysis.free_energy.blocks import FEWEST_BLOCKS, correlation_time
from polyvae.analysis.kinetics.linear_baselines import linear_baselines
from polyvae.analysis.kinetics.series import Series, series_of
from polyvae.analysis.kinetics.vamp_score import VampScore, mean_score, vamp_score
from polyvae.analysis.latent import LatentTrajectory
from polyvae.errors import InputError


@dataclass(frozen=True, kw_only=True, eq=False)
class VampComparison:
    """Scores of a latent and of the linear coordinates of the same dimension, on the same pairs of frames.

    Attributes:
        scores: that of the latent first, then PCA and TICA where there were features.
        lag_time: in frames.
        frame_time: time from frame to frame, in `unit`.
        unit: of times.
        folds: folds of the cross-validation; 1 for a single split.
    """

    scores: tuple[VampScore, ...]
    lag_time: int
    frame_time: float
    unit: str
    folds: int

    @property
    def latent(self) -> VampScore:
        """The score of the latent."""
        return self.scores[0]


def compare_vamp_scores(
    latent: LatentTrajectory | Series | np.ndarray,
    lag_time: int,
    *,
    features: np.ndarray | None = None,
    train: np.ndarray | None = None,
    test: np.ndarray | None = None,
    folds: int = 5,
    blocks: int = 20,
    gap: int | None = None,
    segments: tuple[int, ...] | None = None,
    weights: np.ndarray | None = None,
    seed: int = 0,
) -> VampComparison:
    """VAMP scores of a latent, and of PCA and TICA of the features, all fitted and scored on the same frames.

    Args:
        latent: a latent trajectory, or any coordinate of shape (frames, dims).
        lag_time: lag time in frames.
        features: what the encoder sees, shape (frames, features), for the baselines; None leaves them out.
        train: frames to fit modes and baselines to. Those that the model was trained on: a cross-validation over them
            holds frames out from the modes, but not from the network.
        test: frames to score; with neither `train` nor `test`, cross-validation.
        folds: folds of the cross-validation, at least 2.
        blocks: contiguous blocks that all frames are cut into for it, about.
        gap: frames left out of the fitted ones on either side of a scored block; None for the lag time or the
            autocorrelation time, the longer one, at most a quarter of a block.
        segments: lengths of the joined simulations, for an array.
        weights: statistical weight of each frame; None for those of the latent trajectory, or equal ones.
        seed: of blocks, draws and shifts.

    Raises:
        InputError: as `vamp_score`; if `features` have other frames, or there are fewer blocks than folds.
    """
    series = series_of(latent, segments=segments, weights=weights)
    inputs = None
    if features is not None:
        inputs = series.replace_values(series_of(features, name="features").values)
        if len(inputs) != len(series):
            raise InputError(
                f"`features` must have the {len(series)} frames of the latent; got {len(inputs)}."
            )
    if (train is None) != (test is None):
        raise InputError("`train` and `test` go together: pass both parts of a split, or neither.")
    if train is not None and test is not None:
        scores = _scored(series, inputs, lag_time, train, test, blocks=None, seed=seed)
        return _comparison(scores, series, lag_time, folds=1)
    parts = deal_folds(series, lag_time, folds=folds, blocks=blocks, gap=gap, seed=seed)
    # Errors come from the scatter of the folds: blocks within one are neither judged nor warned of.
    per_fold = [
        _scored(series, inputs, lag_time, train, test, blocks=FEWEST_BLOCKS, seed=seed)
        for train, test in parts
    ]
    return _comparison(
        tuple(mean_score(scores) for scores in zip(*per_fold, strict=True)), series, lag_time, folds=folds
    )


def deal_folds(
    series: Series, lag_time: int, *, folds: int, blocks: int, gap: int | None, seed: int
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Fitted and scored frames of every fold, both ascending; arguments as `compare_vamp_scores`.

    Raises:
        InputError: if there are fewer blocks than folds, or they are no longer than the lag time.
    """
    n_frames = len(series)
    edges, start = [], 0
    for length in series.segments:
        count = max(1, min(round(blocks * length / n_frames), length))
        cuts = start + np.round(np.linspace(0, length, count + 1)).astype(int)
        edges.extend(itertools.pairwise(cuts.tolist()))
        start += length
    if not 2 <= folds <= len(edges):
        raise InputError(
            f"`folds` must be at least 2 and at most the {len(edges)} blocks of frames; got {folds}. Raise `blocks` or "
            "lower `folds`."
        )
    longest = max(stop - start for start, stop in edges)
    if longest <= lag_time:
        raise InputError(
            f"`lag_time`={lag_time} does not fit into blocks of at most {longest} frames. Lower `lag_time` or `blocks`."
        )
    if gap is None:
        time = correlation_time(series.values, series.segments)
        gap = min(max(lag_time, round(time)), n_frames // len(edges) // 4)
    order = np.random.default_rng([seed, 2]).permutation(len(edges))
    segment_ends = np.cumsum(series.segments)
    parts = []
    for fold in range(folds):
        is_test, is_train = np.zeros(n_frames, bool), np.ones(n_frames, bool)
        for number in order[fold::folds]:
            first, last = edges[number]
            segment = int(np.searchsorted(segment_ends, first, side="right"))
            low, high = int(segment_ends[segment] - series.segments[segment]), int(segment_ends[segment])
            is_test[first:last] = True
            is_train[max(first - gap, low) : min(last + gap, high)] = False
        parts.append((np.flatnonzero(is_train), np.flatnonzero(is_test)))
    return parts


def _scored(
    series: Series,
    inputs: Series | None,
    lag_time: int,
    train: np.ndarray,
    test: np.ndarray,
    *,
    blocks: int | None,
    seed: int,
) -> tuple[VampScore, ...]:
    """Scores of the latent and its baselines, fitted to some frames and scored on others."""
    coordinates = {"latent": series}
    if inputs is not None:
        n_modes = min(series.values.shape[1], inputs.values.shape[1])
        baselines = linear_baselines(inputs, n_modes, lag_time, frames=train)
        coordinates["PCA"] = series.replace_values(baselines.pca(inputs.values))
        coordinates["TICA"] = series.replace_values(baselines.tica.of(inputs.values))
    return tuple(
        vamp_score(coordinate, lag_time, train=train, test=test, blocks=blocks, name=name, seed=seed)
        for name, coordinate in coordinates.items()
    )


def _comparison(
    scores: tuple[VampScore, ...], series: Series, lag_time: int, *, folds: int
) -> VampComparison:
    return VampComparison(
        scores=scores, lag_time=lag_time, frame_time=series.frame_time, unit=series.unit, folds=folds
    )
