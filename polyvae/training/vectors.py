"""`make_vae` for vectors: a VAE without alignment, representation or anything else that only conformations have."""

import dataclasses

import numpy as np
from jaxtyping import Float

from polyvae.errors import InputError
from polyvae.vae import VAE, Likelihood, ModelConfig, Network, vae
from polyvae.vae.inputs import Inputs

_USED = (
    "latent_dim",
    "hidden",
    "activation",
    "network",
    "layer_norm",
    "posterior",
    "prior",
    "prior_components",
    "prior_scales",
)
_OWN_WIDTH = "the likelihood has its own width: Normal.of(n, sigma=0.5, learn=False)"
_INSTEAD = {
    "prior_training": "fit the prior after training with polyvae.training.fit_prior(vae, vectors, "
    "ModelConfig(prior='mixture'))",
    "beta": "pass it to the training: fit_vae(vae, vectors, beta=4.0)",
    "likelihood": "the first argument is the likelihood",
    "decoder_scale": f"{_OWN_WIDTH}; for 'analytic' pass analytic_scale=True to fit_vae",
    "sigma": _OWN_WIDTH,
    "residual": "give the likelihood its covariance: CorrelatedNormal.of(n)",
    "residual_rank": "give the likelihood its covariance: LowRankNormal.of(n, rank=4)",
    "scaling": "standardize the columns of the vectors",
}


def make_vae(
    likelihood: Likelihood,
    config: ModelConfig | None = None,
    *,
    network: Network | None = None,
    inputs: Inputs | None = None,
    examples: Float[np.ndarray, "frames features"] | None = None,
    seed: int = 0,
) -> VAE:
    """An untrained VAE of vectors, for `fit_vae`.

    The decoder starts near zero output, the mean of scaled data; the posterior near the prior's width.

    Args:
        likelihood: distribution family of the vectors.
        config: `latent_dim`, `hidden`, `activation`, `network`, `layer_norm`, `posterior` and `prior` are used, with
            `prior_components` and `prior_scales`. The other settings belong to conformations.
        network: your own network, in place of the perceptrons that `config` describes.
        inputs: what the encoder sees; by default the vector itself, cosines and sines of angles, and what no rotation
            changes under a rotation-marginalized likelihood.
        examples: training vectors, from which the pseudo-inputs of a VampPrior start.
        seed: seed of the weights.

    Raises:
        InputError: if a setting was changed that plays no part here, `likelihood` or `config` is something else, or
            `network` lacks a method, has no arrays to train, or returns another number of numbers than the posterior
            and the likelihood need.
    """
    vae.check_vae_arguments(likelihood, config)
    if config is not None:
        _check_settings(config)
    return vae.make_vae(likelihood, config, network=network, inputs=inputs, examples=examples, seed=seed)


def _check_settings(config: ModelConfig) -> None:
    """Raise an `InputError` where a setting without a part in a VAE of vectors differs from its default."""
    default = ModelConfig()
    idle = [
        field.name
        for field in dataclasses.fields(config)
        if field.name not in _USED and getattr(config, field.name) != getattr(default, field.name)
    ]
    if config.representation != default.representation:
        # It changes what "auto" stands for in the others.
        idle = ["representation"]
    if not idle:
        return
    named = [
        f"`{name}={getattr(config, name)!r}` ({_INSTEAD.get(name, 'it describes conformations; leave it out')})"
        for name in idle
    ]
    raise InputError(f"A VAE of vectors does not use {'; '.join(named)}.")
