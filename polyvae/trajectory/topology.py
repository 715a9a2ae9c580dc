"""What a topology says about atoms: selection, masses, bonds, and whether lengths fit its elements.

Bonds come from the topology (PDB files: standard residues and CONECT, as mdtraj builds them). Where the
chosen atoms have none among themselves (CA only, bead models), consecutive atoms of each chain are taken as
bonded and the source of the bonds is called "sequence".
"""

import os
import warnings
from itertools import zip_longest
from pathlib import Path
from typing import Any

import mdtraj
import numpy as np
from jaxtyping import Float64

from polyvae._typing import Masses, Pairs
from polyvae.errors import InputError, PolyvaeWarning
from polyvae.trajectory.mdtraj_calls import OURS, ascii_path, quiet_mdtraj, require_library
from polyvae.trajectory.trajectory import Trajectory

_COVALENT_RADII = {
    "H": 0.031, "C": 0.076, "N": 0.071, "O": 0.066, "F": 0.057, "P": 0.107, "S": 0.105, "Cl": 0.102,
    "Br": 0.120, "I": 0.139,
}  # fmt: skip
"""Covalent radii, nm (Cordero et al. 2008, doi:10.1039/b801115j)."""

MISFIT = 1.25
"""Median of bond length over expected length above which a topology does not fit its trajectory."""


def load_topology(top: Any) -> mdtraj.Topology | None:
    """The topology of a file, an mdtraj object or a `Trajectory`; None stays None.

    Raises:
        InputError: if the file is missing, holds no topology or cannot be read.
    """
    if top is None or isinstance(top, mdtraj.Topology):
        return with_standard_bonds(top)
    if isinstance(top, mdtraj.Trajectory | Trajectory):
        return with_standard_bonds(top.topology)
    if not isinstance(top, str | os.PathLike):
        raise InputError(
            f"`top` must be a path, an mdtraj.Topology or a trajectory; got {type(top).__name__}."
        )
    path = Path(top)
    if not path.is_file():
        raise InputError(f"The topology file {path} does not exist or is not a file. Check `top`.")
    suffix = path.suffix.lower()
    require_library(path, suffix)
    try:
        with ascii_path(path) as name, quiet_mdtraj():
            topology = mdtraj.load_topology(name)
    except OURS:
        raise
    except Exception as error:
        raise InputError(
            f"{path} cannot be read as a topology: {error}. Give `top` a PDB, mmCIF, GRO, PSF, PRMTOP, "
            "MOL2 or HDF5 file."
        ) from error
    if topology is None or topology.n_atoms == 0:
        raise InputError(f"{path} holds no atoms; give `top` a file with a topology.")
    return with_standard_bonds(topology)


def with_standard_bonds(topology: mdtraj.Topology | None) -> mdtraj.Topology | None:
    """The topology, with the bonds of standard residues if it has none (GRO files, for example)."""
    if topology is None or topology.n_bonds:
        return topology
    topology = topology.copy()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        topology.create_standard_bonds()
    return topology


def _first_words(error: Exception) -> str:
    """A parser's complaint without the picture of its grammar."""
    words = " ".join(str(error).split("\n")[0].split())
    return words if len(words) <= 120 else words[:120] + " ..."


def select_atoms(
    atoms: Any, topology: mdtraj.Topology | None, n_atoms: int, name: str
) -> tuple[np.ndarray | None, str | None]:
    """Zero-based indices of the chosen atoms and the words that chose them; None for all.

    Raises:
        InputError: if nothing is chosen, the words cannot be parsed, or an index is out of range or repeated.
    """
    if atoms is None:
        return None, None
    if isinstance(atoms, str):
        if topology is None:
            raise InputError(
                f"{name}: the selection atoms={atoms!r} needs a topology; give top=... (--top), or an array of "
                "atom indices."
            )
        try:
            index = topology.select(atoms)
        except Exception as error:  # mdtraj's parser raises several kinds, none of them documented
            raise InputError(
                f"{name}: the selection atoms={atoms!r} is not in mdtraj's language ({_first_words(error)}). "
                'Examples: "protein", "backbone", "name CA", "resid 0 to 9 and not water".'
            ) from error
        words = atoms
    else:
        index = np.asarray(atoms)
        if index.dtype == bool and index.shape == (n_atoms,):
            index = np.flatnonzero(index)
        if index.ndim != 1 or (index.size and not np.issubdtype(index.dtype, np.integer)):
            raise InputError(f"{name}: `atoms` must be a selection or a list of atom indices; got {atoms!r}.")
        if index.size and not 0 <= index.min() <= index.max() < n_atoms:
            raise InputError(
                f"{name}: `atoms` must be indices from 0 to {n_atoms - 1}; got {index.min()} to "
                f"{index.max()}. Count from 0."
            )
        if len(np.unique(index)) != len(index):
            raise InputError(f"{name}: `atoms` names an atom more than once.")
        words = None
    if len(index) == 0:
        raise InputError(
            f"{name}: the selection atoms={atoms!r} holds none of the {n_atoms} atoms.{_hint(topology)}"
        )
    return index.astype(np.int64), words


