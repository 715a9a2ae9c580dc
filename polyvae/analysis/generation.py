"""New conformations: draws from the prior, decoded with the decoder's noise."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool

from polyvae._batching import map_batched
from polyvae._typing import Frame, Frames
from polyvae.errors import InputError
from polyvae.features import safe_norm
from polyvae.trajectory import Trajectory
from polyvae.vae import VAE, ConformationModel

_MOST_ROUNDS, _ROUNDS_AT_ONE_POINT = 60, 40
_BLOCK = 512


def generate(model: ConformationModel, n: int, *, seed: int = 0, reject_overlaps: bool = False) -> Trajectory:
    """New conformations: z ~ p(z), x ~ p(x|z), never the decoder's mean.

    Args:
        model: a trained model.
        n: number of conformations.
        seed: same seed, same conformations.
        reject_overlaps: draw anew where two atoms are closer than any two of the training data, bonded and other pairs
            each by their own measure. They are drawn at the same latent point, so that compact shapes stay as frequent
            as they were; p(x|z) is then conditioned on no overlap.

    Returns:
        Centered conformations with the topology of the training data, ready to save; they have no times.

    Raises:
        InputError: if `model` is no conformation model, `n` is below 1, or some conformations still overlap after 60
            draws each.
    """
    _check_model(model)
    if n < 1:
        raise InputError(f"`n` must be at least 1; got {n}.")
    latent_key, noise_key = jax.random.split(jax.random.key(seed))
    latent = np.array(model.vae.latent_prior().sample(latent_key, n))
    positions = np.array(model.sample(latent, noise_key))
    if not reject_overlaps:
        return model.system.trajectory(positions, source="generated")
    _redraw_overlaps(model, latent, positions, jax.random.fold_in(noise_key, 1))
    return model.system.trajectory(positions, source="generated without overlaps")


def _check_model(model: object) -> None:
    """Raise an `InputError` unless conformations can be drawn from the model."""
    if isinstance(model, VAE):
        raise InputError(
            "`model` is a VAE of vectors, which knows no conformations. Draw vectors with latent = "
            "vae.latent_prior().sample(key, n) and jax.vmap(vae.sample)(latent, jax.random.split(other_key, n))."
        )
    if not isinstance(model, ConformationModel):
        raise InputError(
            "`model` must be a ConformationModel, such as `result.model`; got an object of type "
            f"{type(model).__name__}."
        )


def _redraw_overlaps(model: ConformationModel, latent: np.ndarray, positions: np.ndarray, key: Array) -> None:
    """Draw overlapping conformations anew, in place: at their latent point, and in the end at another one."""
    overlapping = np.flatnonzero(np.asarray(_overlaps(model, jnp.asarray(positions))))
    for attempt in range(_MOST_ROUNDS):
        if len(overlapping) == 0:
            return
        latent_key, noise_key = jax.random.split(jax.random.fold_in(key, attempt))
        if attempt >= _ROUNDS_AT_ONE_POINT:
            latent[overlapping] = model.vae.latent_prior().sample(latent_key, len(latent))[: len(overlapping)]
        still: list[np.ndarray] = []
        # Blocks of one size share one compilation.
        for block, rows in enumerate(np.split(overlapping, range(_BLOCK, len(overlapping), _BLOCK))):
            padded = np.resize(rows, _BLOCK)
            drawn = model.sample(latent[padded], jax.random.fold_in(noise_key, block))
            positions[rows] = np.asarray(drawn)[: len(rows)]
            still.append(rows[np.asarray(_overlaps(model, drawn))[: len(rows)]])
        overlapping = np.concatenate(still)
    if len(overlapping):
        raise InputError(
            f"{len(overlapping)} of {len(positions)} conformations still hold two atoms closer than any two of the "
            f"training data after {_MOST_ROUNDS} draws each. Train longer or with representation='internal', or "
            "generate with overlaps."
        )


@eqx.filter_jit
def _overlaps(model: ConformationModel, positions: Frames) -> Bool[Array, " frames"]:
    """Whether each conformation holds a pair closer than the closest of its kind in the training data."""
    geometry = model.geometry
    n_atoms = positions.shape[1]
    first, second = geometry.bonds[:, 0], geometry.bonds[:, 1]
    closest = jnp.full((n_atoms, n_atoms), geometry.closest_nonbonded)
    closest = closest.at[first, second].set(geometry.closest_bonded)
    closest = closest.at[second, first].set(geometry.closest_bonded)
    closest = jnp.where(jnp.eye(n_atoms, dtype=bool), -jnp.inf, closest).astype(positions.dtype)

    def overlaps(frame: Frame) -> Array:
        return jnp.any(safe_norm(frame[:, None, :] - frame[None, :, :]) < closest)

    return map_batched(overlaps, positions, min(64, max(1, 4_000_000 // n_atoms**2)))
