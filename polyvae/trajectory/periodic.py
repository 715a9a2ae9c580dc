"""Molecules made whole across periodic boundaries, as a pure function of positions and box.

Each bond is given the shortest of its periodic images; the shifts add up from the first atom of a molecule to
every other along its tree of bonds. Then each molecule moves, as a whole, to the image whose center is
nearest to the center of the largest one. Shifts are whole box vectors, so a frame that needs none is returned
as it is, and the gradient with respect to positions is the identity.

The shortest image is found in a reduced basis of the lattice, by rounding fractional coordinates and
comparing the neighbors of the result: right in triclinic boxes too, where rounding alone is not.
"""

import itertools
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from polyvae._typing import Box, Frame, Positions
from polyvae.trajectory.molecules import MoleculeTree

_SWEEPS = 4


def reduced_basis(box: Float[Array, "dims dims"]) -> Float[Array, "dims dims"]:
    """A basis of the same lattice whose vectors are nearly orthogonal (pairwise reduced)."""
    dims = box.shape[0]
    order = jnp.asarray(list(itertools.permutations(range(dims), 2)) * _SWEEPS)

    def subtract(box: Array, pair: Array) -> tuple[Array, None]:
        longer, shorter = box[pair[0]], box[pair[1]]
        overlap = longer @ shorter / (shorter @ shorter)
        # A little above one half stays: two vectors of equal length must not swap for ever.
        times = jnp.where(jnp.abs(overlap) > 0.5001, jnp.round(overlap), 0.0)
        return box.at[pair[0]].add(-times * shorter), None

    return jax.lax.scan(subtract, box, order)[0]


def nearest_image(
    displacements: Float[Array, "many dims"], basis: Float[Array, "dims dims"]
) -> Float[Array, "many dims"]:
    """How many of each basis vector to add to a displacement to get its shortest periodic image.

    Args:
        displacements: vectors between atoms.
        basis: reduced box vectors as rows, of `reduced_basis`.

    Returns:
        Whole numbers, as floats; zero where the displacement is the shortest already.
    """
    dims = basis.shape[0]
    start = -jnp.round(displacements @ jnp.linalg.inv(basis))
    moved = displacements + start @ basis
    margin = 1e-6 * jnp.sum(basis[0] ** 2)
    neighbors = jnp.asarray([step for step in itertools.product((-1, 0, 1), repeat=dims) if any(step)])

    def compare(best: tuple[Array, Array], step: Array) -> tuple[tuple[Array, Array], None]:
        squared = jnp.sum((moved + (step @ basis)[None, :]) ** 2, axis=1)
        closer = squared < best[0] - margin
        return (jnp.where(closer, squared, best[0]), jnp.where(closer[:, None], step[None, :], best[1])), None

    none_yet = (jnp.sum(moved**2, axis=1), jnp.zeros_like(displacements))
    steps = jax.lax.scan(compare, none_yet, neighbors.astype(displacements.dtype))[0][1]
    return start + steps


def make_whole(
    positions: Frame,
    box: Float[Array, "dims dims"],
    jumps: Int[Array, "levels atoms"],
    molecules: Int[Array, " atoms"],
    *,
    n_molecules: int,
    anchor: int,
) -> Frame:
    """One conformation with its molecules whole and next to the largest.

    Args:
        positions: shape (atoms, dims).
        box: box vectors as rows, shape (dims, dims).
        jumps: of the `MoleculeTree`.
        molecules: of the `MoleculeTree`.
        n_molecules: of the `MoleculeTree`.
        anchor: of the `MoleculeTree`.
    """
    basis = reduced_basis(jax.lax.stop_gradient(box))
    fixed = jax.lax.stop_gradient(positions)
    shifts = nearest_image(fixed - fixed[jumps[0]], basis)
    for level in range(jumps.shape[0]):
        shifts = shifts + shifts[jumps[level]]
    if n_molecules > 1:
        sums = jax.ops.segment_sum(fixed + shifts @ basis, molecules, num_segments=n_molecules)
        sizes = jax.ops.segment_sum(jnp.ones_like(fixed[:, :1]), molecules, num_segments=n_molecules)
        centers = sums / sizes
        shifts = shifts + nearest_image(centers - centers[anchor][None, :], basis)[molecules]
    return positions + shifts @ basis


@partial(jax.jit, static_argnames=("n_molecules", "anchor"))
def _all_frames(
    positions: Array, box: Array, jumps: Array, molecules: Array, *, n_molecules: int, anchor: int
) -> Array:
    one = partial(make_whole, n_molecules=n_molecules, anchor=anchor)
    return jax.vmap(one, in_axes=(0, 0, None, None))(positions, box, jumps, molecules)


def whole_frames(positions: Positions, box: Box, tree: MoleculeTree) -> Positions:
    """Frames with their molecules whole, NumPy to NumPy.

    The number of frames is padded to a power of two, so that a last, shorter chunk rarely compiles anew.

    Args:
        positions: shape (frames, atoms, dims).
        box: box vectors as rows, shape (frames, 3, 3).
        tree: the bonds to follow.
    """
    n_frames, _, dims = positions.shape
    padded = np.minimum(np.arange(1 << max(n_frames - 1, 0).bit_length()), n_frames - 1)
    answer = _all_frames(
        positions[padded],
        np.ascontiguousarray(box[padded, :dims, :dims]),
        tree.jumps,
        tree.molecules,
        n_molecules=tree.n_molecules,
        anchor=tree.anchor,
    )
    return np.asarray(answer)[:n_frames]
