"""Weights of frames that come apart from them: as an array, or in a file that a reweighting program wrote."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float64

from polyvae.errors import InputError
from polyvae.trajectory.source import TrajectorySource
from polyvae.trajectory.span import Span
from polyvae.trajectory.weights import normalized_weights


def weights_of_frames(weights: Any, opened: TrajectorySource) -> Float64[np.ndarray, " frames"]:
    """The weights of the frames that an opened trajectory takes, as they were given, not normalized.

    Args:
        weights: one number for each frame that is taken, with or without the bad ones that are left out, or for each
            that is stored; or the path of a file of them.
        opened: says which frames are taken.

    Raises:
        InputError: if there are more numbers or fewer, one is not finite or negative, all are zero, or a file cannot
            be read.
    """
    name = "weights"
    if isinstance(weights, str | os.PathLike):
        name = str(weights)
        weights = _read(Path(weights))
    values = np.asarray(weights, np.float64)
    if values.ndim == 2 and 1 in values.shape:
        values = values.ravel()
    stored = sum(file.n_frames for file in opened.files)
    taken, wanted = _numbers(opened, opened.spans), _numbers(opened, opened.wanted)
    if values.ndim == 1 and len(values) == stored != len(taken):
        values = values[taken]
    elif values.ndim == 1 and len(values) == len(wanted) != len(taken):
        values = values[np.isin(wanted, taken)]
    if values.shape != (opened.n_frames,):
        raise InputError(
            f"`{name}` must hold one number for each of the {opened.n_frames} frames taken, or of the {stored} stored; "
            f"got shape {values.shape}."
        )
    normalized_weights(values, name=name)
    return values


def _read(path: Path) -> np.ndarray:
    if not path.is_file():
        raise InputError(f"{path}: `weights` names a file that does not exist.")
    try:
        if path.suffix == ".npy":
            return np.load(path, allow_pickle=False)
        return np.loadtxt(path, dtype=np.float64, ndmin=1)
    except (ValueError, OSError) as error:
        raise InputError(
            f"{path}: `weights` must be an .npy file or a text file with one number a line; {error}."
        ) from error


def _numbers(opened: TrajectorySource, spans: Sequence[Span]) -> np.ndarray:
    """Numbers of the frames of these spans among those stored in all files."""
    before, total = {}, 0
    for file in opened.files:
        before[file] = total
        total += file.n_frames
    return np.concatenate([before[span.file] + np.asarray(span.frames) for span in spans])
