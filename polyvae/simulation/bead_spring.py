"""The bead-spring polymer: a chain of soft bonds and bending angles with weak attraction, in 2-D or 3-D.

With bond lengths r_i, bond angles θ_i (π when straight) and distances r_ij of beads that are not bonded,

    U = Σ k_b/2 (r_i − b)² + Σ k_a/2 (θ_i − π)² + Σ 4ε [(σ/r_ij)¹² − (σ/r_ij)⁶].

There is no box and nothing else, so the ensemble is exactly symmetric under rotation, translation, mirror
image and reversal of the chain. Numbers are in reduced units: length σ₀, mass m, energy ε₀ and the time
τ = sqrt(m σ₀²/ε₀) that follows. OpenMM counts in nm, Da and kJ/mol, whose time unit sqrt(Da nm²/(kJ/mol)) is
exactly 1 ps, so that every reduced number goes to OpenMM as it is; the temperature enters as k_B T. Axes and
tables call the units σ, τ and ε; `bead_diameter` is a parameter, not the unit of length.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from polyvae.errors import InputError
from polyvae.simulation._openmm import import_openmm, openmm_seed
from polyvae.trajectory.trajectory import Trajectory
from polyvae.units import REDUCED

if TYPE_CHECKING:
    import openmm


@dataclass(frozen=True, kw_only=True)
class BeadSpringConfig:
    """Settings of the bead-spring polymer, in reduced units.

    Attributes:
        n_beads: beads in the chain.
        dims: 2 (the chain never leaves the plane z = 0) or 3.
        bond_length: rest length b of a bond.
        bond_stiffness: k_b; a bond fluctuates by about sqrt(k_B T / k_b), a fifth of its length by default.
        angle_stiffness: k_a, energy per rad². The persistence length is about 2 k_a / k_B T bonds in 2-D and
            k_a / k_B T in 3-D, before attraction.
        attraction: depth ε of the Lennard-Jones potential; 0 leaves beads without any interaction but bonds
            and angles.
        bead_diameter: σ of the Lennard-Jones potential.
        thermal_energy: k_B T.
        mass: mass of a bead.
        friction: friction rate γ of Langevin dynamics, 1/τ.
        time_step: τ.

    Raises:
        InputError: if a number is outside its range.
    """

    n_beads: int = 12
    dims: int = 2
    bond_length: float = 1.0
    bond_stiffness: float = 25.0
    angle_stiffness: float = 2.0
    attraction: float = 0.4
    bead_diameter: float = 0.8
    thermal_energy: float = 1.0
    mass: float = 1.0
    friction: float = 1.0
    time_step: float = 0.02

    def __post_init__(self) -> None:
        if self.n_beads < 2:
            raise InputError(f"`n_beads` must be at least 2; got {self.n_beads}.")
        if self.dims not in (2, 3):
            raise InputError(f"`dims` must be 2 or 3; got {self.dims}.")
        for name in ("bond_length", "bond_stiffness", "bead_diameter", "thermal_energy", "mass", "time_step"):
            value = getattr(self, name)
            if not (math.isfinite(value) and value > 0):
                raise InputError(f"`{name}` must be a positive number; got {value}.")
        for name in ("angle_stiffness", "attraction", "friction"):
            value = getattr(self, name)
            if not (math.isfinite(value) and value >= 0):
                raise InputError(f"`{name}` must be zero or a positive number; got {value}.")
        period = 2 * math.pi / (2 * math.sqrt(self.bond_stiffness / self.mass))
        if self.time_step > period / 10:
            raise InputError(
                f"`time_step` must be at most a tenth of the fastest bond vibration, {period / 10:.3g} τ; "
                f"got {self.time_step}."
            )


def build_bead_spring_system(config: BeadSpringConfig) -> openmm.System:
    """The polymer's potential as an OpenMM System, without a box.

    Lennard-Jones acts between all beads that are not bonded to each other.
    """
    mm = import_openmm()
    system = mm.System()
    bonds, angles, pairs = mm.HarmonicBondForce(), mm.HarmonicAngleForce(), mm.NonbondedForce()
    pairs.setNonbondedMethod(mm.NonbondedForce.NoCutoff)
    for bead in range(config.n_beads):
        system.addParticle(config.mass)
        pairs.addParticle(0.0, config.bead_diameter, config.attraction)
        if bead >= 1:
            bonds.addBond(bead - 1, bead, config.bond_length, config.bond_stiffness)
            pairs.addException(bead - 1, bead, 0.0, config.bead_diameter, 0.0)
        if bead >= 2:
            angles.addAngle(bead - 2, bead - 1, bead, math.pi, config.angle_stiffness)
    forces = [bonds]
    if config.angle_stiffness > 0:
        forces.append(angles)
    if config.attraction > 0:
        forces.append(pairs)
    for force in forces:
        system.addForce(force)
    return system


def simulate_bead_spring(
    config: BeadSpringConfig,
    n_frames: int,
    steps_between_frames: int,
    seed: int,
    *,
    equilibration_steps: int = 20_000,
    platform: str = "Reference",
) -> Trajectory:
    """One Langevin-dynamics run of the polymer, from a straight chain that is first equilibrated.

    Args:
        config: the polymer and its state point.
        n_frames: frames to keep.
        steps_between_frames: time steps from one frame to the next.
        seed: decides the noise and the first velocities; on the Reference platform the same seed gives the
            same bits.
        equilibration_steps: time steps before the first interval.
        platform: OpenMM's platform; Reference is the fastest for so few beads.

    Returns:
        positions of shape (n_frames, n_beads, dims) in σ₀, each frame with its geometric center at the
        origin, with times in τ, masses and bonds.

    Raises:
        InputError: if a count is not positive.
        MissingDependencyError: if OpenMM is not installed.
    """
    for name, value in (("n_frames", n_frames), ("steps_between_frames", steps_between_frames)):
        if value < 1:
            raise InputError(f"`{name}` must be at least 1; got {value}.")
    mm = import_openmm()
    integrator = _langevin_integrator(config)
    integrator.setRandomNumberSeed(openmm_seed(seed))
    context = mm.Context(
        build_bead_spring_system(config), integrator, mm.Platform.getPlatformByName(platform)
    )
    rng = np.random.default_rng(seed)
    start = np.zeros((config.n_beads, 3))
    start[:, 0] = config.bond_length * np.arange(config.n_beads)
    velocities = math.sqrt(config.thermal_energy / config.mass) * rng.standard_normal(start.shape)
    velocities[:, config.dims :] = 0.0
    context.setPositions(start)
    context.setVelocities(velocities)
    integrator.step(equilibration_steps)

    positions = np.empty((n_frames, config.n_beads, config.dims), np.float32)
    for frame in range(n_frames):
        integrator.step(steps_between_frames)
        coordinates = context.getState(getPositions=True).getPositions(asNumpy=True)._value
        # A free chain diffuses away; float32 keeps its digits if every frame sits at its own center.
        positions[frame] = (coordinates - coordinates.mean(axis=0))[:, : config.dims]
    beads = np.arange(config.n_beads)
    return Trajectory(
        positions=positions,
        times=np.arange(1, n_frames + 1) * (steps_between_frames * config.time_step),
        masses=np.full(config.n_beads, config.mass),
        bonds=np.stack([beads[:-1], beads[1:]], axis=1),
        bond_source="topology",
        units=REDUCED,
        source=f"bead-spring polymer, {config.dims}-D, seed {seed}",
    )


def _langevin_integrator(config: BeadSpringConfig) -> openmm.CustomIntegrator:
    """The LFMiddle Langevin integrator with a switch per degree of freedom.

    OpenMM's own Langevin integrators kick z too. Here noise is multiplied by `free`, 0 on the z axis of a
    planar system; forces have no z component there, so that z and its velocity stay 0 exactly.

    References:
        Zhang et al., J. Phys. Chem. A 123, 6056 (2019), doi:10.1021/acs.jpca.9b02771.
    """
    mm = import_openmm()
    integrator = mm.CustomIntegrator(config.time_step)
    damping = math.exp(-config.friction * config.time_step)
    integrator.addGlobalVariable("damping", damping)
    integrator.addGlobalVariable("thermal", math.sqrt(config.thermal_energy * (1 - damping**2)))
    integrator.addPerDofVariable("free", 1.0)
    integrator.setPerDofVariableByName("free", [mm.Vec3(1.0, 1.0, float(config.dims == 3))] * config.n_beads)
    integrator.addComputePerDof("v", "v + dt*f/m")
    integrator.addComputePerDof("x", "x + 0.5*dt*v")
    integrator.addComputePerDof("v", "damping*v + free*thermal*gaussian/sqrt(m)")
    integrator.addComputePerDof("x", "x + 0.5*dt*v")
    return integrator
