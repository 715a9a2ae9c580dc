"""What the bond graph makes of a system: bonds, angles, torsions, centers that may be chiral, bonds between pairs."""

from dataclasses import dataclass
from itertools import combinations

import numpy as np

from polyvae.trajectory import Trajectory

FAR = 4
"""Pairs this many bonds apart or more, or in two molecules, are of one kind."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Connectivity:
    """Zero-based atom indices of the internal coordinates.

    Attributes:
        bonds: shape (bonds, 2), each pair once.
        angles: atoms a, b, c with bonds a-b and b-c, shape (angles, 3).
        torsions: atoms a, b, c, d along bonds, one row for every choice, shape (torsions, 4).
        centers: an atom with three or more neighbors and three of them, the heaviest and among equals the first,
            shape (centers, 4).
    """

    bonds: np.ndarray
    angles: np.ndarray
    torsions: np.ndarray
    centers: np.ndarray


def connectivity(bonds: np.ndarray, n_atoms: int, masses: np.ndarray | None) -> Connectivity:
    """Internal coordinates of a bond graph.

    Args:
        bonds: atom pairs, shape (bonds, 2).
        n_atoms: number of atoms.
        masses: shape (atoms,), or None for equal ones.
    """
    bonds = np.unique(np.sort(bonds, axis=1), axis=0).reshape(-1, 2)
    bonds = bonds[bonds[:, 0] != bonds[:, 1]]
    neighbors: list[list[int]] = [[] for _ in range(n_atoms)]
    for first, second in bonds.tolist():
        neighbors[first].append(second)
        neighbors[second].append(first)
    weight = np.ones(n_atoms) if masses is None else masses
    angles = [(a, b, c) for b in range(n_atoms) for a, c in combinations(sorted(neighbors[b]), 2)]
    torsions = [
        (a, b, c, d)
        for b, c in bonds.tolist()
        for a in neighbors[b]
        for d in neighbors[c]
        if a != c and d != b and a != d
    ]
    centers = [
        (atom, *sorted(around, key=lambda other: (-weight[other], other))[:3])
        for atom, around in enumerate(neighbors)
        if len(around) >= 3
    ]
    as_array = lambda rows, width: np.array(rows, np.int64).reshape(-1, width)  # noqa: E731
    return Connectivity(
        bonds=bonds, angles=as_array(angles, 3), torsions=as_array(torsions, 4), centers=as_array(centers, 4)
    )


def non_bonded_classes(bonds: np.ndarray, trajectory: Trajectory) -> tuple[np.ndarray, np.ndarray]:
    """Pairs without a bond, shape (pairs, 2), and the class of each: its two elements and the bonds between, up to 4.

    Args:
        bonds: atom pairs, shape (bonds, 2).
        trajectory: for its topology, if any; beads are all of one element.
    """
    n_atoms = trajectory.n_atoms
    first, second = np.triu_indices(n_atoms, 1)
    ones = np.ones(len(bonds), np.int32)
    # Two tenths of a second of imports, which training need not wait for.
    from scipy import sparse

    graph = sparse.csr_matrix((ones, (bonds[:, 0], bonds[:, 1])), shape=(n_atoms, n_atoms))
    graph = graph + graph.T + sparse.identity(n_atoms, dtype="int32")
    separation = np.full((n_atoms, n_atoms), FAR, np.int8)
    reached = graph
    reaches = []
    for _ in range(1, FAR):
        reaches.append(reached.nonzero())
        reached = (reached @ graph).astype(bool).astype(np.int32)
    for steps in range(FAR - 1, 0, -1):
        separation[reaches[steps - 1]] = steps
    symbols = element_symbols(trajectory)
    kinds = np.zeros(n_atoms, np.int64) if symbols is None else np.unique(symbols, return_inverse=True)[1]
    between = separation[first, second].astype(np.int64)
    low, high = np.minimum(kinds[first], kinds[second]), np.maximum(kinds[first], kinds[second])
    classes = (low * (kinds.max() + 1) + high) * (FAR + 1) + between
    apart = between > 1
    return np.stack([first[apart], second[apart]], axis=1), classes[apart]


def element_symbols(trajectory: Trajectory) -> list[str] | None:
    """Element of each atom, empty for a bead; None without a topology."""
    if trajectory.topology is None:
        return None
    return ["" if atom.element is None else atom.element.symbol for atom in trajectory.topology.atoms]


def atom_names(trajectory: Trajectory) -> list[str]:
    """What messages call the atoms: residue and name, or the index."""
    if trajectory.topology is None:
        return [str(atom) for atom in range(trajectory.n_atoms)]
    return [str(atom) for atom in trajectory.topology.atoms]
