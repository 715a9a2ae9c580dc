"""Distributions of many quantities, ensemble against reference: distance, noise floor, and bootstrap replicates.

Lengths and angles between 0 and π are compared by the 1-Wasserstein distance, exact from the samples. Torsions, which
are periodic, by the Jensen-Shannon divergence of histograms over the whole circle, in nats. Replicates come from the
histograms of each block of frames: a replicate's histogram is the sum over the blocks that it draws.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from polyvae.analysis.distribution_distances import jensen_shannon, wasserstein
from polyvae.analysis.scoring.bootstrap import Sample

_VALUES_AT_ONCE = 8_000_000
_REPLICATE_VALUES_AT_ONCE = 4_000_000
_FLOAT_RESOLUTION = 1e-6

Quantity = Callable[[np.ndarray, np.ndarray], np.ndarray]
"""Coordinates (dims, atoms, frames) and atom indices (rows, k) to values (rows, frames)."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Comparison:
    """One number for each quantity.

    Attributes:
        value: ensemble against reference, shape (rows,).
        floor: one half of the reference against the other, shape (rows,).
        replicates: the value with both sides resampled, shape (rows, replicates).
        noise: the value that resampling alone makes, without the difference between the two, same shape.
        resolution: a value that rounding of float32 can make.
    """

    value: np.ndarray
    floor: np.ndarray
    replicates: np.ndarray
    noise: np.ndarray
    resolution: float = 0.0


def compare_lengths(
    quantity: Quantity, items: np.ndarray, reference: Sample, ensemble: Sample, half: np.ndarray, bins: int
) -> Comparison:
    """1-Wasserstein distances, in the unit of the quantity.

    Args:
        quantity: what is compared.
        items: atom indices, one row for each quantity of its kind.
        reference: the data.
        ensemble: the other side.
        half: frames of the reference that form one half, shape (frames,).
        bins: bins of the histograms behind the replicates.
    """
    weights = [sample.weights if sample.is_weighted else None for sample in (reference, ensemble)]
    halves = [None if weights[0] is None else weights[0][part] for part in (half, ~half)]
    parts, magnitude = [], 0.0
    for chosen in _chunks(items, reference, ensemble, bins):
        data, made = quantity(reference.coordinates, chosen), quantity(ensemble.coordinates, chosen)
        magnitude += float(np.abs(data).mean(axis=1, dtype=np.float64).sum())
        low = np.minimum(data.min(axis=1), made.min(axis=1)).astype(np.float64)[:, None]
        high = np.maximum(data.max(axis=1), made.max(axis=1)).astype(np.float64)[:, None]
        width = np.where(high > low, high - low, 1.0) / bins
        (data_sum, data_drawn), (made_sum, made_drawn) = (
            _drawn(((values - low) / width).astype(np.int64), bins, sample)
            for values, sample in ((data, reference), (made, ensemble))
        )
        difference = data_drawn - made_drawn
        by_chance = difference - (data_sum - made_sum)[:, None]
        parts.append(
            (
                wasserstein(data, made, *weights),
                wasserstein(data[:, half], data[:, ~half], *halves),
                *(np.abs(np.cumsum(part, axis=2)).sum(axis=2) * width for part in (difference, by_chance)),
            )
        )
    value, floor, replicates, noise = (np.concatenate(column) for column in zip(*parts, strict=True))
    resolution = _FLOAT_RESOLUTION * magnitude / len(items)
    return Comparison(value=value, floor=floor, replicates=replicates, noise=noise, resolution=resolution)


def compare_cycles(
    quantity: Quantity, items: np.ndarray, reference: Sample, ensemble: Sample, half: np.ndarray, bins: int
) -> Comparison:
    """Jensen-Shannon divergences of periodic quantities from -π to π, nats; arguments as for `compare_lengths`."""
    parts = []
    for chosen in _chunks(items, reference, ensemble, bins):
        data, made = (
            circle_bins(quantity(sample.coordinates, chosen), bins) for sample in (reference, ensemble)
        )
        parts.append(compare_cells(data, made, bins, reference, ensemble, half)[0])
    return joined(parts)


