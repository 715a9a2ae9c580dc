"""The coordinate in OpenMM: values and forces are those of JAX, whatever box, order or place the molecule has."""

import pickle

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import polyvae as pv
from polyvae.deployment.openmm import (
    LatentCoordinate,
    LatentMetadynamics,
    atoms_in_topology,
    latent_force,
    umbrella_force,
)
from polyvae.deployment.openmm.grid_bias import Grid
from polyvae.errors import InputError
from polyvae.simulation.alanine_dipeptide import build_alanine_dipeptide, build_alanine_dipeptide_system

openmm = pytest.importorskip("openmm")
HEAVY = "mass > 2"


@pytest.fixture(scope="module")
def frames():
    return pv.load(pv.bundled("alanine_dipeptide.xtc"), top=pv.bundled("alanine_dipeptide.pdb"), stride=40)


@pytest.fixture(scope="module", params=["all", "heavy"])
def case(request, frames):
    """A model, and the particles of the whole molecule that are its atoms."""
    atoms = None if request.param == "all" else HEAVY
    data = pv.load(frames, atoms=atoms)
    result = pv.fit(data, pv.ModelConfig(hidden=(16,)), pv.TrainConfig(epochs=2, batch_size=64))
    chosen = np.arange(22) if atoms is None else frames.topology.select(atoms)
    return result.model, chosen


@pytest.fixture(scope="module")
def model(frames):
    result = pv.fit(frames, pv.ModelConfig(hidden=(16,)), pv.TrainConfig(epochs=2, batch_size=64))
    return result.model


def system_of(n: int, masses=None, box=None):
    system = openmm.System()
    for index in range(n):
        system.addParticle(1.0 if masses is None else float(masses[index]))
    if box is not None:
        system.setDefaultPeriodicBoxVectors(*box)
    return system


def context_of(system, positions):
    context = openmm.Context(
        system, openmm.VerletIntegrator(0.001), openmm.Platform.getPlatformByName("Reference")
    )
    context.setPositions(positions)
    return context


def energy_and_forces(system, positions):
    state = context_of(system, positions).getState(energy=True, forces=True)
    return state.getPotentialEnergy()._value, state.getForces(asNumpy=True)._value


def latent_of(model, positions):
    return np.asarray(model.encode(np.asarray(positions, np.float32)).mean)


def gradient_of(model, positions, dimension):
    def value(x):
        return model.vae.encode(model.representation(model.alignment(x))).mean[dimension]

    return np.asarray(jax.grad(value)(jnp.asarray(positions, jnp.float32)))


def test_a_latent_force_is_the_value_and_minus_its_gradient(case, frames):
    model, atoms = case
    system = system_of(22, frames.masses)
    for dimension in range(2):
        system.addForce(latent_force(model, system, atoms, dimension))
        system.getForce(dimension).setForceGroup(dimension)
    for frame in frames.positions[::100]:
        context = context_of(system, frame.astype(float))
        for dimension in range(2):
            state = context.getState(energy=True, forces=True, groups={dimension})
            expected = latent_of(model, frame[atoms])[dimension]
            assert state.getPotentialEnergy()._value == pytest.approx(expected, rel=1e-4, abs=1e-5)
            forces = state.getForces(asNumpy=True)._value
            gradient = gradient_of(model, frame[atoms], dimension)
            np.testing.assert_allclose(
                -forces[atoms], gradient, rtol=1e-3, atol=1e-4 * np.abs(gradient).max()
            )
            others = np.setdiff1d(np.arange(22), atoms)
            np.testing.assert_array_equal(forces[others], 0.0)


def test_an_umbrella_pulls_to_its_center_and_can_be_moved(model, frames):
    system = system_of(22, frames.masses)
    system.addForce(umbrella_force(model, system, np.arange(22), [0.5, -0.5], 30.0))
    frame = frames.positions[3].astype(float)
    latent = latent_of(model, frame)
    context = context_of(system, frame)
    found = context.getState(energy=True).getPotentialEnergy()._value
    assert found == pytest.approx(15.0 * np.sum((latent - [0.5, -0.5]) ** 2), rel=1e-4)
    context.setParameter("umbrella_1", float(latent[0]))
    context.setParameter("umbrella_k", 2.0)
    moved = context.getState(energy=True).getPotentialEnergy()._value
    assert moved == pytest.approx((latent[1] + 0.5) ** 2, rel=1e-3)


def test_forces_are_minus_the_finite_difference_of_the_energy(model, frames):
    coordinate = LatentCoordinate(model)
    grid = Grid(low=(-2.0, -2.0), high=(2.0, 2.0), points=(21, 21), wall=50.0)
    values = np.random.default_rng(0).normal(size=(21, 21))
    frame = frames.positions[7].astype(float)
    forces = coordinate.energy_and_forces(grid, values, frame)[1]
    direction = forces / np.linalg.norm(forces)
    energies = [coordinate.energy_and_forces(grid, values, frame + h * direction)[0] for h in (2e-4, -2e-4)]
    assert -np.sum(forces * direction) == pytest.approx((energies[0] - energies[1]) / 4e-4, rel=0.02)


