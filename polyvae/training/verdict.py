r"""The verdict of a diagnosis: whether a latent has collapsed or misses its purpose, why, and what to do about it.

The status is the first that holds:

* "collapsed": the rate is below `COLLAPSED_RATE`. Posteriors equal the prior: mean 0, width 1.
* "latent ignored": swapping z between frames costs the decoder less than `LEAST_USED` nats, or less than
  `SIGNIFICANCE` standard errors.
* "not converged", where the course of training is known and the latent does not trade likelihood for a VAMP score:
  the bound is below what the likelihood reaches with outputs that are the same for all frames, by more than
  `SIGNIFICANCE` standard errors and `SHORTFALL` nats per feature.
* "rate target missed", likewise: the rate is off by more than `MISSED_RATE` of the target.
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
* "noise too wide": S < m, no dimension lives, the mean eigenvalue `untapped_scatter` is below 1 / m, and a width is
  fixed;
* "training too short": likewise, but all widths are learned, whose optimum has a scatter of 1;
* "decoder suffices": likewise, but it is near 1: the likelihood describes the frames without z.

Before these come, where the course of training is known, "unstable training" (steps so large that training loses what
it had found) where more training would otherwise be the remedy, and "rate target missed".

References:
    Lucas, Tucker, Grosse & Norouzi, Don't blame the ELBO, 2019, arXiv:1911.02469, for beta = 1; dividing the
    objective by beta turns sigma² into beta sigma².
    White, Maximum likelihood estimation of misspecified models, 1982, doi:10.2307/1912526.
    Marchenko & Pastur, 1967, doi:10.1070/SM1967v001n04ABEH001994.
    Hoffman & Johnson, ELBO surgery, NIPS workshop 2016, for rate = mutual information + KL(q(z) || p(z)).
    Poole et al., On variational bounds of mutual information, 2019, arXiv:1905.06922, for the two bounds.
"""

from typing import Any, Literal

import numpy as np

from polyvae.training.course import Course
from polyvae.training.remedies import Remedies
from polyvae.vae import VAE

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
SHORTFALL = 0.05
"""A bound has not converged that is below that of a likelihood without a latent by more than this, nats per feature."""
MISSED_RATE = 0.1
"""Share of a rate target that the rate may be off by."""

Status = Literal[
    "healthy",
    "partly collapsed",
    "mismatched",
    "rate target missed",
    "not converged",
    "latent ignored",
    "collapsed",
]
Cause = Literal[
    "none",
    "spare dimensions",
    "training stuck",
    "training too short",
    "unstable training",
    "rate target missed",
    "beta too large",
    "noise too wide",
    "decoder suffices",
    "decoder does not listen",
    "prior does not fit",
]


def verdict_of(
    vae: VAE, numbers: dict[str, Any], remedies: Remedies, log_likelihood_without_latent: float | None
) -> tuple[Status, Cause, str]:
    """Status, cause and remedy by the rules of the module.

    Args:
        vae: the model.
        numbers: the measured fields of a `Diagnosis`.
        remedies: for the way in which the model was trained.
        log_likelihood_without_latent: of the same frames, with outputs that are the same for all; None where unknown.
    """
    course = remedies.course
    least = max(SIGNIFICANCE * numbers["log_likelihood_error"], SHORTFALL * vae.n_features)
    unexplained = 0.0
    # A slow coordinate pays for its VAMP score with likelihood.
    traded = course is not None and course.config.vamp_weight > 0
    if course is not None and log_likelihood_without_latent is not None and not traded:
        unexplained = log_likelihood_without_latent - numbers["log_likelihood"]
    if numbers["rate"] < COLLAPSED_RATE:
        if unexplained > least:
            return "collapsed", *_why_unfinished(unexplained, remedies)
        return "collapsed", *_why_dead(numbers, remedies, alive=0)
    if not _listens(numbers["information_used"], numbers["information_used_error"]):
        if unexplained > least:
            return "latent ignored", *_why_unfinished(unexplained, remedies)
        if course is not None and course.unstable:
            return "latent ignored", "unstable training", remedies.smaller_steps()
        return "latent ignored", "decoder does not listen", remedies.less_bought()
    if course is not None and log_likelihood_without_latent is not None and not traded:
        missing = log_likelihood_without_latent - _objective(numbers, course, remedies.beta)
        if missing > least:
            return "not converged", *_why_unfinished(missing, remedies)
    if course is not None and _misses_rate(course):
        return "rate target missed", "rate target missed", _missed_rate(course, remedies)
    far = numbers["prior_distance"] > np.maximum(
        MISMATCHED_DISTANCE * numbers["prior_sd"], FLOOR_FACTOR * numbers["prior_distance_floor"]
    )
    divergence = numbers["aggregate_kl_lower"] - SIGNIFICANCE * numbers["aggregate_kl_error"]
    if np.any(far) or divergence > MISMATCHED_KL:
        return (
            "mismatched",
            "prior does not fit",
            f"KL(q(z) || p(z)) is between {max(numbers['aggregate_kl_lower'], 0.0):.2g} and "
            f"{numbers['aggregate_kl']:.2g} nats, the largest W1 {np.max(numbers['prior_distance']):.2g} (floor "
            f"{np.max(numbers['prior_distance_floor']):.2g}). To generate where the decoder has been, "
            f"{remedies.fitting_prior(vae)}.",
        )
    alive = int(np.sum((numbers["activity"] > ACTIVE_VARIANCE) & used_dimensions(numbers)))
    if alive < vae.latent_dim:
        return "partly collapsed", *_why_dead(numbers, remedies, alive=alive)
    return "healthy", "none", ""


