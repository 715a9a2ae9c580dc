"""Frames that equal an earlier one bit by bit, found by 64-bit hashes of their positions.

A hash is the sum of the words of a frame times random odd numbers, modulo 2^64.
"""

import numpy as np

_MOST_HASHES = 1 << 22


class DuplicateSearch:
    """Takes frames in order; keeps eight bytes of each, of four million frames at most."""

    def __init__(self) -> None:
        self._hashes: list[np.ndarray] = []
        self._factors: np.ndarray | None = None
        self._frames: list[np.ndarray] = []
        self._kept = 0
        self.is_complete = True

    def add(self, positions: np.ndarray, frames: np.ndarray) -> None:
        """Takes positions of shape (frames, atoms, dims) and the numbers of these frames."""
        if self._kept + len(frames) > _MOST_HASHES:
            self.is_complete = False
            return
        bits = np.ascontiguousarray(positions, np.float32).reshape(len(positions), -1).view(np.uint32)
        if self._factors is None:
            self._factors = (
                np.random.default_rng(0).integers(1 << 63, size=bits.shape[1], dtype=np.uint64) * 2 + 1
            )
        self._hashes.append(bits.astype(np.uint64) @ self._factors)
        self._frames.append(frames)
        self._kept += len(frames)

    def found(self) -> list[tuple[int, int]]:
        """Each frame that equals an earlier one, and the first that it equals."""
        if not self._kept:
            return []
        hashes, frames = np.concatenate(self._hashes), np.concatenate(self._frames)
        if np.all(np.diff(np.sort(hashes))):
            return []
        _, first, which = np.unique(hashes, return_index=True, return_inverse=True)
        original = first[which]
        later = np.flatnonzero(original != np.arange(len(hashes)))
        return list(zip(frames[later].tolist(), frames[original[later]].tolist(), strict=True))
