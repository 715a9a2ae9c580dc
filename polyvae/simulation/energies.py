"""Energies of conformations from an OpenMM System: the physical check of an ensemble, and its local minima.

OpenMM evaluates one frame at a time, so the positions of each are set in one Context that serves all. Numbers go to
OpenMM as they are: nm and kJ/mol for molecules, σ and ε for bead models in reduced units. Frames in two dimensions
lie in the plane z = 0.
"""

from __future__ import annotations

import contextlib
import warnings
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from jaxtyping import Float32, Float64

from polyvae.errors import InputError, PolyvaeWarning
from polyvae.simulation._openmm import import_openmm
from polyvae.trajectory.trajectory import Trajectory

if TYPE_CHECKING:
    import openmm

_SMALL = 500
"""Up to so many particles the Reference platform is the faster one; it is the exact one anyway."""


class MinimizedEnergies(NamedTuple):
    """Local energy minima.

    Attributes:
        trajectory: the frames at their minima.
        energies: potential energy of each, shape (frames,), kJ/mol or ε.
    """

    trajectory: Trajectory
    energies: Float64[np.ndarray, " frames"]


def potential_energy(
    trajectory: Trajectory, system: openmm.System, *, platform: str | None = None
) -> Float64[np.ndarray, " frames"]:
    """Potential energy of every frame, kJ/mol (ε in reduced units).

    Rigid bonds of the system store no energy, however long they are in a frame. Atoms must come in the order of the
    system's particles, and molecules must be whole.

    Args:
        trajectory: frames of all particles of the system.
        system: the force field. If it is periodic, each frame needs its box.
        platform: OpenMM's platform. None takes "Reference" (double precision, one thread) for up to 500 particles and
            "CPU" (single precision, all cores) above.

    Returns:
        One energy a frame, shape (frames,); infinite where OpenMM finds no finite one, with a warning.

    Raises:
        InputError: if the trajectory shows other atoms than the system, lacks the box of a periodic system, or there
            is no such platform.
        MissingDependencyError: if OpenMM is not installed.
    """
    context = _context(trajectory, system, platform)
    energies = np.empty(trajectory.n_frames)
    for frame in range(trajectory.n_frames):
        _place(context, trajectory, frame)
        energies[frame] = _energy(context)
    _warn_of_infinite(energies, trajectory.source)
    return energies


def minimize_energy(
    trajectory: Trajectory,
    system: openmm.System,
    *,
    max_iterations: int = 200,
    tolerance: float = 0.1,
    platform: str | None = None,
) -> MinimizedEnergies:
    """Every frame at a local minimum of the potential energy near it.

    The minimizer is limited-memory BFGS; rigid bonds take the length that the system gives them. A frame that it cannot
    lower, or whose energy is not finite, stays as it came, with a warning.

    Args:
        trajectory: frames of all particles of the system, molecules whole.
        system: the force field. If it is periodic, each frame needs its box.
        max_iterations: most steps for a frame.
        tolerance: root mean square force at which a frame is done, kJ/(mol nm) (ε/σ in reduced units).
        platform: as in `potential_energy`.

    Returns:
        The frames and their energies; `trajectory, energies = minimize_energy(...)` takes them apart.

    Raises:
        InputError: as `potential_energy`; or if `max_iterations` or `tolerance` is not positive, or the force field
            pulls frames in two dimensions out of their plane.
        MissingDependencyError: if OpenMM is not installed.

    References:
        Liu & Nocedal, Math. Program. 45, 503 (1989), doi:10.1007/BF01589116.
    """
    if max_iterations < 1:
        raise InputError(f"`max_iterations` must be at least 1; got {max_iterations}.")
    if not 0 < tolerance < np.inf:
        raise InputError(f"`tolerance` must be a positive number; got {tolerance}.")
    context = _context(trajectory, system, platform)
    positions = trajectory.positions.copy()
    energies = np.empty(trajectory.n_frames)
    stuck = 0
    for frame in range(trajectory.n_frames):
        _place(context, trajectory, frame)
        energies[frame] = start = _energy(context)
        minimum, energy = _minimum(context, tolerance, max_iterations)
        if not (energy <= start < np.inf):
            stuck += bool(np.isfinite(start))
            continue
        if np.any(np.abs(minimum[:, trajectory.dims :]) > 1e-6):
            raise InputError(
                f"{trajectory.source}: the system pulls frame {frame} out of its plane, but the trajectory has "
                "two dimensions. Use a system without forces along z."
            )
        positions[frame], energies[frame] = minimum[:, : trajectory.dims], energy
    _warn_of_infinite(energies, trajectory.source)
    if stuck:
        warnings.warn(
            f"{trajectory.source}: the minimizer found nothing lower near {stuck} of {len(energies)} frames, which "
            "stay as they came.",
            PolyvaeWarning,
            stacklevel=2,
        )
    return MinimizedEnergies(trajectory.replace(positions=positions), energies)


