"""Internal representation: lengths, angles and torsions along the bond tree as a vector, and positions built from it.

The vector holds scaled lengths, then scaled angles, then torsions in radians (in two dimensions: lengths and turn
angles). No rotation or translation changes it; a mirror image changes the sign of the torsions.
"""

from collections.abc import Callable, Iterable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from polyvae._batching import map_batched
from polyvae._typing import FeatureVector, Frame
from polyvae.errors import InputError
from polyvae.features.bond_check import check_lengths
from polyvae.features.bond_tree import BondTree
from polyvae.features.building import build, measure
from polyvae.features.cartesian import Cartesian
from polyvae.features.observables import pair_distances
from polyvae.preprocessing.kabsch import kabsch_rotation
from polyvae.trajectory.weights import normalized_weights, total_weight, weighted_sum, with_weights

_BLOCK = 1024
_STIFF_ANGLE = 0.15
_STIFF_TORSION = 0.35


class InternalCoordinates(eqx.Module):
    """Positions of one frame to internal coordinates of zero mean and unit variance (torsions: radians), and back.

    Attributes:
        mean: mean of the lengths and angles, unit of length and radians.
        scale: their standard deviation.
        low: smallest of each in the data, less a tenth of the range; what is built stays above it.
        high: likewise the largest.
        torsion_mean: circular mean of each torsion, radians.
        torsion_scale: its circular standard deviation, radians.
        ring_mean: mean length of each bond that closes a ring, unit of length.
        ring_scale: its standard deviation.
        cartesian: canonical positions as a vector, for densities and linear models in space; fixed.
        reference: centered frame that built positions are superposed on, in the order of the trajectory's atoms.
        tree: order of placement.
    """

    mean: Float[Array, " stiff"]
    scale: Float[Array, " stiff"]
    low: Float[Array, " stiff"]
    high: Float[Array, " stiff"]
    torsion_mean: Float[Array, " torsions"]
    torsion_scale: Float[Array, " torsions"]
    ring_mean: Float[Array, " rings"]
    ring_scale: Float[Array, " rings"]
    cartesian: Cartesian
    reference: Float[Array, "atoms dims"]
    tree: BondTree = eqx.field(static=True)

    @property
    def n_atoms(self) -> int:
        """Number of atoms of a frame."""
        return self.reference.shape[0]

    @property
    def dims(self) -> int:
        """Dimensions of space."""
        return self.reference.shape[1]

    @property
    def n_lengths(self) -> int:
        """Number of bond lengths."""
        return self.n_atoms - 1

    @property
    def n_stiff(self) -> int:
        """Number of lengths and angles."""
        return self.mean.shape[0]

    @property
    def n_torsions(self) -> int:
        """Number of torsions, in two dimensions of turn angles."""
        return self.n_atoms - self.dims

    @property
    def n_features(self) -> int:
        """Length of the vector."""
        return self.n_stiff + self.n_torsions

    @property
    def is_stiff(self) -> Bool[Array, " features"]:
        """Whether a coordinate hardly changes with the shape: lengths, and most angles and some torsions of molecules.

        An angle is stiff if it scatters by less than 9°, a torsion by less than 20°: out of a plane, around a double
        bond, between siblings. Turn angles never are.
        """
        angles = self.scale[self.n_lengths :] < _STIFF_ANGLE
        torsions = (self.torsion_scale < _STIFF_TORSION) & (self.dims == 3)
        return jnp.concatenate([jnp.ones(self.n_lengths, bool), angles, torsions])

    def __call__(self, frame: Frame) -> FeatureVector:
        """The vector of one frame, in any orientation."""
        lengths, angles, torsions = measure(self.tree, frame[np.asarray(self.tree.atoms)])
        stiff = (jnp.concatenate([lengths, angles]) - self.mean) / self.scale
        return jnp.concatenate([stiff, torsions])

    def placed(self, features: FeatureVector) -> Frame:
        """Positions in the order of placement, the root at the origin."""
        stiff = features[: self.n_stiff] * self.scale + self.mean
        return build(self.tree, stiff[: self.n_lengths], stiff[self.n_lengths :], features[self.n_stiff :])

    def positions(self, features: FeatureVector) -> Frame:
        """The frame of one vector, centered and superposed on the reference."""
        order = np.argsort(np.asarray(self.tree.atoms))
        frame = self.placed(features)[order]
        frame = frame - jnp.mean(frame, axis=0, keepdims=True)
        return jnp.matmul(frame, kabsch_rotation(frame, self.reference).T, precision="highest")

    def ring_closure(self, conformation: Frame | FeatureVector) -> Float[Array, " rings"]:
        """How far each bond that closes a ring is from its mean length in the data, in standard deviations.

        These bonds are no coordinates: nothing but the other coordinates holds them together. In the data the values
        have mean 0 and variance 1.

        Args:
            conformation: positions of one frame in the order of the trajectory's atoms, or a vector.
        """
        if conformation.ndim == 1:
            placed = self.placed(conformation)
        else:
            placed = conformation[np.asarray(self.tree.atoms)]
        return (ring_lengths(self.tree, placed) - self.ring_mean) / self.ring_scale

    def log_volume(self, canonical: Frame) -> Float[Array, ""]:
        """Add this to a log-density of features to get one of canonical positions at this frame.

        The logarithm of the determinant of the features' derivative by the coordinates that alignment leaves free: with
        it, likelihoods compare with those of models of Cartesian features, nats per unit length^features.
        """
        free = self.cartesian(canonical)
        jacobian = jax.jacfwd(lambda vector: self(self.cartesian.positions(vector)))(free)
        return jnp.linalg.slogdet(jacobian)[1] + self.cartesian.log_volume


