"""Alanine dipeptide (ACE-ALA-NME, 22 atoms) in implicit solvent or in vacuum, the classic test molecule.

Force field AMBER ff99SB-ILDN with the Onufriev-Bashford-Case model II of water (OBC2), bonds to hydrogen
rigid. The molecule is built here from ideal bond lengths, angles and dihedrals, so that no structure file is
needed. At 300 K the passage from C7eq to C7ax (φ from negative to positive) is not seen in tens of
nanoseconds; at 500 K it is.

References:
    Lindorff-Larsen et al., Proteins 78, 1950 (2010), doi:10.1002/prot.22711 (ff99SB-ILDN).
    Onufriev, Bashford, Case, Proteins 55, 383 (2004), doi:10.1002/prot.20033 (OBC2).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import mdtraj
import numpy as np

from polyvae.errors import InputError
from polyvae.simulation._openmm import import_openmm, openmm_seed
from polyvae.trajectory.trajectory import Trajectory

if TYPE_CHECKING:
    import openmm
    import openmm.app

_PHI, _PSI = -80.0, 75.0
"""Dihedrals of the first structure, degrees: C7eq."""

_RADIUS_OFFSET = 0.009
"""OBC2 makes every Born radius smaller by this, nm; CustomGBForce stores radii after, GBSAOBCForce before."""

# Residue, atom, atoms that place it (bonded one first), distance/Å, angle/degrees, dihedral/degrees.
_INTERNAL_COORDINATES = (
    ("ACE", "H1", (), 0.0, 0.0, 0.0),
    ("ACE", "CH3", (0,), 1.09, 0.0, 0.0),
    ("ACE", "H2", (1, 0), 1.09, 109.5, 0.0),
    ("ACE", "H3", (1, 0, 2), 1.09, 109.5, 120.0),
    ("ACE", "C", (1, 0, 2), 1.52, 109.5, -120.0),
    ("ACE", "O", (4, 1, 0), 1.23, 120.5, 0.0),
    ("ALA", "N", (4, 1, 5), 1.335, 116.5, 180.0),
    ("ALA", "H", (6, 4, 5), 1.01, 119.5, 180.0),
    ("ALA", "CA", (6, 4, 5), 1.45, 122.0, 0.0),
    ("ALA", "HA", (8, 6, 4), 1.09, 109.5, _PHI + 120.0),
    ("ALA", "CB", (8, 6, 4), 1.53, 110.0, _PHI - 120.0),
    ("ALA", "HB1", (10, 8, 6), 1.09, 109.5, 60.0),
    ("ALA", "HB2", (10, 8, 6), 1.09, 109.5, 180.0),
    ("ALA", "HB3", (10, 8, 6), 1.09, 109.5, -60.0),
    ("ALA", "C", (8, 6, 4), 1.52, 111.0, _PHI),
    ("ALA", "O", (14, 8, 6), 1.23, 120.5, _PSI + 180.0),
    ("NME", "N", (14, 8, 6), 1.335, 116.5, _PSI),
    ("NME", "H", (16, 14, 15), 1.01, 119.5, 180.0),
    ("NME", "C", (16, 14, 15), 1.45, 122.0, 0.0),
    ("NME", "H1", (18, 16, 14), 1.09, 109.5, 60.0),
    ("NME", "H2", (18, 16, 14), 1.09, 109.5, 180.0),
    ("NME", "H3", (18, 16, 14), 1.09, 109.5, -60.0),
)


@dataclass(frozen=True, kw_only=True)
class AlanineDipeptideConfig:
    """Settings of the alanine dipeptide run.

    Attributes:
        temperature: K.
        friction: friction rate of Langevin dynamics, 1/ps.
        time_step: ps; bonds to hydrogen are rigid, so 0.002 is safe.
        solvent: "implicit" is OBC2 water, "none" is vacuum.

    Raises:
        InputError: if a number is outside its range.
    """

    temperature: float = 500.0
    friction: float = 1.0
    time_step: float = 0.002
    solvent: Literal["implicit", "none"] = "implicit"

    def __post_init__(self) -> None:
        for name in ("temperature", "friction", "time_step"):
            value = getattr(self, name)
            if not (math.isfinite(value) and value > 0):
                raise InputError(f"`{name}` must be a positive number; got {value}.")
        if self.time_step > 0.004:
            raise InputError(
                f"`time_step` must be at most 0.004 ps with rigid hydrogens; got {self.time_step}."
            )
        if self.solvent not in ("implicit", "none"):
            raise InputError(f"`solvent` must be 'implicit' or 'none'; got {self.solvent!r}.")


def build_alanine_dipeptide() -> tuple[openmm.app.Topology, np.ndarray]:
    """Topology and first positions of L-alanine dipeptide in C7eq, from ideal internal coordinates.

    Returns:
        OpenMM's topology and positions of shape (22, 3) in nm.
    """
    app = import_openmm().app
    topology = app.Topology()
    chain = topology.addChain("A")
    atoms = []
    residue = None
    for residue_name, name, references, *_ in _INTERNAL_COORDINATES:
        if residue is None or residue.name != residue_name:
            residue = topology.addResidue(residue_name, chain)
        atoms.append(topology.addAtom(name, app.Element.getBySymbol(name[0]), residue))
        if references:
            topology.addBond(atoms[references[0]], atoms[-1])
    return topology, _place_atoms()


def build_alanine_dipeptide_system(
    topology: openmm.app.Topology, *, solvent: Literal["implicit", "none"] = "implicit"
) -> openmm.System:
    """Force field and implicit solvent, or none, as an OpenMM System, without a box.

    OpenMM's implicit/obc2.xml (Amber's igb=5 with mbondi2 radii) writes OBC2 as a CustomGBForce, which is
    interpreted term by term. Here its parameters move into a GBSAOBCForce, the same model in native code.
    """
    mm = import_openmm()
    files = ["amber99sbildn.xml"] + (["implicit/obc2.xml"] if solvent == "implicit" else [])
    system = mm.app.ForceField(*files).createSystem(
        topology, nonbondedMethod=mm.app.NoCutoff, constraints=mm.app.HBonds, removeCMMotion=False
    )
    if solvent == "none":
        return system
    (index,) = (i for i, force in enumerate(system.getForces()) if isinstance(force, mm.CustomGBForce))
    custom, native = system.getForce(index), mm.GBSAOBCForce()
    native.setSoluteDielectric(1.0)
    native.setSolventDielectric(78.5)
    for atom in range(custom.getNumParticles()):
        charge, offset_radius, scaled_radius = custom.getParticleParameters(atom)
        native.addParticle(charge, offset_radius + _RADIUS_OFFSET, scaled_radius / offset_radius)
    system.removeForce(index)
    system.addForce(native)
    return system


def simulate_alanine_dipeptide(
    config: AlanineDipeptideConfig,
    n_frames: int,
    steps_between_frames: int,
    seed: int,
    *,
    equilibration_steps: int = 50_000,
    platform: str = "Reference",
) -> Trajectory:
    """One Langevin-dynamics run from the minimized C7eq structure.

    Args:
        config: temperature and integration.
        n_frames: frames to keep.
        steps_between_frames: time steps from one frame to the next.
        seed: decides the noise and the first velocities; on the Reference platform the same seed gives the
            same bits.
        equilibration_steps: time steps before the first interval.
        platform: OpenMM's platform; Reference is the fastest for 22 atoms.

    Returns:
        positions of shape (n_frames, 22, 3) in nm, each frame with its geometric center at the origin, with
        times in ps, masses in Da, topology and bonds; no box.

    Raises:
        InputError: if a count is not positive.
        MissingDependencyError: if OpenMM is not installed.
    """
    for name, value in (("n_frames", n_frames), ("steps_between_frames", steps_between_frames)):
        if value < 1:
            raise InputError(f"`{name}` must be at least 1; got {value}.")
    mm = import_openmm()
    topology, start = build_alanine_dipeptide()
    system = build_alanine_dipeptide_system(topology, solvent=config.solvent)
    integrator = mm.LangevinMiddleIntegrator(config.temperature, config.friction, config.time_step)
    integrator.setRandomNumberSeed(openmm_seed(seed))
    context = mm.Context(system, integrator, mm.Platform.getPlatformByName(platform))
    context.setPositions(start)
    mm.LocalEnergyMinimizer.minimize(context)
    context.setVelocitiesToTemperature(config.temperature, openmm_seed(seed))
    integrator.step(equilibration_steps)

    place = "" if config.solvent == "implicit" else " in vacuum"
    positions = np.empty((n_frames, len(start), 3), np.float32)
    for frame in range(n_frames):
        integrator.step(steps_between_frames)
        coordinates = context.getState(getPositions=True).getPositions(asNumpy=True)._value
        positions[frame] = coordinates - coordinates.mean(axis=0)
    return Trajectory(
        positions=positions,
        times=np.arange(1, n_frames + 1) * (steps_between_frames * config.time_step),
        topology=mdtraj.Topology.from_openmm(topology),
        masses=np.array([atom.element.mass._value for atom in topology.atoms()]),
        bonds=np.array([[first.index, second.index] for first, second in topology.bonds()]),
        bond_source="topology",
        source=f"alanine dipeptide{place}, {config.temperature:g} K, seed {seed}",
    )


def _place_atoms() -> np.ndarray:
    """Positions in nm from the table of internal coordinates, one atom after the other.

    With unit vectors along c -> b -> a of the atoms that place an atom, it stands at distance r from a, angle
    θ at a and dihedral χ about b -> a (the natural extension reference frame, Parsons et al., J. Comput.
    Chem. 26, 1063 (2005), doi:10.1002/jcc.20237).
    """
    positions: list[np.ndarray] = []
    for _, _, references, distance, angle, dihedral in _INTERNAL_COORDINATES:
        if not references:
            positions.append(np.zeros(3))
            continue
        a = positions[references[0]]
        # The first three atoms have no full frame of reference yet; any fixed one will do.
        b = positions[references[1]] if len(references) > 1 else a + np.array([0.0, 0.0, 1.0])
        c = positions[references[2]] if len(references) > 2 else b + np.array([0.0, 1.0, 0.3])
        along = (a - b) / np.linalg.norm(a - b)
        normal = np.cross(b - c, along)
        normal /= np.linalg.norm(normal)
        theta, chi = math.radians(angle), math.radians(dihedral)
        offset = (
            -math.cos(theta) * along
            + math.sin(theta) * math.cos(chi) * np.cross(normal, along)
            + math.sin(theta) * math.sin(chi) * normal
        )
        positions.append(a + distance * offset)
    return 0.1 * np.stack(positions)