def test_a_molecule_in_pieces_across_the_box_is_the_same(model, frames):
    box = np.diag([1.4, 1.5, 1.6]) + np.tril(0.3 * np.ones((3, 3)), -1)
    coordinate = LatentCoordinate(model, periodic=True)
    rng = np.random.default_rng(0)
    for frame in frames.positions[::100]:
        broken = frame + rng.integers(-2, 3, size=(22, 3)) @ box
        np.testing.assert_allclose(coordinate.latent(broken, box), latent_of(model, frame), atol=2e-3)
    system = system_of(22, frames.masses, box)
    force = umbrella_force(model, system, np.arange(22), [0.0, 0.0], 10.0)
    force.setUsesPeriodicBoundaryConditions(True)
    system.addForce(force)
    nonbonded = openmm.NonbondedForce()
    nonbonded.setNonbondedMethod(openmm.NonbondedForce.CutoffPeriodic)
    nonbonded.setCutoffDistance(0.5)
    for _ in range(22):
        nonbonded.addParticle(0.0, 0.1, 0.0)
    system.addForce(nonbonded)
    periodic = umbrella_force(model, system, np.arange(22), [0.0, 0.0], 10.0)
    assert periodic.usesPeriodicBoundaryConditions()


def test_the_coordinate_survives_serialization(model, frames):
    system = system_of(22, frames.masses)
    system.addForce(umbrella_force(model, system, np.arange(22), [0.5, -0.5], 30.0))
    copy = openmm.XmlSerializer.deserialize(openmm.XmlSerializer.serialize(system))
    first, second = (energy_and_forces(each, frames.positions[5].astype(float)) for each in (system, copy))
    assert first[0] == second[0]
    np.testing.assert_array_equal(first[1], second[1])
    again = pickle.loads(pickle.dumps(LatentCoordinate(model)))
    np.testing.assert_array_equal(
        again.latent(frames.positions[5]), LatentCoordinate(model).latent(frames.positions[5])
    )


def test_the_grid_passes_through_its_points_and_is_smooth(x64):
    grid = Grid(low=(-1.0,), high=(1.0,), points=(41,), wall=10.0)
    values = np.sin(3 * grid.axes[0])
    for place in (-0.9, -0.05, 0.0, 0.42, 0.5):
        value, slope = jax.value_and_grad(lambda z: grid(jnp.asarray([z]), values))(place)
        assert float(value) == pytest.approx(np.sin(3 * place), abs=2e-4)
        assert float(slope) == pytest.approx(3 * np.cos(3 * place), abs=2e-2)
    beyond = grid(jnp.asarray([1.5]), values)
    assert float(beyond) == pytest.approx(np.sin(3.0) + 5.0 * 0.25)
    left, right = (float(jax.grad(lambda z: grid(jnp.asarray([z]), values))(0.05 + h)) for h in (-1e-9, 1e-9))
    assert left == pytest.approx(right, abs=1e-6)


def biased(model, folder, **changes):
    topology, positions = build_alanine_dipeptide()
    system = build_alanine_dipeptide_system(topology)
    settings = {"pace": 50, "record": 10, "save": 100, "height": 2.0, "sigma": 0.2, "points": 81} | changes
    bias = LatentMetadynamics(model, system, atoms_in_topology(model, topology), folder=folder, **settings)
    integrator = openmm.LangevinMiddleIntegrator(300.0, 5.0, 0.001)
    integrator.setRandomNumberSeed(1)
    platform = openmm.Platform.getPlatformByName("Reference")
    simulation = openmm.app.Simulation(topology, system, integrator, platform)
    simulation.context.setPositions(positions)
    simulation.context.setVelocitiesToTemperature(300.0, 2)
    return bias, simulation


def test_hills_are_added_where_the_molecule_is(model, tmp_path):
    bias, simulation = biased(model, tmp_path / "run")
    bias.step(simulation, 200)
    assert bias.colvar.shape == (20, 4)
    np.testing.assert_array_equal(bias.colvar[:, 0], np.arange(10, 201, 10))
    assert len(bias.hills) == 4
    # The first hill is whole, later ones on top of it are tempered by what is there.
    assert bias.hills[0, -1] == 2.0
    assert (bias.hills[1:, -1] < 2.0).all()
    expected = sum(hill[-1] * bias.grid.gaussian(hill[1:-1], np.array([0.2, 0.2])) for hill in bias.hills)
    np.testing.assert_allclose(bias.values, expected)
    # The simulation feels what has been filled.
    state = simulation.context.getState(positions=True, energy=True)
    filled = bias._filled.values
    np.testing.assert_array_equal(filled, bias.values)
    before = state.getPotentialEnergy()._value
    bias._filled.set(np.zeros_like(filled))
    simulation.context.setPositions(state.getPositions())
    after = simulation.context.getState(energy=True).getPotentialEnergy()._value
    latent = LatentCoordinate(model).latent(state.getPositions(asNumpy=True)._value)
    assert before - after == pytest.approx(float(bias.grid(jnp.asarray(latent), filled)), rel=1e-3)
    assert bias.free_energy().min() == 0.0
    assert bias.weights().mean() == pytest.approx(1.0)
    target = bias.write_colvar(tmp_path / "COLVAR")
    lines = target.read_text().splitlines()
    assert lines[0] == "#! FIELDS step z1 z2 bias weight"
    assert len(lines) == 21


