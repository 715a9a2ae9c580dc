"""Bonds found by distance, where a topology has none or belongs to another order of atoms.

mdtraj knows the bonds of standard residues only: nucleic acids under Amber's names, ligands and modified
residues come without, unless the file lists them. And a topology whose atoms stand in another order than the
trajectory's bonds the wrong atoms. In both cases one frame tells: two atoms of the same or of neighboring
residues are bonded where they are nearer than 1.25 times the sum of their covalent radii, periodic images
included.
"""

import mdtraj
import numpy as np

from polyvae._typing import Pairs
from polyvae.trajectory.molecules import shortest_lengths
from polyvae.trajectory.raw import RawFrames
from polyvae.trajectory.topology import MISFIT, bond_length_ratio, bonds_of, covalent_radii

_TOLERANCE = 1.25
_SHORTEST = 0.04
"""Atoms nearer than this, in nm, are not bonded but coincide."""


def find_bonds(topology: mdtraj.Topology | None, frame: RawFrames) -> tuple[Pairs, str]:
    """The bonds of all atoms, and "topology", or "distances" where some of them had to be searched.

    Args:
        topology: topology of all atoms, or None.
        frame: the first frame, all atoms, nm.
    """
    known = bonds_of(topology)
    positions = frame.positions[0]
    if topology is None or positions.shape[1] != 3 or not np.any(np.isfinite(covalent_radii(topology))):
        return known, "topology"
    ratio = bond_length_ratio(positions, topology)
    if ratio is not None and ratio > MISFIT:
        return _search(topology, frame, np.ones(topology.n_residues, bool)), "distances"
    bonded = np.zeros(topology.n_atoms, bool)
    bonded[known.ravel()] = True
    bare = np.array(
        [
            residue.n_atoms > 1 and not any(bonded[atom.index] for atom in residue.atoms)
            for residue in topology.residues
        ]
    )
    if not bare.any():
        return known, "topology"
    searched = _search(topology, frame, bare)
    if not len(searched):
        return known, "topology"
    return np.unique(np.concatenate([known, searched]), axis=0), "distances"


def _search(topology: mdtraj.Topology, frame: RawFrames, wanted: np.ndarray) -> Pairs:
    residues = list(topology.residues)
    parts = []
    for number in np.flatnonzero(wanted):
        here = np.array([atom.index for atom in residues[number].atoms])
        first, second = np.triu_indices(len(here), k=1)
        parts.append(np.stack([here[first], here[second]], axis=1))
        for other in (number - 1, number + 1):
            # A pair of two bare residues is met from both sides; duplicates go at the end.
            if 0 <= other < len(residues) and residues[other].chain.index == residues[number].chain.index:
                there = np.array([atom.index for atom in residues[other].atoms])
                parts.append(np.stack(np.meshgrid(here, there), axis=-1).reshape(-1, 2))
    pairs = np.unique(np.sort(np.concatenate(parts), axis=1), axis=0)
    radii = covalent_radii(topology)
    longest = _TOLERANCE * (radii[pairs[:, 0]] + radii[pairs[:, 1]])
    pairs, longest = pairs[np.isfinite(longest)], longest[np.isfinite(longest)]
    vectors = (frame.positions[0, pairs[:, 0]] - frame.positions[0, pairs[:, 1]]).astype(np.float64)
    lengths = np.linalg.norm(vectors, axis=1)
    if frame.box is not None:
        lengths = shortest_lengths(
            vectors, np.broadcast_to(frame.box[0].astype(np.float64), (len(vectors), 3, 3))
        )
    return pairs[(lengths > _SHORTEST) & (lengths < longest)]
