"""What was left out of a trajectory because it could not be used."""

from collections.abc import Sequence
from dataclasses import dataclass

LISTED = 10
"""Frames of a file that are named one by one, at most."""


@dataclass(frozen=True, kw_only=True)
class SkippedFrames:
    """Bad frames of one file that were left out.

    Attributes:
        file: name of the file.
        n_frames: how many there are.
        first: the first ten at most, numbered as in the file.
    """

    file: str
    n_frames: int
    first: tuple[int, ...]

    def __str__(self) -> str:
        frames = ", ".join(map(str, self.first)) + (", ..." if self.n_frames > len(self.first) else "")
        return f"{self.file}: {self.n_frames} bad frame{'s' * (self.n_frames > 1)} left out ({frames})"


def skipped_frames(file: str, frames: Sequence[int]) -> SkippedFrames:
    """The record of these bad frames of a file, given by their numbers in it."""
    return SkippedFrames(file=file, n_frames=len(frames), first=tuple(frames[:LISTED]))
