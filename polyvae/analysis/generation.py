"""New conformations: draws from the prior, decoded with the decoder's noise."""

import jax
import numpy as np

from polyvae.errors import InputError
from polyvae.trajectory import Trajectory
from polyvae.vae import ConformationModel


def generate(model: ConformationModel, n: int, *, seed: int = 0) -> Trajectory:
    """New conformations: z ~ p(z), x ~ p(x|z), never the decoder's mean.

    Args:
        model: a trained model.
        n: number of conformations.
        seed: same seed, same conformations.

    Returns:
        Centered conformations with the topology of the training data, ready to save; they have no times.

    Raises:
        InputError: if `n` is below 1.
    """
    if n < 1:
        raise InputError(f"`n` must be at least 1; got {n}.")
    latent_key, noise_key = jax.random.split(jax.random.key(seed))
    latent = model.vae.latent_prior().sample(latent_key, n)
    return model.system.trajectory(np.asarray(model.sample(latent, noise_key)), source="generated")
