import math
import sys

import mdtraj
import numpy as np
import pytest

from polyvae.errors import InputError, MissingDependencyError
from polyvae.simulation import (
    AlanineDipeptideConfig,
    build_alanine_dipeptide,
    build_alanine_dipeptide_system,
    simulate_alanine_dipeptide,
)

openmm = pytest.importorskip("openmm", reason="simulations need OpenMM")


@pytest.fixture(scope="module")
def built():
    topology, positions = build_alanine_dipeptide()
    return mdtraj.Trajectory(positions, mdtraj.Topology.from_openmm(topology)), topology


def atom(topology, residue, name):
    return next(a.index for a in topology.atoms if a.residue.name == residue and a.name == name)


def test_built_molecule_is_ace_ala_nme_with_22_atoms_and_21_bonds(built):
    topology = built[0].topology
    assert [residue.name for residue in topology.residues] == ["ACE", "ALA", "NME"]
    assert [residue.n_atoms for residue in topology.residues] == [6, 10, 6]
    assert topology.n_bonds == 21


def test_vacuum_leaves_out_the_solvent_and_nothing_else(built):
    kinds = [
        [
            type(force).__name__
            for force in build_alanine_dipeptide_system(built[1], solvent=solvent).getForces()
        ]
        for solvent in ("implicit", "none")
    ]
    assert kinds[0] == [*kinds[1], "GBSAOBCForce"]
    config = AlanineDipeptideConfig(temperature=300.0, solvent="none")
    short = simulate_alanine_dipeptide(config, 2, 5, 1, equilibration_steps=10)
    assert short.source == "alanine dipeptide in vacuum, 300 K, seed 1"


def test_built_molecule_is_the_l_enantiomer(built):
    frame, topology = built[0].xyz[0].astype(np.float64), built[0].topology
    center = frame[atom(topology, "ALA", "CA")]
    n, c, cb = (frame[atom(topology, "ALA", name)] - center for name in ("N", "C", "CB"))
    assert np.dot(n, np.cross(c, cb)) > 0


def test_built_molecule_is_in_c7eq_with_trans_amides(built):
    trajectory = built[0]
    assert math.degrees(mdtraj.compute_phi(trajectory)[1][0, 0]) == pytest.approx(-80, abs=0.01)
    assert math.degrees(mdtraj.compute_psi(trajectory)[1][0, 0]) == pytest.approx(75, abs=0.01)
    names = [
        ("ACE", "CH3"),
        ("ACE", "C"),
        ("ALA", "N"),
        ("ALA", "CA"),
        ("ALA", "C"),
        ("NME", "N"),
        ("NME", "C"),
    ]
    chain = [atom(trajectory.topology, *name) for name in names]
    omegas = mdtraj.compute_dihedrals(trajectory, [chain[:4], chain[3:]])
    np.testing.assert_allclose(np.abs(np.degrees(omegas)), 180, atol=0.1)


def test_bonds_and_contacts_of_the_built_molecule_are_those_of_chemistry(built):
    trajectory = built[0]
    first, second = np.triu_indices(22, 1)
    pairs = np.stack([first, second], axis=1)
    distances = mdtraj.compute_distances(trajectory, pairs)[0]
    bonded = {tuple(sorted((a.index, b.index))) for a, b in trajectory.topology.bonds}
    is_bond = np.array([tuple(pair) in bonded for pair in pairs])
    assert 0.1 <= distances[is_bond].min() < distances[is_bond].max() <= 0.154
    assert distances[~is_bond].min() > 0.17


def test_native_solvent_force_is_the_obc2_of_the_force_field_file(built):
    # Two implementations of one model: GBSAOBCForce, and the CustomGBForce of OpenMM's implicit/obc2.xml.
    trajectory, topology = built
    custom = openmm.app.ForceField("amber99sbildn.xml", "implicit/obc2.xml").createSystem(topology)
    energies, forces = [], []
    for system in (custom, build_alanine_dipeptide_system(topology)):
        context = openmm.Context(
            system, openmm.VerletIntegrator(0.001), openmm.Platform.getPlatformByName("Reference")
        )
        context.setPositions(trajectory.xyz[0])
        state = context.getState(getEnergy=True, getForces=True)
        energies.append(state.getPotentialEnergy()._value)
        forces.append(state.getForces(asNumpy=True)._value)
    # Coulomb's constant is rounded differently in the two. Bonds to hydrogen, rigid in the second system, are
    # built at their rest length, so that their springs in the first neither store energy nor pull.
    assert energies[1] == pytest.approx(energies[0], abs=1e-3)
    np.testing.assert_allclose(forces[1], forces[0], atol=0.02)


@pytest.fixture(scope="module")
def short_run():
    return simulate_alanine_dipeptide(AlanineDipeptideConfig(), 50, 50, 3, equilibration_steps=500)


def test_run_keeps_bonds_to_hydrogen_rigid_and_carries_what_belongs_to_it(short_run):
    assert short_run.positions.shape == (50, 22, 3)
    assert short_run.box is None
    assert short_run.units.name == "molecular"
    np.testing.assert_allclose(np.diff(short_run.times), 0.1)
    assert short_run.masses.sum() == pytest.approx(144.17, abs=0.01)
    hydrogen = np.array([a.element.symbol == "H" for a in short_run.topology.atoms])
    rigid = short_run.bonds[hydrogen[short_run.bonds].any(axis=1)]
    lengths = np.linalg.norm(np.diff(short_run.positions[:, rigid], axis=2)[:, :, 0], axis=-1)
    assert len(rigid) == 12
    assert np.ptp(lengths, axis=0).max() < 1e-4


def test_same_seed_gives_the_same_bits(short_run):
    again = simulate_alanine_dipeptide(AlanineDipeptideConfig(), 5, 50, 3, equilibration_steps=500)
    np.testing.assert_array_equal(again.positions, short_run.positions[:5])


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"temperature": 0.0}, "`temperature` must be a positive number; got 0.0"),
        ({"friction": math.inf}, "`friction` must be a positive number; got inf"),
        ({"time_step": 0.01}, "`time_step` must be at most 0.004 ps"),
    ],
)
def test_settings_outside_their_range_are_refused(settings, message):
    with pytest.raises(InputError, match=message):
        AlanineDipeptideConfig(**settings)


def test_a_run_without_frames_is_refused():
    with pytest.raises(InputError, match="`n_frames` must be at least 1; got 0"):
        simulate_alanine_dipeptide(AlanineDipeptideConfig(), 0, 1, 0)


def test_missing_openmm_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "openmm", None)
    with pytest.raises(MissingDependencyError, match=r'pip install "polyvae\[openmm\]"'):
        simulate_alanine_dipeptide(AlanineDipeptideConfig(), 1, 1, 0)
