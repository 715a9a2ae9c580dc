"""The range of geometry that the data show, and how far a frame lies outside it.

A conformation counts as valid when every bond lies within the 0.5 to 99.5 % quantiles that this bond has in the data,
the mean bond of the frame is at least the data's 1st percentile (otherwise all bonds may shrink together), and no two
atoms are closer than the closest pair of the data, bonded and non-bonded pairs each by their own measure.

Statistical weights do not enter: the bounds say what the data show, not how often it occurs without the bias of the
simulation, and a bias along a collective variable hardly changes a bond. All frames whose weight is above zero count
alike; those of weight zero do not count.
"""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from polyvae._arrays import device_array
from polyvae._batching import map_batched
from polyvae._typing import Frame
from polyvae.features.observables import pair_distances, radius_of_gyration, safe_norm
from polyvae.preprocessing.align import padded_chunks
from polyvae.trajectory.mapped import chunk_rows, row_chunks, take_rows
from polyvae.trajectory.sampling import spread_rows
from polyvae.trajectory.weights import normalized_weights

_CHUNK_BYTES = 16_000_000
_MOST_PAIRS = 4_000_000_000


class GeometryBounds(eqx.Module):
    """Bounds of geometry seen in the data, lengths in the unit of the positions.

    Attributes:
        bonds: zero-based atom pairs.
        bond_low: 0.5 % quantile of each bond's length, of at most 20 000 frames.
        bond_high: 99.5 % quantile, of the same.
        mean_bond_low: 1st percentile of the mean bond of a frame, of the same.
        closest_bonded: shortest bond of all frames (infinite without bonds).
        closest_nonbonded: shortest distance of a pair that is not bonded (infinite without such pairs), of at most
            20 000 frames, fewer beyond 450 atoms.
        radius_of_gyration_low: smallest radius of gyration of all frames, masses as in the model.
        masses: masses used for it, or equal weights.
    """

    bonds: Int[Array, "bonds 2"]
    bond_low: Float[Array, " bonds"]
    bond_high: Float[Array, " bonds"]
    mean_bond_low: Float[Array, ""]
    closest_bonded: Float[Array, ""]
    closest_nonbonded: Float[Array, ""]
    radius_of_gyration_low: Float[Array, ""]
    masses: Float[Array, " atoms"]

    @property
    def closest(self) -> Float[Array, ""]:
        """Shortest distance of any pair."""
        return jnp.minimum(self.closest_bonded, self.closest_nonbonded)