def _hint(topology: mdtraj.Topology | None) -> str:
    if topology is None:
        return ""
    residues = sorted({residue.name for residue in topology.residues})
    names = sorted({atom.name for atom in topology.atoms})
    show = lambda words: ", ".join(words[:12]) + (", ..." if len(words) > 12 else "")  # noqa: E731
    return f" Residues present: {show(residues)}. Atom names: {show(names)}."


def masses_of(topology: mdtraj.Topology | None, name: str) -> Masses | None:
    """Masses in Da by element; virtual sites of atomistic models weigh nothing.

    None without a topology and for bead models (no atom has an element). If only some elements are unknown a
    warning says so, and None is returned: then all atoms weigh the same.
    """
    if topology is None:
        return None
    atoms = list(topology.atoms)
    known = np.array([atom.element is not None for atom in atoms])
    masses = np.array([0.0 if atom.element is None else float(atom.element.mass) for atom in atoms])
    if not np.any(masses > 0):
        return None
    if not known.all():
        unknown = sorted({str(atoms[index]) for index in np.flatnonzero(~known)})
        warnings.warn(
            f"{name}: {np.count_nonzero(~known)} atoms have no element ({', '.join(unknown[:5])}), so all "
            "atoms are "
            "given the same mass. Leave them out with `atoms`, or name their elements in the topology.",
            PolyvaeWarning,
            stacklevel=4,
        )
        return None
    return masses


def bonds_of(topology: mdtraj.Topology | None) -> Pairs:
    """The topology's bonds as atom pairs, shape (bonds, 2)."""
    if topology is None:
        return np.empty((0, 2), np.int64)
    pairs = sorted({tuple(sorted((a.index, b.index))) for a, b in topology.bonds})
    return np.array(pairs, np.int64).reshape(-1, 2)


def sequence_bonds(topology: mdtraj.Topology | None, n_atoms: int) -> Pairs:
    """Consecutive atoms of each chain as pairs; all atoms are one chain without a topology."""
    first = np.arange(n_atoms - 1)
    pairs = np.stack([first, first + 1], axis=1)
    if topology is None or n_atoms < 2:
        return pairs
    chain = np.array([atom.residue.chain.index for atom in topology.atoms])
    return pairs[chain[:-1] == chain[1:]]


def first_difference(first: mdtraj.Topology | None, other: mdtraj.Topology | None) -> str | None:
    """Words for the first atom that differs between the topologies of two files, or None.

    Args:
        first: topology of the first file, or None where it carries none.
        other: that of another file.
    """
    if first is None or other is None or first is other:
        return None
    for index, (one, two) in enumerate(zip_longest(first.atoms, other.atoms)):
        names = [None if atom is None else f"{atom.name} of {atom.residue.name}" for atom in (one, two)]
        if names[0] != names[1]:
            mine, theirs = (name or "missing" for name in names)
            return f"atom {index} (from 0) is {theirs} instead of {mine}"
    return None


def check_lengths(positions: np.ndarray, topology: mdtraj.Topology | None, name: str) -> None:
    """Refuses positions whose bonds are about ten times too long or short for their elements.

    Only for atomistic topologies (two elements or more); bead models have no length that we could know.

    Args:
        positions: one frame, shape (atoms, 3), nm.
        topology: its topology.
        name: what to call the file.

    Raises:
        InputError: if the median of bond length over expected length lies in 8 to 12, or its inverse does.
    """
    ratio = bond_length_ratio(positions, topology)
    if ratio is None:
        return
    for low, high, unit, scale in ((8.0, 12.0, "Å", "0.1"), (1 / 12, 1 / 8, "units of 10 nm", "10")):
        if low <= ratio <= high:
            raise InputError(
                f"{name}: bonds are {ratio:.3g} times as long as their elements allow in nm, as if the "
                f"positions were in {unit}. Give scale={scale} to convert them."
            )
    if ratio > MISFIT:
        warnings.warn(
            f"{name}: half of the topology's bonds are more than {ratio:.3g} times as long as their "
            "elements allow, so its atoms are probably in another order than the trajectory's: names and "
            "elements cannot be trusted, and bonds are taken from distances. Give the topology that the "
            "trajectory "
            "was written with by top=...",
            PolyvaeWarning,
            stacklevel=5,
        )


def bond_length_ratio(positions: np.ndarray, topology: mdtraj.Topology | None) -> float | None:
    """Median over bonds of length divided by the sum of covalent radii, or None where that means nothing."""
    if topology is None or positions.shape[1] != 3:
        return None
    radii = covalent_radii(topology)
    pairs = bonds_of(topology)
    if len(np.unique(radii[pairs.ravel()][np.isfinite(radii[pairs.ravel()])])) < 2:
        return None
    lengths = np.linalg.norm(positions[pairs[:, 0]].astype(np.float64) - positions[pairs[:, 1]], axis=1)
    ratios = lengths / (radii[pairs[:, 0]] + radii[pairs[:, 1]])
    ratios = ratios[np.isfinite(ratios)]
    return float(np.median(ratios)) if len(ratios) else None


def covalent_radii(topology: mdtraj.Topology) -> Float64[np.ndarray, " atoms"]:
    """Covalent radius of each atom in nm; NaN for beads, virtual sites and elements that seldom bond."""
    symbols = ("" if atom.element is None else atom.element.symbol for atom in topology.atoms)
    return np.array([_COVALENT_RADII.get(symbol, np.nan) for symbol in symbols])
