r"""What the latent of a VAE carries, whether it has collapsed, why, and what to do about it.

All numbers are weighted means over some frames, divergences in nats per frame. The status is the first that holds:

* "collapsed": the rate is below `COLLAPSED_RATE`. Posteriors equal the prior: mean 0, width 1.
* "latent ignored": swapping z between frames costs the decoder less than `LEAST_USED` nats, or less than
  `SIGNIFICANCE` standard errors.
* "mismatched": the aggregate posterior q(z) is far from the prior, so that generated frames come from where the decoder
  has never been. The Wasserstein distance W1 of a dimension is above `MISMATCHED_DISTANCE` widths of the prior and
  `FLOOR_FACTOR` times its noise floor, or the lower estimate of KL(q(z) || p(z)) less `SIGNIFICANCE` standard errors
  is above `MISMATCHED_KL`.
* "partly collapsed": a dimension is not active (`ACTIVE_VARIANCE`) or the decoder does not use it.
* "healthy".

Whether a dead dimension could pay is asked of the ELBO itself. A small dimension u with mean m(x) that moves the
decoder's outputs o(z) by w u changes it, to lowest order, by

.. math:: w \cdot \mathrm{E}[m(x)\, s(x)] - \tfrac{1}{2} w^T F w - \tfrac{\beta}{2} \mathrm{E}[m(x)^2]

with the score s, the mean over q(z|x) of the derivative of log p(x|z) by the outputs, and the curvature F, minus the
mean second derivative. With the best m this is positive for some w if the largest eigenvalue of Cov(s) relative to F,
`untapped_signal`, exceeds beta. For normal noise of variance sigma² and a collapsed latent it is (largest eigenvalue
of the data's covariance) / sigma², and the condition is that of Lucas et al.: a dimension of a linear VAE dies exactly
where beta sigma² is at least its eigenvalue. For a likelihood that describes the frames without z, Cov(s) = F (the
information matrix equality) and it is 1. Its floor, what noise alone shows in as many frames, is the edge of the
Marchenko-Pastur law. With S = signal / floor and the margin m = `MARGIN`, the cause of a dead dimension is

* "training stuck": S > beta m, the ELBO would grow;
* "beta too large": beta m > S > m, it would at beta = 1;
* "spare dimensions": S < m, and the living dimensions carry all that the noise lets through;
* "noise too wide": S < m, no dimension lives, and the mean eigenvalue `untapped_scatter` is below 1 / m;
* "decoder suffices": likewise, but it is near 1: the likelihood describes the frames without z.

References:
    Lucas, Tucker, Grosse & Norouzi, Don't blame the ELBO, 2019, arXiv:1911.02469, for beta = 1; dividing the
    objective by beta turns sigma² into beta sigma².
    White, Maximum likelihood estimation of misspecified models, 1982, doi:10.2307/1912526.
    Marchenko & Pastur, 1967, doi:10.1070/SM1967v001n04ABEH001994.
    Hoffman & Johnson, ELBO surgery, NIPS workshop 2016, for rate = mutual information + KL(q(z) || p(z)).
    Poole et al., On variational bounds of mutual information, 2019, arXiv:1905.06922, for the two bounds.
"""

from dataclasses import dataclass
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray

from polyvae.errors import InputError
from polyvae.training.latent_measures import (
    covariance_eigenvalues,
    measure,
    noise_variance,
    prior_distance,
    untapped_signal,
    weighted_mean_and_error,
)
from polyvae.vae import VAE, AnisotropicNormal, SparsePrior, StandardNormal
from polyvae.vae.likelihoods import Likelihood

