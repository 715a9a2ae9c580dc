r"""Cartesian representation: canonical positions as a vector without the directions that alignment has removed.

Alignment fixes some linear combinations of the coordinates to zero. Centering removes \(\sum_i w_i x_i\). Kabsch
alignment to a fixed reference \(r\) leaves \(\sum_i w_i\, x_i \otimes r_i\) symmetric, which is again linear in the
positions: d(d-1)/2 more directions. Keeping these dead directions would make every density infinite (the data have no
width there), so the vector holds the positions in an orthonormal basis of what is left: dN - 3 coordinates in two
dimensions and dN - 6 in three, and a likelihood that can be compared between models. The basis is orthonormal, so
squared distances in the vector are squared distances in space. Products with it ask for full precision, since
accelerators round plain ones.

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
from polyvae.preprocessing import Alignment
from polyvae.trajectory.weights import normalized_weights, total_weight, weighted_sum, with_weights

Scaling = Literal["isotropic", "per-feature", "none"]


class Cartesian(eqx.Module):
    """Canonical positions of one frame to a feature vector of zero mean and about unit variance, and back.

    Attributes:
        basis: orthonormal rows spanning the directions that alignment leaves free.
        mean: mean of the training data in that basis, unit of length.
        scale: divisor of each feature, unit of length.
        n_atoms: number of atoms of a frame.
    """

    basis: Float[Array, "features coordinates"]
    mean: Float[Array, " features"]
    scale: Float[Array, " features"]
    n_atoms: int = eqx.field(static=True)

    @property
    def n_features(self) -> int:
        """Length of the feature vector."""
        return self.basis.shape[0]

    def __call__(self, frame: Frame) -> FeatureVector:
        """The feature vector of one canonical frame."""
        coordinates = jnp.matmul(self.basis, frame.reshape(-1), precision="highest")
        return (coordinates - self.mean) / self.scale

    def positions(self, features: FeatureVector) -> Frame:
        """The canonical frame of one feature vector."""
        coordinates = jnp.matmul(features * self.scale + self.mean, self.basis, precision="highest")
        return coordinates.reshape(self.n_atoms, -1)

    @property
    def log_volume(self) -> Float[Array, ""]:
        """Add this to a log-density of features to get one of positions (nats, per unit length^features)."""
        return -jnp.sum(jnp.log(self.scale))


def free_directions(alignment: Alignment, n_atoms: int, dims: int) -> np.ndarray:
    """Orthonormal rows spanning the coordinates that an alignment leaves free, shape (features, atoms * dims)."""
    if alignment.method == "none":
        return np.eye(n_atoms * dims)
    weights = np.asarray(alignment.weights, np.float64)
    if alignment.method == "center":
        # One set of modes for all axes of space: the coordinates of a mode turn with the frame as a vector does.
        return np.kron(np.linalg.svd(weights[None, :])[2][1:], np.eye(dims))
    constraints = [np.kron(weights / np.linalg.norm(weights), np.eye(dims)[axis]) for axis in range(dims)]
    if alignment.reference is not None:
        weighted = weights[:, None] * np.asarray(alignment.reference, np.float64)
        size = max(np.linalg.norm(weighted), 1e-300)
        for a in range(dims):
            for b in range(a):
                antisymmetric = np.zeros((n_atoms, dims))
                antisymmetric[:, a] = weighted[:, b] / size
                antisymmetric[:, b] = -weighted[:, a] / size
                constraints.append(antisymmetric.reshape(-1))
    _, singular, directions = np.linalg.svd(np.stack(constraints), full_matrices=True)
    # A collinear reference constrains one rotation less: count the independent rows instead of the rows. All rotations
    # are measured by one size, so that the rounding noise across such a reference counts as nothing.
    rank = int(np.sum(singular > 1e-6 * singular[0]))
    return directions[rank:]


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
    basis = free_directions(alignment, n_atoms, dims)
    if len(basis) == 0:
        raise InputError(
            f"A frame of {n_atoms} atom(s) has no shape once translation and rotation are removed. "
            "Select at least two atoms with `atoms`."
        )
    # Sums are taken around one frame that counts: no cancellation when the molecule is far from the origin.
    heaviest = 0 if first[1] is None else int(np.argmax(first[1]))
    shift = basis @ first[0][heaviest].reshape(-1).astype(np.float64)
    n_frames, count, total, square = 0, 0.0, np.zeros(len(basis)), np.zeros(len(basis))
    for chunk, chunk_weights in chain([first], frames):
        values = chunk.reshape(len(chunk), -1).astype(np.float64) @ basis.T - shift
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
        basis=device_array(basis, dtype),
        mean=device_array(mean + shift, dtype),
        scale=device_array(scale, dtype),
        n_atoms=n_atoms,
    )
