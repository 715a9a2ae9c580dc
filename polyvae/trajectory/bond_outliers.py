"""Frames in which a bond is far longer or shorter than usual: damaged, or split without a box that says so.

No bond of a molecule becomes twice or half as long as usual. Soft springs between beads may, so that a bond must also
be twelve standard deviations (from the median absolute deviation) away from its median.
"""

import numpy as np
from jaxtyping import Float, Int

_REFERENCE = 100
"""Frames that say how long a bond usually is."""
_FEWEST = 10
_FACTOR = 2.0
_DEVIATIONS = 12.0
_TO_SIGMA = 1.4826


class BondOutliers:
    """Takes bond lengths in order and keeps the frames that have a distorted bond."""

    def __init__(self) -> None:
        self._waiting: list[tuple[np.ndarray, np.ndarray]] = []
        self._n_waiting = 0
        self._limits: tuple[np.ndarray, np.ndarray] | None = None
        self._found: list[int] = []

    def add(self, lengths: Float[np.ndarray, "frames bonds"], frames: Int[np.ndarray, " frames"]) -> None:
        """Takes the bond lengths of frames with these numbers."""
        if self._limits is not None:
            shortest, longest = self._limits
            self._found += frames[((lengths < shortest) | (lengths > longest)).any(axis=1)].tolist()
            return
        self._waiting.append((lengths, frames))
        self._n_waiting += len(frames)
        if self._n_waiting >= _REFERENCE:
            self._settle()

    def frames(self) -> list[int]:
        """Numbers of the frames with a distorted bond."""
        if self._limits is None and self._n_waiting >= _FEWEST:
            self._settle()
        return self._found

    def _settle(self) -> None:
        waiting, self._waiting = self._waiting, []
        lengths = np.concatenate([lengths for lengths, _ in waiting])
        spread = lengths[:: max(1, len(lengths) // _REFERENCE)]
        usual = np.median(spread, axis=0)
        sigma = _TO_SIGMA * np.median(np.abs(spread - usual), axis=0)
        shortest = usual - np.maximum((1 - 1 / _FACTOR) * usual, _DEVIATIONS * sigma)
        self._limits = shortest, usual + np.maximum((_FACTOR - 1) * usual, _DEVIATIONS * sigma)
        for some, frames in waiting:
            self.add(some, frames)
