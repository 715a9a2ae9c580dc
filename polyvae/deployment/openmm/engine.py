"""`EngineSystem`: what is to be simulated, as a user hands it over, and simulations of it.

A system comes as OpenMM's System XML (forces and masses) and a PDB file (topology, first positions, box). Both are
compared before anything runs: another number of particles, other elements, a box too small for the cutoff.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from polyvae.errors import InputError, MissingDependencyError

_HEAVIEST_HYDROGEN = 4.5
_SAME_MASS = 0.5
_SMALL = 100
"""Particles up to which the Reference platform is the fastest."""


@dataclass(frozen=True, kw_only=True)
class DynamicsConfig:
    """Settings of Langevin dynamics.

    Attributes:
        temperature: K.
        friction: friction rate, 1/ps.
        time_step: ps; 0.002 where bonds to hydrogen are rigid.
        platform: OpenMM's platform, such as "CPU" or "CUDA"; None takes "Reference" up to 100 particles, else OpenMM's
            choice. Only "Reference" gives the same bits again.
    """

    temperature: float = 300.0
    friction: float = 1.0
    time_step: float = 0.002
    platform: str | None = None

    def __post_init__(self) -> None:
        for name in ("temperature", "friction", "time_step"):
            value = getattr(self, name)
            if not 0 < value < np.inf:
                raise InputError(f"`{name}` must be a positive number; got {value}.")


@dataclass(frozen=True, kw_only=True, eq=False)
class EngineSystem:
    """A system to simulate.

    Attributes:
        topology: `openmm.app.Topology`.
        positions: first positions in nm, shape (particles, 3).
        xml: the system, serialized.
        box: box vectors as rows in nm, or None for a system without a box.
        source: what messages call it.
    """

    topology: Any
    positions: np.ndarray
    xml: str
    box: np.ndarray | None
    source: str

    @classmethod
    def read(cls, system: Path, structure: Path) -> "EngineSystem":
        """The system of two files.

        Args:
            system: System XML that `openmm.XmlSerializer.serialize` wrote.
            structure: PDB file of all its particles, in the same order.

        Raises:
            InputError: as `EngineSystem.of`, or if a file is missing or damaged.
            MissingDependencyError: if OpenMM is not installed.
        """
        openmm = _openmm()
        for path, words in ((system, "a System XML"), (structure, "a PDB file")):
            if not path.is_file():
                raise InputError(f"{path} does not exist; give {words}.")
        try:
            made = openmm.XmlSerializer.deserialize(system.read_text(encoding="utf-8"))
        except Exception as error:
            raise InputError(f"{system} is no System XML of OpenMM, or damaged: {error}.") from error
        if not isinstance(made, openmm.System):
            raise InputError(f"{system} holds a {type(made).__name__}; a System is needed.")
        try:
            pdb = openmm.app.PDBFile(str(structure))
        except Exception as error:
            raise InputError(f"{structure} cannot be read as a PDB file: {error}.") from error
        positions = pdb.getPositions(asNumpy=True)._value
        return cls.of(pdb.topology, positions, made, source=f"{system.name} with {structure.name}")

    @classmethod
    def of(cls, topology: Any, positions: Any, system: Any, *, source: str) -> "EngineSystem":
        """The system of objects of OpenMM.

        Args:
            topology: `openmm.app.Topology`; its box is taken, or else that of the system.
            positions: in nm, shape (particles, 3).
            system: `openmm.System`.
            source: what messages shall call it.

        Raises:
            InputError: if the numbers of atoms or the elements differ, positions are not finite, or a box is too small
                for a cutoff.
        """
        openmm = _openmm()
        positions = np.asarray(positions, np.float64)
        atoms, particles = topology.getNumAtoms(), system.getNumParticles()
        if atoms != particles or positions.shape != (particles, 3):
            raise InputError(
                f"{source}: the system has {particles} particles, but the structure {atoms} atoms. Give the structure "
                "that the system was built from, with all hydrogens, solvent and virtual sites."
            )
        if not np.isfinite(positions).all():
            raise InputError(f"{source}: positions must be finite.")
        for index, atom in enumerate(topology.atoms()):
            mass = system.getParticleMass(index)._value
            if not _fits(atom.element, mass):
                raise InputError(
                    f"{source}: atom {index} of the structure is {atom.residue.name}{atom.residue.id} {atom.name}, "
                    f"but particle {index} of the system weighs {mass:.3f} Da. The orders differ, or the files are of "
                    "different systems."
                )
        box = None
        if system.usesPeriodicBoundaryConditions():
            vectors = topology.getPeriodicBoxVectors()
            if vectors is None:
                vectors = system.getDefaultPeriodicBoxVectors()
            box = np.array([vector.value_in_unit(openmm.unit.nanometer) for vector in vectors], np.float64)
            _check_box(system, box, source)
        xml = openmm.XmlSerializer.serialize(system)
        return cls(topology=topology, positions=positions, xml=xml, box=box, source=source)

    def new_system(self) -> Any:
        """A new `openmm.System`, to which forces can be added."""
        return _openmm().XmlSerializer.deserialize(self.xml)

    def simulation(self, system: Any, dynamics: DynamicsConfig, *, seed: int) -> Any:
        """A minimized `openmm.app.Simulation` with velocities of the temperature.

        Args:
            system: from `new_system`, with whatever was added to it.
            dynamics: temperature and integration.
            seed: of noise and velocities.

        Raises:
            InputError: if the platform is not there, or the energy of the structure is not finite.
        """
        openmm = _openmm()
        integrator = openmm.LangevinMiddleIntegrator(
            dynamics.temperature, dynamics.friction, dynamics.time_step
        )
        # OpenMM reads 0 as "choose one at random".
        seed = seed % (2**31 - 1) + 1
        integrator.setRandomNumberSeed(seed)
        names = [openmm.Platform.getPlatform(i).getName() for i in range(openmm.Platform.getNumPlatforms())]
        wanted = dynamics.platform
        if wanted is None and system.getNumParticles() <= _SMALL:
            wanted = "Reference"
        if wanted is not None and wanted not in names:
            raise InputError(f"`platform` must be one of {', '.join(map(repr, names))}; got {wanted!r}.")
        arguments = () if wanted is None else (openmm.Platform.getPlatformByName(wanted),)
        made = openmm.app.Simulation(self.topology, system, integrator, *arguments)
        if self.box is not None:
            made.context.setPeriodicBoxVectors(*self.box)
        made.context.setPositions(self.positions)
        energy = made.context.getState(energy=True).getPotentialEnergy()._value
        if not np.isfinite(energy):
            raise InputError(
                f"{self.source}: the structure has no finite energy; do atoms lie on one another?"
            )
        made.minimizeEnergy()
        made.context.setVelocitiesToTemperature(dynamics.temperature, seed)
        return made


def _fits(element: Any, mass: float) -> bool:
    """Whether a mass may be that of an element, with mass repartitioned to hydrogens; anything fits no element."""
    if element is None or mass == 0:
        return True
    theirs = element.mass._value
    if theirs < 2.5:
        return theirs - _SAME_MASS < mass < _HEAVIEST_HYDROGEN
    return 0.5 * theirs < mass < theirs + _SAME_MASS


def _check_box(system: Any, box: np.ndarray, source: str) -> None:
    """OpenMM wants boxes in reduced form, whose widths are the numbers on the diagonal."""
    width = float(np.diag(box).min())
    cutoffs = [
        force.getCutoffDistance()._value
        for force in system.getForces()
        if force.usesPeriodicBoundaryConditions() and hasattr(force, "getCutoffDistance")
    ]
    if cutoffs and not 2 * max(cutoffs) <= width:
        raise InputError(
            f"{source}: the box is {width:.3g} nm wide where it is narrowest, and must be at least twice the cutoff of "
            f"{max(cutoffs):.3g} nm. Take a larger box or a shorter cutoff."
        )


def _openmm() -> Any:
    try:
        import openmm
        import openmm.app
        import openmm.unit
    except ImportError as error:
        raise MissingDependencyError(
            'Simulations need OpenMM. Install it with: pip install "polyvae[openmm]"'
        ) from error
    return openmm
