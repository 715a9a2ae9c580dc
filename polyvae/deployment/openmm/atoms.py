"""Which atoms of an engine's system are those of the model."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from polyvae.errors import InputError
from polyvae.vae import ConformationModel

_HEAVIEST_HYDROGEN = 4.5
_SAME_MASS = 0.2


def atoms_in_topology(model: ConformationModel, topology: Any) -> list[int]:
    """Indices of the model's atoms in an OpenMM topology, found by the names of residues and atoms.

    Args:
        model: a trained model with a topology.
        topology: `openmm.app.Topology` of the system to simulate.

    Raises:
        InputError: if the model has no topology, or its residues are not there, or are there more than once.
    """
    if model.system.topology is None:
        raise InputError(
            "The model was trained without a topology, so its atoms cannot be found by name. Give `atoms`, the indices "
            "in the order of the training data."
        )
    wanted = [
        (residue.name, [atom.name for atom in residue.atoms]) for residue in model.system.topology.residues
    ]
    residues = list(topology.residues())
    found = []
    for start in range(len(residues) - len(wanted) + 1):
        places = _match(wanted, residues[start : start + len(wanted)])
        if places is not None:
            found.append(places)
    if len(found) == 1:
        return found[0]
    chain = "-".join(name for name, _ in wanted[:8]) + ("-..." if len(wanted) > 8 else "")
    problem = "are not" if not found else f"are {len(found)} times"
    raise InputError(
        f"The residues {chain} with the model's atoms {problem} in the topology. Give `atoms`, the indices in the "
        "order of the training data."
    )


def _match(wanted: list[tuple[str, list[str]]], residues: Sequence[Any]) -> list[int] | None:
    places = []
    for (name, atoms), residue in zip(wanted, residues, strict=True):
        by_name = {atom.name: atom.index for atom in residue.atoms()}
        if residue.name != name or not by_name.keys() >= set(atoms):
            return None
        places.extend(by_name[atom] for atom in atoms)
    return places


def checked_atoms(model: ConformationModel, atoms: Sequence[int] | np.ndarray, system: Any) -> list[int]:
    """The indices as plain numbers.

    Raises:
        InputError: if there are too few or too many, one is no particle of the system, or the mass of one is not that
            of the model's atom; hydrogens may be heavier, as hydrogen mass repartitioning makes them, and what they
            hang on lighter.
    """
    places = [int(atom) for atom in np.asarray(atoms).reshape(-1)]
    n_atoms, n_particles = model.system.n_atoms, system.getNumParticles()
    if len(places) != n_atoms or len(set(places)) != n_atoms:
        raise InputError(
            f"`atoms` must hold {n_atoms} different indices, one for each atom of the model; got {len(set(places))} in "
            f"{len(places)}."
        )
    if min(places) < 0 or max(places) >= n_particles:
        raise InputError(
            f"`atoms` must be particles of the system, 0 to {n_particles - 1}; got {min(places)} to {max(places)}."
        )
    masses = model.system.masses
    if masses is None:
        return places
    import openmm.unit

    theirs = np.array([system.getParticleMass(place).value_in_unit(openmm.unit.dalton) for place in places])
    heavier = theirs - masses
    # Repartitioning moves some mass from heavy atoms to their hydrogens.
    hydrogen = masses < 1.5
    fits = np.where(
        hydrogen,
        (heavier > -_SAME_MASS) & (theirs < _HEAVIEST_HYDROGEN),
        (heavier < _SAME_MASS) & (theirs > 0.5 * masses),
    ) | (theirs == 0)
    if not fits.all():
        bad = int(np.argmin(fits))
        raise InputError(
            f"Atom {bad} of the model weighs {masses[bad]:.3f} Da, but particle {places[bad]} of the system "
            f"{theirs[bad]:.3f} Da: these are not the same atoms. Give `atoms` in the order of the training data."
        )
    return places
