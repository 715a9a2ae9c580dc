"""Backbone torsions by the names of atoms: φ, ψ and ω wherever a topology has amino acids.

The alpha carbon of a cap is its methyl carbon: CH3 of ACE, CH3 or C of NME.
"""

from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from polyvae.trajectory import Trajectory


@dataclass(frozen=True, kw_only=True, eq=False)
class BackboneTorsions:
    """Atom indices of backbone torsions.

    Attributes:
        residues: names of the residues that have both φ and ψ.
        phi: C of the residue before, N, CA, C; shape (residues, 4).
        psi: N, CA, C, N of the residue after; shape (residues, 4).
        peptides: names of the peptide bonds.
        omega: CA, C, N, CA of neighboring residues, shape (peptides, 4).
    """

    residues: tuple[str, ...]
    phi: np.ndarray
    psi: np.ndarray
    peptides: tuple[str, ...]
    omega: np.ndarray


def backbone_torsions(trajectory: Trajectory) -> BackboneTorsions:
    """φ, ψ and ω of a trajectory; none without a topology, or where it has no peptide bond."""
    phi, psi, omega = [], [], []
    residues, peptides = [], []
    joined = None
    if trajectory.bonds is not None and trajectory.bond_source != "sequence":
        joined = {frozenset(bond) for bond in trajectory.bonds.tolist()}
    topology = trajectory.topology
    for chain in () if topology is None else topology.chains:
        atoms = [_named_atoms(residue) for residue in chain.residues]
        names = [str(residue) for residue in chain.residues]
        bonded = [
            "C" in before
            and "N" in after
            and (joined is None or frozenset((before["C"], after["N"])) in joined)
            for before, after in pairwise(atoms)
        ]
        for place, (before, after) in enumerate(pairwise(atoms)):
            if bonded[place] and "CA" in before and "CA" in after:
                omega.append((before["CA"], before["C"], after["N"], after["CA"]))
                peptides.append(f"{names[place]}-{names[place + 1]}")
        for place in range(1, len(atoms) - 1):
            here = atoms[place]
            if bonded[place - 1] and bonded[place] and {"N", "CA", "C"} <= here.keys():
                phi.append((atoms[place - 1]["C"], here["N"], here["CA"], here["C"]))
                psi.append((here["N"], here["CA"], here["C"], atoms[place + 1]["N"]))
                residues.append(names[place])
    as_array = lambda rows: np.array(rows, np.int64).reshape(-1, 4)  # noqa: E731
    return BackboneTorsions(
        residues=tuple(residues),
        phi=as_array(phi),
        psi=as_array(psi),
        peptides=tuple(peptides),
        omega=as_array(omega),
    )


def _named_atoms(residue: Any) -> dict[str, int]:
    """Index of each atom of an mdtraj residue by its name, with a cap's methyl carbon as CA."""
    atoms = {atom.name: atom.index for atom in residue.atoms}
    if "CH3" in atoms:
        atoms.setdefault("CA", atoms["CH3"])
    elif residue.name == "NME" and "C" in atoms:
        atoms.setdefault("CA", atoms.pop("C"))
    return atoms
