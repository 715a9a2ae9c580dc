"""Small molecules that the trajectory tests write, break and read again."""

import mdtraj
import numpy as np
import pytest

N_FRAMES = 23


@pytest.fixture
def peptide() -> mdtraj.Trajectory:
    """Four alanines without hydrogens, 23 frames 2 ps apart, with sensible bonds and a little noise."""
    element = mdtraj.element
    one = {
        "N": ((0.0, 0.0, 0.0), element.nitrogen),
        "CA": ((0.147, 0.0, 0.0), element.carbon),
        "C": ((0.2, 0.143, 0.0), element.carbon),
        "O": ((0.12, 0.23, 0.0), element.oxygen),
        "CB": ((0.2, -0.08, 0.12), element.carbon),
    }
    topology = mdtraj.Topology()
    chain = topology.add_chain()
    positions = []
    for number in range(4):
        residue = topology.add_residue("ALA", chain, resSeq=number + 1)
        for name, (place, kind) in one.items():
            topology.add_atom(name, kind, residue)
            positions.append(np.array(place) + number * np.array([0.33, 0.15, 0.0]))
    topology.create_standard_bonds()
    noise = np.random.default_rng(1).normal(scale=0.004, size=(N_FRAMES, len(positions), 3))
    xyz = (np.array(positions) + noise).astype(np.float32)
    return mdtraj.Trajectory(xyz, topology, time=2.0 * np.arange(N_FRAMES))


@pytest.fixture
def peptide_pdb(peptide, tmp_path):
    """The first frame of the peptide as a PDB file."""
    path = tmp_path / "peptide.pdb"
    peptide[0].save_pdb(str(path))
    return path
