"""`free_energy_difference`: between two states that a user marks frame by frame."""

from dataclasses import dataclass

import numpy as np

from polyvae.analysis.free_energy.blocks import block_numbers, bootstrap_counts, correlation_time
from polyvae.analysis.free_energy.surface import thermal_energy
from polyvae.errors import InputError
from polyvae.trajectory.weights import normalized_weights


@dataclass(frozen=True, kw_only=True)
class FreeEnergyDifference:
    """Free energy of one state less that of another.

    Attributes:
        value: F(second) - F(first).
        error: its standard error; infinite where a draw of the blocks lacks a state.
        units: "kJ/mol" or "kT".
        populations: share of the weight in the first and in the second state.
        transitions: passages from the one to the other, in either direction; few of them make the error a guess.
    """

    value: float
    error: float
    units: str
    populations: tuple[float, float]
    transitions: int


def free_energy_difference(
    first: np.ndarray,
    second: np.ndarray,
    *,
    temp: float = 300.0,
    units: str = "kJ/mol",
    kbt: float | None = None,
    weights: np.ndarray | None = None,
    blocks: int | None = None,
    segments: tuple[int, ...] | None = None,
    seed: int = 0,
) -> FreeEnergyDifference:
    r"""\(-k_B T \ln (P_2 / P_1)\) of two states, with an error from blocks of consecutive frames drawn anew.

    Args:
        first: whether each frame belongs to the first state, shape (frames,).
        second: whether it belongs to the second; a frame may belong to neither.
        temp: temperature in K.
        units: of the result, "kJ/mol" or "kT".
        kbt: thermal energy in the unit of the result, in place of `temp`.
        weights: statistical weight of each frame, or None for equal ones.
        blocks: number of blocks; None for blocks of five autocorrelation times of the two marks.
        segments: lengths of the joined simulations, or None for a single one.
        seed: of the draws.

    Raises:
        InputError: if the states overlap, one is never visited, or lengths differ.
    """
    marks = np.stack([np.asarray(first, bool), np.asarray(second, bool)], axis=1)
    n_frames = len(marks)
    segments = (n_frames,) if segments is None else tuple(segments)
    if sum(segments) != n_frames:
        raise InputError(f"`segments` sum to {sum(segments)}; expected {n_frames} frames.")
    if marks.all(axis=1).any():
        raise InputError(
            f"Frame {int(np.argmax(marks.all(axis=1)))} belongs to both states. Draw the line between them elsewhere."
        )
    shares = np.full(n_frames, 1.0 / n_frames) if weights is None else normalized_weights(weights, n_frames)
    populations = shares @ marks
    for name, population in zip(("first", "second"), populations, strict=True):
        if not population > 0:
            raise InputError(
                f"No frame with a weight lies in the {name} state, so its free energy is not known. Sample longer, or "
                "bias along the coordinate."
            )
    thermal = thermal_energy(temp, units, kbt)
    time = correlation_time(marks.astype(np.float64), segments)
    numbers = block_numbers(segments, blocks=blocks, time=time, source="the states")
    per_block = np.stack(
        [np.bincount(numbers, weights=shares * mark, minlength=int(numbers[-1]) + 1) for mark in marks.T],
        axis=1,
    )
    draws = bootstrap_counts(len(per_block), seed) @ per_block
    with np.errstate(divide="ignore", invalid="ignore"):
        values = -thermal * np.log(draws[:, 1] / draws[:, 0])
    return FreeEnergyDifference(
        value=float(-thermal * np.log(populations[1] / populations[0])),
        error=float(np.std(values)) if np.isfinite(values).all() else float("inf"),
        units=units,
        populations=(float(populations[0]), float(populations[1])),
        transitions=_transitions(marks, segments),
    )


def _transitions(marks: np.ndarray, segments: tuple[int, ...]) -> int:
    """Passages between the states; frames in neither keep the state that was left last."""
    passages, start = 0, 0
    for length in segments:
        part = marks[start : start + length]
        states = part[part.any(axis=1), 1]
        passages += int(np.count_nonzero(np.diff(states.astype(np.int8))))
        start += length
    return passages