def fit_internal(
    tree: BondTree,
    cartesian: Cartesian,
    reference: np.ndarray,
    chunks: Callable[[], Iterable[np.ndarray]],
    *,
    weights: Any | None = None,
    source: str = "array",
) -> InternalCoordinates:
    """The internal representation whose means and scales are those of the given frames.

    Args:
        tree: order of placement.
        cartesian: the Cartesian representation of the same frames.
        reference: frame to superpose built positions on, shape (atoms, dims).
        chunks: returns an iterator over positions, each (frames, atoms, dims); called once.
        weights: statistical weight of every frame of all chunks, in their order, or None for equal weights.
        source: name of the data, for messages.

    Raises:
        InputError: if two bonded atoms coincide in a frame, or the weights cannot be used.

    Frames of weight zero do not count.
    """
    if weights is not None:
        weights = normalized_weights(weights)
    order = np.asarray(tree.atoms)
    n_lengths = tree.n_atoms - 1
    n_frames, count, total, square, shift = 0, 0.0, 0.0, 0.0, None
    low = high = None
    for chunk, chunk_weights in with_weights(chunks(), weights):
        values = np.asarray(_statistics(tree, jnp.asarray(chunk[:, order])), np.float64)
        numbers = n_frames + np.arange(len(chunk))
        n_frames += len(chunk)
        if chunk_weights is not None:
            values, numbers = values[chunk_weights > 0], numbers[chunk_weights > 0]
            chunk_weights = chunk_weights[chunk_weights > 0]
        if not len(values):
            continue
        check_lengths(tree, values[:, :n_lengths], numbers, source)
        shift = values[0] if shift is None else shift
        count += total_weight(values, chunk_weights)
        total = total + weighted_sum(values - shift, chunk_weights)
        square = square + weighted_sum((values - shift) ** 2, chunk_weights)
        low = values.min(axis=0) if low is None else np.minimum(low, values.min(axis=0))
        high = values.max(axis=0) if high is None else np.maximum(high, values.max(axis=0))
    if shift is None or low is None or high is None:
        raise InputError(f"{source}: no frames to fit the representation to.")
    mean = total / count
    scale = np.sqrt(np.maximum(square / count - mean**2, 0.0))
    mean = mean + shift
    # A constraint holds a length fixed: its scale is a thousandth of its value instead of nothing.
    scale = np.maximum(scale, 1e-3 * np.abs(mean))
    n_torsions, n_rings = tree.n_atoms - len(reference[0]), len(tree.ring_bonds)
    n_stiff = len(mean) - n_rings - 2 * n_torsions
    torsions = mean[n_stiff + n_rings :].reshape(2, n_torsions)
    resultant = np.clip(np.hypot(*torsions), 1e-12, 1.0 - 1e-12)
    margin = 0.1 * (high - low) + 1e-6
    dtype = jnp.result_type(float)
    return InternalCoordinates(
        mean=jnp.asarray(mean[:n_stiff], dtype),
        scale=jnp.asarray(scale[:n_stiff], dtype),
        low=jnp.asarray((low - margin)[:n_stiff], dtype),
        high=jnp.asarray((high + margin)[:n_stiff], dtype),
        torsion_mean=jnp.asarray(np.arctan2(torsions[1], torsions[0]), dtype),
        torsion_scale=jnp.asarray(np.maximum(np.sqrt(-2.0 * np.log(resultant)), 1e-3), dtype),
        ring_mean=jnp.asarray(mean[n_stiff : n_stiff + n_rings], dtype),
        ring_scale=jnp.asarray(scale[n_stiff : n_stiff + n_rings], dtype),
        cartesian=cartesian,
        reference=jnp.asarray(reference - np.mean(reference, axis=0), dtype),
        tree=tree,
    )


def ring_lengths(tree: BondTree, placed: Frame) -> Float[Array, " rings"]:
    """Lengths of the bonds that close rings, of positions in the order of placement."""
    pairs = np.asarray(tree.ring_bonds, np.int32).reshape(-1, 2)
    return pair_distances(placed, jnp.asarray(pairs))


@eqx.filter_jit
def _statistics(
    tree: BondTree, positions: Float[Array, "frames atoms dims"]
) -> Float[Array, "frames values"]:
    """Of every frame the lengths, angles, lengths that close rings, and cosines and sines of torsions."""

    def one(frame: Frame) -> Array:
        lengths, angles, torsions = measure(tree, frame)
        rings = ring_lengths(tree, frame)
        return jnp.concatenate([lengths, angles, rings, jnp.cos(torsions), jnp.sin(torsions)])

    return map_batched(one, positions, _BLOCK)
