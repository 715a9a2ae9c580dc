"""What training returns."""

from dataclasses import dataclass
from typing import Literal

import numpy as np

from polyvae.training.config import TrainConfig
from polyvae.training.diagnosis import Diagnosis
from polyvae.training.splitting import Split
from polyvae.vae import VAE, ConformationModel

Status = Literal["finished", "early", "interrupted", "diverged"]

# Nats per frame.
_STILL_RISING = 1.0


@dataclass(frozen=True, kw_only=True)
class EpochReport:
    """One finished epoch, for a progress display.

    Attributes:
        epoch: epochs done, counted from 1.
        epochs: epochs planned.
        train_bound: training objective, nats per frame, mean over the epoch's steps.
        validation_bound: objective on the validation frames at the end of the epoch, nats per frame.
        best_epoch: epoch with the best validation bound so far, counted from 1.
        seconds: wall-clock time since training began.
        seconds_left: estimate for the epochs still planned.
    """

    epoch: int
    epochs: int
    train_bound: float
    validation_bound: float
    best_epoch: int
    seconds: float
    seconds_left: float


@dataclass(frozen=True, kw_only=True, eq=False)
class History:
    """Learning curves, one entry an epoch; all in nats per frame of scaled features.

    Attributes:
        train_log_likelihood: E_q log p(x|z) on the training batches.
        train_kl: KL divergence of each latent dimension, shape (epochs, latent); one column in all where the prior has
            no closed form.
        validation_log_likelihood: E_q log p(x|z) on the validation frames.
        validation_kl: KL divergence on the validation frames, columns as in `train_kl`.
        train_bound: the objective on the training batches, with the full weight of the KL divergence.
        validation_bound: the objective on the validation frames, by which epochs are compared; with a rate target, the
            ELBO less a penalty for missing it.
        sigma: width of the decoder, scaled units; NaN where the likelihood has no shared width.
        beta: full weight of the KL divergence; it changes only with a rate target.
    """

    train_log_likelihood: np.ndarray
    train_kl: np.ndarray
    validation_log_likelihood: np.ndarray
    validation_kl: np.ndarray
    train_bound: np.ndarray
    validation_bound: np.ndarray
    sigma: np.ndarray
    beta: np.ndarray

    def __len__(self) -> int:
        return len(self.sigma)

    @property
    def late_gain(self) -> float:
        """What the last fifth of the epochs added to the best validation bound, nats per frame."""
        before = len(self) - len(self) // 5
        if not 0 < before < len(self):
            return 0.0
        return max(0.0, float(np.max(self.validation_bound) - np.max(self.validation_bound[:before])))

    @property
    def still_rising(self) -> bool:
        """Whether the last fifth of the epochs raised the best validation bound by more than a nat per frame."""
        return self.late_gain > _STILL_RISING


@dataclass(frozen=True, kw_only=True, eq=False)
class FitResult:
    """A trained model and how it came about.

    Attributes:
        model: the model of the best epoch.
        diagnosis: what the latent carries on training frames, and what to do where it carries nothing.
        history: learning curves.
        best_epoch: epoch that the model comes from, counted from 1.
        split: which frames were trained on, validated on and held out.
        train_config: the settings.
        seed: the seed.
        status: "finished" (all epochs), "early" (no better bound for `patience` epochs), "interrupted" (by a signal;
            the model is the best so far) or "diverged" (a loss was not finite; the model is the best before).
        degenerate_frames: frames whose alignment is nearly undetermined.
        seconds: wall-clock time of training, without start-up.
        startup_seconds: wall-clock time from the call to the end of the first epoch, compilation included.
        versions: versions of the libraries that matter for the numbers.
    """

    model: ConformationModel
    diagnosis: Diagnosis
    history: History
    best_epoch: int
    split: Split
    train_config: TrainConfig
    seed: int
    status: Status
    degenerate_frames: np.ndarray
    seconds: float
    startup_seconds: float
    versions: dict[str, str]


@dataclass(frozen=True, kw_only=True, eq=False)
class VAEFit:
    """A VAE trained on vectors and how it came about.

    Attributes:
        vae: the VAE of the best epoch.
        diagnosis: what the latent carries on training rows, and what to do where it carries nothing.
        history: learning curves.
        best_epoch: epoch that the VAE comes from, counted from 1.
        train: indices of the rows that were trained on.
        validation: indices of the rows that decided on early stopping; empty where they were given apart.
        beta: weight of the KL divergence that training began with.
        seed: the seed.
        status: as in `FitResult`.
        seconds: wall-clock time of training, without start-up.
        startup_seconds: wall-clock time from the call to the end of the first epoch, compilation included.
    """

    vae: VAE
    diagnosis: Diagnosis
    history: History
    best_epoch: int
    train: np.ndarray
    validation: np.ndarray
    beta: float
    seed: int
    status: Status
    seconds: float
    startup_seconds: float
