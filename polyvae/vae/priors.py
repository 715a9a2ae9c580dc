"""Priors p(z), each with log-density, draws, and the KL divergence of a posterior from it.

Where the divergence has a closed form it comes as one number a latent dimension; elsewhere as its unbiased estimate
log q(z|x) - log p(z) at the draw z that the decoder sees, one number. Everything is in nats.
"""

from abc import abstractmethod
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray

from polyvae._typing import LatentVector, LatentVectors
from polyvae.errors import InputError
from polyvae.vae.distributions import normal_log_density, standard_normal_log_density
from polyvae.vae.posteriors import DiagonalNormal, Posterior


class Prior(eqx.Module):
    """A distribution of latent points."""

    @property
    @abstractmethod
    def latent_dim(self) -> int:
        """Number of latent dimensions."""

    @abstractmethod
    def log_prob(self, latent: LatentVector) -> Float[Array, ""]:
        """Log-density of one latent point, nats."""

    @abstractmethod
    def sample(self, key: PRNGKeyArray, n: int) -> LatentVectors:
        """Draws of shape (n, latent)."""

    def kl(
        self, posterior: Posterior, latent: Float[Array, "frames latent"]
    ) -> Float[Array, "frames divergences"]:
        """KL divergence of each frame's posterior, or its estimate at one draw.

        Args:
            posterior: of a batch of frames.
            latent: one draw from each.

        Returns:
            One column a latent dimension where there is a closed form, one column in all elsewhere.
        """
        return (posterior.log_prob(latent) - jax.vmap(self.log_prob)(latent))[:, None]

    def resolved(self, encode: Callable[[Array], Posterior]) -> "Prior":
        """The prior on its own, for one that is made of the encoder's answers."""
        del encode
        return self


class StandardNormal(Prior):
    """Standard normal, the prior of the classic VAE."""

    size: int = eqx.field(static=True)

    @property
    def latent_dim(self) -> int:
        """Number of latent dimensions."""
        return self.size

    def log_prob(self, latent: LatentVector) -> Float[Array, ""]:
        """Log-density of one latent point, nats."""
        return standard_normal_log_density(latent)

    def sample(self, key: PRNGKeyArray, n: int) -> LatentVectors:
        """Draws of shape (n, latent)."""
        return jax.random.normal(key, (n, self.size), jnp.result_type(float))

    def kl(
        self, posterior: Posterior, latent: Float[Array, "frames latent"]
    ) -> Float[Array, "frames divergences"]:
        """KL divergence of each frame's posterior, by latent dimension."""
        del latent
        return posterior.kl_from_standard_normal()


class AnisotropicNormal(Prior):
    """Normal with a fixed standard deviation for each latent dimension.

    Unequal widths break the rotational symmetry of the standard normal, so that latent dimensions line up with
    directions of unequal variance in the data.

    References:
        Mathieu, Rainforth, Siddharth & Teh, Disentangling disentanglement in variational autoencoders, 2019,
        arXiv:1812.02833.
    """

    scales: tuple[float, ...] = eqx.field(static=True)

    @property
    def latent_dim(self) -> int:
        """Number of latent dimensions."""
        return len(self.scales)

    def log_prob(self, latent: LatentVector) -> Float[Array, ""]:
        """Log-density of one latent point, nats."""
        return normal_log_density(latent, jnp.zeros_like(latent), jnp.log(self._widths(latent)))

    def sample(self, key: PRNGKeyArray, n: int) -> LatentVectors:
        """Draws of shape (n, latent)."""
        noise = jax.random.normal(key, (n, self.latent_dim), jnp.result_type(float))
        return noise * self._widths(noise)[None, :]

    def kl(
        self, posterior: Posterior, latent: Float[Array, "frames latent"]
    ) -> Float[Array, "frames divergences"]:
        """KL divergence of each frame's posterior, by latent dimension."""
        return posterior.divided_by(self._widths(latent)).kl_from_standard_normal()

    def _widths(self, like: Array) -> Float[Array, " latent"]:
        return jnp.asarray(self.scales, like.dtype)


