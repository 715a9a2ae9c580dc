"""What training sees: vectors of both parts, the weights of their frames, and which lie a lag time apart."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from polyvae._arrays import device_array
from polyvae.training.diagnosis import rows_to_diagnose
from polyvae.training.stored_vectors import StoredVectors, vector_pieces, vectors_at


@dataclass(frozen=True, kw_only=True, eq=False)
class LaggedData:
    """Which vectors lie a lag time apart.

    Attributes:
        pairs: places in the training vectors of the earlier and the later frame of every pair.
        validation: the vector a lag time after each validation vector, shape (frames, features).
        is_target: whether the decoder is to give the later frame.
    """

    pairs: Int[np.ndarray, "pairs 2"]
    validation: Float[Array, "validation features"]
    is_target: bool


@dataclass(frozen=True, kw_only=True, eq=False)
class TrainingData:
    """Vectors on the device, or those of the training frames in a file.

    Attributes:
        train: training vectors under every symmetry, shape (symmetries, frames, features).
        validation: validation vectors, shape (frames, features).
        train_weights: weight of each training frame, of mean 1; None for equal ones.
        validation_weights: weight of each validation frame, of mean 1.
        lagged: the pairs that training deals out in place of frames, or None.
        remedy: what mends vectors that give no finite loss, for messages.
    """

    train: Float[Array, "symmetries frames features"] | StoredVectors
    validation: Float[Array, "validation features"]
    train_weights: Float[Array, " frames"] | None
    validation_weights: Float[Array, " validation"]
    lagged: LaggedData | None = None
    remedy: str = "look at the input with `polyvae inspect`"

    @property
    def n_frames(self) -> int:
        """Number of training frames."""
        return self.train.shape[1]

    @property
    def n_dealt(self) -> int:
        """How many frames, or pairs of them, an epoch deals out."""
        return self.n_frames if self.lagged is None else len(self.lagged.pairs)

    @property
    def decoded_pairs(self) -> Int[np.ndarray, "pairs 2"] | None:
        """The pairs where the decoder is to give the later frame; None where it is to give the frame itself."""
        return self.lagged.pairs if self.lagged is not None and self.lagged.is_target else None

    @property
    def validation_target(self) -> Float[Array, "validation features"]:
        """What the decoder is to give for each validation vector."""
        if self.lagged is None or not self.lagged.is_target:
            return self.validation
        return self.lagged.validation

    def weights_of(self, rows: np.ndarray) -> Float[Array, "*shape"]:
        """Weights of some training frames, of the shape of `rows`."""
        if self.train_weights is None:
            return jnp.ones(rows.shape, self.train.dtype)
        return self.train_weights[rows]

    def decoded(self) -> tuple[int, Float[Array, " decoded"] | None]:
        """How many training vectors there are to encode and decode, and their weights, of mean 1."""
        pairs = self.decoded_pairs
        if pairs is None:
            return self.n_frames, self.train_weights
        return len(pairs), None if self.train_weights is None else self.train_weights[pairs[:, 0]]

    def decoded_pieces(self, image: int, size: int) -> Iterator[tuple[Array, Array]]:
        """Training vectors under one symmetry and what the decoder is to give for them, `size` at a time."""
        pairs = self.decoded_pairs
        if pairs is None:
            yield from ((piece, piece) for piece in vector_pieces(self.train, image, size))
            return
        for start in range(0, len(pairs), size):
            yield self._pairs_at(pairs[start : start + size], image)

    def to_diagnose(
        self,
    ) -> tuple[Float[Array, "frames features"], Float[Array, "frames features"], Float[Array, " frames"]]:
        """Some training vectors, what the decoder is to give for them, and the weights of their frames."""
        n_decoded, weights = self.decoded()
        rows = rows_to_diagnose(n_decoded, None if weights is None else np.asarray(weights))
        pairs = self.decoded_pairs
        if pairs is None:
            vectors = vectors_at(self.train, np.zeros_like(rows), rows)
            return vectors, vectors, self.weights_of(rows)
        chosen = pairs[rows]
        return *self._pairs_at(chosen, 0), self.weights_of(chosen[:, 0])

    def _pairs_at(self, pairs: np.ndarray, image: int) -> tuple[Array, Array]:
        """Both vectors of some pairs under a symmetry."""
        images = np.full(len(pairs), image, pairs.dtype)
        first, second = (vectors_at(self.train, images, rows) for rows in pairs.T)
        return first, second


def training_weights(
    weights: np.ndarray | None, dtype: Any, *, counted: np.ndarray | None = None
) -> Array | None:
    """Weights of training frames scaled to mean 1, or None where they are equal.

    Args:
        weights: as they were given.
        dtype: of the result.
        counted: rows that the mean goes over, with repetitions; None for all.
    """
    if weights is None or np.all(weights == weights[0]):
        return None
    weights = np.asarray(weights, np.float64)
    mean = np.mean(weights if counted is None else weights[counted])
    return device_array(weights / mean, dtype)


def unit_mean(weights: np.ndarray | None, n_frames: int) -> np.ndarray:
    """Weights scaled to mean 1; ones where there are none."""
    if weights is None:
        return np.ones(n_frames)
    return np.asarray(weights, np.float64) * (n_frames / np.sum(weights, dtype=np.float64))