COLLAPSED_RATE = 0.1
"""A latent that carries less than this, nats per frame, has collapsed."""
ACTIVE_VARIANCE = 0.01
"""A dimension is active if the variance of its posterior means over frames is larger."""
LEAST_USED = 0.01
"""Swapping a latent that the decoder listens to costs more than this, nats per frame."""
SIGNIFICANCE = 3.0
"""It also costs more than this many standard errors."""
MISMATCHED_DISTANCE = 0.35
"""W1 between q(z) and the prior, in standard deviations of the prior, that spoils generated frames."""
FLOOR_FACTOR = 3.0
"""A distance counts only if it is this many times the distance between two samples of the prior."""
MISMATCHED_KL = 1.0
"""KL divergence of q(z) from the prior that spoils generated frames, nats."""
MARGIN = 1.1
"""Signals that differ by less than this factor count as equal: the largest eigenvalue of noise fluctuates."""
SATURATION = 1.0
"""Mutual information this close to its ceiling, nats, is an underestimate."""

Status = Literal["healthy", "partly collapsed", "mismatched", "latent ignored", "collapsed"]
Cause = Literal[
    "none",
    "spare dimensions",
    "training stuck",
    "beta too large",
    "noise too wide",
    "decoder suffices",
    "decoder does not listen",
    "prior does not fit",
]


@dataclass(frozen=True, kw_only=True, eq=False)
class Diagnosis:
    """What the latent carries; arrays have one entry a latent dimension.

    Attributes:
        status: in one word or two; the module's page states the rules.
        cause: why, likewise.
        remedy: what to do, in settings of `ModelConfig` and `TrainConfig`; empty where nothing has to be done.
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
        text = (
            f"{self.status.capitalize()}: {self.rate:.2f} nats per frame in {self.active_units} active of "
            f"{latent_dim} latent dimensions, {bound}{self.mutual_information:.2f} of them about the frame; swapping z "
            f"costs the decoder {self.information_used:.3g} ± {self.information_used_error:.2g} nats."
        )
        return text if self.cause == "none" else f"{text} {self.cause.capitalize()}: {self.remedy}"


def diagnose(
    vae: VAE,
    features: Float[Array, "frames features"] | Float[np.ndarray, "frames features"],
    *,
    weights: Float[Array, " weights"] | Float[np.ndarray, " weights"] | None = None,
    beta: float = 1.0,
    key: PRNGKeyArray,
    max_frames: int = 2000,
    trained_likelihood: Likelihood | None = None,
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

    Raises:
        InputError: if there are fewer than two frames of positive weight, or shapes, weights or beta do not fit.
    """
    rows, shares = _chosen(vae, features, weights, beta, max_frames)
    chosen = jnp.asarray(np.asarray(features)[rows])
    likelihood = vae.likelihood if trained_likelihood is None else trained_likelihood
    numbers = _numbers(vae, likelihood, chosen, shares, beta, key)
    status, cause, remedy = _verdict(vae, numbers, beta)
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
    rows = np.flatnonzero(weights > 0)
    if len(rows) < 2:
        raise InputError(f"`features` needs at least two frames of positive weight; got {len(rows)}.")
    if len(rows) > max_frames:
        rows = rows[np.linspace(0, len(rows) - 1, max_frames).round().astype(int)]
    return rows, weights[rows] / weights[rows].sum()


def _numbers(
    vae: VAE, likelihood: Likelihood, features: Array, shares: np.ndarray, beta: float, key: PRNGKeyArray
) -> dict[str, Any]:
    """All fields that are measured."""
    measured = measure(vae, likelihood, features, shares, key)
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
    untapped = untapped_signal(vae, likelihood, measured, features, shares) or (None, None, None)
    return {
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
        "used_units": int(np.sum(_listens(used, used_error))),
        **dict(zip(("untapped_signal", "untapped_floor", "untapped_scatter"), untapped, strict=True)),
        **_linear(likelihood, np.asarray(features, np.float64), shares, beta, vae.latent_dim),
    }


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


def _listens(used: np.ndarray | float, error: np.ndarray | float) -> Any:
    return used > np.maximum(LEAST_USED, SIGNIFICANCE * error)


