"""The order in which atoms are placed: a spanning tree of the bond graph, rooted at one end.

Each atom is placed from its parent by a length, from its grandparent by an angle, and from a third atom by a torsion.
The third atom is the next ancestor, or, for the second and later children of one parent, their eldest sibling: the
branches at one atom then turn together, and the angle between them, which keeps the chirality, is a coordinate of its
own.
"""

import warnings
from collections import deque
from dataclasses import dataclass

import numpy as np

from polyvae.errors import InputError, PolyvaeWarning


@dataclass(frozen=True, kw_only=True)
class BondTree:
    """A tree over all atoms, in the order of placement; numbers below count in that order. Hashable.

    Attributes:
        atoms: the atom placed at each step, zero-based index of the trajectory.
        parents: step of the atom that each is bonded to; the root is its own parent.
        siblings: step of the eldest sibling whose torsion the atom's own is counted from, -1 for the eldest.
        ring_bonds: bonds that the tree leaves out because they close rings, as pairs of steps.
        bridges: steps whose bond to the parent is no bond of the data: they join separate chains.
    """

    atoms: tuple[int, ...]
    parents: tuple[int, ...]
    siblings: tuple[int, ...]
    ring_bonds: tuple[tuple[int, int], ...] = ()
    bridges: tuple[int, ...] = ()

    @property
    def n_atoms(self) -> int:
        """Number of atoms."""
        return len(self.atoms)

    @property
    def depth(self) -> int:
        """Bonds from the root to the atom farthest from it."""
        levels = np.zeros(self.n_atoms, int)
        for step in range(1, self.n_atoms):
            levels[step] = levels[self.parents[step]] + 1
        return int(levels.max())

    def torsion_atoms(self) -> np.ndarray:
        """Steps of the atoms (third, grandparent, parent, atom) of each torsion, shape (torsions, 4)."""
        rows = []
        for step in range(3, self.n_atoms):
            parent = self.parents[step]
            grandparent = self.parents[parent]
            sibling = self.siblings[step]
            third = sibling if sibling >= 0 else self.parents[grandparent]
            rows.append((third, grandparent, parent, step))
        return np.asarray(rows, int).reshape(-1, 4)


def bond_tree(
    bonds: np.ndarray | None, n_atoms: int, *, positions: np.ndarray, source: str = "array"
) -> BondTree:
    """The spanning tree along which a molecule is built.

    The root is an end of the longest shortest path through the bonds; larger branches come first. Separate chains are
    joined by a bridge between their closest atoms (mean distance over the given frames), and a warning says so.

    Args:
        bonds: zero-based atom pairs.
        n_atoms: atoms of a frame.
        positions: some frames, shape (frames, atoms, dims), for the bridges.
        source: name of the data, for messages.

    Raises:
        InputError: if there are no bonds, or fewer than three atoms.
    """
    if n_atoms < 3:
        raise InputError(
            f"{source}: internal coordinates need at least 3 atoms; got {n_atoms}. Select more with `atoms`."
        )
    pairs = np.unique(np.sort(np.asarray([] if bonds is None else bonds, int).reshape(-1, 2), axis=1), axis=0)
    pairs = pairs[pairs[:, 0] != pairs[:, 1]]
    if len(pairs) == 0:
        raise InputError(
            f"{source}: internal coordinates need bonds, and the topology has none. Give `bonds` when loading, load a "
            "topology with bonds, or use representation='cartesian'."
        )
    bridges = _bridges(pairs, n_atoms, positions)
    if len(bridges):
        warnings.warn(
            f"{source}: the bonds make {len(bridges) + 1} separate chains. They are joined by {len(bridges)} bridge(s) "
            "between their closest atoms, whose lengths are coordinates as bonds are.",
            PolyvaeWarning,
            stacklevel=2,
        )
    neighbors: list[list[int]] = [[] for _ in range(n_atoms)]
    for first, second in [*pairs.tolist(), *bridges]:
        neighbors[first].append(second)
        neighbors[second].append(first)
    root = _root(neighbors)
    order, parent_of = _breadth_first(neighbors, root)
    sizes = np.ones(n_atoms, int)
    for atom in reversed(order[1:]):
        sizes[parent_of[atom]] += sizes[atom]
    return _placed(neighbors, root, sizes, {(min(bridge), max(bridge)) for bridge in bridges})


