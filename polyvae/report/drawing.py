"""How a system is drawn, and what the viewer has to know of its atoms."""

from typing import Any, Literal

import numpy as np

from polyvae.trajectory import Trajectory

Style = Literal["flat", "beads", "trace", "cartoon", "sticks", "lines"]
"""`flat`: beads in the plane; `beads`: spheres on sticks; `trace`: a tube through the alpha carbons; `cartoon`: with
secondary structure; `sticks` and `lines`: bonds."""

_FEWEST_RESIDUES = 15
_MOST_STICKS = 600
_BACKBONE = frozenset({"N", "CA", "C", "O"})
_PEPTIDE_STEP = 0.38
"""Distance of neighboring alpha carbons, nm: what a bond of beads in reduced units is drawn as."""


def drawing_style(system: Trajectory) -> Style:
    """The way of drawing that suits a system: by its dimensions, its names and its size."""
    if system.dims == 2:
        return "flat"
    if system.topology is None or all(
        atom.element is None or atom.element.symbol == "VS" for atom in system.topology.atoms
    ):
        return "beads"
    residues = [{atom.name for atom in residue.atoms} for residue in system.topology.residues]
    if len(residues) >= _FEWEST_RESIDUES:
        if sum(names == {"CA"} for names in residues) > 0.9 * len(residues):
            return "trace"
        if sum(names >= _BACKBONE for names in residues) > 0.5 * len(residues):
            return "cartoon"
    return "sticks" if system.n_atoms <= _MOST_STICKS else "lines"


def system_of(system: Trajectory) -> dict[str, Any]:
    """Names, bonds, units, style of drawing, and the factor from the unit of length to Å, as plain values."""
    bonds = np.zeros((0, 2), int) if system.bonds is None else system.bonds
    return {
        "style": drawing_style(system),
        "dims": system.dims,
        "atoms": _atoms(system),
        "bonds": bonds.tolist(),
        "length_unit": system.units.length,
        "time_unit": system.units.time,
        "to_angstrom": _to_angstrom(system, bonds),
        "reduced": system.units.name == "reduced",
    }


def _atoms(system: Trajectory) -> list[list[Any]]:
    """Name, element, residue, its number and chain of each atom; beads have only a number."""
    if system.topology is None:
        return [[str(index), "", "", 0, 0] for index in range(system.n_atoms)]
    return [
        [
            atom.name,
            "" if atom.element is None else atom.element.symbol,
            atom.residue.name,
            atom.residue.resSeq,
            atom.residue.chain.index,
        ]
        for atom in system.topology.atoms
    ]


def _to_angstrom(system: Trajectory, bonds: np.ndarray) -> float:
    if system.units.name == "molecular":
        return 10.0
    frame = system.positions[0].astype(np.float64)
    lengths = np.linalg.norm(frame[bonds[:, 0]] - frame[bonds[:, 1]], axis=1)
    typical = float(np.median(lengths)) if len(lengths) else 1.0
    return 10.0 * _PEPTIDE_STEP / (typical if typical > 0 else 1.0)