class SparsePrior(Prior):
    """Independent dimensions, each a mixture of a standard normal and a narrow normal around zero.

    Most dimensions of most frames may rest at zero, which favors latents that say one thing each.

    Attributes:
        size: number of latent dimensions.
        narrow_weight: weight of the narrow component.
        narrow_scale: its standard deviation.

    References:
        Mathieu, Rainforth, Siddharth & Teh, Disentangling disentanglement in variational autoencoders, 2019,
        arXiv:1812.02833.
    """

    size: int = eqx.field(static=True)
    narrow_weight: float = eqx.field(static=True, default=0.8)
    narrow_scale: float = eqx.field(static=True, default=0.05)

    @property
    def latent_dim(self) -> int:
        """Number of latent dimensions."""
        return self.size

    def log_prob(self, latent: LatentVector) -> Float[Array, ""]:
        """Log-density of one latent point, nats."""
        return jnp.sum(self._log_prob_by_dimension(latent))

    def sample(self, key: PRNGKeyArray, n: int) -> LatentVectors:
        """Draws of shape (n, latent)."""
        choice_key, noise_key = jax.random.split(key)
        narrow = jax.random.bernoulli(choice_key, self.narrow_weight, (n, self.size))
        noise = jax.random.normal(noise_key, (n, self.size), jnp.result_type(float))
        return jnp.where(narrow, self.narrow_scale * noise, noise)

    def kl(
        self, posterior: Posterior, latent: Float[Array, "frames latent"]
    ) -> Float[Array, "frames divergences"]:
        """Estimate of the KL divergence at one draw: by dimension for a diagonal posterior, in all for a full one."""
        if not isinstance(posterior, DiagonalNormal):
            return (posterior.log_prob(latent) - jnp.sum(self._log_prob_by_dimension(latent), axis=-1))[
                :, None
            ]
        return posterior.log_prob_by_dimension(latent) - self._log_prob_by_dimension(latent)

    def _log_prob_by_dimension(self, latent: Float[Array, "*batch latent"]) -> Float[Array, "*batch latent"]:
        half_log_two_pi = 0.5 * float(np.log(2.0 * np.pi))
        wide = -0.5 * latent**2 - half_log_two_pi + float(np.log1p(-self.narrow_weight))
        white = latent / self.narrow_scale
        narrow = -0.5 * white**2 - half_log_two_pi + float(np.log(self.narrow_weight / self.narrow_scale))
        return jnp.logaddexp(wide, narrow)


class NormalMixture(Prior):
    """A mixture of normals.

    Attributes:
        logits: unnormalized log-weights, shape (components,).
        components: their distributions as a batch of rows.
    """

    logits: Float[Array, " components"]
    components: Posterior

    @classmethod
    def initialized(cls, rng: np.random.Generator, n_components: int, latent_dim: int) -> "NormalMixture":
        """Equal weights, means drawn from the standard normal, and widths that cover it together."""
        dtype = jnp.result_type(float)
        width = max(float(n_components) ** (-1.0 / latent_dim), 0.1)
        shape = (n_components, latent_dim)
        return cls(
            logits=jnp.zeros(n_components, dtype),
            components=DiagonalNormal(
                mean=jnp.asarray(rng.normal(size=shape), dtype),
                log_scale=jnp.full(shape, np.log(width), dtype),
            ),
        )

    @property
    def latent_dim(self) -> int:
        """Number of latent dimensions."""
        return self.components.mean.shape[-1]

    def log_prob(self, latent: LatentVector) -> Float[Array, ""]:
        """Log-density of one latent point, nats."""
        points = jnp.broadcast_to(latent[None, :], self.components.mean.shape)
        return jax.nn.logsumexp(self.components.log_prob(points) + jax.nn.log_softmax(self.logits))

    def sample(self, key: PRNGKeyArray, n: int) -> LatentVectors:
        """Draws of shape (n, latent)."""
        choice_key, noise_key = jax.random.split(key)
        chosen = jax.random.categorical(choice_key, self.logits, shape=(n,))
        return jax.tree.map(lambda leaf: leaf[chosen], self.components).sample(noise_key)


class VampPrior(Prior):
    """The mixture of the posteriors of some learned pseudo-inputs.

    Attributes:
        logits: unnormalized log-weights, shape (components,).
        pseudo_inputs: vectors that the encoder turns into the components, shape (components, features).
        size: number of latent dimensions.

    References:
        Tomczak & Welling, VAE with a VampPrior, 2018, arXiv:1705.07120; weights are learned too.
    """

    logits: Float[Array, " components"]
    pseudo_inputs: Float[Array, "components features"]
    size: int = eqx.field(static=True)

    @property
    def latent_dim(self) -> int:
        """Number of latent dimensions."""
        return self.size

    def resolved(self, encode: Callable[[Array], Posterior]) -> Prior:
        """The mixture that the encoder makes of the pseudo-inputs."""
        return NormalMixture(logits=self.logits, components=encode(self.pseudo_inputs))

    def log_prob(self, latent: LatentVector) -> Float[Array, ""]:
        """Not defined without the encoder; ask `VAE.latent_prior()` for the mixture."""
        raise InputError(
            "A VampPrior needs the encoder: use `vae.latent_prior()`, which returns its mixture."
        )

    def sample(self, key: PRNGKeyArray, n: int) -> LatentVectors:
        """Not defined without the encoder; ask `VAE.latent_prior()` for the mixture."""
        raise InputError(
            "A VampPrior needs the encoder: use `vae.latent_prior()`, which returns its mixture."
        )


class FlowPrior(Prior):
    """A normalizing flow of flowjax (extra `flows`).

    Attributes:
        flow: a flowjax distribution over latent points.
    """

    flow: Any
    size: int = eqx.field(static=True)

    @property
    def latent_dim(self) -> int:
        """Number of latent dimensions."""
        return self.size

    def log_prob(self, latent: LatentVector) -> Float[Array, ""]:
        """Log-density of one latent point, nats."""
        # flowjax mixes integers, Python numbers and arrays of different ranks.
        with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
            return self.flow.log_prob(latent)

    def sample(self, key: PRNGKeyArray, n: int) -> LatentVectors:
        """Draws of shape (n, latent)."""
        with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
            return self.flow.sample(key, (n,))
