"""Where a descent may go in latent space: a ball of the prior, or what the aggregate posterior of the data covers.

The ball is a wall: a step that leaves it is pulled back. The density of the data has no such simple edge: leaving it
is penalized as broken geometry is, and what is reported lies inside.
"""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray

from polyvae._typing import LatentVector, LatentVectors
from polyvae.analysis.latent_density import LatentDensity
from polyvae.vae import Prior, StandardNormal

# Room that the descent keeps from the edge, nats.
_ROOM = 0.25


class PriorBall(eqx.Module):
    """The ball around the origin that holds most of the prior.

    Attributes:
        prior: the prior.
        radius: of the ball, in latent units.
    """

    prior: Prior
    radius: float

    @classmethod
    def of(cls, prior: Prior, mass: float) -> "PriorBall":
        """The ball that holds this share of the prior."""
        if isinstance(prior, StandardNormal):
            from scipy.special import chdtri

            return cls(prior, float(np.sqrt(chdtri(prior.latent_dim, 1.0 - mass))))
        lengths = np.linalg.norm(np.asarray(prior.sample(jax.random.key(0), 10_000)), axis=1)
        return cls(prior, float(np.quantile(lengths, mass)))

    def starts(self, key: PRNGKeyArray, n: int) -> LatentVectors:
        """Draws of the prior, shape (n, latent)."""
        return self.prior.sample(key, n)

    def inside(self, latent: LatentVector) -> LatentVector:
        """The point itself, or the nearest of the ball."""
        length = jnp.sqrt(jnp.maximum(jnp.sum(latent**2), 1e-12))
        return latent * jnp.minimum(1.0, self.radius / length)

    def along(self, latent: LatentVector, gradient: LatentVector) -> LatentVector:
        """The gradient, on the edge without the part that only pushes against it.

        Adam scales every dimension by itself; pulled back from there, a step against the edge would slide along it
        to a point that is no minimum.
        """
        square = jnp.maximum(jnp.sum(latent**2), 1e-12)
        outward = -jnp.sum(gradient * latent) / square
        pushes = (square >= (0.999 * self.radius) ** 2) & (outward > 0.0)
        return gradient + jnp.where(pushes, outward, 0.0) * latent

    def excess(self, latent: LatentVector, *, room: bool) -> Float[Array, ""]:
        """Nothing: no point is outside."""
        del room
        return jnp.zeros((), latent.dtype)

    def log_prob(self, latent: LatentVector) -> Float[Array, ""]:
        """Log-density of the prior, nats."""
        return self.prior.log_prob(latent)


class DensityRegion(eqx.Module):
    """Where a density is above its edge.

    Attributes:
        density: the density and its edge.
    """

    density: LatentDensity

    def starts(self, key: PRNGKeyArray, n: int) -> LatentVectors:
        """Draws of the density, shape (n, latent)."""
        return self.density.distribution.sample(key, n)

    def inside(self, latent: LatentVector) -> LatentVector:
        """The point itself: the penalty leads it back."""
        return latent

    def along(self, latent: LatentVector, gradient: LatentVector) -> LatentVector:
        """The gradient itself: there is no wall."""
        del latent
        return gradient

    def excess(self, latent: LatentVector, *, room: bool) -> Float[Array, ""]:
        """Square of how far the log-density lies below the edge, nats²; 0 inside.

        Args:
            latent: one point.
            room: whether the edge is raised a little, so that a point near it is inside with room to spare.
        """
        edge = self.density.edge + (_ROOM if room else 0.0)
        return jnp.maximum(edge - self.density.log_prob(latent), 0.0) ** 2

    def log_prob(self, latent: LatentVector) -> Float[Array, ""]:
        """Log-density, nats."""
        return self.density.log_prob(latent)


Trust = PriorBall | DensityRegion