def _verdict(vae: VAE, numbers: dict[str, Any], beta: float) -> tuple[Status, Cause, str]:
    """Status, cause and remedy by the rules of the module."""
    if numbers["rate"] < COLLAPSED_RATE:
        return "collapsed", *_why_dead(numbers, beta, alive=0)
    if not _listens(numbers["information_used"], numbers["information_used_error"]):
        return (
            "latent ignored",
            "decoder does not listen",
            "the KL divergence buys nothing. Train longer, leave `free_bits` at 0, and check that the decoder's "
            "outputs depend on z.",
        )
    far = numbers["prior_distance"] > np.maximum(
        MISMATCHED_DISTANCE * numbers["prior_sd"], FLOOR_FACTOR * numbers["prior_distance_floor"]
    )
    divergence = numbers["aggregate_kl_lower"] - SIGNIFICANCE * numbers["aggregate_kl_error"]
    if np.any(far) or divergence > MISMATCHED_KL:
        fitted = not isinstance(vae.prior, StandardNormal | AnisotropicNormal | SparsePrior)
        remedy = (
            "give it more `prior_components`" if fitted else "set `prior='mixture', prior_training='after'`"
        )
        return (
            "mismatched",
            "prior does not fit",
            f"KL(q(z) || p(z)) is between {max(numbers['aggregate_kl_lower'], 0.0):.2g} and "
            f"{numbers['aggregate_kl']:.2g} nats, the largest W1 {np.max(numbers['prior_distance']):.2g} (floor "
            f"{np.max(numbers['prior_distance_floor']):.2g}). To generate where the decoder has been, {remedy}.",
        )
    listens = _listens(numbers["used_by_decoder"], numbers["used_by_decoder_error"])
    alive = int(np.sum((numbers["activity"] > ACTIVE_VARIANCE) & listens))
    if alive < vae.latent_dim:
        return "partly collapsed", *_why_dead(numbers, beta, alive=alive)
    return "healthy", "none", ""


def _why_dead(numbers: dict[str, Any], beta: float, *, alive: int) -> tuple[Cause, str]:
    """Cause and remedy of dead dimensions, of all where `alive` is 0."""
    signal, scatter = numbers["untapped_signal"], numbers["untapped_scatter"]
    # Nothing to compare with: as if the likelihood described the frames.
    signal, scatter = (1.0, 1.0) if signal is None else (signal / numbers["untapped_floor"], scatter)
    if signal > MARGIN * beta:
        return (
            "training stuck",
            f"the ELBO would grow with one more dimension in use (signal {signal:.3g} against beta = {beta:.3g}). Set "
            "`rate_target` or `free_bits`, or train longer with a longer `kl_warmup`.",
        )
    if signal > MARGIN:
        return (
            "beta too large",
            f"what z leaves over has the signal {signal:.3g}, less than beta = {beta:.3g}. Lower `beta` below it.",
        )
    if alive:
        return (
            "spare dimensions",
            f"the others carry all that stands out of the noise. `latent_dim={alive}` does the same; for finer detail "
            "lower `sigma` or `beta`.",
        )
    if scatter < 1.0 / MARGIN:
        variance, largest = numbers["noise_variance"], numbers["largest_eigenvalue"]
        compared, below = "", ""
        if variance is not None and variance > largest:
            compared = f" (sigma² = {variance:.3g}, largest eigenvalue of the data {largest:.3g})"
            below = f" below {np.sqrt(largest / max(beta, 1.0)):.3g}"
        return (
            "noise too wide",
            f"frames scatter less than the decoder's noise{compared}. Lower `sigma`{below}, or "
            "learn it with `decoder_scale='learned'`.",
        )
    return (
        "decoder suffices",
        "the likelihood describes the frames without z, so the ELBO gives no reason to use it. Set `rate_target` to "
        "the nats that z shall carry, or narrow the decoder (a smaller fixed `sigma`, `likelihood='normal'`).",
    )
