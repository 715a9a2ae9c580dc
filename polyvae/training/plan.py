"""What the compiled epoch has to know: the settings of a run, with counts worked out for its frames."""

from dataclasses import dataclass
from typing import Literal

import optax

from polyvae.errors import InputError
from polyvae.training.config import TrainConfig
from polyvae.vae.objectives import Objective

_FEWEST_STEPS = 8


@dataclass(frozen=True, kw_only=True)
class EpochPlan:
    """The settings that the compiled epoch depends on; equal plans share one compilation."""

    batch_size: int
    steps: int
    total_steps: int
    warmup_steps: int
    cycles: int
    learning_rate: float
    schedule: Literal["cosine", "constant"]
    gradient_clip: float
    objective: Objective
    rate_target: float | None
    analytic_scale: bool
    patience: int | None
    devices: int = 1

    def optimizer(self) -> optax.GradientTransformation:
        """Adam with the plan's schedule and clipping."""
        if self.schedule == "cosine":
            rate = optax.cosine_decay_schedule(self.learning_rate, self.total_steps, alpha=0.01)
        else:
            rate = self.learning_rate
        clip = optax.clip_by_global_norm(self.gradient_clip) if self.gradient_clip > 0 else optax.identity()
        return optax.chain(clip, optax.adam(rate))


def plan_for(config: TrainConfig, n_train: int, *, analytic_scale: bool) -> EpochPlan:
    """The plan of a run.

    Args:
        config: settings of training.
        n_train: training frames.
        analytic_scale: whether the likelihood is set to its closed-form optimum after every step.

    Raises:
        InputError: if there are more devices than frames for a batch.
    """
    # Few frames make many small batches rather than one large one: an epoch must move the weights.
    batch_size = min(config.batch_size, max(1, n_train // _FEWEST_STEPS))
    batch_size -= batch_size % config.devices
    if batch_size == 0:
        raise InputError(
            f"{n_train} training frames in at least {_FEWEST_STEPS} batches leave no frame for each of `devices`="
            f"{config.devices}. Lower it."
        )
    steps = n_train // batch_size
    return EpochPlan(
        batch_size=batch_size,
        steps=steps,
        total_steps=steps * config.epochs,
        warmup_steps=steps * min(config.kl_warmup, config.epochs - 1),
        cycles=config.kl_cycles if config.kl_schedule == "cyclical" else 1,
        learning_rate=config.learning_rate,
        schedule=config.schedule,
        gradient_clip=config.gradient_clip,
        objective=config.maximized,
        rate_target=config.rate_target,
        analytic_scale=analytic_scale,
        patience=config.patience,
        devices=config.devices,
    )
