"""Settings of training."""

from dataclasses import dataclass
from typing import Literal

from polyvae.errors import InputError
from polyvae.vae.config import check_choices
from polyvae.vae.objectives import Objective


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """Settings of training; every field is a command-line flag and a TOML key of the same name.

    Attributes:
        epochs: passes over the training frames, at most.
        batch_size: frames a gradient step, or fewer where an epoch would have less than 8 steps; the frames that do
            not fill the last batch wait for the next shuffle.
        learning_rate: peak learning rate of Adam.
        schedule: "cosine" decays the learning rate to 1 % over all epochs, "constant" keeps it.
        gradient_clip: largest global norm of a gradient; 0 switches clipping off.
        kl_warmup: epochs over which the weight of the KL divergence grows from 0 to `beta`; at least one epoch is left
            at the full weight. Beside a `vamp_weight` the whole ELBO grows, from a thousandth.
        kl_schedule: "warmup" grows it once; "cyclical" starts over `kl_cycles` times, each growth taking half a cycle.
        kl_cycles: cycles of the cyclical schedule.
        objective: "elbo", or "iwae" for the importance-weighted bound of `importance_samples` draws.
        importance_samples: draws of the latent for each frame under "iwae".
        free_bits: KL divergence of each latent dimension that costs nothing, nats.
        rate_target: nats per frame that the latent shall carry; the weight of the KL divergence then starts at `beta`
            and is steered until the rate is met. None keeps the weight.
        total_correlation: additional weight of the total correlation between latent dimensions (beta-TCVAE).
        prior_matching: weight of the distance between aggregate posterior and prior.
        lag_time: frames between the two frames of a pair, for slow coordinates: `vamp_weight`, `lagged_target` or both
            say what pairs are for. A pair lies within one simulation and one part of the split. 0 trains on single
            frames.
        vamp_weight: nats for each unit of the VAMP-2 score of the latent at `lag_time`: it then follows slow motions,
            however small, rather than large ones. Scores of few frames are too high: take batches of about 1000.
        lagged_target: decode the frame `lag_time` later instead of the frame itself (a time-lagged autoencoder).
            Needs a `beta` below 1, or a `rate_target`: at 1 the best latent says nothing.
        patience: stop after this many epochs without a better validation bound; None never stops early.
        augmentation: exact symmetries of the system that training frames are drawn under: "mirror" (two dimensions
            only) and "reversal" (the order of a chain whose two ends are alike).
        validation_fraction: share of the frames that decides on early stopping.
        test_fraction: share of the frames that training never sees in any way; all held-out figures come from it.
        blocks: contiguous blocks that each simulation is cut into before they are dealt out.
        gap: frames left out between training and held-out blocks; None takes the autocorrelation time.
        devices: devices of JAX (processors, GPUs) that share each batch; `batch_size` must be a multiple. Training
            frames then stay in the memory of the host.
    """

    epochs: int = 200
    batch_size: int = 256
    learning_rate: float = 1e-3
    schedule: Literal["cosine", "constant"] = "cosine"
    gradient_clip: float = 100.0
    kl_warmup: int = 10
    kl_schedule: Literal["warmup", "cyclical"] = "warmup"
    kl_cycles: int = 4
    objective: Literal["elbo", "iwae"] = "elbo"
    importance_samples: int = 8
    free_bits: float = 0.0
    rate_target: float | None = None
    total_correlation: float = 0.0
    prior_matching: float = 0.0
    lag_time: int = 0
    vamp_weight: float = 0.0
    lagged_target: bool = False
    patience: int | None = 40
    augmentation: tuple[Literal["mirror", "reversal"], ...] = ()
    validation_fraction: float = 0.1
    test_fraction: float = 0.1
    blocks: int = 20
    gap: int | None = None
    devices: int = 1

    def __post_init__(self) -> None:
        object.__setattr__(self, "augmentation", tuple(self.augmentation))
        for name in ("epochs", "batch_size", "blocks", "kl_cycles", "importance_samples", "devices"):
            if getattr(self, name) < 1:
                raise InputError(f"`{name}` must be at least 1; got {getattr(self, name)}.")
        if self.batch_size % self.devices:
            raise InputError(
                f"`batch_size` must be a multiple of `devices`; got {self.batch_size} and {self.devices}."
            )
        if not self.learning_rate > 0:
            raise InputError(f"`learning_rate` must be positive; got {self.learning_rate}.")
        for name in (
            "gradient_clip",
            "kl_warmup",
            "free_bits",
            "total_correlation",
            "prior_matching",
            "lag_time",
            "vamp_weight",
        ):
            if not getattr(self, name) >= 0:
                raise InputError(f"`{name}` must not be negative; got {getattr(self, name)}.")
        self._check_lag()
        if self.rate_target is not None and not self.rate_target > 0:
            raise InputError(f"`rate_target` must be positive, or None; got {self.rate_target}.")
        if self.free_bits > 0 and (self.objective == "iwae" or self.rate_target is not None):
            other = "objective='iwae'" if self.objective == "iwae" else "rate_target"
            raise InputError(f"`free_bits` and `{other}` contradict each other; choose one.")
        if self.patience is not None and self.patience < 1:
            raise InputError(
                f"`patience` must be at least 1, or None for no early stopping; got {self.patience}."
            )
        if self.gap is not None and self.gap < 0:
            raise InputError(f"`gap` must not be negative; got {self.gap}.")
        for name in ("validation_fraction", "test_fraction"):
            if not 0 < getattr(self, name) < 0.5:
                raise InputError(f"`{name}` must lie between 0 and 0.5; got {getattr(self, name)}.")
        unknown = set(self.augmentation) - {"mirror", "reversal"}
        if unknown:
            raise InputError(f"`augmentation` knows 'mirror' and 'reversal'; got {sorted(unknown)}.")
        check_choices(self, TrainConfig)

    @property
    def maximized(self) -> Objective:
        """The objective that these settings describe."""
        return Objective(
            kind=self.objective,
            importance_samples=self.importance_samples,
            free_bits=self.free_bits,
            total_correlation=self.total_correlation,
            prior_matching=self.prior_matching,
            vamp=self.vamp_weight,
            lagged_target=self.lagged_target,
        )

    def _check_lag(self) -> None:
        """Raise an `InputError` where a lag time is missing, or stands for nothing."""
        if self.lag_time == 0 and (self.vamp_weight > 0 or self.lagged_target):
            name = "lagged_target=True" if self.lagged_target else f"vamp_weight={self.vamp_weight:g}"
            raise InputError(f"`{name}` compares frames at a lag time: set `lag_time` to at least 1 frame.")
        if self.lag_time > 0 and not (self.vamp_weight > 0 or self.lagged_target):
            raise InputError(
                f"`lag_time={self.lag_time}` has no part in training unless `vamp_weight` is above 0 or "
                "`lagged_target` is set."
            )
