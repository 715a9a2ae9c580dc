"""Energies and minima against numbers computed by hand, and what is said where there is none."""

import math
import sys

import mdtraj
import numpy as np
import pytest

import polyvae as pv
from polyvae.errors import InputError, MissingDependencyError, PolyvaeWarning
from polyvae.simulation import (
    BeadSpringConfig,
    build_alanine_dipeptide,
    build_alanine_dipeptide_system,
    build_bead_spring_system,
    minimize_energy,
    potential_energy,
)
from polyvae.trajectory import Trajectory
from polyvae.units import BOLTZMANN_KJ_PER_MOL_K, REDUCED

openmm = pytest.importorskip("openmm", reason="energies need OpenMM")

# Bonds of length 1 and stiffness 50, angles of 2 rad and stiffness 20.
LENGTH, STIFFNESS, ANGLE, BENDING = 1.0, 50.0, 2.0, 20.0


def harmonic_chain(n_beads: int = 3):
    system, bonds, angles = openmm.System(), openmm.HarmonicBondForce(), openmm.HarmonicAngleForce()
    for bead in range(n_beads):
        system.addParticle(1.0)
        if bead >= 1:
            bonds.addBond(bead - 1, bead, LENGTH, STIFFNESS)
        if bead >= 2:
            angles.addAngle(bead - 2, bead - 1, bead, ANGLE, BENDING)
    system.addForce(bonds)
    system.addForce(angles)
    return system


def triangle(first: float, second: float, angle: float, dims: int) -> np.ndarray:
    """Three beads with these bond lengths and this angle."""
    frame = np.zeros((3, dims))
    frame[0, 0] = first
    frame[2, :2] = second * math.cos(angle), second * math.sin(angle)
    return frame


def lennard_jones_pair(*, periodic: bool = False):
    system, pairs = openmm.System(), openmm.NonbondedForce()
    for _ in range(2):
        system.addParticle(1.0)
        pairs.addParticle(0.0, 0.3, 1.0)
    if periodic:
        pairs.setNonbondedMethod(openmm.NonbondedForce.CutoffPeriodic)
        pairs.setCutoffDistance(0.9)
        pairs.setUseDispersionCorrection(False)
    system.addForce(pairs)
    return system


def pair_at(*distances: float, **changes) -> Trajectory:
    positions = np.zeros((len(distances), 2, 3))
    positions[:, 1, 0] = distances
    return Trajectory(positions=positions, **changes)


@pytest.mark.parametrize("dims", [2, 3])
def test_energy_of_bonds_and_angle_is_that_computed_by_hand(dims):
    shapes = [(1.1, 0.8, 2.0), (1.0, 1.0, 1.5), (1.3, 0.9, 2.6)]
    trajectory = Trajectory(positions=np.stack([triangle(*shape, dims) for shape in shapes]))
    expected = [
        STIFFNESS / 2 * ((first - LENGTH) ** 2 + (second - LENGTH) ** 2) + BENDING / 2 * (angle - ANGLE) ** 2
        for first, second, angle in shapes
    ]
    energies = potential_energy(trajectory, harmonic_chain())
    # Positions are float32, whose rounding of 1e-7 is multiplied by forces of about 20.
    np.testing.assert_allclose(energies, expected, atol=1e-5)


def test_energy_does_not_change_when_frames_are_moved_and_turned(rng):
    frame = triangle(1.1, 0.8, 1.7, 3)
    turn = np.linalg.qr(rng.normal(size=(3, 3)))[0]
    trajectory = Trajectory(positions=np.stack([frame, frame @ turn.T + 2.0]))
    energies = potential_energy(trajectory, harmonic_chain())
    # Float32 positions, as above.
    assert energies[1] == pytest.approx(energies[0], abs=2e-5)


def test_periodic_pair_interacts_through_the_nearest_image_of_a_reduced_box():
    # A pair at 2.6 is one at 0.4 in a box of 3, and also in a slanted box that OpenMM does not take as it is.
    boxes = np.array([np.diag([3.0, 3.0, 3.0]), [[3, 0, 0], [6, 3, 0], [3, 3, 3]]])
    trajectory = pair_at(2.6, 2.6, box=boxes)
    near = 4 * ((0.3 / 0.4) ** 12 - (0.3 / 0.4) ** 6)
    # 2.6 and the box are exact to 1e-7 in float32; the slope is about 3.
    np.testing.assert_allclose(
        potential_energy(trajectory, lennard_jones_pair(periodic=True)), near, atol=1e-5
    )
    far = 4 * ((0.3 / 2.6) ** 12 - (0.3 / 2.6) ** 6)
    np.testing.assert_allclose(potential_energy(trajectory, lennard_jones_pair()), far, atol=1e-7)


