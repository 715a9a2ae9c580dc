"""Log-likelihood of conformations, beside a full-covariance Gaussian and the Gaussian chain on the same coordinates.

All densities are over the coordinates that alignment leaves free, in the trajectory's unit of length, so their
differences do not depend on scaling.
"""

from dataclasses import dataclass

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from polyvae.analysis.baselines import Baselines, fit_baselines
from polyvae.errors import InputError
from polyvae.preprocessing import align
from polyvae.training import FitResult
from polyvae.trajectory import Trajectory
from polyvae.trajectory.mapped import take_rows
from polyvae.trajectory.weights import counted_frames, effective_sample_size, weighted_mean
from polyvae.vae import VAE, ConformationModel, importance_weighted_bound

_FRAMES_AT_ONCE = 4096


@dataclass(frozen=True, kw_only=True, eq=False)
class LogLikelihood:
    """Log-likelihood of frames, nats; `float(...)` gives the mean, `numpy.asarray(...)` the frames.

    Attributes:
        per_frame: one number a frame, shape (frames,).
        samples: draws K of the importance-weighted bound.
        weights: statistical weight of each frame, or None for equal ones.
    """

    per_frame: np.ndarray
    samples: int
    weights: np.ndarray | None = None

    @property
    def value(self) -> float:
        """Weighted mean over frames, nats per frame."""
        return float(weighted_mean(self.per_frame, self.weights))

    @property
    def standard_error(self) -> float:
        """Standard error of the mean for independent frames, nats; correlated frames have a larger one."""
        variance = float(weighted_mean((self.per_frame - self.value) ** 2, self.weights))
        return float(np.sqrt(variance / max(self.effective_sample_size - 1.0, 1.0)))

    @property
    def effective_sample_size(self) -> float:
        """Number of frames of equal weight that fix the mean as well."""
        return effective_sample_size(self.weights, len(self.per_frame))

    def __float__(self) -> float:
        return self.value

    def __array__(self, dtype: np.dtype | None = None, copy: bool | None = None) -> np.ndarray:
        return np.array(self.per_frame, dtype=dtype, copy=copy)


@dataclass(frozen=True, kw_only=True, eq=False)
class LikelihoodComparison:
    """Held-out log-likelihood, nats per frame, of the model and of two baselines on the same coordinates and frames.

    Attributes:
        model: the VAE, importance-weighted bound.
        gaussian: a full-covariance Gaussian.
        chain: the Gaussian chain without latent, or None where the alignment gives it no density.
        rate: weighted mean KL divergence of posterior from prior on these frames: nats that the latent carries.
    """

    model: LogLikelihood
    gaussian: LogLikelihood
    chain: LogLikelihood | None
    rate: float


@eqx.filter_jit
def _bound(model: ConformationModel, positions: jax.Array, keys: jax.Array, samples: int) -> jax.Array:
    def one(item: tuple[jax.Array, jax.Array]) -> jax.Array:
        frame, frame_key = item
        canonical = model.alignment(frame)
        features = model.representation(canonical)
        bound = importance_weighted_bound(model.vae, features, frame_key, samples=samples)
        return bound + model.log_volume(canonical)

    return jax.lax.map(one, (positions, keys))


@eqx.filter_jit
def _bound_of_vectors(vae: VAE, vectors: jax.Array, key: jax.Array, samples: int) -> jax.Array:
    keys = jax.random.split(key, vectors.shape[0])

    def one(item: tuple[jax.Array, jax.Array]) -> jax.Array:
        return importance_weighted_bound(vae, *item, samples=samples)

    return jax.lax.map(one, (vectors, keys))