def used_dimensions(numbers: dict[str, Any]) -> np.ndarray:
    """Which dimensions the decoder listens to."""
    return _listens(numbers["used_by_decoder"], numbers["used_by_decoder_error"])


def _listens(used: np.ndarray | float, error: np.ndarray | float) -> Any:
    return used > np.maximum(LEAST_USED, SIGNIFICANCE * error)


def _objective(numbers: dict[str, Any], course: Course, beta: float) -> float:
    """What training maximized, at least: what it gives away to free bits or a rate target is added."""
    if course.config.rate_target is not None:
        return numbers["log_likelihood"]
    free = course.config.free_bits * len(numbers["activity"])
    return numbers["log_likelihood"] - beta * max(numbers["rate"] - free, 0.0)


def _misses_rate(course: Course) -> bool:
    target = course.config.rate_target
    return target is not None and abs(course.rate - target) > MISSED_RATE * target


def _missed_rate(course: Course, remedies: Remedies) -> str:
    return f"training ended at {course.rate:.3g} of {course.config.rate_target:g} nats. {remedies.met_rate()}"


def _why_unfinished(missing: float, remedies: Remedies) -> tuple[Cause, str]:
    course = remedies.course
    below = (
        f"the frames are {missing:.3g} nats less likely than with the best outputs that are the same for all"
    )
    if course is not None and course.unstable:
        return "unstable training", f"{below}; {remedies.smaller_steps()}"
    return "training too short", f"{below}. {remedies.convergence()}"


def _why_dead(numbers: dict[str, Any], remedies: Remedies, *, alive: int) -> tuple[Cause, str]:
    """Cause and remedy of dead dimensions, of all where `alive` is 0."""
    course, beta = remedies.course, remedies.beta
    if course is not None and _misses_rate(course):
        if course.unstable:
            return "unstable training", remedies.smaller_steps()
        return "rate target missed", _missed_rate(course, remedies)
    signal, scatter = numbers["untapped_signal"], numbers["untapped_scatter"]
    # Nothing to compare with: as if the likelihood described the frames.
    signal, scatter = (1.0, 1.0) if signal is None else (signal / numbers["untapped_floor"], scatter)
    if signal > MARGIN * beta:
        if course is not None and course.unstable:
            return "unstable training", remedies.smaller_steps()
        return (
            "training stuck",
            f"the ELBO would grow with one more dimension in use (signal {signal:.3g} against beta = {beta:.3g}). "
            f"{remedies.more_rate()}",
        )
    if signal > MARGIN:
        return (
            "beta too large",
            f"what z leaves over has the signal {signal:.3g}, less than beta = {beta:.3g}. "
            f"{remedies.beta_below(signal)}",
        )
    if alive:
        return (
            "spare dimensions",
            f"the others carry all that stands out of the noise. `latent_dim={alive}` does the same; for finer detail "
            f"{remedies.finer_detail()}.",
        )
    if scatter < 1.0 / MARGIN:
        return _why_scattered(numbers, remedies)
    return (
        "decoder suffices",
        f"the likelihood describes the frames without z, so the ELBO gives no reason to use it. "
        f"{remedies.information_anyway()}",
    )


def _why_scattered(numbers: dict[str, Any], remedies: Remedies) -> tuple[Cause, str]:
    """Why frames scatter less than the decoder's noise: it was set so, or it is still on its way."""
    variance, largest = numbers["noise_variance"], numbers["largest_eigenvalue"]
    compared, below = "", None
    if variance is not None and variance > largest:
        compared = f" (sigma² = {variance:.3g}, largest eigenvalue of the data {largest:.3g})"
        below = float(np.sqrt(largest / max(remedies.beta, 1.0)))
    wide = f"frames scatter less than the decoder's noise{compared}"
    if not remedies.width_is_learned:
        return "noise too wide", f"{wide}. {remedies.narrower_noise(below)}"
    if remedies.course is not None and remedies.course.unstable:
        return "unstable training", f"{wide}, though its width is learned; {remedies.smaller_steps()}"
    return (
        "training too short",
        f"{wide}, whose width is learned and has not come down yet. {remedies.convergence()}",
    )
