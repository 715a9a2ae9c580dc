"""Coverage, precision and novelty: does an ensemble reach all conformations of the data, only those, and new ones?

All three look for the nearest frame by Kabsch RMSD, with a proper rotation, so that mirror images are far apart.

*Coverage* is the share of reference frames that have an ensemble frame within r; *precision* the share of ensemble
frames that have a reference frame within r. r is the distance within which 95 % of the frames of one half of the
reference have a frame of the other. The same number of frames, up to 1000, stands for each half and for the
ensemble, drawn evenly along the trajectory by weight, so that sizes do not matter and the floor is 95 %.

*Novelty* compares distances from the nearest training frame: an ensemble that remembers is nearer to the training
frames than held-out frames are.

References:
    Kynkäänniemi et al., Improved precision and recall metric for assessing generative models, 2019,
    arXiv:1904.06991. We depart from it by one radius for all frames, taken from two halves of the data.
"""

from dataclasses import dataclass

import numpy as np

from polyvae.analysis.nearest import nearest_frames
from polyvae.analysis.scoring.bootstrap import Sample
from polyvae.trajectory import Trajectory

REACHED = 0.95
NEARER_THAN_HELD_OUT = 0.05
_MOST_FRAMES = 1000
_MOST_QUERIES = 400
MOST_TRAINING_FRAMES = 20_000
_TINY = float(np.finfo(np.float32).tiny)


@dataclass(frozen=True, kw_only=True)
class Share:
    """A number, its floor or the value of the data, and the standard error of their difference.

    Attributes:
        value: that of the ensemble.
        floor: that of data against data.
        error: standard error of value minus floor.
    """

    value: float
    floor: float
    error: float


def coverage_and_precision(
    reference: Sample, ensemble: Sample, half: np.ndarray
) -> tuple[Share, Share, float]:
    """Coverage, precision and the radius r, in the unit of the positions.

    Args:
        reference: the data.
        ensemble: the other side.
        half: frames of the reference that form one half, shape (frames,).
    """
    n_frames = int(min(_MOST_FRAMES, half.sum(), (~half).sum(), ensemble.n_frames))
    halves = [_evenly(reference, np.flatnonzero(part), n_frames) for part in (half, ~half)]
    made = _evenly(ensemble, np.arange(ensemble.n_frames), n_frames)
    first, second = (_frames(reference, chosen) for chosen in halves)
    generated = _frames(ensemble, made)
    between_halves = np.concatenate([nearest_frames(first, second)[1], nearest_frames(second, first)[1]])
    radius = float(np.quantile(between_halves, REACHED, method="inverted_cdf"))
    to_ensemble = np.concatenate([nearest_frames(part, generated)[1] for part in (first, second)]) <= radius
    to_half = between_halves <= radius
    to_data = np.mean([nearest_frames(generated, part)[1] <= radius for part in (first, second)], axis=0)
    chosen, floor = np.concatenate(halves), float(to_half.mean())
    # Both depend on the choice of both sides, on one as the frames asked, on the other as those found.
    spreads = [
        _spread(_drawn_mean(reference, chosen, to_ensemble.astype(float) - to_half)),
        _spread(_drawn_mean(ensemble, made, to_data)),
    ]
    covered, precise = (
        Share(value=float(part.mean()), floor=floor, error=float(np.hypot(spreads[0], spreads[1])))
        for part in (to_ensemble, to_data)
    )
    return covered, precise, radius


@dataclass(frozen=True, kw_only=True)
class Novelty:
    """How near to training frames the ensemble is, beside held-out frames.

    Attributes:
        ratio: mean distance of ensemble frames from the nearest training frame, over that of held-out frames;
            `floor` is 1.
        ratio_floor: how far that ratio is from 1 between two halves of the held-out frames.
        copies: share of ensemble frames nearer to a training frame than 95 % of the held-out frames; `floor` is
            that share of the held-out frames, 5 %.
        copies_floor: difference of that share between the two halves.
    """

    ratio: Share
    ratio_floor: float
    copies: Share
    copies_floor: float


