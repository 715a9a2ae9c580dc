"""The two sides of a score, checked, with all that every group of numbers needs."""

from dataclasses import dataclass

import numpy as np

from polyvae.analysis.marginals import alternating_blocks, check_same_atoms
from polyvae.analysis.scoring.bootstrap import Sample, sample_of
from polyvae.analysis.scoring.connectivity import Connectivity, atom_names, connectivity, element_symbols
from polyvae.analysis.scoring.geometry import check_bonds
from polyvae.analysis.streamed_marginals import number_counted
from polyvae.errors import InputError
from polyvae.trajectory import Trajectory
from polyvae.trajectory.sampling import counted_sample

MOST_BYTES = 256_000_000
"""Positions of each side that a score holds, at most."""

_FEWEST_REFERENCE_FRAMES, _FEWEST_ENSEMBLE_FRAMES = 4, 2


@dataclass(frozen=True, kw_only=True, eq=False)
class Sides:
    """Reference and ensemble.

    Attributes:
        system: the trajectory whose bonds and topology count.
        reference: frames of the reference.
        ensemble: frames of the ensemble.
        half: frames of the reference that form one half, in alternating blocks of time, shape (frames,).
        graph: internal coordinates, or None without bonds.
        bonds: shape (bonds, 2), empty without bonds.
        masses: shape (atoms,), or None for equal ones.
        names: what the atoms are called.
        unit: unit of length.
        bins: bins of a histogram of lengths.
        torsion_bins: bins of a full turn.
        frames: both trajectories, with the frames that are looked at: all of a weight above zero, or, where they are
            more than memory should hold, every so many of them.
        notes: what a reader should know of that choice.
    """

    system: Trajectory
    reference: Sample
    ensemble: Sample
    half: np.ndarray
    graph: Connectivity | None
    bonds: np.ndarray
    masses: np.ndarray | None
    names: list[str]
    unit: str
    bins: int
    torsion_bins: int
    frames: tuple[Trajectory, Trajectory]
    notes: tuple[str, ...]

    @property
    def dims(self) -> int:
        """Dimensions of space."""
        return len(self.reference.coordinates)

    def label(self, atoms: np.ndarray) -> str:
        """Some atoms in words."""
        return " – ".join(self.names[atom] for atom in atoms)

    def labels(self, items: np.ndarray) -> list[str]:
        """Rows of atoms in words."""
        return [self.label(atoms) for atoms in items]


def sides_of(
    reference: Trajectory,
    ensemble: Trajectory,
    *,
    bins: int,
    torsion_bins: int,
    bootstrap: int,
    random: np.random.Generator,
) -> Sides:
    """Check two trajectories and prepare them; arguments and errors as for `score_ensemble`."""
    for name, value, fewest in (
        ("bins", bins, 2),
        ("torsion_bins", torsion_bins, 2),
        ("bootstrap", bootstrap, 2),
    ):
        if value < fewest:
            raise InputError(f"`{name}` must be at least {fewest}; got {value}.")
    check_same_system(reference, ensemble, "ensemble")
    if reference.n_atoms < 2:
        raise InputError(f"{reference.source}: a score needs at least two atoms; the selection has one.")
    wanted = [number_counted(side) for side in (reference, ensemble)]
    reference, ensemble = (counted_sample(side, MOST_BYTES) for side in (reference, ensemble))
    notes = tuple(
        f"The {name} has {n_frames} frames; the score looked at {side.n_frames} of them, spread evenly."
        for name, side, n_frames in zip(("reference", "ensemble"), (reference, ensemble), wanted, strict=True)
        if side.n_frames < n_frames
    )
    for name, side, fewest in (
        ("reference", reference, _FEWEST_REFERENCE_FRAMES),
        ("ensemble", ensemble, _FEWEST_ENSEMBLE_FRAMES),
    ):
        if side.n_frames < fewest:
            raise InputError(
                f"{side.source}: the {name} must have at least {fewest} frames, of a weight above zero where there "
                f"are weights; got {side.n_frames}. A score compares distributions, and they need many frames."
            )
    system = reference
    if reference.bonds is None or len(reference.bonds) == 0:
        system = reference if ensemble.bonds is None or len(ensemble.bonds) == 0 else ensemble
    if system.topology is None and ensemble.topology is not None:
        system = system.replace(topology=ensemble.topology)
    samples = [sample_of(side, replicates=bootstrap, random=random) for side in (reference, ensemble)]
    names = atom_names(system)
    graph = None
    if system.bonds is not None and len(system.bonds) > 0:
        graph = connectivity(system.bonds, system.n_atoms, system.masses)
    if graph is not None:
        for sample in samples:
            check_bonds(sample.coordinates, graph.bonds, sample.source, names)
    return Sides(
        system=system,
        reference=samples[0],
        ensemble=samples[1],
        half=alternating_blocks(reference.n_frames),
        graph=graph,
        bonds=np.zeros((0, 2), np.int64) if graph is None else graph.bonds,
        masses=reference.masses if reference.masses is not None else ensemble.masses,
        names=names,
        unit=reference.units.length,
        bins=bins,
        torsion_bins=torsion_bins,
        frames=(reference, ensemble),
        notes=notes,
    )


def check_same_system(reference: Trajectory, other: Trajectory, name: str) -> None:
    """Raise an `InputError` unless the two have the same atoms, dimensions and unit of length.

    Args:
        reference: the data.
        other: what is compared with it.
        name: what messages call it.
    """
    check_same_atoms(reference, other, name)
    elements = [element_symbols(side) for side in (reference, other)]
    if elements[0] is not None and elements[1] is not None:
        for atom, (first, second) in enumerate(zip(*elements, strict=True)):
            if first and second and first != second:
                raise InputError(
                    f"Atom {atom}, counted from 0, is {first} in the topology of the reference and {second} in that "
                    f"of the {name}; both must list the same atoms in the same order."
                )
