"""OPES: a known free-energy difference, the same bits after a restart, weights that analyses take."""

from types import SimpleNamespace
from unittest.mock import Mock

import jax.numpy as jnp
import numpy as np
import pytest

import polyvae as pv
from polyvae.analysis.free_energy import free_energy_difference
from polyvae.deployment.openmm import LatentMetadynamics, LatentOPES, RecordedRun
from polyvae.errors import InputError
from polyvae.units import BOLTZMANN_KJ_PER_MOL_K
from polyvae.vae import ConformationModel

openmm = pytest.importorskip("openmm")
pytest.importorskip("openmm.app")
pytest.importorskip("openmm_opes")
KBT = BOLTZMANN_KJ_PER_MOL_K * 300.0
HEIGHT, TILT = 6.0 * KBT, 1.0 * KBT
SETTINGS = {"pace": 50, "record": 10, "save": 1000, "limits": (-1.8, 1.8), "points": 121}


def distance_model(dims=1):
    """A model whose latent is the way from the first atom to the second, along x or x and y."""
    model = Mock(spec=ConformationModel)
    model.latent_dim = dims
    model.system = SimpleNamespace(units="molecular", dims=3, n_atoms=2, masses=None, bonds=None)
    model.alignment = model.representation = lambda positions: positions
    model.vae = SimpleNamespace(encode=lambda x: SimpleNamespace(mean=x[1, :dims] - x[0, :dims]))
    return model


def biased(folder, kind=LatentOPES, dims=1, seed=3, **changes):
    """One particle in a double well along x, from an anchor at the origin."""
    system = openmm.System()
    system.addParticle(0.0)
    system.addParticle(1.0)
    well = openmm.CustomExternalForce(f"{HEIGHT}*(x^2-1)^2+{TILT}*x+20*(y^2+z^2)")
    well.addParticle(1, [])
    system.addForce(well)
    bias = kind(distance_model(dims), system, [0, 1], folder=folder, **SETTINGS | changes)
    integrator = openmm.LangevinMiddleIntegrator(300.0, 10.0, 0.01)
    integrator.setRandomNumberSeed(seed)
    topology = openmm.app.Topology()
    chain = topology.addChain()
    for _ in range(2):
        topology.addAtom("C", None, topology.addResidue("X", chain))
    platform = openmm.Platform.getPlatformByName("Reference")
    simulation = openmm.app.Simulation(topology, system, integrator, platform)
    simulation.context.setPositions([[0.0, 0.0, 0.0], [-1.0, 0.0, 0.0]])
    return bias, simulation


def exact_difference():
    """F(x > 0) - F(x < 0) of the double well."""
    x = np.linspace(-2.5, 2.5, 20_001)
    boltzmann = np.exp(-(HEIGHT * (x**2 - 1) ** 2 + TILT * x) / KBT)
    return -KBT * np.log(boltzmann[x > 0].sum() / boltzmann[x < 0].sum())


def test_the_difference_between_two_wells_is_the_exact_one(tmp_path):
    """The rule alone, driven by Brownian dynamics in the double well: 120 000 steps of it take two seconds."""
    bias, _ = biased(tmp_path, barrier=20.0)
    axis, mobility = bias.grid.axes[0], 0.002 / KBT
    kicks = np.sqrt(2 * 0.002) * np.random.default_rng(5).normal(size=120_000)
    x, slopes = -1.0, np.zeros_like(axis)
    for step in range(1, 120_001):
        if step % 10 == 0:
            energy = float(np.interp(x, axis, bias.values))
            bias._rows.append(np.array([[step, x, energy]]))
            bias._change(step, np.array([x]), energy)
            if step % bias.pace == 0:
                slopes = np.gradient(bias.values, axis)
        force = -(4 * HEIGHT * x * (x * x - 1) + TILT) - np.interp(x, axis, slopes)
        x += mobility * force + kicks[step - 1]

    x = bias.colvar[:, 1]
    found = free_energy_difference(x < 0, x > 0, weights=bias.weights())
    assert found.transitions > 40
    assert found.error < 0.6
    assert abs(found.value - exact_difference()) < 3 * found.error
    populations = np.exp(-bias.free_energy() / bias.kbt)
    from_kernels = -KBT * np.log(populations[axis > 0].sum() / populations[axis < 0].sum())
    assert from_kernels == pytest.approx(exact_difference(), abs=0.7)
    assert bias.values.min() >= -20.0 - 1e-9
    assert 3 < bias.n_kernels < 60
    # The same from weighted frames.
    trajectory = pv.Trajectory(positions=np.repeat(x[:, None, None], 3, 2), weights=bias.weights())
    surface = pv.free_energy_surface(x, weights=trajectory.weights, num_samples=30)
    wells = [surface.energy[np.argmin(np.abs(surface.centers[0] - place))] for place in (-1.0, 1.0)]
    assert wells[1] - wells[0] == pytest.approx(2 * TILT, abs=1.2)


def test_the_particle_feels_the_bias_and_its_frames_are_kept(tmp_path):
    bias, simulation = biased(tmp_path, keep_frames=True)
    bias.step(simulation, 1500)
    positions, boxes = bias.frames()
    assert boxes is None
    assert positions.shape == (150, 2, 3)
    np.testing.assert_allclose(positions[:, 1, 0], bias.colvar[:, 1], atol=1e-6)
    assert pv.Trajectory(positions=positions, weights=bias.weights()).weights.sum() == pytest.approx(150)
    state = simulation.context.getState(positions=True, energy=True)
    x, y, z = state.getPositions(asNumpy=True)._value[1]
    well = HEIGHT * (x**2 - 1) ** 2 + TILT * x + 20 * (y**2 + z**2)
    expected = np.interp(x, bias.grid.axes[0], bias.values)
    assert state.getPotentialEnergy()._value - well == pytest.approx(expected, abs=0.05)