def _minimum(
    context: openmm.Context, tolerance: float, max_iterations: int
) -> tuple[Float64[np.ndarray, "atoms 3"], float]:
    """Positions and energy where the minimizer ends; infinite energy where it fails."""
    mm = import_openmm()
    # A failure is an exception on some platforms, on others a number that is not finite.
    with contextlib.suppress(mm.OpenMMException):
        mm.LocalEnergyMinimizer.minimize(context, tolerance, max_iterations)
    positions = context.getState(getPositions=True).getPositions(asNumpy=True)._value
    return positions, _energy(context) if np.isfinite(positions).all() else np.inf


def _context(trajectory: Trajectory, system: openmm.System, platform: str | None) -> openmm.Context:
    mm = import_openmm()
    _check_particles(trajectory, system)
    if system.usesPeriodicBoundaryConditions() and trajectory.box is None:
        raise InputError(
            f"{trajectory.source}: the system is periodic, but the trajectory has no box. Give one with "
            "`trajectory.replace(box=...)`, or build the system without a box (`nonbondedMethod=NoCutoff`)."
        )
    available = [mm.Platform.getPlatform(index).getName() for index in range(mm.Platform.getNumPlatforms())]
    if platform is None:
        platform = "CPU" if system.getNumParticles() > _SMALL and "CPU" in available else "Reference"
    if platform not in available:
        raise InputError(f"`platform` must be one of {', '.join(map(repr, available))}; got {platform!r}.")
    # A Context needs an integrator; this one never makes a step.
    return mm.Context(system, mm.VerletIntegrator(0.001), mm.Platform.getPlatformByName(platform))


def _place(context: openmm.Context, trajectory: Trajectory, frame: int) -> None:
    if trajectory.box is not None and context.getSystem().usesPeriodicBoundaryConditions():
        context.setPeriodicBoxVectors(*_reduced_box(trajectory.box[frame], trajectory.source))
    positions = np.zeros((trajectory.n_atoms, 3))
    positions[:, : trajectory.dims] = trajectory.positions[frame]
    context.setPositions(positions)


def _reduced_box(box: Float32[np.ndarray, "3 3"], source: str) -> Float64[np.ndarray, "3 3"]:
    """The same lattice as OpenMM wants it: lower triangular, and no vector longer than it need be along the others."""
    a, b, c = box.astype(np.float64)
    if max(abs(a[1]), abs(a[2]), abs(b[2])) > 1e-5 * np.abs(box).max():
        raise InputError(
            f"{source}: the first box vector must lie along x and the second in the plane of x and y; got "
            f"{box.tolist()}. Turn box and positions."
        )
    a[1:], b[2] = 0.0, 0.0
    c -= b * np.round(c[1] / b[1])
    c -= a * np.round(c[0] / a[0])
    b -= a * np.round(b[0] / a[0])
    return np.stack([a, b, c])


def _energy(context: openmm.Context) -> float:
    """Potential energy of the Context's positions; infinite if OpenMM's number is not finite."""
    energy = context.getState(getEnergy=True).getPotentialEnergy()._value
    return energy if np.isfinite(energy) else np.inf


def _warn_of_infinite(energies: Float64[np.ndarray, " frames"], source: str) -> None:
    bad = np.flatnonzero(np.isinf(energies))
    if len(bad):
        warnings.warn(
            f"{source}: {len(bad)} of {len(energies)} frames have no finite energy, first frame {bad[0]}; theirs is "
            "infinite. Atoms lie on one another there: look at such frames, or generate with `reject_overlaps=True`.",
            PolyvaeWarning,
            stacklevel=3,
        )


def _check_particles(trajectory: Trajectory, system: openmm.System) -> None:
    """Raise an `InputError` that says what may be missing if the numbers of atoms differ."""
    particles, atoms = system.getNumParticles(), trajectory.n_atoms
    if particles == atoms:
        return
    virtual = sum(system.isVirtualSite(index) for index in range(particles))
    elements = set() if trajectory.topology is None else {atom.element for atom in trajectory.topology.atoms}
    symbols = {element.symbol for element in elements if element is not None}
    if particles - virtual == atoms:
        reason = f"The system has {virtual} virtual site(s), which trajectories do not hold: use a force field without"
    elif trajectory.selection is not None:
        reason = (
            f"The trajectory holds the selection {trajectory.selection!r}: load all atoms, or build the system of "
            "these alone"
        )
    elif symbols and "H" not in symbols:
        reason = "The trajectory holds no hydrogens: load all atoms, or use a united-atom or bead force field"
    elif atoms > particles:
        reason = "Perhaps the trajectory holds solvent or ions: take the system's atoms with `atoms`"
    else:
        reason = (
            "Perhaps the trajectory lacks hydrogens or solvent: load all atoms that the system was built of"
        )
    raise InputError(
        f"{trajectory.source}: the system has {particles} particles, but the trajectory {atoms} atoms. {reason}."
    )
