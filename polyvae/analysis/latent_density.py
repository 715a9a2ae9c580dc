"""Where the data lie in latent space: the density of the aggregate posterior, and of the prior, with their edges.

The aggregate posterior, the mean of all frames' posteriors, is estimated as the mixture of the posteriors of some
frames. A mixture of a few narrow normals is more rugged than that of all frames, so their widths are multiplied by
the factor, from 1 upward, under which draws from the posteriors of other frames are most likely. The edge of a
density is the log-density that all but 1 % of such draws exceed.

References:
    Hoffman & Johnson, ELBO surgery, 2016, NIPS workshop in advances in approximate Bayesian inference, for the
    aggregate posterior.
"""

from typing import Literal

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from polyvae._batching import map_batched
from polyvae._typing import LatentVector, LatentVectors
from polyvae.errors import InputError
from polyvae.trajectory import Trajectory
from polyvae.trajectory.mapped import take_rows
from polyvae.trajectory.weights import normalized_weights
from polyvae.vae import ConformationModel, NormalMixture, Posterior, Prior

_MOST_COMPONENTS = 1000
_FEWEST_FRAMES = 10
_FACTORS = (1.0, 1.25, 1.5, 2.0, 2.5, 3.0, 4.0, 6.0, 8.0, 12.0, 16.0)
_DRAWS = 10_000
_BLOCK = 64


class LatentDensity(eqx.Module):
    """A density of latent points and the edge of what it holds.

    Attributes:
        distribution: the density, with draws.
        edge: log-density above which all but 1 % of its draws lie, nats.
        kind: "aggregate" or "prior".
        broadening: factor on the posteriors' widths; 1 for the prior.
    """

    distribution: Prior
    edge: Float[Array, ""]
    kind: Literal["aggregate", "prior"] = eqx.field(static=True)
    broadening: float = eqx.field(static=True, default=1.0)

    def log_prob(self, latent: LatentVector) -> Float[Array, ""]:
        """Log-density of one latent point, nats."""
        return self.distribution.log_prob(latent)

    def log_probs(self, latent: LatentVectors) -> np.ndarray:
        """Log-densities of many latent points, shape (points,), nats."""
        return np.asarray(_log_probs(self.distribution, latent))


def prior_density(model: ConformationModel, *, mass: float = 0.99) -> LatentDensity:
    """The density of the prior.

    Args:
        model: a trained model.
        mass: share of the prior above the edge.
    """
    prior = model.vae.latent_prior()
    draws = prior.sample(jax.random.key(0), _DRAWS)
    edge = np.quantile(np.asarray(_log_probs(prior, draws)), 1.0 - mass)
    return LatentDensity(distribution=prior, edge=jnp.asarray(edge, draws.dtype), kind="prior")


def aggregate_density(
    model: ConformationModel, trajectory: Trajectory, *, mass: float = 0.99, seed: int = 0
) -> LatentDensity:
    """The density of the aggregate posterior of a trajectory, weighted as its frames are.

    Of at most 2000 frames, spread evenly, every second one is a component of the mixture; the others choose the
    broadening and the edge.

    Args:
        model: a trained model.
        trajectory: frames of the same system, such as those that the model was trained on.
        mass: share of the other frames' draws above the edge.
        seed: of the draws.

    Raises:
        InputError: if the trajectory shows another system, or fewer than 10 of its frames have a weight.
    """
    model.system.check(trajectory)
    weights = (
        np.ones(trajectory.n_frames) if trajectory.weights is None else normalized_weights(trajectory.weights)
    )
    frames = np.flatnonzero(weights)
    if len(frames) < _FEWEST_FRAMES:
        raise InputError(
            f"{trajectory.source}: the aggregate posterior needs at least {_FEWEST_FRAMES} frames with a weight; got "
            f"{len(frames)}. Give more frames, or use the prior."
        )
    n_chosen = min(len(frames), 2 * _MOST_COMPONENTS)
    frames = frames[np.linspace(0, len(frames) - 1, n_chosen).astype(int)]
    posterior = model.encode(take_rows(trajectory.positions, frames))
    inside, outside = (jax.tree.map(lambda leaf, half=half: leaf[half::2], posterior) for half in (0, 1))
    draws = outside.sample(jax.random.key(seed))
    shares = weights[frames][1::2] / weights[frames][1::2].sum()
    logits = jnp.asarray(np.log(weights[frames][::2]), draws.dtype)
    best: tuple[float, float, NormalMixture, np.ndarray] | None = None
    for factor in _FACTORS:
        mixture = NormalMixture(logits=logits, components=_broadened(inside, factor))
        values = np.asarray(_log_probs(mixture, draws), np.float64)
        mean = float(shares @ values)
        if best is not None and mean <= best[0]:
            break
        best = (mean, factor, mixture, values)
    assert best is not None
    _, factor, mixture, values = best
    edge = np.quantile(values, 1.0 - mass, weights=shares, method="inverted_cdf")
    return LatentDensity(
        distribution=mixture, edge=jnp.asarray(edge, draws.dtype), kind="aggregate", broadening=factor
    )


def _broadened(posterior: Posterior, factor: float) -> Posterior:
    """The posteriors with the same means and widths times a factor."""
    scale = jnp.full(posterior.mean.shape[-1], 1.0 / factor, posterior.mean.dtype)
    return eqx.tree_at(lambda wider: wider.mean, posterior.divided_by(scale), posterior.mean)


@eqx.filter_jit
def _log_probs(distribution: Prior, latent: LatentVectors) -> Array:
    return map_batched(distribution.log_prob, latent, _BLOCK)
