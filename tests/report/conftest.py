"""Overviews of runs that never were: points and structures of any number, made without a model."""

import mdtraj
import numpy as np
import pytest

from polyvae.analysis import Determined, LatentMeaning, RunOverview, ShownSurface, StructureSet
from polyvae.trajectory import Trajectory
from polyvae.units import MOLECULAR, REDUCED


def _peptide(n_residues: int, *, atoms: tuple[str, ...] = ("N", "CA", "C", "O"), residue: str = "ALA"):
    """Topology of a chain of one residue over and over."""
    topology = mdtraj.Topology()
    chain = topology.add_chain()
    for number in range(n_residues):
        one = topology.add_residue(residue, chain, resSeq=number + 1)
        for name in atoms:
            topology.add_atom(name, mdtraj.element.get_by_symbol(name[0]), one)
    return topology


def _make_overview(
    *,
    n_frames: int = 400,
    shown: int = 200,
    n_atoms: int = 6,
    dims: int = 2,
    n_latent: int = 2,
    n_structures: int = 12,
    topology=None,
    times: bool = True,
) -> RunOverview:
    """An overview of random walks."""
    rng = np.random.default_rng(4)
    n_atoms = n_atoms if topology is None else topology.n_atoms
    frames = np.unique(np.linspace(0, n_frames - 1, shown).astype(int))
    latent = rng.normal(size=(len(frames), n_latent)).astype(np.float32)
    gyration = np.float32(1.0 + rng.uniform(size=len(frames)))
    step = 0.15 if topology is not None else 1.0
    positions = np.cumsum(rng.normal(size=(n_structures, n_atoms, dims)) * step, axis=1).astype(np.float32)
    positions -= positions.mean(axis=1, keepdims=True)
    rows = np.linspace(0, len(frames) - 1, n_structures).astype(int)
    edges = tuple(
        np.linspace(values.min(), values.max(), 11) for values in (latent[:, 0], latent[:, 1 % n_latent])
    )
    energy = rng.uniform(0, 4, size=(10, 10)).astype(np.float32)
    energy[3, 4], energy[0, 0] = 0.0, np.nan
    surface = ShownSurface(
        axes=(0, 1),
        edges=edges,
        energy=energy,
        error=np.full((10, 10), 0.1, np.float32),
        badly_sampled=energy > 3.5,
        blocks=20,
    )
    bonds = np.stack([np.arange(n_atoms - 1), np.arange(1, n_atoms)], axis=1)
    system = Trajectory(
        positions=positions[:1],
        bonds=bonds,
        topology=topology,
        units=REDUCED if topology is None else MOLECULAR,
    )
    return RunOverview(
        n_frames=n_frames,
        frames=frames,
        latent=latent,
        radius_of_gyration=gyration,
        times=2.0 * frames if times else None,
        segments=np.where(frames < n_frames // 2, 0, 1),
        surfaces=(surface,),
        structures=(
            StructureSet(
                name="data",
                positions=positions,
                latent=latent[rows],
                radius_of_gyration=gyration[rows],
                frames=frames[rows],
                reconstructed=positions + np.float32(0.05),
                rmsd=np.full(n_structures, 0.05),
            ),
            StructureSet(
                name="generated",
                positions=positions[::-1][:4],
                latent=latent[:4],
                radius_of_gyration=gyration[:4],
            ),
        ),
        meanings=(
            LatentMeaning(coordinate=0, observable="the radius of gyration", correlation=0.9, frames=200),
        ),
        determined=(Determined(observable="the radius of gyration", share=0.9, frames=200),),
        system=system,
    )


@pytest.fixture
def peptide():
    """Makes topologies."""
    return _peptide


@pytest.fixture
def make_overview():
    """Makes overviews of random walks."""
    return _make_overview


@pytest.fixture
def overview() -> RunOverview:
    """A small one, of beads in the plane."""
    return _make_overview()
