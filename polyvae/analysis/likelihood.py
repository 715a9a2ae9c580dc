"""Log-likelihood of conformations, beside a full-covariance Gaussian and the Gaussian chain on the same coordinates.

All densities are over the coordinates that alignment leaves free, in the trajectory's unit of length, so their
differences do not depend on scaling.
"""

from dataclasses import dataclass

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from polyvae.analysis.baselines import Baselines, fit_baselines
from polyvae.errors import InputError
from polyvae.preprocessing import align
from polyvae.training import FitResult
from polyvae.trajectory import Trajectory
from polyvae.vae import ConformationModel, importance_weighted_bound, kl_from_standard_normal


@dataclass(frozen=True, kw_only=True, eq=False)
class LogLikelihood:
    """Log-likelihood of frames, nats; `float(...)` gives the mean, `numpy.asarray(...)` the frames.

    Attributes:
        per_frame: one number a frame, shape (frames,).
        samples: draws K of the importance-weighted bound.
    """

    per_frame: np.ndarray
    samples: int

    @property
    def value(self) -> float:
        """Mean over frames, nats per frame."""
        return float(np.mean(self.per_frame, dtype=np.float64))

    @property
    def standard_error(self) -> float:
        """Standard error of the mean for independent frames, nats; correlated frames have a larger one."""
        return float(np.std(self.per_frame, dtype=np.float64) / np.sqrt(max(len(self.per_frame) - 1, 1)))

    def __float__(self) -> float:
        return self.value

    def __array__(self, dtype: np.dtype | None = None, copy: bool | None = None) -> np.ndarray:
        return np.array(self.per_frame, dtype=dtype, copy=copy)


@dataclass(frozen=True, kw_only=True, eq=False)
class LikelihoodComparison:
    """Held-out log-likelihood, nats per frame, of the model and of two baselines on the same coordinates.

    Attributes:
        model: the VAE, importance-weighted bound.
        gaussian: a full-covariance Gaussian.
        chain: the Gaussian chain without latent, or None where the alignment gives it no density.
        rate: mean KL divergence of posterior from prior on the same frames: nats that the latent carries.
    """

    model: LogLikelihood
    gaussian: LogLikelihood
    chain: LogLikelihood | None
    rate: float


@eqx.filter_jit
def _bound(model: ConformationModel, positions: jax.Array, key: jax.Array, samples: int) -> jax.Array:
    keys = jax.random.split(key, positions.shape[0])

    def one(item: tuple[jax.Array, jax.Array]) -> jax.Array:
        frame, frame_key = item
        features = model.representation(model.alignment(frame))
        bound = importance_weighted_bound(model.vae, features, frame_key, samples=samples)
        return bound + model.representation.log_volume

    return jax.lax.map(one, (positions, keys))


def log_likelihood(
    model: ConformationModel, trajectory: Trajectory, *, samples: int = 1000, seed: int = 0
) -> LogLikelihood:
    """Importance-weighted estimate of log p(x) of every frame, nats, in the trajectory's unit of length.

    Args:
        model: a trained model.
        trajectory: frames of the same system.
        samples: draws K from the posterior for each frame; the estimate grows to log p(x) with K.
        seed: of the draws.

    Raises:
        InputError: if the trajectory shows another system, or `samples` is below 1.

    References:
        Burda, Grosse & Salakhutdinov, Importance weighted autoencoders, 2016, arXiv:1509.00519.
    """
    model.system.check(trajectory)
    if samples < 1:
        raise InputError(f"`samples` must be at least 1; got {samples}.")
    positions = jnp.asarray(trajectory.positions, jnp.result_type(float))
    values = _bound(model, positions, jax.random.key(seed), samples)
    return LogLikelihood(per_frame=np.asarray(values, np.float64), samples=samples)


def compare_likelihoods(
    result: FitResult,
    trajectory: Trajectory,
    *,
    baselines: Baselines | None = None,
    samples: int = 1000,
    max_frames: int = 2000,
    seed: int = 0,
) -> LikelihoodComparison:
    """Log-likelihood of the held-out test frames under the model and the baselines.

    Args:
        result: a fit to this trajectory.
        trajectory: what was trained on.
        baselines: those of this fit, or None to fit them here.
        samples: draws of the importance-weighted bound.
        max_frames: test frames used, spread evenly; the same ones for every model.
        seed: of the draws.
    """
    model, split = result.model, result.split
    baselines = baselines or fit_baselines(result, trajectory)
    chosen = split.test[
        np.unique(np.linspace(0, len(split.test) - 1, min(len(split.test), max_frames)).astype(int))
    ]
    test = trajectory[chosen]
    gaussian = baselines.gaussian.log_density(model.features(test.positions))
    chain = None
    if baselines.chain is not None:
        density = baselines.chain.log_density(jnp.asarray(align(model.alignment, test.positions)))
        chain = LogLikelihood(per_frame=np.asarray(density, np.float64), samples=1)
    posterior = model.encode(test.positions)
    kl = jax.vmap(kl_from_standard_normal)(posterior.mean, posterior.log_scale)
    volume = float(model.representation.log_volume)
    return LikelihoodComparison(
        model=log_likelihood(model, test, samples=samples, seed=seed),
        gaussian=LogLikelihood(per_frame=np.asarray(gaussian, np.float64) + volume, samples=1),
        chain=chain,
        rate=float(np.mean(np.sum(np.asarray(kl, np.float64), axis=1))),
    )
