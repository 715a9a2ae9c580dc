"""Between `Trajectory` and mdtraj's own trajectory object."""

import mdtraj
import numpy as np
from jaxtyping import Float32
from mdtraj.core.element import virtual

from polyvae._typing import Positions
from polyvae.trajectory.loading import load
from polyvae.trajectory.trajectory import Trajectory


def from_mdtraj(trajectory: mdtraj.Trajectory) -> Trajectory:
    """The frames of an mdtraj trajectory as they stand: times, box and topology kept, nothing made whole."""
    return load(trajectory, whole="no")


def to_mdtraj(trajectory: Trajectory) -> mdtraj.Trajectory:
    """The frames as an mdtraj trajectory.

    Two-dimensional positions get z = 0; a trajectory without a topology gets `bead_topology`. Weights,
    masses, joins and the names of units have no place in mdtraj and are lost; frames without times are
    numbered by it.
    """
    topology = bead_topology(trajectory) if trajectory.topology is None else trajectory.topology.copy()
    for atom in topology.atoms:
        # A selection keeps the serial numbers of the whole system, while mdtraj's CONECT records count from 1.
        atom.serial = None
    answer = mdtraj.Trajectory(xyz=spatial(trajectory.positions), topology=topology, time=trajectory.times)
    if trajectory.box is not None:
        answer.unitcell_vectors = trajectory.box
    return answer


def spatial(positions: Positions) -> Float32[np.ndarray, "frames atoms 3"]:
    """Positions in three dimensions; z = 0 is added to two. Always a copy."""
    n_frames, n_atoms, dims = positions.shape
    answer = np.zeros((n_frames, n_atoms, 3), np.float32)
    answer[..., :dims] = positions
    return answer


def bead_topology(trajectory: Trajectory) -> mdtraj.Topology:
    """A topology for beads: for each a residue "BEA" with one atom "B", and the known bonds."""
    topology = mdtraj.Topology()
    chain = topology.add_chain()
    beads = [
        topology.add_atom("B", virtual, topology.add_residue("BEA", chain)) for _ in range(trajectory.n_atoms)
    ]
    for first, second in [] if trajectory.bonds is None else trajectory.bonds:
        topology.add_bond(beads[first], beads[second])
    return topology
