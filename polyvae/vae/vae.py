"""The variational autoencoder (VAE): inputs, network, posterior, likelihood and prior in one pytree.

    x --inputs--> --network.encode--> posterior q(z|x)
    z --network.decode--> outputs --likelihood--> p(x|z)          z ~ prior p(z)

`encode` and `decode` take one vector or a batch of rows; densities are of one vector, in nats. Vectors are scaled (no
unit).

References:
    Kingma & Welling, Auto-encoding variational Bayes, 2014, arXiv:1312.6114.
    Rybkin, Daniilidis & Levine, Simple and effective VAE training with calibrated decoders (sigma-VAE), 2021,
    arXiv:2006.13202, for the learned width of the decoder.
"""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray

from polyvae._arrays import device_array
from polyvae._typing import FeatureVector, LatentVector
from polyvae.errors import InputError
from polyvae.features import InternalCoordinates
from polyvae.vae.config import ModelConfig
from polyvae.vae.inputs import Inputs, inputs_for
from polyvae.vae.likelihoods import (
    Blocks,
    CorrelatedNormal,
    Likelihood,
    LowRankNormal,
    Normal,
    PerFrameNormal,
    RotationNormal,
    StudentT,
    VonMises,
    WithCartesianTerm,
    initial_autoregressive,
)
from polyvae.vae.networks import EncoderDecoder, Network, initialize_mlp
from polyvae.vae.posteriors import Posterior, PosteriorKind, n_posterior_numbers, posterior_of
from polyvae.vae.priors import AnisotropicNormal, NormalMixture, Prior, SparsePrior, StandardNormal, VampPrior

LARGEST_COVARIANCE = 2048
"""Above this number of features noise is correlated through a few directions: a full matrix would be larger than the
network."""


class VAE(eqx.Module):
    """Inputs, network, likelihood and prior.

    Attributes:
        network: two methods, `encode` and `decode`.
        likelihood: what the decoder's outputs mean.
        prior: distribution of latent points.
        inputs: what the encoder sees of a vector.
        latent_dim: number of latent dimensions.
        posterior: "diagonal" or "full" covariance of q(z|x).
    """

    network: Any
    likelihood: Likelihood
    prior: Prior
    inputs: Inputs
    latent_dim: int = eqx.field(static=True)
    posterior: PosteriorKind = eqx.field(static=True, default="diagonal")

    @property
    def n_features(self) -> int:
        """Length of the vector x."""
        return self.likelihood.n_values

    def encode(self, features: Float[Array, "*batch features"]) -> Posterior:
        """Posterior q(z|x) of one vector, or of a batch of rows."""
        return posterior_of(self.posterior, self.network.encode(self.inputs(features)), self.latent_dim)

    def outputs(self, latent: Float[Array, "*batch latent"]) -> Float[Array, "*batch outputs"]:
        """The decoder's outputs, the parameters of p(x|z)."""
        return self.network.decode(latent)

    def decode(self, latent: Float[Array, "*batch latent"]) -> Float[Array, "*batch features"]:
        """Mean of p(x|z) at one latent point, or at a batch of rows."""
        outputs = self.outputs(latent)
        return self.likelihood.mean(outputs) if outputs.ndim == 1 else jax.vmap(self.likelihood.mean)(outputs)

    def log_likelihood(self, features: FeatureVector, outputs: Float[Array, " outputs"]) -> Float[Array, ""]:
        """Log p(x|z) of one vector given the decoder's outputs at z, nats."""
        return self.likelihood.log_prob(features, outputs)

    def sample(self, latent: LatentVector, key: PRNGKeyArray) -> FeatureVector:
        """One draw from p(x|z)."""
        return self.likelihood.sample(self.outputs(latent), key)

    def latent_prior(self) -> Prior:
        """The prior, with the encoder's part in it worked out."""
        return self.prior.resolved(self.encode)