def log_likelihood(
    model: ConformationModel | VAE,
    trajectory: Trajectory | Float[np.ndarray, "rows features"],
    *,
    samples: int = 1000,
    seed: int = 0,
) -> LogLikelihood:
    """Importance-weighted estimate of log p(x) of every frame, nats, in the trajectory's unit of length.

    Args:
        model: a trained model, or a trained VAE of vectors.
        trajectory: frames of the same system; for a VAE of vectors rows scaled as those that it was trained on, whose
            density is in these scaled units.
        samples: draws K from the posterior for each frame; the estimate grows to log p(x) with K.
        seed: of the draws.

    Raises:
        InputError: if the trajectory shows another system, rows do not fit the VAE, or `samples` is below 1.

    References:
        Burda, Grosse & Salakhutdinov, Importance weighted autoencoders, 2016, arXiv:1509.00519.
    """
    if samples < 1:
        raise InputError(f"`samples` must be at least 1; got {samples}.")
    if isinstance(model, VAE):
        vectors = _checked_vectors(model, trajectory)
        values = _bound_of_vectors(model, vectors, jax.random.key(seed), samples)
        return LogLikelihood(per_frame=np.asarray(values, np.float64), samples=samples)
    if not isinstance(trajectory, Trajectory):
        raise InputError(
            "A conformation model scores a Trajectory, such as pv.load(positions) makes of an array; got an object of "
            f"type {type(trajectory).__name__}."
        )
    model.system.check(trajectory)
    keys = jax.random.split(jax.random.key(seed), trajectory.n_frames)
    size = -(-trajectory.n_frames // -(-trajectory.n_frames // _FRAMES_AT_ONCE))
    values = []
    for start in range(0, trajectory.n_frames, size):
        # The last piece is filled up with its last frame, so that nothing compiles twice.
        frames = np.minimum(np.arange(start, start + size), trajectory.n_frames - 1)
        positions = jnp.asarray(take_rows(trajectory.positions, frames), jnp.result_type(float))
        values.append(np.asarray(_bound(model, positions, keys[frames], samples), np.float64))
    return LogLikelihood(
        per_frame=np.concatenate(values)[: trajectory.n_frames], samples=samples, weights=trajectory.weights
    )


def _checked_vectors(vae: VAE, vectors: object) -> jax.Array:
    """Rows that a VAE can score."""
    if isinstance(vectors, Trajectory):
        raise InputError(
            "A VAE scores vectors, an array of shape (rows, features); got a Trajectory. Pass the ConformationModel, "
            "`result.model`, to score conformations."
        )
    rows = np.asarray(vectors)
    if rows.ndim != 2 or rows.shape[1] != vae.n_features:
        raise InputError(f"The rows of a VAE must have shape (rows, {vae.n_features}); got {rows.shape}.")
    bad = np.flatnonzero(~np.isfinite(rows).all(axis=1))
    if len(bad):
        raise InputError(f"The rows hold NaN or infinity in {len(bad)} row(s), first row {bad[0]}.")
    return jnp.asarray(rows, jnp.result_type(float))


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
        max_frames: test frames used, spread evenly among those of a weight above zero; the same ones for every model.
        seed: of the draws.

    Raises:
        InputError: if the training, the validation or the test frames all have weight zero.
    """
    model, split = result.model, result.split
    frames = counted_frames(trajectory.weights, split.test, name="test frames")
    baselines = baselines or fit_baselines(result, trajectory)
    spread = np.unique(np.linspace(0, len(frames) - 1, min(len(frames), max_frames)).astype(int))
    test = trajectory[frames[spread]]
    gaussian = baselines.gaussian.log_density(model.cartesian_features(test.positions))
    chain = None
    if baselines.chain is not None:
        density = baselines.chain.log_density(jnp.asarray(align(model.alignment, test.positions)))
        chain = LogLikelihood(per_frame=np.asarray(density, np.float64), samples=1, weights=test.weights)
    posterior = model.encode(test.positions)
    # One draw a frame, for priors whose divergence is an estimate.
    drawn = posterior.sample(jax.random.key(seed))
    kl = model.vae.latent_prior().kl(posterior, drawn)
    volume = float(model.cartesian.log_volume)
    return LikelihoodComparison(
        model=log_likelihood(model, test, samples=samples, seed=seed),
        gaussian=LogLikelihood(
            per_frame=np.asarray(gaussian, np.float64) + volume, samples=1, weights=test.weights
        ),
        chain=chain,
        rate=float(weighted_mean(np.sum(np.asarray(kl, np.float64), axis=1), test.weights)),
    )
