r"""Cartesian representation: canonical positions as a vector without the directions that alignment has removed.

Alignment fixes some linear combinations of the coordinates to zero. Centering removes \(\sum_i w_i x_i\). Kabsch
alignment to a fixed reference \(r\) leaves \(\sum_i w_i\, x_i \otimes r_i\) symmetric, which is again linear in the
positions: d(d-1)/2 more directions. Keeping these dead directions would make every density infinite (the data have no
width there), so the vector holds the positions in an orthonormal basis of what is left: dN - 3 coordinates in two
dimensions and dN - 6 in three, and a likelihood that can be compared between models. The basis is orthonormal, so
squared distances in the vector are squared distances in space.

Principal-axis alignment leaves a constraint that is not linear (the off-diagonal moments vanish); there only the
center is removed, and likelihoods must not be compared with those of the other alignments.
"""

from collections.abc import Callable, Iterable
from itertools import chain
from typing import Any, Literal

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from polyvae._arrays import device_array
from polyvae._typing import FeatureVector, Frame
from polyvae.errors import InputError
from polyvae.features.free_directions import FreeDirections, free_directions
from polyvae.preprocessing import Alignment
from polyvae.trajectory.weights import normalized_weights, total_weight, weighted_sum, with_weights

Scaling = Literal["isotropic", "per-feature", "none"]


class Cartesian(eqx.Module):
    """Canonical positions of one frame to a feature vector of zero mean and about unit variance, and back.

    Attributes:
        directions: those that alignment leaves free.
        mean: mean of the training data along them, unit of length.
        scale: divisor of each feature, unit of length.
        n_atoms: number of atoms of a frame.
    """

    directions: FreeDirections
    mean: Float[Array, " features"]
    scale: Float[Array, " features"]
    n_atoms: int = eqx.field(static=True)

    @property
    def n_features(self) -> int:
        """Length of the feature vector."""
        return len(self.directions)

    @property
    def basis(self) -> Float[Array, "features coordinates"]:
        """The free directions as rows; for systems so small that the square of their coordinates fits in memory."""
        return self.directions.dense

    def __call__(self, frame: Frame) -> FeatureVector:
        """The feature vector of one canonical frame."""
        return self.of_many(frame.reshape(1, -1))[0]

    def of_many(self, flat: Float[Array, "frames coordinates"]) -> Float[Array, "frames features"]:
        """The feature vectors of many canonical frames, each flattened."""
        return (self.directions.project(flat) - self.mean[None, :]) / self.scale[None, :]

    def positions(self, features: FeatureVector) -> Frame:
        """The canonical frame of one feature vector."""
        return self.directions.lift(features * self.scale + self.mean).reshape(self.n_atoms, -1)

    @property
    def log_volume(self) -> Float[Array, ""]:
        """Add this to a log-density of features to get one of positions (nats, per unit length^features)."""
        return -jnp.sum(jnp.log(self.scale))


def fit_cartesian(
    alignment: Alignment,
    chunks: Callable[[], Iterable[np.ndarray]],
    *,
    scaling: Scaling = "isotropic",
    weights: Any | None = None,
) -> Cartesian:
    """The Cartesian representation whose mean and scale are those of the given canonical frames.

    Args:
        alignment: what made the frames canonical.
        chunks: returns an iterator over canonical positions, each (frames, atoms, dims); called once.
        scaling: "isotropic" divides all features by one number, the root of their mean variance, and so keeps the
            shape of space; "per-feature" gives every feature unit variance; "none" keeps the unit of length.
        weights: statistical weight of every frame of all chunks, in their order, or None for equal weights.

    Raises:
        InputError: if nothing is left to model (a single atom), the frames do not vary, or the weights cannot be used.
    """
    if weights is not None:
        weights = normalized_weights(weights)
    frames = with_weights(chunks(), weights)
    first = next(frames, None)
    if first is None:
        raise InputError("No frames to fit the representation to.")
    n_atoms, dims = first[0].shape[1:]
    directions = free_directions(alignment, n_atoms, dims)
    if len(directions) == 0:
        raise InputError(
            f"A frame of {n_atoms} atom(s) has no shape once translation and rotation are removed. "
            "Select at least two atoms with `atoms`."
        )
    # Sums are taken around one frame that counts: no cancellation when the molecule is far from the origin.
    heaviest = 0 if first[1] is None else int(np.argmax(first[1]))
    shift = directions.project(first[0][heaviest].reshape(-1).astype(np.float64))
    n_frames, count, total, square = 0, 0.0, np.zeros(len(directions)), np.zeros(len(directions))
    for chunk, chunk_weights in chain([first], frames):
        values = directions.project(chunk.reshape(len(chunk), -1).astype(np.float64)) - shift
        n_frames += len(chunk) if chunk_weights is None else np.count_nonzero(chunk_weights)
        count += total_weight(values, chunk_weights)
        total += weighted_sum(values, chunk_weights)
        square += weighted_sum(values**2, chunk_weights)
    mean = total / count
    variance = np.maximum(square / count - mean**2, 0.0)
    if variance.sum() <= 1e-12 * np.sum((mean + shift) ** 2):
        raise InputError(
            f"All {n_frames} frames have the same conformation (up to rotation and translation); there is nothing to "
            "learn. Check `stride`, `atoms` and the file."
        )
    scale = {
        "isotropic": np.full(len(mean), np.sqrt(variance.mean())),
        "per-feature": np.sqrt(np.maximum(variance, 1e-8 * variance.mean())),
        "none": np.ones(len(mean)),
    }[scaling]
    dtype = jnp.result_type(float)
    return Cartesian(
        directions=FreeDirections(
            reflectors=device_array(directions.reflectors, dtype),
            mixing=device_array(directions.mixing, dtype),
        ),
        mean=device_array(mean + shift, dtype),
        scale=device_array(scale, dtype),
        n_atoms=n_atoms,
    )
