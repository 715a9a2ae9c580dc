"""Molecules as trees of bonds, and bonds that a periodic box has broken.

A file of a periodic run may hold a molecule in two halves, one at each side of the box. `molecule_tree`
prepares, once and in NumPy, what `periodic.make_whole` needs to put the halves together: for each atom the
way to the first atom of its molecule along bonds, as pointer jumps that double in length.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Bool, Float64, Int

from polyvae._typing import Box, Pairs, Positions

if TYPE_CHECKING:
    from scipy import sparse


@dataclass(frozen=True, kw_only=True, eq=False)
class MoleculeTree:
    """Spanning trees of the molecules.

    Attributes:
        jumps: `jumps[k, i]` is the ancestor of atom i that is 2^k bonds nearer to its root, or the root,
            shape (levels, atoms).
        molecules: molecule of each atom, shape (atoms,).
        n_molecules: number of molecules.
        anchor: the molecule that stays where it is: the largest, the first among equals.
    """

    jumps: Int[np.ndarray, "levels atoms"]
    molecules: Int[np.ndarray, " atoms"]
    n_molecules: int
    anchor: int


def connected_molecules(bonds: np.ndarray, n_atoms: int) -> tuple[int, np.ndarray]:
    """Number of molecules, and the molecule of each atom."""
    from scipy.sparse import csgraph

    count, labels = csgraph.connected_components(_graph(bonds, n_atoms), directed=False)
    return int(count), labels.astype(np.int64)


def molecule_tree(bonds: Pairs, n_atoms: int) -> MoleculeTree:
    """Spanning trees by breadth-first search from the first atom of each molecule.

    Args:
        bonds: zero-based atom pairs, shape (bonds, 2).
        n_atoms: number of atoms.
    """
    from scipy.sparse import csgraph

    n_molecules, molecules = connected_molecules(bonds, n_atoms)
    roots = np.unique(molecules, return_index=True)[1]
    # One search for all molecules: an extra atom is bonded to each root.
    extra = np.stack([np.full(len(roots), n_atoms), roots], axis=1)
    graph = _graph(np.concatenate([bonds, extra]), n_atoms + 1)
    parents = csgraph.breadth_first_order(graph, n_atoms, directed=False)[1][:n_atoms].astype(np.int64)
    parents[roots] = roots
    jumps = [parents]
    while not np.array_equal(jumps[-1], jumps[-1][jumps[-1]]):
        jumps.append(jumps[-1][jumps[-1]])
    return MoleculeTree(
        jumps=np.stack(jumps),
        molecules=molecules,
        n_molecules=n_molecules,
        anchor=int(np.argmax(np.bincount(molecules))),
    )


def broken_bonds(positions: Positions, box: Box, bonds: Pairs) -> Bool[np.ndarray, " frames"]:
    """Frames in which some bond is longer than one of its periodic images.

    Args:
        positions: shape (frames, atoms, dims).
        box: box vectors as rows, shape (frames, 3, 3).
        bonds: atom pairs, shape (bonds, 2).
    """
    broken = np.zeros(len(positions), bool)
    if len(bonds) == 0:
        return broken
    dims = positions.shape[2]
    cell = box[:, :dims, :dims].astype(np.float64)
    displacement = positions[:, bonds[:, 0]] - positions[:, bonds[:, 1]]
    squared = np.einsum("fbd,fbd->fb", displacement, displacement)
    # No lattice vector is shorter than the box's smallest height, so a bond below half of it is at its
    # nearest.
    inverse = np.linalg.inv(cell)
    height = 1.0 / np.linalg.norm(inverse, axis=1).max(axis=1)
    frames, suspects = np.nonzero(squared >= (0.5 * height[:, None]) ** 2)
    if len(frames) == 0:
        return broken
    vectors = displacement[frames, suspects].astype(np.float64)
    shortest = shortest_lengths(vectors, cell[frames])
    torn = shortest < np.linalg.norm(vectors, axis=1) - 1e-3 * height[frames]
    broken[frames[torn]] = True
    return broken


def shortest_lengths(
    vectors: Float64[np.ndarray, "many dims"], cells: Float64[np.ndarray, "many dims dims"]
) -> Float64[np.ndarray, " many"]:
    """Lengths of the shortest periodic images of vectors, each in a box of its own (rows are box vectors)."""
    dims = vectors.shape[1]
    fractions = np.einsum("nd,nde->ne", vectors, np.linalg.inv(cells))
    nearest = vectors - np.einsum("nd,nde->ne", np.round(fractions), cells)
    shortest = np.full(len(vectors), np.inf)
    # Two steps to each side: a skewed box may need them.
    for steps in np.ndindex(*(5,) * dims):
        image = nearest + np.einsum("d,nde->ne", np.array(steps, float) - 2.0, cells)
        shortest = np.minimum(shortest, np.linalg.norm(image, axis=1))
    return shortest


def _graph(bonds: np.ndarray, n_atoms: int) -> sparse.csr_matrix:
    # A tenth of a second of imports, for systems with a box only.
    from scipy import sparse

    return sparse.csr_matrix((np.ones(len(bonds)), (bonds[:, 0], bonds[:, 1])), shape=(n_atoms, n_atoms))
