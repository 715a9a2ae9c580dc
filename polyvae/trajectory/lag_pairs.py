"""Pairs of frames a lag time apart within one simulation: what slow coordinates are learned and judged from."""

import numpy as np
from jaxtyping import Int

from polyvae.errors import InputError


def lag_pairs(
    frames: Int[np.ndarray, " some"], segments: tuple[int, ...], lag_time: int, *, source: str = "array"
) -> Int[np.ndarray, "pairs 2"]:
    """Places in `frames` of the first and the second frame of every pair that lies `lag_time` frames apart.

    Both frames are among `frames`, and no pair crosses from one joined simulation to the next.

    Args:
        frames: indices of frames, ascending, such as one part of a split.
        segments: lengths of the joined simulations.
        lag_time: lag time in frames, at least 1.
        source: name of the trajectory, for messages.

    Raises:
        InputError: if `lag_time` is below 1, or there is no pair.
    """
    if lag_time < 1:
        raise InputError(f"`lag_time` must be at least 1 frame; got {lag_time}.")
    frames = np.asarray(frames)
    second = np.searchsorted(frames, frames + lag_time)
    found = second < len(frames)
    found[found] = frames[second[found]] == frames[found] + lag_time
    first, second = np.flatnonzero(found), second[found]
    segment_of = np.searchsorted(np.cumsum(segments), frames, side="right")
    inside = segment_of[first] == segment_of[second]
    pairs = np.stack([first[inside], second[inside]], axis=1).astype(frames.dtype)
    if len(pairs) == 0:
        breaks = (np.diff(frames) != 1) | (np.diff(segment_of) != 0)
        longest = max(map(len, np.split(frames, np.flatnonzero(breaks) + 1)))
        raise InputError(
            f"{source}: no two of the {len(frames)} frames lie `lag_time`={lag_time} frames apart in one simulation; "
            f"the longest stretch without a gap or join has {longest}. Lower `lag_time`, or use fewer `blocks`."
        )
    return pairs
