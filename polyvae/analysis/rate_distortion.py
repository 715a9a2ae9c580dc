r"""Rate against distortion over a sweep of beta and of the number of latent dimensions.

The rate is what the latent carries, the KL divergence of posterior from prior in nats per frame; the distortion is what
the decoder misses, the mean square of x - mean(z), z ~ q(z|x), per feature. A sweep shows what each further nat buys
and where more latent dimensions stop to matter. Beside it stands the least rate at which a Gaussian with the
covariance of the data can be coded with that error (reverse water-filling):

.. math:: R(\theta) = \sum_i \tfrac{1}{2} \log\frac{\lambda_i}{\min(\theta, \lambda_i)}, \qquad
   D(\theta) = \tfrac1n \sum_i \min(\theta, \lambda_i)

with the eigenvalues \(\lambda_i\) of the covariance. No linear model does better; a VAE below that curve has found
something that is not linear.

References:
    Alemi et al., Fixing a broken ELBO, 2018, arXiv:1711.00464.
    Cover & Thomas, Elements of information theory, 2nd ed. 2006, section 10.3.3, for the Gaussian.
"""

import dataclasses
import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np

from polyvae.errors import InputError
from polyvae.training import FitResult, TrainConfig, fit_ensemble
from polyvae.trajectory import Trajectory
from polyvae.trajectory.mapped import take_rows
from polyvae.vae import ModelConfig, elbo_terms


@dataclass(frozen=True, kw_only=True, eq=False)
class RateDistortion:
    """One model a row; all numbers on the same validation frames.

    Attributes:
        beta: weight of the KL divergence.
        latent_dim: number of latent dimensions.
        seed: seed of the model.
        rate: nats per frame.
        distortion: mean square error per feature, scaled units squared.
        elbo: evidence lower bound with the fitted noise, nats per frame.
        active_units: latent dimensions in use.
        status: what the diagnosis of each model says.
        gaussian_rate: least rate of a Gaussian with the data's covariance, nats per frame, along the curve.
        gaussian_distortion: its mean square error per feature, falling along the curve.
    """

    beta: np.ndarray
    latent_dim: np.ndarray
    seed: np.ndarray
    rate: np.ndarray
    distortion: np.ndarray
    elbo: np.ndarray
    active_units: np.ndarray
    status: tuple[str, ...]
    gaussian_rate: np.ndarray
    gaussian_distortion: np.ndarray

    @property
    def gaussian_rate_at_distortion(self) -> np.ndarray:
        """The Gaussian's least rate at the distortion of each model, nats per frame; a model below it is not linear."""
        order = np.argsort(self.gaussian_distortion)
        return np.interp(self.distortion, self.gaussian_distortion[order], self.gaussian_rate[order])


def rate_distortion(
    trajectory: Trajectory,
    model_config: ModelConfig | None = None,
    train_config: TrainConfig | None = None,
    *,
    betas: Sequence[float] = (0.1, 0.3, 1.0, 3.0),
    latent_dims: Sequence[int] | None = None,
    seeds: Sequence[int] = (0,),
    split_seed: int = 0,
) -> RateDistortion:
    """Rate and distortion of a model for every beta, number of latent dimensions and seed.

    All betas and seeds of one latent size are trained side by side in one compiled run.

    Args:
        trajectory: the conformations.
        model_config: settings that the models share; `beta` and `latent_dim` are replaced.
        train_config: settings of training.
        betas: weights of the KL divergence.
        latent_dims: numbers of latent dimensions; None takes that of `model_config`.
        seeds: of the models at each beta and latent size.
        split_seed: of the split that all of them share.

    Raises:
        InputError: if there is nothing to sweep over, a likelihood is not a mean with noise around it, or the data or
            settings cannot be trained with.
    """
    model_config = model_config or ModelConfig()
    latent_dims = (model_config.latent_dim,) if latent_dims is None else tuple(latent_dims)
    for name, values in (("betas", betas), ("latent_dims", latent_dims), ("seeds", seeds)):
        if len(values) == 0:
            raise InputError(f"`{name}` must hold at least one number.")
    for name, values, least in (("betas", betas, 0.0), ("latent_dims", latent_dims, 1), ("seeds", seeds, 0)):
        for value in values:
            if not least <= value < np.inf:
                raise InputError(f"`{name}` must hold finite numbers of at least {least:g}; got {value}.")
    if model_config.likelihood == "rotation":
        raise InputError(
            "The distortion of `likelihood='rotation'` depends on the decoder's orientation; sweep another likelihood."
        )
    pairs = list(itertools.product(betas, seeds))
    results = [
        (latent_dim, beta, result)
        for latent_dim in latent_dims
        for (beta, _), result in zip(
            pairs,
            fit_ensemble(
                trajectory,
                dataclasses.replace(model_config, latent_dim=latent_dim),
                train_config,
                seeds=[seed for _, seed in pairs],
                betas=[beta for beta, _ in pairs],
                split_seed=split_seed,
            ),
            strict=True,
        )
    ]
    first = results[0][2]
    frames = first.split.validation
    features = np.asarray(first.model.features(take_rows(trajectory.positions, frames)), np.float64)
    weights = np.ones(len(frames)) if trajectory.weights is None else trajectory.weights[frames]
    weights = weights / weights.sum()
    curve = _gaussian_curve(features, weights)
    terms = [_held_out(result, features, weights) for _, _, result in results]
    return RateDistortion(
        beta=np.array([beta for _, beta, _ in results]),
        latent_dim=np.array([latent_dim for latent_dim, _, _ in results]),
        seed=np.array([result.seed for _, _, result in results]),
        rate=np.array([rate for rate, _, _ in terms]),
        distortion=np.array([distortion for _, distortion, _ in terms]),
        elbo=np.array([elbo for _, _, elbo in terms]),
        active_units=np.array([result.diagnosis.active_units for _, _, result in results]),
        status=tuple(result.diagnosis.status for _, _, result in results),
        gaussian_rate=curve[0],
        gaussian_distortion=curve[1],
    )


def _held_out(result: FitResult, features: np.ndarray, weights: np.ndarray) -> tuple[float, float, float]:
    """Rate, mean square error and evidence lower bound, one draw of z a frame."""
    vae = result.model.vae
    dtype = jnp.result_type(float)
    vectors, key = jnp.asarray(features, dtype), jax.random.key(0)
    terms = elbo_terms(vae, vectors, key, weights=jnp.asarray(weights * len(weights), dtype))
    residual = features - np.asarray(vae.decode(vae.encode(vectors).sample(key)), np.float64)
    error = float(weights @ np.mean(residual**2, axis=1))
    return float(jnp.sum(terms.kl)), error, float(terms.bound())


def _gaussian_curve(features: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Rate and distortion of reverse water-filling on a fine grid of levels."""
    centered = features - weights @ features
    eigenvalues = np.linalg.eigvalsh((centered * weights[:, None]).T @ centered)
    eigenvalues = np.maximum(eigenvalues, 1e-12 * eigenvalues[-1])
    levels = np.geomspace(1e-4 * eigenvalues[-1], eigenvalues[-1], 400)
    water = np.minimum(levels[:, None], eigenvalues[None, :])
    return 0.5 * np.log(eigenvalues[None, :] / water).sum(axis=1), water.mean(axis=1)
