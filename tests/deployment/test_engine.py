"""Systems as a user hands them over: what does not fit together is named before a simulation starts."""

import numpy as np
import pytest

from polyvae.deployment.openmm.engine import DynamicsConfig, EngineSystem
from polyvae.errors import InputError
from polyvae.simulation import build_alanine_dipeptide, build_alanine_dipeptide_system

openmm = pytest.importorskip("openmm")
pytest.importorskip("openmm.app")


def parts():
    topology, positions = build_alanine_dipeptide()
    return topology, positions, build_alanine_dipeptide_system(topology, solvent="none")


def test_a_system_is_simulated_with_its_seed():
    engine = EngineSystem.of(*parts(), source="molecule")
    assert engine.box is None
    ends = []
    for seed in (1, 1, 2):
        simulation = engine.simulation(engine.new_system(), DynamicsConfig(), seed=seed)
        simulation.step(20)
        ends.append(simulation.context.getState(positions=True).getPositions(asNumpy=True)._value)
    np.testing.assert_array_equal(ends[0], ends[1])
    assert np.abs(ends[0] - ends[2]).max() > 1e-4
    assert simulation.context.getPlatform().getName() == "Reference"


def test_a_system_comes_back_from_its_files(tmp_path):
    topology, positions, system = parts()
    (tmp_path / "system.xml").write_text(openmm.XmlSerializer.serialize(system))
    with (tmp_path / "system.pdb").open("w") as file:
        openmm.app.PDBFile.writeFile(topology, positions * openmm.unit.nanometer, file)
    engine = EngineSystem.read(tmp_path / "system.xml", tmp_path / "system.pdb")
    np.testing.assert_allclose(engine.positions, positions, atol=1e-4)
    assert engine.new_system().getNumForces() == system.getNumForces()
    (tmp_path / "other.xml").write_text(openmm.XmlSerializer.serialize(openmm.VerletIntegrator(0.001)))
    with pytest.raises(InputError, match=r"other.xml holds a VerletIntegrator; a System is needed"):
        EngineSystem.read(tmp_path / "other.xml", tmp_path / "system.pdb")
    (tmp_path / "cut.xml").write_text((tmp_path / "system.xml").read_text()[:500])
    with pytest.raises(InputError, match=r"cut.xml is no System XML of OpenMM, or damaged"):
        EngineSystem.read(tmp_path / "cut.xml", tmp_path / "system.pdb")
    with pytest.raises(InputError, match=r"missing.pdb does not exist; give a PDB file"):
        EngineSystem.read(tmp_path / "system.xml", tmp_path / "missing.pdb")


def test_a_topology_of_another_system_is_refused():
    topology, positions, system = parts()
    fewer = openmm.System()
    for index in range(21):
        fewer.addParticle(system.getParticleMass(index))
    with pytest.raises(InputError, match=r"the system has 21 particles, but the structure 22 atoms"):
        EngineSystem.of(topology, positions, fewer, source="x")
    system.setParticleMass(4, 1.0)
    with pytest.raises(
        InputError, match=r"atom 4 of the structure is ACE1 C, but particle 4 .* weighs 1.000 Da"
    ):
        EngineSystem.of(topology, positions, system, source="x")
    heavy = parts()[2]
    # Repartitioned hydrogen masses are the same atoms, though.
    heavy.setParticleMass(0, 3.0)
    heavy.setParticleMass(1, 10.0)
    EngineSystem.of(topology, positions, heavy, source="x")
    with pytest.raises(InputError, match="positions must be finite"):
        EngineSystem.of(topology, np.full_like(positions, np.nan), heavy, source="x")


def test_a_box_too_small_for_the_cutoff_is_refused():
    topology, positions, _ = parts()
    field = openmm.app.ForceField("amber99sbildn.xml")
    topology.setPeriodicBoxVectors(np.eye(3) * 3.0 * openmm.unit.nanometer)
    system = field.createSystem(topology, nonbondedMethod=openmm.app.CutoffPeriodic)
    assert EngineSystem.of(topology, positions, system, source="x").box[0, 0] == pytest.approx(3.0)
    topology.setPeriodicBoxVectors(np.eye(3) * 1.9 * openmm.unit.nanometer)
    with pytest.raises(InputError, match=r"the box is 1.9 nm wide .* at least twice the cutoff of 1 nm"):
        EngineSystem.of(topology, positions, system, source="x")


def test_a_platform_that_is_not_there_and_atoms_on_one_another_are_named():
    topology, positions, system = parts()
    engine = EngineSystem.of(topology, positions, system, source="x")
    with pytest.raises(InputError, match=r"`platform` must be one of 'Reference'.*; got 'Abacus'"):
        engine.simulation(engine.new_system(), DynamicsConfig(platform="Abacus"), seed=0)
    positions[5] = positions[12]
    engine = EngineSystem.of(topology, positions, system, source="x")
    with pytest.raises(InputError, match="the structure has no finite energy"):
        engine.simulation(engine.new_system(), DynamicsConfig(), seed=0)
    with pytest.raises(InputError, match="`time_step` must be a positive number; got 0"):
        DynamicsConfig(time_step=0.0)
