"""`openmm.PythonForce` around the coordinate: one latent value as a collective variable, a harmonic umbrella."""

from collections.abc import Callable, Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from polyvae.deployment.openmm.atoms import checked_atoms
from polyvae.deployment.openmm.coordinate import Bias, LatentCoordinate
from polyvae.errors import InputError, MissingDependencyError
from polyvae.vae import ConformationModel


def latent_force(
    model: ConformationModel, system: Any, atoms: Sequence[int] | np.ndarray, dimension: int = 0
) -> Any:
    """One latent value as an energy, for `openmm.app.BiasVariable`, `CustomCVForce` or openmm-opes.

    It is not added to the system. Each dimension costs a call of its own; for a bias on two or more,
    `LatentMetadynamics` and `umbrella_force` need only one.

    Args:
        model: a trained model.
        system: `openmm.System` that it will be part of; its periodicity is taken over.
        atoms: particles of the system that are the model's atoms, in their order; see `atoms_in_topology`.
        dimension: which latent dimension, counted from 0.

    Returns:
        An `openmm.PythonForce` whose "energy" is the latent value and whose "force" is minus its gradient, 1/nm.

    Raises:
        InputError: if atoms or dimension do not fit.
        MissingDependencyError: if OpenMM is not installed.
    """
    if not 0 <= dimension < model.latent_dim:
        raise InputError(f"`dimension` must be from 0 to {model.latent_dim - 1}; got {dimension}.")
    return python_force(model, system, atoms, _LatentValue(dimension), ContextParameters(()))


def umbrella_force(
    model: ConformationModel,
    system: Any,
    atoms: Sequence[int] | np.ndarray,
    center: Sequence[float] | np.ndarray,
    stiffness: float,
) -> Any:
    """A harmonic umbrella ½ k |z - z₀|² on all latent dimensions, in one call a step.

    The context parameters `umbrella_k` and `umbrella_1`, `umbrella_2`, ... hold stiffness and center, and can be
    changed during the simulation. It is not added to the system.

    Args:
        model: a trained model.
        system: `openmm.System` that it will be part of; its periodicity is taken over.
        atoms: particles of the system that are the model's atoms, in their order.
        center: z₀, shape (latent,).
        stiffness: k in kJ/mol per squared latent unit.

    Returns:
        An `openmm.PythonForce`.

    Raises:
        InputError: if atoms or center do not fit, or the stiffness is negative.
        MissingDependencyError: if OpenMM is not installed.
    """
    place = np.asarray(center, np.float64)
    if place.shape != (model.latent_dim,) or not np.isfinite(place).all():
        raise InputError(f"`center` must hold {model.latent_dim} finite numbers; got {center}.")
    if not 0 <= stiffness < np.inf:
        raise InputError(f"`stiffness` must not be negative; got {stiffness}.")
    names = ("umbrella_k", *(f"umbrella_{index + 1}" for index in range(model.latent_dim)))
    defaults = dict(zip(names, (float(stiffness), *place.tolist()), strict=True))
    return python_force(model, system, atoms, _Umbrella(), ContextParameters(names), defaults)


def python_force(
    model: ConformationModel,
    system: Any,
    atoms: Sequence[int] | np.ndarray,
    bias: Bias,
    parameters: Callable[[Any], Any],
    defaults: dict[str, float] | None = None,
) -> Any:
    """A force on the model's atoms.

    Args:
        model: a trained model.
        system: `openmm.System`.
        atoms: particles that are the model's atoms.
        bias: energy of the latent point and of parameters.
        parameters: these, from OpenMM's state at each step.
        defaults: context parameters and their first values.
    """
    try:
        import openmm
    except ImportError as error:
        raise MissingDependencyError(
            'Biasing a simulation needs OpenMM. Install it with: pip install "polyvae[openmm]"'
        ) from error
    places = checked_atoms(model, atoms, system)
    periodic = bool(system.usesPeriodicBoundaryConditions())
    computation = _Computation(LatentCoordinate(model, periodic=periodic), bias, parameters)
    force = openmm.PythonForce(computation, defaults or {})
    force.setParticles(places)
    force.setUsesPeriodicBoundaryConditions(periodic)
    return force


class _Computation:
    """What OpenMM calls; at the top level of a module, so that a system with it can be serialized."""

    def __init__(self, coordinate: LatentCoordinate, bias: Bias, parameters: Callable[[Any], Any]) -> None:
        self.coordinate, self.bias, self.parameters = coordinate, bias, parameters

    def __call__(self, state: Any) -> tuple[float, np.ndarray]:
        positions = state.getPositions(asNumpy=True)._value
        box = state.getPeriodicBoxVectors(asNumpy=True)._value if self.coordinate.periodic else None
        return self.coordinate.energy_and_forces(self.bias, self.parameters(state), positions, box)


class ContextParameters:
    """Parameters of the context, in order."""

    def __init__(self, names: Sequence[str]) -> None:
        self.names = tuple(names)

    def __call__(self, state: Any) -> np.ndarray:
        """Their values now."""
        values = state.getParameters() if self.names else {}
        return np.array([values[name] for name in self.names])


class _LatentValue:
    def __init__(self, dimension: int) -> None:
        self.dimension = dimension

    def __call__(self, latent: Array, parameters: Array) -> Array:
        return latent[self.dimension]


class _Umbrella:
    def __call__(self, latent: Array, parameters: Array) -> Array:
        parameters = parameters.astype(latent.dtype)
        return 0.5 * parameters[0] * jnp.sum((latent - parameters[1:]) ** 2)