def test_platforms_agree():
    trajectory = pair_at(0.31, 0.4, 0.7)
    energies = [
        potential_energy(trajectory, lennard_jones_pair(), platform=name) for name in ("Reference", "CPU")
    ]
    # CPU computes in single precision.
    np.testing.assert_allclose(energies[1], energies[0], rtol=1e-4)


def test_energy_without_finite_value_is_infinite_and_named():
    trajectory = pair_at(0.4, 0.0, 0.5, 0.0)
    with pytest.warns(PolyvaeWarning, match="2 of 4 frames have no finite energy, first frame 1"):
        energies = potential_energy(trajectory, lennard_jones_pair())
    np.testing.assert_array_equal(np.isposinf(energies), [False, True, False, True])
    assert np.isfinite(energies[[0, 2]]).all()


@pytest.mark.parametrize("dims", [2, 3])
def test_minimization_reaches_the_rest_lengths_and_the_rest_angle(dims, rng):
    start = triangle(1.2, 0.8, 1.6, dims) + 0.1 * rng.normal(size=(20, 3, dims))
    trajectory = Trajectory(positions=start, times=np.arange(20.0))
    system = harmonic_chain()
    minimized, energies = minimize_energy(trajectory, system, tolerance=1e-4)
    assert np.all(potential_energy(trajectory, system) > 0.01)
    # A root mean square force of 1e-4 leaves an energy of force²/(2 · 20), far below this.
    np.testing.assert_allclose(energies, 0.0, atol=1e-6)
    bonds = np.diff(minimized.positions.astype(np.float64), axis=1)
    lengths = np.linalg.norm(bonds, axis=2)
    cosines = -np.sum(bonds[:, 0] * bonds[:, 1], axis=1) / np.prod(lengths, axis=1)
    # Force by stiffness, and the rounding of float32.
    np.testing.assert_allclose(lengths, LENGTH, atol=2e-5)
    np.testing.assert_allclose(np.arccos(cosines), ANGLE, atol=5e-5)
    np.testing.assert_array_equal(minimized.times, trajectory.times)


def test_minimization_of_a_pair_ends_in_the_lennard_jones_minimum():
    minimized = minimize_energy(pair_at(0.32, 0.36), lennard_jones_pair(), tolerance=1e-3)
    # Depth ε = 1 at 2^(1/6) σ.
    np.testing.assert_allclose(minimized.energies, -1.0, atol=1e-6)
    distances = np.linalg.norm(np.diff(minimized.trajectory.positions, axis=1)[:, 0], axis=1)
    np.testing.assert_allclose(distances, 0.3 * 2 ** (1 / 6), atol=1e-4)


def test_few_iterations_lower_the_energy_less():
    config = BeadSpringConfig()
    trajectory = pv.load(pv.bundled("polymer_2d.npz"), stop=5)
    system = build_bead_spring_system(config)
    start = potential_energy(trajectory, system)
    few, many = (minimize_energy(trajectory, system, max_iterations=n).energies for n in (3, 300))
    assert np.all(few < start)
    assert np.all(many < few)


@pytest.mark.parametrize("platform", ["Reference", "CPU"])
def test_frame_that_cannot_be_minimized_stays_as_it_was(platform):
    trajectory = pair_at(0.0, 0.4)
    with pytest.warns(PolyvaeWarning, match="1 of 2 frames have no finite energy, first frame 0"):
        minimized, energies = minimize_energy(trajectory, lennard_jones_pair(), platform=platform)
    assert np.isposinf(energies[0])
    # Single precision, and the default tolerance.
    assert energies[1] == pytest.approx(-1.0, abs=1e-4)
    np.testing.assert_array_equal(minimized.positions[0], trajectory.positions[0])


def test_frame_that_the_minimizer_would_raise_stays_as_it_was(monkeypatch):
    def uphill(context, tolerance, iterations):
        context.setPositions(np.array([[0.0, 0.0, 0.0], [0.25, 0.0, 0.0]]))

    monkeypatch.setattr(openmm.LocalEnergyMinimizer, "minimize", staticmethod(uphill))
    trajectory = pair_at(0.4)
    with pytest.warns(PolyvaeWarning, match="found nothing lower near 1 of 1 frames"):
        minimized, energies = minimize_energy(trajectory, lennard_jones_pair())
    np.testing.assert_array_equal(minimized.positions, trajectory.positions)
    np.testing.assert_array_equal(energies, potential_energy(trajectory, lennard_jones_pair()))


