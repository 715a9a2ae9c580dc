"""Whether an export agrees with the model: value and gradient on given frames, beside those of JAX in float64."""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from polyvae.errors import InputError
from polyvae.vae import ConformationModel


def latent_and_gradient(model: ConformationModel, positions: Any) -> tuple[np.ndarray, np.ndarray]:
    """The model's latent mean and its derivative by the positions, in float64.

    Args:
        model: what to evaluate; its numbers are taken as they are.
        positions: molecules whole, shape (frames, atoms, dims), in the model's unit of length.

    Returns:
        Latent of shape (frames, latent) and gradient of shape (frames, latent, atoms, dims).
    """
    with jax.enable_x64(True):
        doubled = jax.tree.map(_double, model)
        frames = jnp.asarray(np.asarray(positions, np.float64))

        def mean(frame):
            return doubled.encode(frame).mean

        value = jax.lax.map(mean, frames)
        gradient = jax.lax.map(jax.jacrev(mean), frames)
        return np.asarray(value), np.asarray(gradient)


def check_frames(model: ConformationModel, frames: Any) -> np.ndarray:
    """Frames to compare on, as float64.

    Raises:
        InputError: if they do not have the model's shape, or there are none.
    """
    frames = np.asarray(getattr(frames, "positions", frames), np.float64)
    expected = (model.system.n_atoms, model.system.dims)
    if frames.ndim != 3 or frames.shape[1:] != expected or not len(frames):
        raise InputError(
            f"`check` must be frames of the model's atoms, shape (frames, {expected[0]}, {expected[1]}); got "
            f"{frames.shape}."
        )
    return frames


def compare(
    what: str,
    model: ConformationModel,
    frames: Any,
    evaluate: Callable[[np.ndarray], tuple[np.ndarray, np.ndarray | None]],
    *,
    tolerance: float,
) -> float:
    """Largest difference between an export and the model, in value and gradient, relative to the largest of each.

    Args:
        what: the export, for the message.
        model: the model that was exported.
        frames: positions to compare on, shape (frames, atoms, dims).
        evaluate: the export: positions to the latent and its gradient, which may be None where it has none.
        tolerance: the largest difference that passes.

    Raises:
        InputError: if the difference is larger; the message names it, its frame and what may be its cause.
    """
    frames = check_frames(model, frames)
    worst = 0.0
    pairs = zip(("value", "gradient"), evaluate(frames), latent_and_gradient(model, frames), strict=True)
    for name, found, expected in pairs:
        if found is None:
            continue
        size = max(float(np.abs(expected).max()), 1e-30)
        difference = np.abs(found - expected).reshape(len(frames), -1).max(axis=1) / size
        difference = np.where(np.isfinite(difference), difference, np.inf)
        frame = int(np.argmax(difference))
        worst = max(worst, float(difference[frame]))
        if not worst <= tolerance:
            raise InputError(
                f"{what} differs from the model: the largest difference in the {name} is {difference[frame]:.1e} of "
                f"the largest {name} ({size:.3g}), in frame {frame} of `check`; at most {tolerance:.0e} is allowed. "
                "Where the orientation of a frame is not determined (collinear, or the mirror image of the "
                "reference), the two may differ: check on other frames. Elsewhere do not use the export, and report "
                "the difference."
            )
    return worst


def _double(leaf: Any) -> Any:
    return leaf.astype(jnp.float64) if eqx.is_inexact_array(leaf) else leaf
