"""The weight of the KL divergence over a run: warm-up, cycles, and the controller behind a rate target.

A rate target turns training into a constrained problem: the best reconstruction that R nats per frame allow. Its
Lagrange multiplier is the weight of the KL divergence. It is found while training, by a controller that moves the
logarithm of the weight a little way towards where each batch's rate would be right.
"""

import math
import warnings

import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from polyvae.errors import InputError, PolyvaeWarning
from polyvae.training.config import TrainConfig
from polyvae.training.plan import EpochPlan

_GAIN, _LAST_SHARE = 0.01, 0.1
_LEAST_REACH = 8.0
_FIRST_SHARE = 1e-3
_LOWEST_LOG_BETA, _HIGHEST_LOG_BETA = -12.0, 7.0


def check_warmup(config: TrainConfig) -> None:
    """Warn where the warm-up that was asked for does not fit into the epochs.

    Warns:
        PolyvaeWarning: if `kl_warmup` leaves no epoch at the full weight; the default is shortened silently.
    """
    if config.kl_schedule == "warmup" and config.epochs <= config.kl_warmup != TrainConfig.kl_warmup:
        warnings.warn(
            f"`kl_warmup`={config.kl_warmup} leaves none of the {config.epochs} `epochs` at the full weight of the KL "
            f"divergence; it is shortened to {config.epochs - 1}. Train more `epochs`, or lower `kl_warmup`.",
            PolyvaeWarning,
            stacklevel=4,
        )


def check_lagged_target(config: TrainConfig, *betas: float) -> None:
    """Raise an `InputError` where a latent that says nothing is the best one.

    By the data-processing inequality z holds no more nats about the later frame than about the frame that it encodes:
    at beta = 1 none can pay for itself. What is left is the trade of the information bottleneck.

    Args:
        config: settings of training.
        betas: weights of the KL divergence of all models to train.

    References:
        Tishby, Pereira & Bialek, The information bottleneck method, 1999, arXiv:physics/0004057.
    """
    if config.lagged_target and config.rate_target is None and max(betas) >= 1.0:
        raise InputError(
            f"`lagged_target` with `beta`={max(betas):g}: a latent says no more about the later frame than about the "
            "frame it encodes, so at 1 and above the best one says nothing. Lower `beta`, 0.1 is a good start, or set "
            "`rate_target`."
        )


def ramp(step: Int[Array, ""], plan: EpochPlan) -> Float[Array, ""]:
    """Share of the full weight at a step: grows from 0 to 1 over the warm-up, anew in each cycle.

    Args:
        step: gradient steps done.
        plan: settings of the run.

    References:
        Fu et al., Cyclical annealing schedule, 2019, arXiv:1903.10145: half of each cycle grows, half stays.
    """
    if plan.cycles > 1:
        length = max(plan.total_steps // plan.cycles, 1)
        within = jnp.minimum(step, plan.total_steps - 1) % length
        # Steps that are left over after the last whole cycle keep the full weight.
        within = jnp.where(step >= length * plan.cycles, length, within)
        return jnp.minimum(1.0, (within + 1) / max(length // 2, 1))
    return jnp.minimum(1.0, (step + 1) / max(plan.warmup_steps, 1))


def elbo_share(ramp: Float[Array, ""]) -> Float[Array, ""]:
    """Weight of the ELBO beside a VAMP score during the warm-up: it grows by factors, from a thousandth to 1.

    Slow motions come first. A latent that has learned to rebuild a large, quick motion is a trap: where nothing slow is
    in it, the score is flat, and what the motion is worth to the ELBO keeps it there.

    Args:
        ramp: share of the full weight of the KL divergence.
    """
    return jnp.exp(math.log(_FIRST_SHARE) * (1.0 - ramp))


def rate_error(rate: Float[Array, ""], target: float, latent_dim: int) -> Float[Array, ""]:
    """How much larger the logarithm of the weight has to be for the rate to meet the target, at most 1 either way.

    In a linear VAE each live dimension carries log(eigenvalue / (beta sigma^2)) / 2 nats, so that the rate falls by
    latent_dim / 2 where the logarithm of beta grows by 1.
    """
    return jnp.clip((rate - target) / (0.5 * latent_dim), -1.0, 1.0)


def gain(step: Int[Array, ""], plan: EpochPlan) -> Float[Array, ""]:
    """How far the logarithm of the weight moves for an error of 1.

    1 % a step, and more in a run of few steps, which has to get there too. Over the second half of the run it shrinks
    to a tenth, as steps of stochastic approximation do: widths of the noise follow the weight with a delay, and a
    controller that stayed as fast would hunt.
    """
    total = max(plan.total_steps, 1)
    share = jnp.clip(2.0 * (1.0 - step / total), _LAST_SHARE, 1.0)
    return max(_GAIN, _LEAST_REACH / total) * share


def next_log_beta(
    log_beta: Float[Array, ""],
    rate: Float[Array, ""],
    step: Int[Array, ""],
    plan: EpochPlan,
    latent_dim: int,
) -> Float[Array, ""]:
    """Logarithm of the weight after a step: larger where the rate is above the target.

    References:
        Rezende & Viola, Taming VAEs, 2018, arXiv:1810.00597, for the multiplier found by its own ascent; Shao et al.,
        ControlVAE, 2020, arXiv:2004.05988, for a controller on the rate.
    """
    assert plan.rate_target is not None
    error = rate_error(rate, plan.rate_target, latent_dim)
    moved = log_beta + gain(step, plan).astype(log_beta.dtype) * error.astype(log_beta.dtype)
    # While the weight is still growing the rate says nothing about it.
    settled = ramp(step, plan) >= 1.0
    return jnp.where(settled, jnp.clip(moved, _LOWEST_LOG_BETA, _HIGHEST_LOG_BETA), log_beta)