def test_energies_of_the_bundled_molecule_are_half_kt_for_each_coordinate_above_the_minimum():
    trajectory = pv.load(
        pv.bundled("alanine_dipeptide.xtc"), top=pv.bundled("alanine_dipeptide.pdb"), stride=50
    )
    system = build_alanine_dipeptide_system(build_alanine_dipeptide()[0])
    energies = potential_energy(trajectory, system)
    assert np.isfinite(energies).all()
    lowest = minimize_energy(trajectory[:10], system, max_iterations=500).energies.min()
    thermal = 500 * BOLTZMANN_KJ_PER_MOL_K
    # 66 coordinates without 6 of rigid motion and 12 rigid bonds. Harmonic coordinates would give exactly one half; the
    # torsions of methyl groups and backbone are none, and their barriers of kT add or take some tenths of kT each.
    assert (energies.mean() - lowest) / thermal == pytest.approx(48 / 2, rel=0.15)
    assert energies.std() / thermal == pytest.approx(math.sqrt(48 / 2), rel=0.15)


def topology_of(symbols: str) -> mdtraj.Topology:
    topology = mdtraj.Topology()
    residue = topology.add_residue("GLY", topology.add_chain())
    for symbol in symbols:
        topology.add_atom(symbol, mdtraj.element.get_by_symbol(symbol), residue)
    return topology


@pytest.mark.parametrize(
    ("symbols", "selection", "reason"),
    [
        (None, None, "Perhaps the trajectory lacks hydrogens or solvent"),
        ("CHHH", None, "Perhaps the trajectory holds solvent or ions"),
        (None, "backbone", "The trajectory holds the selection 'backbone': load all atoms"),
        ("CN", None, "The trajectory holds no hydrogens"),
        ("CH", None, "Perhaps the trajectory lacks hydrogens or solvent"),
    ],
)
def test_another_number_of_atoms_is_refused_with_a_reason(symbols, selection, reason):
    n_atoms = len(symbols or "CC")
    topology = topology_of(symbols) if symbols else None
    trajectory = Trajectory(
        positions=np.zeros((1, n_atoms, 3)), topology=topology, selection=selection, source="run.xtc"
    )
    with pytest.raises(InputError, match=f"run.xtc: the system has 3 .* {n_atoms} atoms. {reason}"):
        potential_energy(trajectory, harmonic_chain())


def test_virtual_sites_are_named():
    system = harmonic_chain()
    system.addParticle(0.0)
    system.setVirtualSite(3, openmm.TwoParticleAverageSite(0, 1, 0.5, 0.5))
    trajectory = Trajectory(positions=np.zeros((1, 3, 3)))
    with pytest.raises(
        InputError, match=r"4 particles, but the trajectory 3 atoms. The system has 1 virtual"
    ):
        minimize_energy(trajectory, system)


def test_periodic_system_needs_a_box_along_the_axes():
    system = lennard_jones_pair(periodic=True)
    with pytest.raises(InputError, match="the system is periodic, but the trajectory has no box"):
        potential_energy(pair_at(0.4), system)
    turned = np.array([[[0.0, 3.0, 0.0], [3.0, 0.0, 0.0], [0.0, 0.0, 3.0]]])
    with pytest.raises(InputError, match="the first box vector must lie along x"):
        potential_energy(pair_at(0.4, box=turned), system)


def test_unknown_platform_is_refused():
    with pytest.raises(InputError, match="`platform` must be one of 'Reference'.*; got 'Abacus'"):
        potential_energy(pair_at(0.4), lennard_jones_pair(), platform="Abacus")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"max_iterations": 0}, "`max_iterations` must be at least 1; got 0"),
        ({"tolerance": 0.0}, "`tolerance` must be a positive number; got 0.0"),
        ({"tolerance": math.inf}, "`tolerance` must be a positive number; got inf"),
    ],
)
def test_settings_of_the_minimizer_outside_their_range_are_refused(settings, message):
    with pytest.raises(InputError, match=message):
        minimize_energy(pair_at(0.4), lennard_jones_pair(), **settings)


def test_system_that_pulls_out_of_the_plane_has_no_planar_minimum():
    system = harmonic_chain()
    well = openmm.CustomExternalForce("(z-1)^2")
    for bead in range(3):
        well.addParticle(bead)
    system.addForce(well)
    planar = Trajectory(positions=triangle(1.1, 0.9, 1.8, 2)[None], units=REDUCED)
    with pytest.raises(InputError, match="the system pulls frame 0 out of its plane"):
        minimize_energy(planar, system)


def test_missing_openmm_names_the_extra(monkeypatch):
    system = harmonic_chain()
    monkeypatch.setitem(sys.modules, "openmm", None)
    with pytest.raises(MissingDependencyError, match=r'pip install "polyvae\[openmm\]"'):
        potential_energy(pair_at(0.4), system)
    with pytest.raises(MissingDependencyError, match=r'pip install "polyvae\[openmm\]"'):
        minimize_energy(pair_at(0.4), system)