def make_vae(
    likelihood: Likelihood,
    config: ModelConfig | None = None,
    *,
    network: Network | None = None,
    inputs: Inputs | None = None,
    examples: Float[np.ndarray, "frames features"] | None = None,
    seed: int = 0,
) -> VAE:
    """An untrained VAE of vectors.

    The decoder starts near zero output, the mean of scaled data; the posterior near the prior's width.

    Args:
        likelihood: distribution family of the vectors.
        config: `latent_dim`, `hidden`, `activation`, `network`, `layer_norm`, `posterior` and `prior` are used, with
            `prior_components` and `prior_scales`. `pv.make_vae` refuses others that differ from their defaults.
        network: your own network, in place of the perceptrons that `config` describes.
        inputs: what the encoder sees; by default the vector itself, cosines and sines of angles, and what no rotation
            changes under a rotation-marginalized likelihood.
        examples: training vectors, from which the pseudo-inputs of a VampPrior start.
        seed: seed of the weights.

    Raises:
        InputError: if `likelihood` or `config` is something else, or `network` lacks a method, has no arrays to train,
            or returns another number of numbers than the posterior and the likelihood need.
    """
    check_vae_arguments(likelihood, config)
    config = (config or ModelConfig()).resolved()
    rng = np.random.default_rng([seed, 1])
    inputs = inputs or inputs_for(likelihood)
    numbers = n_posterior_numbers(config.posterior, config.latent_dim)
    if network is None:
        kind = {
            "residual": config.network == "residual",
            "layer_norm": config.layer_norm,
            "output_gain": 0.5,
            # Torsions far from the data's are reached along a straight line.
            "shortcut": config.representation == "internal",
        }
        network = EncoderDecoder(
            encoder=initialize_mlp(
                rng, (inputs.n_inputs, *config.hidden, numbers), config.activation, **kind
            ),
            decoder=initialize_mlp(
                rng,
                (config.latent_dim, *reversed(config.hidden), likelihood.n_outputs),
                config.activation,
                **kind,
            ),
        )
    else:
        check_network(network, inputs.n_inputs, numbers, config.latent_dim, likelihood.n_outputs)
    return VAE(
        network=network,
        likelihood=likelihood,
        # A prior that is fitted afterwards is a standard normal while the VAE is trained.
        prior=StandardNormal(config.latent_dim)
        if config.prior_training == "after"
        else initial_prior(config, likelihood.n_values, rng, examples),
        inputs=inputs,
        latent_dim=config.latent_dim,
        posterior=config.posterior,
    )


def check_vae_arguments(likelihood: object, config: object) -> None:
    """Raise an `InputError` unless the arguments of `make_vae` are a likelihood and settings."""
    for name, value, kind, example in (
        (
            "likelihood",
            likelihood,
            Likelihood,
            "an object such as polyvae.vae.likelihoods.Normal.of(n_columns)",
        ),
        ("config", config, ModelConfig | None, "a ModelConfig"),
    ):
        if not isinstance(value, kind):
            got = f"the class {value.__name__}" if isinstance(value, type) else repr(value)
            raise InputError(f"`{name}` must be {example}; got {got}.")


def check_network(network: Any, n_inputs: int, n_numbers: int, latent_dim: int, n_outputs: int) -> None:
    """Raise an `InputError` unless a network can be trained and has two methods that return the right shapes."""
    if isinstance(network, type) or not isinstance(network, Network):
        got = (
            f"the class {network.__name__}"
            if isinstance(network, type)
            else f"an object of the class {type(network).__name__}"
        )
        raise InputError(
            f"`network` must be an object with the two methods encode(inputs) and decode(latent); got {got}."
        )
    leaves = jax.tree.leaves(network)
    if not any(jnp.issubdtype(getattr(leaf, "dtype", int), jnp.inexact) for leaf in leaves):
        raise InputError(
            f"`network` holds no arrays that training could reach: a {type(network).__name__} is no pytree, or "
            "one without floating-point arrays. Subclass equinox.Module and declare each array: `weights: jax.Array`."
        )
    dtype = jnp.result_type(float)
    for method, given, wanted, meaning in (
        (network.encode, n_inputs, n_numbers, "numbers of the posterior"),
        (network.decode, latent_dim, n_outputs, "outputs of the likelihood"),
    ):
        name = method.__name__
        for rows, shape in (("one vector", ()), ("rows", (3,))):
            try:
                answer = eqx.filter_eval_shape(method, jnp.zeros((*shape, given), dtype)).shape
            except (TypeError, ValueError, AttributeError) as error:
                raise InputError(
                    f"`network.{name}` failed on {rows} of shape {(*shape, given)}: {str(error).rstrip('. ')}. It has "
                    "to take one vector or a batch of rows."
                ) from error
            if answer != (*shape, wanted):
                raise InputError(
                    f"`network.{name}` must turn {rows} of shape {(*shape, given)} into {(*shape, wanted)}, the "
                    f"{meaning}; got {answer}."
                )


