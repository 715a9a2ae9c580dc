import math
import sys

import numpy as np
import pytest

from polyvae.errors import InputError, MissingDependencyError
from polyvae.simulation import BeadSpringConfig, build_bead_spring_system, simulate_bead_spring
from polyvae.simulation.bead_spring import _langevin_integrator

openmm = pytest.importorskip("openmm", reason="simulations need OpenMM")

# Bonds alone: every average below has a closed form. High friction makes samples independent soon.
IDEAL = {"angle_stiffness": 0.0, "attraction": 0.0, "friction": 4.0}


def bond_vectors(trajectory):
    return np.diff(trajectory.positions.astype(np.float64), axis=1)


def radial_moments(config):
    """Mean of r and r² of a free bond: weight r^(dims-1) exp(-k (r - b)²/2kT)."""
    r = np.linspace(1e-6, config.bond_length + 8 / math.sqrt(config.bond_stiffness), 20_001)
    energy = config.bond_stiffness * (r - config.bond_length) ** 2 / (2 * config.thermal_energy)
    weight = r ** (config.dims - 1) * np.exp(-energy)
    weight /= weight.sum()
    return weight @ r, weight @ r**2


@pytest.fixture(scope="module", params=[2, 3])
def ideal_chain(request):
    config = BeadSpringConfig(n_beads=6, dims=request.param, **IDEAL)
    return config, simulate_bead_spring(config, 4000, 40, seed=1)


def test_bond_length_has_the_mean_and_variance_of_a_thermal_spring(ideal_chain):
    config, trajectory = ideal_chain
    r = np.linalg.norm(bond_vectors(trajectory), axis=-1)
    mean, square = radial_moments(config)
    # 20 000 bonds, correlated over about one frame: standard errors 0.002 and 2 %; the tolerance is 4 of
    # them.
    assert r.mean() == pytest.approx(mean, abs=0.008)
    assert r.var() == pytest.approx(square - mean**2, rel=0.08)


def test_ideal_chain_has_the_radius_of_gyration_of_a_random_walk(ideal_chain):
    config, trajectory = ideal_chain
    positions = trajectory.positions.astype(np.float64)
    square = ((positions - positions.mean(axis=1, keepdims=True)) ** 2).sum(-1).mean()
    n = config.n_beads - 1  # bonds
    expected = radial_moments(config)[1] * n * (n + 2) / (6 * (n + 1))
    # The whole chain forgets its shape in about 5 frames: 800 independent values that scatter by 50 %: 2 %.
    assert square == pytest.approx(expected, rel=0.08)


def test_bonds_of_an_ideal_chain_point_in_independent_directions(ideal_chain):
    bonds = bond_vectors(ideal_chain[1])
    unit = bonds / np.linalg.norm(bonds, axis=-1, keepdims=True)
    cosine = (unit[:, :-1] * unit[:, 1:]).sum(-1).mean()
    assert abs(cosine) < 0.06  # 4000 frames x 4 angles, correlated over a few frames: standard error 0.015


def test_planar_angles_give_the_persistence_length_of_the_docstring():
    config = BeadSpringConfig(n_beads=8, angle_stiffness=2.0, attraction=0.0)
    bonds = bond_vectors(simulate_bead_spring(config, 3000, 40, seed=2))
    unit = bonds / np.linalg.norm(bonds, axis=-1, keepdims=True)
    cosine = (unit[:, :-1] * unit[:, 1:]).sum(-1).mean()
    # Deviations from straight are normal with variance kT/k_a in 2-D: <cos> = exp(-kT/2k_a).
    assert cosine == pytest.approx(math.exp(-1 / 4), abs=0.03)


def planar_context(config, seed):
    """The polymer at its own integrator, straight and at rest."""
    integrator = _langevin_integrator(config)
    integrator.setRandomNumberSeed(seed)
    context = openmm.Context(
        build_bead_spring_system(config), integrator, openmm.Platform.getPlatformByName("Reference")
    )
    straight = np.zeros((config.n_beads, 3))
    straight[:, 0] = np.arange(config.n_beads)
    context.setPositions(straight)
    return context, integrator


def test_kinetic_energy_is_half_kt_per_free_coordinate():
    context, integrator = planar_context(BeadSpringConfig(n_beads=6, friction=4.0), seed=5)
    integrator.step(2000)
    energies = []
    for _ in range(3000):
        integrator.step(20)
        velocities = context.getState(getVelocities=True).getVelocities(asNumpy=True)._value
        energies.append(0.5 * (velocities**2).sum())
    # 12 free coordinates; neighboring frames are nearly independent: standard error 1 %, and the time step
    # adds 1 %.
    assert np.mean(energies) == pytest.approx(12 / 2, rel=0.05)


