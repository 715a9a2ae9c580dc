r"""Statistical weights of frames: means over frames become \(\sum_i w_i x_i / \sum_i w_i\).

Frames of a biased simulation (metadynamics, umbrella sampling, replica exchange) stand for an unbiased
ensemble only with weights, which `Trajectory.weights` carries. Only their ratios count. Everywhere None
stands for equal weights, and plain sums are taken; a frame of weight zero is as good as absent. All sums are
in float64.
"""

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
from jaxtyping import Float, Float64

from polyvae.errors import InputError


def normalized_weights(
    weights: Any, n_frames: int | None = None, *, name: str = "weights"
) -> Float64[np.ndarray, " frames"]:
    """Weights that sum to one.

    Args:
        weights: one number a frame, finite, not negative and not all zero.
        n_frames: how many frames there are, or None where that is not known yet.
        name: what messages call them.

    Raises:
        InputError: if they are anything else.
    """
    array = np.asarray(weights, np.float64)
    if array.ndim != 1 or not len(array) or len(array) != (n_frames or len(array)):
        expected = "(frames,)" if n_frames is None else f"({n_frames},)"
        raise InputError(
            f"`{name}` must have shape {expected}, one number for each frame; got {array.shape}."
        )
    bad = ~(np.isfinite(array) & (array >= 0))
    if bad.any():
        frame = int(np.argmax(bad))
        raise InputError(
            f"`{name}` must be finite and not negative; got {array[frame]} for frame {frame}. "
            "Cut such frames away, or give them the weight 0."
        )
    largest = array.max()
    if largest == 0:
        raise InputError(f"`{name}` are zero for all {len(array)} frames; at least one must count.")
    # Divided twice: the sum of large weights may overflow.
    array = array / largest
    return array / array.sum()


def chosen_weights(
    weights: Float64[np.ndarray, " frames"] | None, frames: np.ndarray, *, name: str
) -> Float64[np.ndarray, " chosen"] | None:
    """The weights of some frames of a trajectory, or None for equal ones.

    Args:
        weights: those of all frames.
        frames: indices of the frames.
        name: what messages call these frames, such as "test frames".

    Raises:
        InputError: if none of these frames has a weight above zero.
    """
    if weights is None:
        return None
    chosen = weights[frames]
    if not chosen.any():
        raise InputError(
            f"All {len(chosen)} {name} have weight zero, so there is no mean over them. Cut frames without weight "
            "away before training, or raise `blocks`."
        )
    return chosen


def counted_frames(
    weights: Float64[np.ndarray, " frames"] | None, frames: np.ndarray, *, name: str
) -> np.ndarray:
    """Those of the chosen frames whose weight is above zero; arguments and errors as `chosen_weights`."""
    chosen = chosen_weights(weights, frames, name=name)
    return frames if chosen is None else frames[chosen > 0]


def with_weights(
    chunks: Iterable[np.ndarray], weights: Float64[np.ndarray, " frames"] | None, *, name: str = "weights"
) -> Iterator[tuple[np.ndarray, np.ndarray | None]]:
    """Chunks of frames, each with its part of the weights.

    Args:
        chunks: arrays whose first axis are frames.
        weights: one number for each frame of all chunks, in their order, or None for equal weights.
        name: what messages call them.

    Raises:
        InputError: if there are more frames than weights, or fewer.
    """
    start = 0
    for chunk in chunks:
        stop = start + len(chunk)
        if weights is not None and stop > len(weights):
            raise InputError(f"`{name}` hold {len(weights)} numbers, but there are at least {stop} frames.")
        yield chunk, None if weights is None else weights[start:stop]
        start = stop
    if weights is not None and start != len(weights):
        raise InputError(f"`{name}` hold {len(weights)} numbers, but there are {start} frames.")


def total_weight(
    values: Float[np.ndarray, "frames *rest"], weights: Float64[np.ndarray, " frames"] | None
) -> float:
    """Sum of the weights; the number of frames for equal ones."""
    return float(len(values)) if weights is None else float(weights.sum())


def weighted_sum(
    values: Float[np.ndarray, "frames *rest"], weights: Float64[np.ndarray, " frames"] | None
) -> Float64[np.ndarray, "*rest"]:
    """Sum over frames of weight times value; the plain sum for equal weights."""
    if weights is None:
        return np.asarray(values.sum(axis=0, dtype=np.float64))
    return np.asarray(np.tensordot(weights, values, axes=1))


def weighted_mean(
    values: Float[np.ndarray, "frames *rest"], weights: Float64[np.ndarray, " frames"] | None
) -> Float64[np.ndarray, "*rest"]:
    """Mean over frames."""
    if weights is None:
        return np.asarray(values.mean(axis=0, dtype=np.float64))
    return weighted_sum(values, normalized_weights(weights))


def second_moment(
    residuals: Float[np.ndarray, "frames n"], weights: Float64[np.ndarray, " frames"] | None
) -> Float64[np.ndarray, "n n"]:
    """Mean over frames of the outer product of a vector with itself."""
    residuals = np.asarray(residuals, np.float64)
    if weights is None:
        return residuals.T @ residuals / len(residuals)
    return (residuals * normalized_weights(weights)[:, None]).T @ residuals


def effective_sample_size(weights: Float64[np.ndarray, " frames"] | None, n_frames: int) -> float:
    r"""Number of frames of equal weight that fix a mean as well as these do; `n_frames` for equal weights.

    .. math:: \mathrm{ESS} = \Big(\sum_i w_i\Big)^2 \Big/ \sum_i w_i^2

    It knows nothing of correlations in time, nor of what the frames' values are.

    References:
        Elvira, Martino & Robert, Rethinking the effective sample size, 2022, arXiv:1809.04129.
    """
    if weights is None:
        return float(n_frames)
    return float(1.0 / np.sum(normalized_weights(weights) ** 2))
