"""Which bonds a trajectory has: those asked for, those of the file, of the topology, or those of consecutive atoms."""

from typing import Any

import mdtraj
import numpy as np

from polyvae.errors import InputError
from polyvae.trajectory import topology as topologies
from polyvae.trajectory.raw import FrameFile


def settle_bonds(
    bonds: Any,
    file: FrameFile,
    found: tuple[np.ndarray, str],
    topology: mdtraj.Topology | None,
    atoms: np.ndarray | None,
    n_atoms: int,
    name: str,
) -> tuple[np.ndarray, str]:
    """The bonds of all atoms of a file and where they come from: argument, file, topology or sequence.

    Args:
        bonds: what the user asked for: pairs, "sequence", "none", or None for whatever there is.
        file: may hold bonds itself.
        found: bonds of the topology or of distances, and their source.
        topology: of all atoms.
        atoms: the chosen ones, or None for all.
        n_atoms: atoms of the file.
        name: of the data, for messages.

    Raises:
        InputError: if `bonds` is neither pairs of atoms nor a known word.
    """
    if isinstance(bonds, str):
        if bonds == "none":
            return np.empty((0, 2), np.int64), "none"
        if bonds != "sequence":
            raise InputError(
                f'{name}: `bonds` must be atom pairs, "sequence", "none" or None; got {bonds!r}.'
            )
        return _sequence(topology, atoms, n_atoms), "sequence"
    if bonds is not None:
        return _checked_bonds(bonds, n_atoms, name), "argument"
    stored = getattr(file, "bonds", None)
    if stored is not None:
        return _checked_bonds(stored, n_atoms, name), getattr(file, "bond_source", "file")
    chosen = found[0] if atoms is None else renumbered_bonds(found[0], atoms, n_atoms)
    if len(chosen):
        return found
    return _sequence(topology, atoms, n_atoms), "sequence"


def bonds_to_follow(
    bonds: np.ndarray, bond_source: str, real: np.ndarray, atoms: np.ndarray | None
) -> np.ndarray:
    """The bonds along which molecules are made whole: real ones where the settled ones are assumed."""
    # Assumed bonds tell less than real ones: CA atoms without bonds of their own hang together by the
    # backbone.
    if bond_source == "sequence" and (len(real) if atoms is None else np.isin(real, atoms).any()):
        return real
    return bonds


def _sequence(topology: mdtraj.Topology | None, atoms: np.ndarray | None, n_atoms: int) -> np.ndarray:
    if atoms is None:
        return topologies.sequence_bonds(topology, n_atoms)
    subset = None if topology is None else topology.subset(atoms.tolist())
    return np.asarray(atoms)[topologies.sequence_bonds(subset, len(atoms))]


def _checked_bonds(bonds: Any, n_atoms: int, name: str) -> np.ndarray:
    pairs = np.asarray(bonds)
    if pairs.size == 0:
        return np.empty((0, 2), np.int64)
    if pairs.ndim != 2 or pairs.shape[1] != 2 or not np.issubdtype(pairs.dtype, np.integer):
        raise InputError(
            f"{name}: `bonds` must be whole numbers of shape (bonds, 2); got shape {pairs.shape}."
        )
    if not 0 <= pairs.min() <= pairs.max() < n_atoms:
        raise InputError(
            f"{name}: `bonds` must be atom indices from 0 to {n_atoms - 1}; got {pairs.min()} to "
            f"{pairs.max()}. Count from 0."
        )
    return pairs.astype(np.int64)


def renumbered_bonds(bonds: np.ndarray, atoms: np.ndarray, n_atoms: int) -> np.ndarray:
    """The bonds among chosen atoms, counted in their order."""
    renumber = np.full(n_atoms, -1)
    renumber[atoms] = np.arange(len(atoms))
    pairs = renumber[bonds]
    return pairs[(pairs >= 0).all(axis=1)]
