"""How often something happens that seldom should: clashes, centers of the wrong hand, cis peptide bonds.

An event has a definition taken from the reference, so the reference has a rate of its own, and the question is
whether the ensemble's differs by more than chance.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from polyvae.analysis.scoring.bootstrap import Sample
from polyvae.analysis.scoring.geometry import distances, handedness, torsions

CLASH_QUANTILE = 0.001
CONSTANT_HAND = 0.99
_VALUES_AT_ONCE = 8_000_000
_MOST_CLASH_VALUES = 40_000_000

Happens = Callable[[np.ndarray, np.ndarray], np.ndarray]
"""Coordinates (dims, atoms, frames) and numbers of items to whether it happens, shape (items, frames)."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Events:
    """What was counted on both sides.

    Attributes:
        data: events in each chosen frame of the reference.
        made: those of the ensemble.
        data_frames: indices of the chosen frames of the reference.
        made_frames: those of the ensemble.
        worst: item with the largest excess over the reference.
    """

    data: np.ndarray
    made: np.ndarray
    data_frames: np.ndarray
    made_frames: np.ndarray
    worst: int

    @property
    def has_left_out_frames(self) -> bool:
        """Whether frames were thinned out, because there are too many pairs."""
        return bool(
            max(self.data_frames.max() + 1 - len(self.data), self.made_frames.max() + 1 - len(self.made)) > 0
        )


