"""What training sees: vectors of both parts, and the weights of their frames."""

from dataclasses import dataclass
from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from polyvae._arrays import device_array
from polyvae.training.diagnosis import rows_to_diagnose
from polyvae.training.stored_vectors import StoredVectors, vectors_at


@dataclass(frozen=True, kw_only=True, eq=False)
class TrainingData:
    """Vectors on the device, or those of the training frames in a file.

    Attributes:
        train: training vectors under every symmetry, shape (symmetries, frames, features).
        validation: validation vectors, shape (frames, features).
        train_weights: weight of each training frame, of mean 1; None for equal ones.
        validation_weights: weight of each validation frame, of mean 1.
        remedy: what mends vectors that give no finite loss, for messages.
    """

    train: Float[Array, "symmetries frames features"] | StoredVectors
    validation: Float[Array, "validation features"]
    train_weights: Float[Array, " frames"] | None
    validation_weights: Float[Array, " validation"]
    remedy: str = "look at the input with `polyvae inspect`"

    @property
    def n_frames(self) -> int:
        """Number of training frames."""
        return self.train.shape[1]

    def weights_of(self, rows: np.ndarray) -> Float[Array, "*shape"]:
        """Weights of some training frames, of the shape of `rows`."""
        if self.train_weights is None:
            return jnp.ones(rows.shape, self.train.dtype)
        return self.train_weights[rows]

    def to_diagnose(self) -> tuple[Float[Array, "frames features"], Float[Array, " frames"]]:
        """Some training vectors as they are, and the weights of their frames; all that count where they are few."""
        weights = self.train_weights
        rows = rows_to_diagnose(self.n_frames, None if weights is None else np.asarray(weights))
        return vectors_at(self.train, np.zeros_like(rows), rows), self.weights_of(rows)


def training_weights(weights: np.ndarray | None, dtype: Any) -> Array | None:
    """Weights of training frames scaled to mean 1, or None where they are equal."""
    if weights is None or np.all(weights == weights[0]):
        return None
    return device_array(unit_mean(weights, len(weights)), dtype)


def unit_mean(weights: np.ndarray | None, n_frames: int) -> np.ndarray:
    """Weights scaled to mean 1; ones where there are none."""
    if weights is None:
        return np.ones(n_frames)
    return np.asarray(weights, np.float64) * (n_frames / np.sum(weights, dtype=np.float64))