def test_a_run_that_is_killed_goes_on_as_if_nothing_had_happened(model, tmp_path):
    whole, simulation = biased(model, tmp_path / "whole")
    whole.step(simulation, 300)
    killed, simulation = biased(model, tmp_path / "killed")
    killed.step(simulation, 250)
    del killed, simulation
    again, simulation = biased(model, tmp_path / "killed")
    assert again.resume(simulation)
    assert simulation.currentStep == 200
    again.step(simulation, 100)
    np.testing.assert_array_equal(again.colvar, whole.colvar)
    np.testing.assert_array_equal(again.hills, whole.hills)
    np.testing.assert_array_equal(again.values, whole.values)
    fresh, simulation = biased(model, tmp_path / "new")
    assert not fresh.resume(simulation)
    other, simulation = biased(model, tmp_path / "killed", bias_factor=5.0)
    with pytest.raises(InputError, match=r"is of a run with bias_factor=10.0; this one has bias_factor=5.0"):
        other.resume(simulation)
    (tmp_path / "killed" / "metadynamics.npz").write_bytes(b"nonsense")
    with pytest.raises(InputError, match="is damaged"):
        again.resume(simulation)


def test_atoms_are_found_by_name_in_a_larger_topology(model):
    topology, _ = build_alanine_dipeptide()
    assert atoms_in_topology(model, topology) == list(range(22))
    larger = openmm.app.Topology()
    chain = larger.addChain()
    for _ in range(3):
        larger.addAtom("O", openmm.app.Element.getBySymbol("O"), larger.addResidue("HOH", chain))
    for residue in topology.residues():
        copy = larger.addResidue(residue.name, chain)
        for atom in reversed(list(residue.atoms())):
            larger.addAtom(atom.name, atom.element, copy)
    found = atoms_in_topology(model, larger)
    names = [atom.name for atom in larger.atoms()]
    assert [names[index] for index in found] == [atom.name for atom in topology.atoms()]
    with pytest.raises(InputError, match=r"ACE-ALA-NME with the model's atoms are not in the topology"):
        atoms_in_topology(model, openmm.app.Topology())


@pytest.mark.parametrize(
    ("atoms", "message"),
    [
        (range(21), "`atoms` must hold 22 different indices, one for each atom of the model; got 21 in 21"),
        ([*range(21), 3], "got 21 in 22"),
        ([*range(21), 40], "must be particles of the system, 0 to 21; got 0 to 40"),
        ([1, 0, *range(2, 22)], "Atom 0 of the model weighs 1.008 Da, but particle 1 of the system 12.01"),
    ],
)
def test_atoms_that_are_not_the_models_are_refused(model, frames, atoms, message):
    with pytest.raises(InputError, match=message):
        latent_force(model, system_of(22, frames.masses), list(atoms))


def test_settings_that_do_not_fit_are_refused(model, frames, tmp_path):
    system = system_of(22, frames.masses)
    with pytest.raises(InputError, match="`dimension` must be from 0 to 1; got 2"):
        latent_force(model, system, range(22), 2)
    with pytest.raises(InputError, match="`center` must hold 2 finite numbers"):
        umbrella_force(model, system, range(22), [0.0], 1.0)
    with pytest.raises(InputError, match="`stiffness` must not be negative"):
        umbrella_force(model, system, range(22), [0.0, 0.0], -1.0)
    for settings, message in (
        ({"bias_factor": 1.0}, "`bias_factor` must be above 1; got 1.0"),
        ({"height": 0.0}, "`height` must be above 0"),
        ({"pace": 150, "record": 100}, "`pace`=150 must be a multiple of `record`=100"),
        ({"limits": (2.0, -2.0)}, "`limits` must rise"),
        ({"points": 11}, "need a grid at least as fine; 11 points from -4 to 4 are 0.8 apart"),
    ):
        with pytest.raises(InputError, match=message):
            LatentMetadynamics(model, system, range(22), folder=tmp_path, **settings)
    chain = pv.load(pv.bundled("polymer_2d.npz"))[:300]
    flat = pv.fit(chain, pv.ModelConfig(hidden=(4,)), pv.TrainConfig(epochs=1)).model
    with pytest.raises(InputError, match="the model was trained on 2 dimensions in σ"):
        LatentCoordinate(flat)