def test_planar_chain_never_leaves_the_plane():
    context, integrator = planar_context(BeadSpringConfig(), seed=6)
    integrator.step(20_000)
    state = context.getState(getPositions=True, getVelocities=True)
    positions = state.getPositions(asNumpy=True)._value
    assert np.all(positions[:, 2] == 0.0)
    assert np.all(state.getVelocities(asNumpy=True)._value[:, 2] == 0.0)
    assert np.ptp(positions[:, 1]) > 0.1


def test_energy_is_the_sum_of_bonds_angles_and_lennard_jones(rng):
    config = BeadSpringConfig(n_beads=5, dims=3)
    positions = np.cumsum(rng.normal(size=(5, 3)), axis=0)
    bonds = np.diff(positions, axis=0)
    lengths = np.linalg.norm(bonds, axis=1)
    bend = np.arccos((bonds[:-1] * bonds[1:]).sum(1) / (lengths[:-1] * lengths[1:]))
    first, second = np.triu_indices(5, 2)  # two beads or more along the chain
    ratio = (config.bead_diameter / np.linalg.norm(positions[first] - positions[second], axis=1)) ** 6
    expected = (
        config.bond_stiffness / 2 * ((lengths - config.bond_length) ** 2).sum()
        + config.angle_stiffness / 2 * (bend**2).sum()
        + 4 * config.attraction * (ratio**2 - ratio).sum()
    )
    system = build_bead_spring_system(config)
    context = openmm.Context(
        system, openmm.VerletIntegrator(0.01), openmm.Platform.getPlatformByName("Reference")
    )
    assert not system.usesPeriodicBoundaryConditions()
    for mirrored in (positions, positions * [1, 1, -1], positions[::-1]):
        context.setPositions(mirrored)
        energy = context.getState(getEnergy=True).getPotentialEnergy()._value
        assert energy == pytest.approx(expected, rel=1e-9)


def test_same_seed_gives_the_same_bits_and_another_seed_does_not():
    def run(seed):
        return simulate_bead_spring(BeadSpringConfig(), 5, 20, seed, equilibration_steps=100).positions

    np.testing.assert_array_equal(run(0), run(0))
    assert not np.array_equal(run(0), run(1))


def test_trajectory_carries_times_masses_bonds_and_reduced_units():
    trajectory = simulate_bead_spring(BeadSpringConfig(dims=3, n_beads=4), 3, 50, 0, equilibration_steps=0)
    assert trajectory.positions.shape == (3, 4, 3)
    assert trajectory.units.name == "reduced"
    np.testing.assert_allclose(trajectory.times, [1.0, 2.0, 3.0])
    np.testing.assert_array_equal(trajectory.masses, np.ones(4))
    np.testing.assert_array_equal(trajectory.bonds, [[0, 1], [1, 2], [2, 3]])
    assert trajectory.box is None


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"dims": 1}, "`dims` must be 2 or 3; got 1"),
        ({"n_beads": 1}, "`n_beads` must be at least 2; got 1"),
        ({"bond_stiffness": -1.0}, "`bond_stiffness` must be a positive number; got -1.0"),
        ({"thermal_energy": math.nan}, "`thermal_energy` must be a positive number; got nan"),
        ({"attraction": -0.1}, "`attraction` must be zero or a positive number; got -0.1"),
        ({"time_step": 0.5}, "`time_step` must be at most a tenth"),
    ],
)
def test_settings_outside_their_range_are_refused(settings, message):
    with pytest.raises(InputError, match=message):
        BeadSpringConfig(**settings)


@pytest.mark.parametrize(("n_frames", "steps", "name"), [(0, 1, "n_frames"), (1, 0, "steps_between_frames")])
def test_a_run_without_frames_or_steps_is_refused(n_frames, steps, name):
    with pytest.raises(InputError, match=f"`{name}` must be at least 1; got 0"):
        simulate_bead_spring(BeadSpringConfig(), n_frames, steps, 0)


def test_missing_openmm_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "openmm", None)
    with pytest.raises(MissingDependencyError, match=r'pip install "polyvae\[openmm\]"'):
        simulate_bead_spring(BeadSpringConfig(), 1, 1, 0)