@jax.jit
def _closest_nonbonded(positions: Float[Array, "frames atoms dims"], excluded: Array) -> Array:
    def one(frame: Frame) -> Array:
        distances = safe_norm(frame[:, None, :] - frame[None, :, :])
        return jnp.min(jnp.where(excluded, jnp.inf, distances))

    return jnp.min(map_batched(one, positions, min(64, max(1, 4_000_000 // excluded.size))))


@jax.jit
def _bonds_and_gyration(positions: Array, bonds: Array, masses: Array) -> tuple[Array, Array]:
    def one(frame: Frame) -> tuple[Array, Array]:
        return pair_distances(frame, bonds), radius_of_gyration(frame, masses)

    return map_batched(one, positions, 256)


def fit_geometry_bounds(
    positions: np.ndarray,
    bonds: np.ndarray | None,
    masses: np.ndarray | None = None,
    *,
    weights: Any | None = None,
) -> GeometryBounds:
    """Bounds of the geometry in the given frames.

    Quantiles and the closest pair that is not bonded come from at most 20 000 frames, spread evenly; the shortest bond
    and the smallest radius of gyration from every frame.

    Args:
        positions: molecules whole, shape (frames, atoms, dims).
        bonds: zero-based atom pairs, or None for a system without bonds.
        masses: masses for the radius of gyration, or None for equal ones.
        weights: statistical weight of each frame, or None; frames of weight zero are left out, all others count alike.

    Raises:
        InputError: if the weights cannot be used.
    """
    counted = None if weights is None else np.flatnonzero(normalized_weights(weights, len(positions)) > 0)
    _, n_atoms, _ = positions.shape
    n_frames = len(positions) if counted is None else len(counted)
    dtype = jnp.result_type(float)
    bonds = np.zeros((0, 2), np.int32) if bonds is None else np.asarray(bonds, np.int32)
    atom_masses = device_array(np.ones(n_atoms) if masses is None else masses, dtype)
    chosen = spread_rows(n_frames, positions[:1].nbytes)
    is_chosen = np.zeros(n_frames, bool)
    is_chosen[chosen] = True
    done, shortest, smallest, sampled = 0, np.inf, np.inf, []
    for piece in row_chunks(positions, chunk_rows(positions, _CHUNK_BYTES), counted):
        parts = [
            _bonds_and_gyration(device_array(chunk, dtype), device_array(bonds), atom_masses)
            for chunk in padded_chunks(piece)
        ]
        lengths, gyration = (np.concatenate(part)[: len(piece)] for part in zip(*parts, strict=True))
        shortest = min(shortest, lengths.min(initial=np.inf))
        smallest = min(smallest, gyration.min())
        sampled.append(lengths[is_chosen[done : done + len(piece)]])
        done += len(piece)
    lengths = np.concatenate(sampled)
    excluded = np.eye(n_atoms, dtype=bool)
    excluded[bonds[:, 0], bonds[:, 1]] = excluded[bonds[:, 1], bonds[:, 0]] = True
    has_pairs = not excluded.all()
    # Pairs grow with the square of the atoms: of systems beyond some hundred fewer frames are looked at.
    chosen = chosen[:: -(-len(chosen) * n_atoms**2 // _MOST_PAIRS)]
    closest = (
        _closest_nonbonded(
            device_array(take_rows(positions, chosen if counted is None else counted[chosen]), dtype),
            device_array(excluded),
        )
        if has_pairs
        else jnp.inf
    )
    has_bonds = len(bonds) > 0
    low, high = np.quantile(lengths, (0.005, 0.995), axis=0) if has_bonds else np.zeros((2, 0))
    return GeometryBounds(
        bonds=device_array(bonds),
        bond_low=device_array(low, dtype),
        bond_high=device_array(high, dtype),
        mean_bond_low=device_array(np.quantile(lengths.mean(axis=1), 0.01) if has_bonds else 0.0, dtype),
        closest_bonded=device_array(shortest, dtype),
        closest_nonbonded=device_array(closest, dtype),
        radius_of_gyration_low=device_array(smallest, dtype),
        masses=atom_masses,
    )


def geometry_violation(bounds: GeometryBounds, frame: Frame, *, margin: float = 0.0) -> Float[Array, ""]:
    """How far one frame lies outside the bounds: sum of squared excesses over squared widths; 0 for a valid frame.

    Args:
        bounds: what the data show.
        frame: positions of one conformation, shape (atoms, dims).
        margin: shrink every bond's range by this fraction of its width at both ends, and raise the mean bond and the
            shortest distance of pairs that are not bonded likewise, so that a frame with violation 0 is valid with
            room to spare.

    Returns:
        A number without unit, 0 inside. Differentiable.
    """
    lengths = pair_distances(frame, bounds.bonds)
    width = jnp.maximum(bounds.bond_high - bounds.bond_low, jnp.maximum(1e-4 * bounds.bond_high, 1e-12))
    # A constrained bond has a range of the least width, around its length.
    middle = 0.5 * (bounds.bond_low + bounds.bond_high)
    low, high = middle - (0.5 - margin) * width, middle + (0.5 - margin) * width
    bond_excess = (jnp.maximum(low - lengths, 0.0) + jnp.maximum(lengths - high, 0.0)) / width
    violation = jnp.sum(bond_excess**2)
    if bounds.bonds.shape[0]:
        mean_width = jnp.mean(width)
        shortfall = (
            jnp.maximum(bounds.mean_bond_low + margin * mean_width - jnp.mean(lengths), 0.0) / mean_width
        )
        violation = violation + bounds.bonds.shape[0] * shortfall**2
    n_atoms = frame.shape[0]
    is_bonded = jnp.eye(n_atoms, dtype=bool).at[bounds.bonds[:, 0], bounds.bonds[:, 1]].set(True)
    floor = bounds.closest_nonbonded * (1.0 + margin)
    overlap = jnp.where(is_bonded | is_bonded.T, 0.0, _shortfall(_squared_distances(frame), floor**2))
    # Each bond's own range leaves the room here; two percent of the length is more than a constrained bond can give.
    too_short = _shortfall(lengths, bounds.closest_bonded)
    # Each pair stands twice in the matrix.
    return violation + 100.0 * (jnp.sum(overlap**2) / 2.0 + jnp.sum(too_short**2))


def _squared_distances(frame: Frame) -> Float[Array, "atoms atoms"]:
    """Squared distances of all pairs as one matrix product: a few times cheaper than the distances themselves."""
    centered = frame - jnp.mean(frame, axis=0)[None, :]
    square = jnp.sum(centered**2, axis=1)
    return square[:, None] + square[None, :] - 2.0 * jnp.matmul(centered, centered.T, precision="highest")


def _shortfall(distances: Float[Array, "*any"], floor: Float[Array, ""]) -> Float[Array, "*any"]:
    """How far distances fall below a floor, as a fraction of it; 0 where the data set none (no pair, or at zero)."""
    bounded = jnp.isfinite(floor) & (floor > 0.0)
    return jnp.where(bounded, jnp.maximum(1.0 - distances / jnp.where(bounded, floor, 1.0), 0.0), 0.0)