def clashes(
    pairs: np.ndarray, classes: np.ndarray, reference: Sample, ensemble: Sample, half: np.ndarray
) -> tuple[Events, float]:
    """Clashes of each frame: pairs closer than the 0.1 % quantile of all distances of their class in the reference.

    The quantile of few values is uncertain, and the reference has its rate by construction. So the noise floor is how
    far the rates of the two halves differ where one of them sets the quantiles, the mean of both ways.

    Args:
        pairs: pairs without a bond, shape (pairs, 2).
        classes: class of each pair.
        reference: the data.
        ensemble: the other side.
        half: frames of the reference that form one half, shape (frames,).

    Returns:
        The events, and the noise floor of their rate, per frame.
    """
    most = max(100, _MOST_CLASH_VALUES // len(pairs))
    frames = [
        np.unique(np.linspace(0, sample.n_frames - 1, min(most, sample.n_frames)).round().astype(int))
        for sample in (reference, ensemble)
    ]
    thinned = reference.coordinates[:, :, frames[0]]
    weights = reference.weights[frames[0]]
    thresholds = _thresholds(thinned, weights if reference.is_weighted else None, pairs, classes)
    events = _counted(_is_closer(pairs, thresholds), len(pairs), (reference, ensemble), frames)
    floors = []
    for part in (half[frames[0]], ~half[frames[0]]):
        thresholds = _thresholds(
            thinned[:, :, part], weights[part] if reference.is_weighted else None, pairs, classes
        )
        inside, outside = (
            _rate(_is_closer(pairs, thresholds), len(pairs), thinned[:, :, chosen], weights[chosen])
            for chosen in (part, ~part)
        )
        floors.append(abs(inside - outside))
    return events, float(np.mean(floors))


def _thresholds(
    coordinates: np.ndarray, weights: np.ndarray | None, pairs: np.ndarray, classes: np.ndarray
) -> np.ndarray:
    """The quantile of each pair's class, shape (pairs,)."""
    thresholds = np.empty(len(pairs), np.float32)
    for kind in np.unique(classes):
        members = np.flatnonzero(classes == kind)
        # A class of many pairs needs no more values than fit at once.
        stride = -(-len(members) * coordinates.shape[2] // _MOST_CLASH_VALUES)
        values = distances(coordinates[:, :, ::stride], pairs[members])
        every = None if weights is None else weights[::stride]
        thresholds[members] = _quantile(values, every, CLASH_QUANTILE)
    return thresholds


def _is_closer(pairs: np.ndarray, thresholds: np.ndarray) -> Happens:
    return lambda coordinates, rows: distances(coordinates, pairs[rows]) <= thresholds[rows, None]


def wrong_hands(centers: np.ndarray, reference: Sample, ensemble: Sample) -> tuple[np.ndarray, Events | None]:
    """Chiral centers, and how many of each frame have the other hand than the reference.

    Args:
        centers: an atom and three neighbors, shape (centers, 4).
        reference: the data.
        ensemble: the other side.

    Returns:
        The centers with one hand in at least 99 % of the reference, and the events; None if there are none.
    """
    mean_sign = handedness(reference.coordinates, centers) @ reference.weights
    is_constant = np.abs(mean_sign) >= 2.0 * CONSTANT_HAND - 1.0
    chiral, hands = centers[is_constant], np.sign(mean_sign[is_constant])
    if len(chiral) == 0:
        return chiral, None
    frames = [np.arange(sample.n_frames) for sample in (reference, ensemble)]
    is_wrong = lambda coordinates, rows: handedness(coordinates, chiral[rows]) != hands[rows, None]  # noqa: E731
    return chiral, _counted(is_wrong, len(chiral), (reference, ensemble), frames)


def cis_bonds(omega: np.ndarray, reference: Sample, ensemble: Sample) -> Events:
    """Peptide bonds of each frame with |ω| below π/2.

    Args:
        omega: atoms of ω, shape (peptides, 4).
        reference: the data.
        ensemble: the other side.
    """
    frames = [np.arange(sample.n_frames) for sample in (reference, ensemble)]
    is_cis = lambda coordinates, rows: np.abs(torsions(coordinates, omega[rows])) < np.pi / 2  # noqa: E731
    return _counted(is_cis, len(omega), (reference, ensemble), frames)


def _counted(
    happens: Happens, n_items: int, samples: tuple[Sample, Sample], frames: list[np.ndarray]
) -> Events:
    counts, rates = [], []
    for sample, chosen in zip(samples, frames, strict=True):
        whole = len(chosen) == sample.n_frames
        coordinates = sample.coordinates if whole else sample.coordinates[:, :, chosen]
        weights = sample.weights[chosen] / sample.weights[chosen].sum()
        per_frame, per_item = np.zeros(len(chosen)), np.zeros(n_items)
        for rows, events in _in_turn(happens, n_items, coordinates):
            per_frame += events.sum(axis=0)
            per_item[rows] = events @ weights
        counts.append(per_frame)
        rates.append(per_item)
    return Events(
        data=counts[0],
        made=counts[1],
        data_frames=frames[0],
        made_frames=frames[1],
        worst=int(np.argmax(np.abs(rates[1] - rates[0]))),
    )


def _rate(happens: Happens, n_items: int, coordinates: np.ndarray, weights: np.ndarray) -> float:
    """Events per frame."""
    per_frame = sum(events.sum(axis=0) for _, events in _in_turn(happens, n_items, coordinates))
    return float(weights @ per_frame / weights.sum())


def _in_turn(
    happens: Happens, n_items: int, coordinates: np.ndarray
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Some items at a time, and what happens to them."""
    parts = -(-n_items * coordinates.shape[2] // _VALUES_AT_ONCE)
    for rows in np.array_split(np.arange(n_items), parts):
        yield rows, happens(coordinates, rows)


def _quantile(values: np.ndarray, weights: np.ndarray | None, share: float) -> float:
    """The value that this share of the weight lies below."""
    if weights is None:
        place = int(share * values.size)
        return float(np.partition(values, place, axis=None)[place])
    order = np.argsort(values, axis=None)
    below = np.cumsum(np.broadcast_to(weights, values.shape).ravel()[order])
    return float(
        values.ravel()[order][
            np.searchsorted(below, share * below[-1], side="right").clip(max=values.size - 1)
        ]
    )