def compare_cells(
    data: np.ndarray, made: np.ndarray, cells: int, reference: Sample, ensemble: Sample, half: np.ndarray
) -> tuple[Comparison, np.ndarray, np.ndarray]:
    """Jensen-Shannon divergences of discrete quantities, nats, and the probabilities behind them, (rows, cells).

    Args:
        data: cell of each frame of the reference, shape (rows, frames).
        made: that of the ensemble.
        cells: number of cells.
        reference: the data.
        ensemble: the other side.
        half: frames of the reference that form one half.
    """
    (data_sum, data_drawn), (made_sum, made_drawn) = (
        _drawn(values, cells, sample) for values, sample in ((data, reference), (made, ensemble))
    )
    halves = []
    for part in (half, ~half):
        weights = np.where(part, reference.weights, 0.0)
        halves.append(_histogram(data, weights / weights.sum(), cells))
    rows, replicates = len(data), data_drawn.shape[1]
    flat = lambda drawn: drawn.reshape(rows * replicates, cells)  # noqa: E731
    back = lambda values: values.reshape(rows, replicates)  # noqa: E731
    # To leading order the divergence is quadratic in the noise of each side, and the noise of both is independent.
    by_chance = jensen_shannon(flat(data_drawn), np.repeat(data_sum, replicates, axis=0)) + jensen_shannon(
        flat(made_drawn), np.repeat(made_sum, replicates, axis=0)
    )
    # Resampled frames never fall into an empty cell as new ones do: draws of independent frames show how many would.
    random = np.random.default_rng(reference.seed)
    independent = [
        random.multinomial(sample.effective_frames, data_sum, size=(replicates, rows)).swapaxes(0, 1)
        / sample.effective_frames
        for sample in (reference, ensemble)
    ]
    by_chance = np.maximum(by_chance, jensen_shannon(*map(flat, independent)))
    comparison = Comparison(
        value=jensen_shannon(data_sum, made_sum),
        floor=jensen_shannon(*halves),
        replicates=back(jensen_shannon(flat(data_drawn), flat(made_drawn))),
        noise=back(by_chance),
    )
    return comparison, data_sum, made_sum


def joined(parts: list[Comparison]) -> Comparison:
    """Comparisons of some quantities and of some more, as one."""
    columns = ([getattr(part, name) for part in parts] for name in ("value", "floor", "replicates", "noise"))
    value, floor, replicates, noise = map(np.concatenate, columns)
    return Comparison(value=value, floor=floor, replicates=replicates, noise=noise)


def circle_bins(values: np.ndarray, bins: int) -> np.ndarray:
    """Bin of each angle, from -π upwards; π belongs to the first bin, as -π does."""
    return np.floor((values.astype(np.float64) + np.pi) * (bins / (2.0 * np.pi))).astype(np.int64) % bins


def _chunks(items: np.ndarray, reference: Sample, ensemble: Sample, bins: int) -> list[np.ndarray]:
    most = min(
        _VALUES_AT_ONCE // (reference.n_frames + ensemble.n_frames),
        _REPLICATE_VALUES_AT_ONCE
        // (bins * max(len(reference.draws), reference.n_blocks, ensemble.n_blocks)),
    )
    return np.array_split(items, -(-len(items) // max(1, most)))


def _drawn(index: np.ndarray, cells: int, sample: Sample) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities of the cells, shape (rows, cells), and in each replicate, shape (rows, replicates, cells)."""
    rows, n_blocks = len(index), sample.n_blocks
    place = np.clip(index, 0, cells - 1) + cells * (sample.blocks + n_blocks * np.arange(rows)[:, None])
    weights = np.broadcast_to(sample.weights, index.shape).ravel() if sample.is_weighted else None
    counts = np.bincount(place.ravel(), weights, minlength=rows * n_blocks * cells)
    counts = counts.reshape(rows, n_blocks, cells).astype(np.float64)
    total, drawn = counts.sum(axis=1), sample.draws @ counts
    return total / total.sum(axis=1, keepdims=True), drawn / drawn.sum(axis=2, keepdims=True)


def _histogram(index: np.ndarray, weights: np.ndarray, cells: int) -> np.ndarray:
    place = index + cells * np.arange(len(index))[:, None]
    every = np.broadcast_to(weights, index.shape).ravel()
    return np.bincount(place.ravel(), every, minlength=len(index) * cells).reshape(len(index), cells)