def test_the_force_can_have_a_group_of_its_own_and_a_longer_step(tmp_path):
    bias, simulation = biased(tmp_path)
    system = simulation.system
    bias.force.setForceGroup(1)
    integrator = openmm.MTSLangevinIntegrator(300.0, 10.0, 0.02, [(0, 2), (1, 1)])
    platform = openmm.Platform.getPlatformByName("Reference")
    slower = openmm.app.Simulation(simulation.topology, system, integrator, platform)
    slower.context.setPositions([[0.0, 0.0, 0.0], [-1.0, 0.0, 0.0]])
    bias.step(slower, 800)
    assert bias.colvar.shape == (80, 3)
    of_bias = slower.context.getState(energy=True, groups={1}).getPotentialEnergy()._value
    x = slower.context.getState(positions=True).getPositions(asNumpy=True)._value[1, 0]
    assert of_bias == pytest.approx(np.interp(x, bias.grid.axes[0], bias.values), abs=0.05)


def test_a_run_that_is_killed_goes_on_with_the_same_bits(tmp_path):
    settings = {"pace": 20, "save": 400, "keep_frames": True}
    whole, simulation = biased(tmp_path / "whole", **settings)
    whole.step(simulation, 1200)
    killed, simulation = biased(tmp_path / "killed", **settings)
    killed.step(simulation, 700)
    again, simulation = biased(tmp_path / "killed", seed=99, **settings)
    assert again.resume(simulation)
    assert simulation.currentStep == 400
    again.step(simulation, 800)
    assert again.n_kernels == whole.n_kernels > 3
    np.testing.assert_array_equal(again.colvar, whole.colvar)
    np.testing.assert_array_equal(again.values, whole.values)
    np.testing.assert_array_equal(again.frames()[0], whole.frames()[0])
    np.testing.assert_array_equal(again.weights(), whole.weights())
    assert len(again.files) == 4
    other, simulation = biased(tmp_path / "killed", **settings, barrier=30.0)
    with pytest.raises(
        InputError, match=r"is of a run with barrier=40.0, bias_factor=.*; this one has barrier=30"
    ):
        other.resume(simulation)
    (tmp_path / "killed" / "opes_frames_00001.npz").write_bytes(b"")
    with pytest.raises(InputError, match="opes_frames_00001.npz, frames of this run, is missing or damaged"):
        again.frames()


def test_two_dimensions_lie_on_the_grid_as_they_should(tmp_path):
    bias, simulation = biased(tmp_path / "run", dims=2, sigma=(0.1, 0.2), points=31)
    bias.step(simulation, 1000)
    now = bias.colvar[-1]
    assert bias.values.shape == (31, 31)
    # The bias is deepest where the particle has been: around x = -1 and y = 0.
    deepest = np.unravel_index(bias.values.argmax(), (31, 31))
    places = [axis[index] for axis, index in zip(bias.grid.axes, deepest, strict=True)]
    assert places[0] < -0.4
    assert abs(places[1]) < 0.5
    energy = bias.grid(jnp.asarray(now[1:3], jnp.float32), bias._filled.on_device)
    assert -bias.barrier <= float(energy) < bias.barrier


def test_metadynamics_keeps_frames_too_and_a_run_may_have_no_bias(tmp_path):
    bias, simulation = biased(tmp_path / "hills", LatentMetadynamics, sigma=0.1, keep_frames=True)
    bias.step(simulation, 200)
    assert bias.frames()[0].shape == (20, 2, 3)
    plain = RecordedRun(tmp_path / "plain", [1], record=10, save=50)
    with pytest.raises(InputError, match="holds no frames yet"):
        plain.frames()
    plain.step(simulation, 100)
    assert plain.frames()[0].shape == (10, 1, 3)
    silent, simulation = biased(tmp_path / "silent")
    with pytest.raises(InputError, match="keeps no frames"):
        silent.frames()
    with pytest.raises(InputError, match="There is no kernel yet"):
        silent.free_energy()


def test_a_simulation_that_blows_up_says_so(tmp_path):
    bias, simulation = biased(tmp_path)
    simulation.integrator.setStepSize(10.0)
    with pytest.raises(InputError, match=r"not finite at step|blown up"):
        bias.step(simulation, 1000)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"barrier": 1.0}, "`barrier` must be above 2.49"),
        ({"bias_factor": 0.5}, "`bias_factor` must be above 1; got 0.5"),
        ({"sigma": 0.0}, "`sigma` must be positive, or None to measure it; got 0.0"),
        ({"compression": 0.0}, "`compression` must be above 0"),
        ({"pace": 15}, "`pace`=15 must be a multiple of `record`=10"),
        ({"save": 1010}, "`save`=1010 must be a multiple of `pace`=50"),
        ({"points": 3}, "`points` must be at least 4; got 3"),
        ({"temperature": -1.0}, "`temperature` must be above 0"),
        ({"dims": 3}, "has 3 latent dimensions; a bias on a grid fills one or two"),
    ],
)
def test_settings_that_do_not_fit_are_refused(tmp_path, changes, message):
    with pytest.raises(InputError, match=message):
        biased(tmp_path, **changes)
