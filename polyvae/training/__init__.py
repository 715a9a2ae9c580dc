"""Training: splitting, augmentation, the compiled epoch and `fit`."""

from polyvae.training.augmentation import symmetry_images
from polyvae.training.config import TrainConfig
from polyvae.training.fit import fit
from polyvae.training.results import EpochReport, FitResult, History
from polyvae.training.splitting import Split, autocorrelation_time, blocked_split
from polyvae.training.state import CheckpointStore, TrainingState

__all__ = [
    "CheckpointStore",
    "EpochReport",
    "FitResult",
    "History",
    "Split",
    "TrainConfig",
    "TrainingState",
    "autocorrelation_time",
    "blocked_split",
    "fit",
    "symmetry_images",
]
