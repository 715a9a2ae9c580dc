"""Whether and how the molecules of a source are made whole across its periodic box.

The chosen atoms may be a thin selection (CA only) whose own bonds say little, so the bonds of all atoms of
the molecules that hold a chosen atom are followed, and the rest of these molecules is cut away afterwards. A
box is no box at all when it is the placeholder that OpenMM's reporters write for systems without one; see
`is_placeholder_box`.
"""

from dataclasses import dataclass

import mdtraj
import numpy as np
from jaxtyping import Float32

from polyvae._typing import Box, Pairs, Positions
from polyvae.errors import InputError
from polyvae.trajectory.molecules import MoleculeTree, broken_bonds, connected_molecules, molecule_tree

ChosenPositions = Float32[np.ndarray, "frames chosen dims"]
"""Positions of the chosen atoms among those read."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Imaging:
    """How to make frames whole.

    Attributes:
        read: atoms to read from the file, ascending, or None for all.
        keep: the chosen atoms among those read, or None for all.
        bonds: bonds among the atoms read.
        tree: their spanning trees.
    """

    read: np.ndarray | None
    keep: np.ndarray | None
    bonds: Pairs
    tree: MoleculeTree

    def apply(self, positions: Positions, box: Box) -> ChosenPositions:
        """The chosen atoms of frames whose molecules are whole and next to the largest."""
        if self.tree.n_molecules > 1 or broken_bonds(positions, box, self.bonds).any():
            # JAX is imported only where something has to be repaired: loading a file should not wait for it.
            from polyvae.trajectory.periodic import whole_frames

            positions = whole_frames(positions, box, self.tree)
        return self.sliced(positions)

    def sliced(self, positions: Positions) -> ChosenPositions:
        """The chosen atoms among those read."""
        return positions if self.keep is None else positions[:, self.keep]


def plan_imaging(
    whole: str,
    *,
    has_box: bool,
    bonds: Pairs,
    atoms: np.ndarray | None,
    n_atoms: int,
    topology: mdtraj.Topology | None,
    name: str,
) -> Imaging | None:
    """How to make the molecules of the chosen atoms whole, or None where nothing is to do.

    Args:
        whole: "auto" (where there is a box), "yes" (or an error) or "no".
        has_box: whether every frame has a box.
        bonds: bonds of the whole file, in its numbering; assumed ones included.
        atoms: the chosen atoms, or None for all.
        n_atoms: atoms in the file.
        topology: topology of the whole file, or None.
        name: what to call the source.

    Raises:
        InputError: if there is a box but no bond to follow, or "yes" was asked for and there is no box.
    """
    if whole not in ("auto", "yes", "no"):
        raise InputError(f'`whole` must be "auto", "yes" or "no"; got {whole!r}.')
    if whole == "no":
        return None
    if not has_box:
        if whole == "yes":
            raise InputError(
                f'{name}: whole="yes" needs a periodic box, and the frames have none. Use whole="auto".'
            )
        return None
    chosen = np.arange(n_atoms) if atoms is None else np.asarray(atoms)
    if len(chosen) < 2:
        return None
    if len(bonds) == 0:
        raise InputError(
            f"{name}: the frames have a periodic box, but there are no bonds to tell whether it splits a "
            "molecule. Give a topology with bonds by top=..., give bonds=..., or take the frames as they "
            "are by "
            'whole="no".'
        )
    edges = np.concatenate([bonds, _residue_mates(topology, bonds, n_atoms)])
    molecules = connected_molecules(edges, n_atoms)[1]
    read = np.flatnonzero(np.isin(molecules, np.unique(molecules[chosen])))
    renumber = np.full(n_atoms, -1)
    renumber[read] = np.arange(len(read))
    inside = renumber[edges]
    inside = inside[(inside >= 0).all(axis=1)]
    keep = renumber[chosen]
    return Imaging(
        read=None if len(read) == n_atoms else read,
        keep=None if np.array_equal(keep, np.arange(len(read))) else keep,
        bonds=inside,
        tree=molecule_tree(inside, len(read)),
    )


def _residue_mates(topology: mdtraj.Topology | None, bonds: Pairs, n_atoms: int) -> np.ndarray:
    # A ligand without CONECT records has no bonds; its atoms still belong together.
    if topology is None:
        return np.empty((0, 2), np.int64)
    residue = np.array([atom.residue.index for atom in topology.atoms])
    fragment = connected_molecules(bonds, n_atoms)[1]
    first = np.arange(n_atoms - 1)
    apart = (residue[1:] == residue[:-1]) & (fragment[1:] != fragment[:-1])
    return np.stack([first[apart], first[apart] + 1], axis=1)


def is_placeholder_box(
    positions: Positions, box: Box, bonds: Pairs, topology: mdtraj.Topology | None
) -> bool:
    """Whether a box is the 2 nm cube that OpenMM writes for systems without one.

    It is taken for that only where ignoring it can do no harm: a cube of exactly 2 nm, without water, with
    fewer atoms than such a box of condensed matter holds (about 100 per nm³; 400 is half of that), and with
    all bonds unbroken as they stand.
    """
    cube = np.allclose(box, 2.0 * np.eye(3)[None], atol=1e-4)
    if not cube or positions.shape[1] >= 400:
        return False
    if topology is not None and any(residue.is_water for residue in topology.residues):
        return False
    return not broken_bonds(positions, box, bonds).any()