def initial_likelihood(config: ModelConfig, n_features: int, dims: int) -> Likelihood:
    """The likelihood that settings of a model describe, before training.

    Args:
        config: `likelihood`, `decoder_scale` and `sigma` are used.
        n_features: length of the feature vector.
        dims: dimensions of space, for the rotation-marginalized normal.
    """
    learn = config.decoder_scale != "fixed"
    log_sigma = device_array(np.log(config.sigma), jnp.result_type(float))
    if config.likelihood == "correlated":
        if n_features <= LARGEST_COVARIANCE:
            return CorrelatedNormal.isotropic(n_features, sigma=config.sigma)
        factor = 0.1 * config.sigma * np.eye(n_features, config.residual_rank)
        return LowRankNormal(
            log_scale=jnp.full(n_features, log_sigma), factor=device_array(factor, log_sigma.dtype)
        )
    if config.likelihood == "student-t":
        return StudentT.of(n_features, sigma=config.sigma, learn=learn)
    if config.likelihood == "rotation":
        return RotationNormal.of(n_features, dims, sigma=config.sigma, learn=learn)
    if config.decoder_scale == "per-frame":
        return PerFrameNormal(n_features, per_feature=False)
    return Normal.of(
        n_features, sigma=config.sigma, per_feature=config.decoder_scale == "per-feature", learn=learn
    )


def initial_internal_likelihood(
    config: ModelConfig, representation: InternalCoordinates, examples: np.ndarray, *, seed: int = 0
) -> Likelihood:
    """The likelihood of internal coordinates that settings of a model describe, before training.

    Args:
        config: `likelihood`, `cartesian_weight`, `placement_components` and `placement_hidden` are used.
        representation: of the internal coordinates.
        examples: vectors of training frames, where mixtures start; some thousand are enough.
        seed: of the weights.
    """
    if config.likelihood == "autoregressive":
        internal = initial_autoregressive(
            representation,
            examples,
            n_components=config.placement_components,
            hidden=config.placement_hidden,
            seed=seed,
        )
    else:
        internal = factorized_likelihood(representation)
    return WithCartesianTerm(internal, representation, config.cartesian_weight)


def factorized_likelihood(representation: InternalCoordinates) -> Blocks:
    """Normal lengths and angles, von Mises torsions, independent given z, one width for each."""
    stiff = Normal.of(representation.n_stiff, per_feature=True)
    return Blocks((stiff, VonMises.of(representation.n_torsions)))


def initial_prior(
    config: ModelConfig, n_features: int, rng: np.random.Generator, examples: np.ndarray | None
) -> Prior:
    """The prior that settings of a model describe, before training.

    Args:
        config: `prior`, `prior_components` and `prior_scales` are used.
        n_features: length of the vectors.
        rng: source of the start values.
        examples: training vectors, from which the pseudo-inputs of a VampPrior start; None draws them.
    """
    latent_dim, kind = config.latent_dim, config.prior
    if kind == "anisotropic":
        return AnisotropicNormal(config.prior_widths())
    if kind == "sparse":
        return SparsePrior(latent_dim)
    if kind == "mixture":
        return NormalMixture.initialized(rng, config.prior_components, latent_dim)
    if kind == "vamp":
        shape = (config.prior_components, n_features)
        if examples is None:
            pseudo_inputs = rng.normal(size=shape)
        else:
            pseudo_inputs = examples[rng.choice(len(examples), config.prior_components)]
        dtype = jnp.result_type(float)
        return VampPrior(
            logits=jnp.zeros(config.prior_components, dtype),
            pseudo_inputs=jnp.asarray(pseudo_inputs, dtype),
            size=latent_dim,
        )
    if kind == "flow":
        from polyvae.vae.flows import spline_flow  # the extra `flows`, imported only where it is asked for

        return spline_flow(latent_dim, config.prior_components, seed=int(rng.integers(2**31)))
    return StandardNormal(latent_dim)
