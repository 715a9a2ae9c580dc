"""Training: splitting, augmentation, the compiled epoch, `fit` for trajectories and `fit_vae` for vectors."""

from polyvae.training.augmentation import symmetry_images
from polyvae.training.config import TrainConfig
from polyvae.training.diagnosis import Diagnosis, diagnose
from polyvae.training.fit import fit, fit_ensemble
from polyvae.training.fit_vae import fit_prior, fit_vae, fit_vae_ensemble
from polyvae.training.inspection import InspectionReport, inspect_trajectory
from polyvae.training.results import EpochReport, FitResult, History, VAEFit
from polyvae.training.shape_series import SamplingReport
from polyvae.training.splitting import Split, autocorrelation_time, blocked_split
from polyvae.training.state import CheckpointStore, TrainingState
from polyvae.training.vectors import make_vae

__all__ = [
    "CheckpointStore",
    "Diagnosis",
    "EpochReport",
    "FitResult",
    "History",
    "InspectionReport",
    "SamplingReport",
    "Split",
    "TrainConfig",
    "TrainingState",
    "VAEFit",
    "autocorrelation_time",
    "blocked_split",
    "diagnose",
    "fit",
    "fit_ensemble",
    "fit_prior",
    "fit_vae",
    "fit_vae_ensemble",
    "inspect_trajectory",
    "make_vae",
    "symmetry_images",
]
