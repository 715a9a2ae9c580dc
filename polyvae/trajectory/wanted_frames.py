"""Which frames of which file are wanted, and what the first of them show."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from polyvae.errors import InputError
from polyvae.trajectory.bad_frames import first_good_frames
from polyvae.trajectory.raw import FrameFile, RawFrames
from polyvae.trajectory.span import Span


def spans_of(
    files: tuple[FrameFile, ...], start: int, stop: int | None, stride: int, *, strict: bool
) -> tuple[Span, ...]:
    """The wanted frames of each joined simulation; if `strict`, a truncated file is an error."""
    spans = []
    for file in files:
        last = file.n_frames if stop is None else stop
        if strict and file.damage and (stop is None or stop > file.n_frames):
            raise InputError(
                f"{file.name} is {kind_of_damage(file.damage)}: {file.damage}. Its last good frame is "
                f"{file.n_frames - 1}; copy the file again, or read what is whole with `stop={file.n_frames}`."
            )
        last = min(last, file.n_frames)
        if start >= last:
            raise InputError(
                f"{file.name}: no frames are left of {file.n_frames} with start={start}, stop={stop}. "
                "Check `start`, `stop` and `stride`."
            )
        end = 0
        for length in file.segments:
            begin, end = end, end + length
            # The first frame of this segment that start and stride reach.
            first = start if start >= begin else start + -(-(begin - start) // stride) * stride
            if first < min(end, last):
                spans.append(Span(file=file, start=first, stop=min(end, last), stride=stride))
    return tuple(spans)


def kind_of_damage(damage: str) -> str:
    """The word for damage: "damaged" where a file goes on after what cannot be read, else "truncated"."""
    return "damaged" if "is damaged" in damage else "truncated"


def first_frames(
    spans: Sequence[Span], atoms: np.ndarray | None, scale: float, *, tolerant: bool
) -> dict[Span, list[RawFrames]]:
    """The first two frames of each span, or one; if `tolerant`, the first good ones, of spans that have any."""
    if tolerant:
        begun = {span: first_good_frames(span, atoms) for span in spans}
    else:
        begun = {span: list(span.part(0, 2).blocks(None, 1)) for span in spans}
    return {span: [_scaled(frame, scale) for frame in frames] for span, frames in begun.items() if frames}


def _scaled(frame: RawFrames, scale: float) -> RawFrames:
    return replace(
        frame,
        positions=frame.positions * np.float32(scale),
        box=None if frame.box is None else frame.box * np.float32(scale),
    )


def has_times(first: list[RawFrames]) -> bool:
    """Whether the first frames of a span show times that mean something."""
    # Some writers put the same number, mostly zero, into every frame: that is no time.
    times = [frame.times[0] for frame in first if frame.times is not None]
    return len(times) == len(first) and (len(times) < 2 or bool(times[0] != times[1]))
