"""Frames that hold NaN or infinity, or that cannot be read: found in one pass, and left out.

A frame that is left out is a gap in time. The simulation is cut in two there, like two files that are joined, so that
no lag pair, no alignment memory and no block of the validation split reaches across.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import pairwise

import numpy as np

from polyvae.errors import InputError
from polyvae.trajectory.raw import RawFrames
from polyvae.trajectory.skipped import SkippedFrames, skipped_frames
from polyvae.trajectory.source import TrajectorySource
from polyvae.trajectory.span import Span


def without_bad_frames(source: TrajectorySource) -> TrajectorySource:
    """The same frames but for the bad ones, which are in `skipped`; all are read once, a chunk at a time.

    Raises:
        InputError: if no good frame is left, or a file has changed since it was opened.
    """
    # As they are in the files: making molecules whole moves atoms, but makes no bad frame good.
    bare = replace(source, imaging=None, atoms=source.read)
    bad: dict[Span, list[int]] = {span: [] for span in source.spans}
    for span, first, raw in bare.readable_chunks(source.chunk):
        bad[span] += (
            [first]
            if raw is None
            else (first + np.flatnonzero(~np.isfinite(raw.positions).all(axis=(1, 2)))).tolist()
        )
    spans = tuple(piece for span in source.spans for piece in _pieces(span, bad[span]))
    if not spans:
        raise InputError(no_good_frame(source.source, source.n_frames))
    return replace(source, spans=spans, skipped=tuple(_skipped(source, bad)))


def first_good_frames(span: Span, atoms: np.ndarray | None) -> list[RawFrames]:
    """The first good frames of a span, two at most, one by one and with all atoms.

    Args:
        span: frames of one file.
        atoms: indices of the atoms whose positions make a frame good or bad, or None for all.
    """
    found: list[RawFrames] = []
    for _, raw in span.readable_blocks(None, 1):
        if raw is not None and np.isfinite(raw.positions if atoms is None else raw.positions[:, atoms]).all():
            found.append(raw)
        if len(found) == 2:
            break
    return found


def no_good_frame(name: str, n_frames: int) -> str:
    """The words for a source without a good frame."""
    return (
        f"{name}: each of the {n_frames} frames holds NaN or infinity, or cannot be read. Write the file again; "
        "`inspect` says more."
    )


def _pieces(span: Span, bad: Sequence[int]) -> Iterator[Span]:
    """What lies between the bad frames, given by their indices within the span."""
    for before, after in pairwise([-1, *bad, len(span)]):
        if after > before + 1:
            yield span.part(before + 1, after)


def _skipped(source: TrajectorySource, bad: dict[Span, list[int]]) -> Iterator[SkippedFrames]:
    for file in source.files:
        frames = [span.frames[index] for span in source.spans if span.file is file for index in bad[span]]
        if frames:
            yield skipped_frames(file.name, frames)
