"""What the latent of a VAE carries: the record of a diagnosis, and the numbers in it.

All numbers are weighted means over some frames, divergences in nats per frame. `verdict` states the rules by which they
become a status, a cause and a remedy.

References:
    Hoffman & Johnson, ELBO surgery, NIPS workshop 2016, for rate = mutual information + KL(q(z) || p(z)).
    Poole et al., On variational bounds of mutual information, 2019, arXiv:1905.06922, for the two bounds.
"""

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray

from polyvae.errors import InputError
from polyvae.training.course import Course
from polyvae.training.latent_measures import (
    covariance_eigenvalues,
    log_likelihood_without_latent,
    measure,
    noise_variance,
    prior_distance,
    untapped_signal,
    weighted_mean_and_error,
)
from polyvae.training.remedies import Remedies
from polyvae.training.verdict import ACTIVE_VARIANCE, SATURATION, Cause, Status, used_dimensions, verdict_of
from polyvae.vae import VAE
from polyvae.vae.likelihoods import Likelihood

MOST_FRAMES = 2000
"""Frames that a diagnosis looks at, unless told otherwise."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Diagnosis:
    """What the latent carries; arrays have one entry a latent dimension.

    Attributes:
        status: in a few words; `polyvae.training.verdict` states the rules.
        cause: why, likewise.
        remedy: what to do, in the settings of whoever trained it; empty where nothing has to be done.
        n_frames: frames that the numbers come from.
        beta: weight of the KL divergence that the model was trained with.
        rate: E_q [log q(z|x) - log p(z)], nats per frame.
        kl_per_dimension: KL divergence from the standard normal, whatever the prior, nats per frame.
        log_likelihood: E_q log p(x|z), nats per frame.
        log_likelihood_error: its standard error, taking frames as independent.
        elbo: log_likelihood - rate, nats per frame.
        activity: variance over frames of the posterior means.
        active_units: dimensions with an activity above 0.01.
        encoder_mean: mean over frames of the posterior means, which is also the mean of q(z).
        encoder_sd: mean over frames of the posterior standard deviations; with a standard normal prior, mean 0 and
            standard deviation 1 in every dimension are the signature of collapse, not of a match with the prior.
        aggregate_sd: standard deviation of q(z).
        mutual_information: between frame and z, an estimate from below, nats.
        mutual_information_upper: an estimate from above, with each frame left out of its own mixture.
        mutual_information_ceiling: the most that this many frames can show, log n (entropy of the weights).
        aggregate_kl: KL(q(z) || p(z)) = rate - mutual_information, an estimate from above, nats.
        aggregate_kl_lower: rate - mutual_information_upper, an estimate from below.
        aggregate_kl_error: standard error of `aggregate_kl_lower`, taking frames as independent.
        total_correlation: KL(q(z) || product of its marginals), nats; too large where the ceiling is near.
        prior_distance: W1 between draws of q(z) and of the prior, in latent units.
        prior_distance_floor: the same between two samples of the prior, mean over eight pairs.
        prior_sd: standard deviation of the prior.
        information_used: mean loss of log p(x|z) when z is swapped between frames, nats per frame. It says whether the
            decoder listens, not how much it learns: it may exceed the rate by far.
        information_used_error: its standard error, taking frames as independent.
        used_by_decoder: the same with one dimension swapped at a time.
        used_by_decoder_error: its standard errors.
        used_units: dimensions that the decoder uses.
        untapped_signal: largest signal that z does not carry, in units of the decoder's noise; above beta one more
            dimension would raise the ELBO. None where the likelihood has no curvature to compare with.
        untapped_floor: what noise alone shows in so many frames.
        untapped_scatter: all that z does not carry, in the same units, mean over directions: 1 where the noise is as
            wide as that, less where it is too wide.
        noise_variance: sigma², mean over features; None where the likelihood is not normal.
        largest_eigenvalue: of the covariance of the features, in their units squared; None likewise.
        directions_above_noise: eigenvalues of that covariance above beta sigma²; None likewise.
        linear_rate: nats per frame in the optimum of a linear VAE with this noise, beta and number of latent
            dimensions, the sum of log(eigenvalue / (beta sigma²)) / 2; None likewise.
    """

    status: Status
    cause: Cause
    remedy: str
    n_frames: int
    beta: float
    rate: float
    kl_per_dimension: np.ndarray
    log_likelihood: float
    log_likelihood_error: float
    elbo: float
    activity: np.ndarray
    active_units: int
    encoder_mean: np.ndarray
    encoder_sd: np.ndarray
    aggregate_sd: np.ndarray
    mutual_information: float
    mutual_information_upper: float
    mutual_information_ceiling: float
    aggregate_kl: float
    aggregate_kl_lower: float
    aggregate_kl_error: float
    total_correlation: float
    prior_distance: np.ndarray
    prior_distance_floor: np.ndarray
    prior_sd: np.ndarray
    information_used: float
    information_used_error: float
    used_by_decoder: np.ndarray
    used_by_decoder_error: np.ndarray
    used_units: int
    untapped_signal: float | None
    untapped_floor: float | None
    untapped_scatter: float | None
    noise_variance: float | None
    largest_eigenvalue: float | None
    directions_above_noise: int | None
    linear_rate: float | None

    @property
    def saturated(self) -> bool:
        """Whether more frames would show more mutual information: the estimate is near its ceiling."""
        return self.mutual_information > self.mutual_information_ceiling - SATURATION

    @property
    def sentence(self) -> str:
        """Status, the numbers behind it and the remedy, for reports."""
        latent_dim = len(self.activity)
        bound = "at least " if self.saturated else ""
        dimensions = f"{latent_dim} latent dimension{'' if latent_dim == 1 else 's'}"
        # What moves a little in a collapsed latent is no sign of life.
        where = dimensions if self.status == "collapsed" else f"{self.active_units} active of {dimensions}"
        text = (
            f"{self.status.capitalize()}: {self.rate:.2f} nats per frame in {where}, "
            f"{bound}{self.mutual_information:.2f} of them about the frame; swapping z "
            f"costs the decoder {self.information_used:.3g} ± {self.information_used_error:.2g} nats."
        )
        if self.cause == "none":
            return text
        # Where status and cause are one, once is enough.
        remedy = f"{self.remedy[:1].upper()}{self.remedy[1:]}"
        return (
            f"{text} {remedy if self.cause == self.status else f'{self.cause.capitalize()}: {self.remedy}'}"
        )


def diagnose(
    vae: VAE,
    features: Float[Array, "frames features"] | Float[np.ndarray, "frames features"],
    *,
    weights: Float[Array, " weights"] | Float[np.ndarray, " weights"] | None = None,
    beta: float = 1.0,
    key: PRNGKeyArray,
    max_frames: int = MOST_FRAMES,
    trained_likelihood: Likelihood | None = None,
    course: Course | None = None,
    vectors: bool = False,
    targets: Float[Array, "frames features"] | None = None,
) -> Diagnosis:
    """What the latent of a VAE carries on some frames, and what to do where it carries nothing.

    Args:
        vae: the model.
        features: scaled vectors. The match of q(z) with the prior is best judged on training frames: a few
            correlated held-out frames lie to one side of the prior by chance.
        weights: weight of each frame, not negative; their sum does not matter. None counts all alike.
        beta: weight of the KL divergence that it was trained with.
        key: source of the draws.
        max_frames: more frames are thinned out evenly.
        trained_likelihood: the likelihood that the networks were trained with, where the noise of `vae` was fitted
            afterwards: causes are asked of the former, since it decides what a latent pays.
        course: how it was trained; without it nothing is said about what training missed.
        vectors: whether remedies shall speak of `make_vae` and `fit_vae`, not of `ModelConfig`.
        targets: vectors that the decoder is to give, such as those a lag time later; None for `features`.

    Raises:
        InputError: if there are fewer than two frames of positive weight, or shapes, weights or beta do not fit.
    """
    rows, shares = _chosen(vae, features, weights, beta, max_frames)
    chosen = jnp.asarray(np.asarray(features)[rows])
    wanted = chosen if targets is None else jnp.asarray(np.asarray(targets)[rows])
    likelihood = vae.likelihood if trained_likelihood is None else trained_likelihood
    numbers = _numbers(vae, likelihood, (chosen, wanted), shares, beta, key)
    without = None
    if course is not None and likelihood is vae.likelihood:
        without = log_likelihood_without_latent(likelihood, wanted, shares)
    remedies = Remedies(likelihood=likelihood, course=course, vectors=vectors, beta=float(beta))
    status, cause, remedy = verdict_of(vae, numbers, remedies, without)
    return Diagnosis(
        status=status, cause=cause, remedy=remedy, n_frames=len(rows), beta=float(beta), **numbers
    )


def _chosen(vae: VAE, features, weights, beta: float, max_frames: int) -> tuple[np.ndarray, np.ndarray]:
    """Indices of the frames to look at, and their shares, which sum to one."""
    if features.ndim != 2 or features.shape[1] != vae.n_features:
        raise InputError(f"`features` must have shape (frames, {vae.n_features}); got {features.shape}.")
    if not beta >= 0:
        raise InputError(f"`beta` must not be negative; got {beta}.")
    if max_frames < 2:
        raise InputError(f"`max_frames` must be at least 2; got {max_frames}.")
    weights = np.ones(len(features)) if weights is None else np.asarray(weights, np.float64)
    if weights.shape != (len(features),) or not np.all(weights >= 0) or not np.isfinite(weights).all():
        raise InputError(
            f"`weights` must hold {len(features)} finite numbers, none negative; got shape {weights.shape}."
        )
    rows = rows_to_diagnose(len(weights), weights, max_frames)
    if len(rows) < 2:
        raise InputError(f"`features` needs at least two frames of positive weight; got {len(rows)}.")
    return rows, weights[rows] / weights[rows].sum()


def rows_to_diagnose(n_frames: int, weights: np.ndarray | None, max_frames: int = MOST_FRAMES) -> np.ndarray:
    """Indices of the frames that a diagnosis looks at: those that count, thinned out evenly."""
    counted = None if weights is None else np.flatnonzero(weights > 0)
    n_counted = n_frames if counted is None else len(counted)
    rows = np.linspace(0, n_counted - 1, min(n_counted, max_frames)).round().astype(int)
    return rows if counted is None else counted[rows]


def _numbers(
    vae: VAE,
    likelihood: Likelihood,
    pair: tuple[Array, Array],
    shares: np.ndarray,
    beta: float,
    key: PRNGKeyArray,
) -> dict[str, Any]:
    """All fields that are measured, from what the encoder sees and what the decoder is to give."""
    features, targets = pair
    measured = measure(vae, likelihood, features, shares, key, targets=targets)
    frames = jax.tree.map(lambda leaf: np.asarray(leaf, np.float64), measured)

    def average(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return weighted_mean_and_error(values, shares)

    rate, log_likelihood = average(frames.rate)[0], average(frames.log_likelihood)
    mean, scale_square = average(frames.mean)[0], average(frames.scale**2)[0]
    activity = average((frames.mean - mean) ** 2)[0]
    # As a mean of differences at the same draws, KL(q(z) || p(z)) has much less noise than the mutual information,
    # which follows from it.
    above, _ = average(frames.log_aggregate - frames.log_prior)
    below, below_error = average(frames.log_aggregate_of_others - frames.log_prior)
    distance, floor, width = prior_distance(measured, shares)
    used, used_error = average(frames.loss_swapped_one)
    information = average(frames.loss_swapped)
    untapped = untapped_signal(vae, likelihood, measured, targets, shares) or (None, None, None)
    fields = {
        "rate": float(rate),
        "kl_per_dimension": average(frames.kl)[0],
        "log_likelihood": float(log_likelihood[0]),
        "log_likelihood_error": float(log_likelihood[1]),
        "elbo": float(log_likelihood[0] - rate),
        "activity": activity,
        "active_units": int(np.sum(activity > ACTIVE_VARIANCE)),
        "encoder_mean": mean,
        "encoder_sd": average(frames.scale)[0],
        "aggregate_sd": np.sqrt(activity + scale_square),
        "mutual_information": float(rate - above),
        "mutual_information_upper": float(rate - below),
        "mutual_information_ceiling": float(-np.sum(shares * np.log(shares))),
        "aggregate_kl": float(above),
        "aggregate_kl_lower": float(below),
        "aggregate_kl_error": float(below_error),
        "total_correlation": float(average(frames.log_aggregate - frames.log_marginals.sum(axis=1))[0]),
        "prior_distance": distance,
        "prior_distance_floor": floor,
        "prior_sd": width,
        "information_used": float(information[0]),
        "information_used_error": float(information[1]),
        "used_by_decoder": used,
        "used_by_decoder_error": used_error,
        **dict(zip(("untapped_signal", "untapped_floor", "untapped_scatter"), untapped, strict=True)),
        **_linear(likelihood, np.asarray(targets, np.float64), shares, beta, vae.latent_dim),
    }
    return fields | {"used_units": int(np.sum(used_dimensions(fields)))}


def _linear(
    likelihood: Likelihood, features: np.ndarray, shares: np.ndarray, beta: float, latent_dim: int
) -> dict[str, Any]:
    """The data's covariance beside normal noise, and what a linear VAE would make of them."""
    names = ("noise_variance", "largest_eigenvalue", "directions_above_noise", "linear_rate")
    variance = noise_variance(likelihood)
    if variance is None:
        return dict.fromkeys(names)
    eigenvalues = covariance_eigenvalues(features, shares)
    above = eigenvalues[eigenvalues > beta * variance]
    rate = float(np.sum(np.log(above[:latent_dim] / (beta * variance))) / 2) if beta > 0 else None
    return dict(zip(names, (variance, float(eigenvalues[0]), len(above), rate), strict=True))