def held_out_frames(reference: Trajectory, training: Trajectory, counts: np.ndarray) -> np.ndarray:
    """Frames of the reference that are not, number by number, frames of the training set, as indices.

    Frames are told apart by hashes of 64 bits.

    Args:
        reference: the data.
        training: the training set, read piece by piece.
        counts: the training frames that count.
    """
    known = np.concatenate([_hashes(piece) for piece in training.position_chunks(counts)])
    return np.flatnonzero(~np.isin(_hashes(reference.positions), known))


def _hashes(frames: np.ndarray) -> np.ndarray:
    """One number of 64 bits for the numbers of each frame, shape (frames,)."""
    words = np.ascontiguousarray(frames).reshape(len(frames), -1).view(np.uint32)
    first, second = np.random.default_rng(0).integers(2**63, size=(2, words.shape[1]), dtype=np.uint64)
    hashes = np.zeros(len(words), np.uint64)
    # Column by column: arithmetic is modulo 2**64, and no array of 64-bit words is made.
    for column, (one, other) in enumerate(zip(first | 1, second | 1, strict=True)):
        word = words[:, column] * one
        hashes += (word ^ (word >> np.uint64(29))) * other
    return hashes


def novelty(
    held_out: np.ndarray, training: np.ndarray, reference: Sample, ensemble: Sample, half: np.ndarray
) -> Novelty:
    """The memorization test.

    Args:
        held_out: indices of the reference frames that are not in the training set.
        training: training frames, shape (frames, atoms, dims).
        reference: the data.
        ensemble: the other side.
        half: frames of the reference that form one half, shape (frames,).
    """
    data = _evenly(reference, held_out, min(_MOST_QUERIES, len(held_out)))
    made = _evenly(ensemble, np.arange(ensemble.n_frames), min(_MOST_QUERIES, ensemble.n_frames))
    far = nearest_frames(_frames(reference, data), training)[1]
    near = nearest_frames(_frames(ensemble, made), training)[1]
    threshold = np.quantile(far, NEARER_THAN_HELD_OUT, method="inverted_cdf")
    means = [
        _drawn_mean(sample, chosen, values)
        for sample, chosen, values in ((ensemble, made, near), (reference, data, far))
    ]
    center = max(float(far.mean()), _TINY)
    shares = [(values < threshold).astype(float) for values in (near, far)]
    spreads = [
        _spread(_drawn_mean(sample, chosen, share))
        for sample, chosen, share in zip((ensemble, reference), (made, data), shares, strict=True)
    ]
    ratio_floor = copies_floor = 0.0
    parts = [far[half[data]], far[~half[data]]]
    if min(map(len, parts)) > 0:
        ratio_floor = abs(float(parts[0].mean() - parts[1].mean())) / center
        copies_floor = abs(float(np.mean(parts[0] < threshold) - np.mean(parts[1] < threshold)))
    return Novelty(
        ratio=Share(
            value=float(near.mean()) / center,
            floor=1.0,
            error=_spread(means[0] / np.maximum(means[1], _TINY)),
        ),
        ratio_floor=ratio_floor,
        copies=Share(
            value=float(shares[0].mean()),
            floor=float(shares[1].mean()),
            error=float(np.hypot(spreads[0], spreads[1])),
        ),
        copies_floor=copies_floor,
    )


def _evenly(sample: Sample, frames: np.ndarray, count: int) -> np.ndarray:
    """So many of the frames, evenly spaced in cumulated weight: heavy frames may come more than once."""
    cumulated = np.cumsum(sample.weights[frames])
    places = (np.arange(count) + 0.5) * (cumulated[-1] / count)
    return frames[np.searchsorted(cumulated, places).clip(max=len(frames) - 1)]


def _frames(sample: Sample, frames: np.ndarray) -> np.ndarray:
    """Positions of the chosen frames, shape (chosen, atoms, dims)."""
    return np.ascontiguousarray(np.moveaxis(sample.coordinates[:, :, frames], (0, 2), (2, 0)))


def _drawn_mean(sample: Sample, frames: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Mean over chosen frames in every replicate of the blocks that they lie in; weights are in the choice."""
    sums, counts = (
        sample.draws @ np.bincount(sample.blocks[frames], every, minlength=sample.n_blocks)
        for every in (values, np.ones(len(frames)))
    )
    return np.where(counts > 0, sums / np.where(counts > 0, counts, 1.0), values.mean())


def _spread(replicates: np.ndarray) -> float:
    """The standard error: how much replicates differ."""
    return float(np.std(replicates, ddof=1))