def _bridges(pairs: np.ndarray, n_atoms: int, positions: np.ndarray) -> list[tuple[int, int]]:
    """Pairs of atoms that join the components of the bond graph, closest on average first."""
    component = _components(pairs, n_atoms)
    bridges: list[tuple[int, int]] = []
    while component.max() > 0:
        inside, outside = np.flatnonzero(component == 0), np.flatnonzero(component != 0)
        mean = np.zeros((len(inside), len(outside)))
        for frame in positions:
            mean += np.linalg.norm(frame[inside][:, None] - frame[outside][None], axis=2)
        first, second = np.unravel_index(np.argmin(mean), mean.shape)
        bridges.append((int(inside[first]), int(outside[second])))
        joined = component[outside[second]]
        component[component == joined] = 0
        component[component > joined] -= 1
    return bridges


def _components(pairs: np.ndarray, n_atoms: int) -> np.ndarray:
    from scipy import sparse

    graph = sparse.csr_matrix((np.ones(len(pairs)), (pairs[:, 0], pairs[:, 1])), shape=(n_atoms, n_atoms))
    return sparse.csgraph.connected_components(graph, directed=False)[1].astype(int)


def _breadth_first(neighbors: list[list[int]], root: int) -> tuple[list[int], dict[int, int]]:
    parent_of, order, queue = {root: root}, [], deque([root])
    while queue:
        atom = queue.popleft()
        order.append(atom)
        for other in neighbors[atom]:
            if other not in parent_of:
                parent_of[other] = atom
                queue.append(other)
    return order, parent_of


def _root(neighbors: list[list[int]]) -> int:
    """An end of a long path, with one neighbor where there is such an atom: it needs no rule of its own.

    Without it the last atom of a breadth-first order, since all others hang together without that one.
    """
    lowest = min(len(others) for others in neighbors)
    far = _breadth_first(neighbors, 0)[0][-1]
    order = _breadth_first(neighbors, far)[0]
    if lowest > 1:
        return order[-1]
    ends = [atom for atom in reversed(order) if len(neighbors[atom]) == lowest]
    return min(ends[:1] + [atom for atom in (far,) if len(neighbors[atom]) == lowest])


def _placed(
    neighbors: list[list[int]], root: int, sizes: np.ndarray, bridges: set[tuple[int, int]]
) -> BondTree:
    """The tree from the root, breadth first, larger branches first, each atom after its parent."""
    steps, atoms, parents, siblings, bridge_steps = {root: 0}, [root], [0], [-1], []
    place = 0
    while place < len(atoms):
        atom = atoms[place]
        children = [other for other in neighbors[atom] if other not in steps]
        if place == 0:
            # A ring has no end: the root keeps one neighbor, the other bond closes the ring.
            children = sorted(children, key=lambda other: (-sizes[other], other))[:1]
        eldest = -1
        for child in sorted(children, key=lambda other: (-sizes[other], other)):
            steps[child] = len(atoms)
            if tuple(sorted((atom, child))) in bridges:
                bridge_steps.append(len(atoms))
            atoms.append(child)
            parents.append(place)
            siblings.append(eldest)
            eldest = steps[child] if eldest < 0 else eldest
        place += 1
    tree = {tuple(sorted((atoms[step], atoms[parents[step]]))) for step in range(1, len(atoms))}
    rings = sorted(
        (min(steps[first], steps[second]), max(steps[first], steps[second]))
        for first, others in enumerate(neighbors)
        for second in others
        if first < second and (first, second) not in tree
    )
    return BondTree(
        atoms=tuple(atoms),
        parents=tuple(parents),
        siblings=tuple(siblings),
        ring_bonds=tuple(rings),
        bridges=tuple(bridge_steps),
    )
