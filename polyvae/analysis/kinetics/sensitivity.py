r"""`sensitivity`: which atoms and which internal variables a latent coordinate listens to.

For atoms, the root mean square over frames of the gradient \(|\partial z_d / \partial r_a|\) of the encoder's mean,
through alignment and all, and the same times the atom's thermal fluctuation: about how far the atom's own motion moves
the latent. For variables such as distances and torsions, the correlation ratio
\(\eta^2 = \mathrm{Var}(\mathrm{E}[z \mid v]) / \mathrm{Var}(z)\) in bins of the variable: 1 where the variable
determines the latent, by whatever curve, 0 where it says nothing about its mean.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from polyvae._batching import map_batched
from polyvae.analysis.kinetics.variables import correlation_ratio, default_variables
from polyvae.analysis.latent import latent_trajectory
from polyvae.errors import InputError
from polyvae.features import Observable, observable_of
from polyvae.preprocessing import align
from polyvae.preprocessing.align import map_frames
from polyvae.trajectory import Trajectory
from polyvae.trajectory.mapped import take_rows
from polyvae.trajectory.weights import counted_frames, weighted_mean
from polyvae.vae import ConformationModel

_FRAMES_AT_ONCE = 64
_FRAMES_A_BIN = 10


@dataclass(frozen=True, kw_only=True, eq=False)
class Sensitivity:
    """What a latent coordinate listens to.

    Attributes:
        gradient: root mean square of |dz/dr| over frames, shape (latent, atoms), per unit of length.
        fluctuation: root mean square distance of each atom from its mean position after alignment, shape (atoms,), in
            the unit of length.
        variables: names of the internal variables.
        eta2: correlation ratio of each latent dimension with each variable, shape (latent, variables).
        floor_eta2: the same where the variable is shifted in time against the latent.
        atoms: names of the atoms.
        positions: the aligned frame nearest to the mean structure, shape (atoms, dims).
        bonds: zero-based atom pairs, or None.
        unit: of length.
        frames: frames behind the gradients.
        bins: bins of each variable.
    """

    gradient: np.ndarray
    fluctuation: np.ndarray
    variables: tuple[str, ...]
    eta2: np.ndarray
    floor_eta2: np.ndarray
    atoms: tuple[str, ...]
    positions: np.ndarray
    bonds: np.ndarray | None
    unit: str
    frames: int
    bins: int

    @property
    def scaled(self) -> np.ndarray:
        """Gradient times fluctuation, without a unit, shape (latent, atoms): how far the atom's motion moves z."""
        return self.gradient * self.fluctuation[None, :]

    @property
    def of_atoms(self) -> np.ndarray:
        """Root of the sum of squares of `scaled` over latent dimensions, shape (atoms,)."""
        return np.sqrt(np.sum(self.scaled**2, axis=0))

    @property
    def top_atoms(self) -> np.ndarray:
        """Indices of the atoms, the most listened to first."""
        return np.argsort(-self.of_atoms, kind="stable")

    def top_variables(self, dimension: int) -> np.ndarray:
        """Indices of the variables, those above their floor by most first.

        Args:
            dimension: latent dimension, counted from 0.
        """
        return np.argsort(-(self.eta2 - self.floor_eta2)[dimension], kind="stable")


def sensitivity(
    model: ConformationModel,
    trajectory: Trajectory,
    *,
    variables: Sequence[str | Callable[[Any], Any]] | None = None,
    frames: np.ndarray | None = None,
    gradient_frames: int = 1000,
    variable_frames: int = 20_000,
    bins: int = 24,
    shifts: int = 10,
    seed: int = 0,
) -> Sensitivity:
    """Which atoms and internal variables the latent of a model listens to, over the frames of a trajectory.

    Args:
        model: a trained model.
        trajectory: frames of its system.
        variables: observables by name, such as "torsion:4-6-8-14" or "distance:3-17", or JAX functions of a frame; None
            takes a torsion about every bond and distances of atoms at least three apart, 60 of each at most.
        frames: indices of the frames to use, such as the test frames of a split; None for all.
        gradient_frames: frames that gradients are taken at, evenly spread, at most.
        variable_frames: frames that variables are compared on, evenly spread, at most.
        bins: bins of each variable: of equal width around a circle, of equal count otherwise; fewer where they would
            hold fewer than ten frames in the mean, since every frame in a bin of its own explains all.
        shifts: shifts in time behind the floors.
        seed: of the shifts.

    Raises:
        InputError: if the trajectory shows another system, a variable is not known, or no frame has a weight.
    """
    model.system.check(trajectory)
    for name, value, least in (
        ("gradient_frames", gradient_frames, 1),
        ("bins", bins, 2),
        ("variable_frames", variable_frames, _FRAMES_A_BIN * bins),
        ("shifts", shifts, 1),
    ):
        if value < least:
            raise InputError(f"`{name}` must be at least {least}; got {value}.")
    chosen = np.arange(trajectory.n_frames) if frames is None else np.asarray(frames)
    chosen = counted_frames(trajectory.weights, chosen, name="frames")
    some = _spread(chosen, gradient_frames)
    positions = take_rows(trajectory.positions, some)
    weights = None if trajectory.weights is None else trajectory.weights[some]
    squares = map_frames(partial(_squared_gradients, model), [positions])
    canonical = align(model.alignment, positions).astype(np.float64)
    mean = weighted_mean(canonical, weights)
    deviations = np.sum((canonical - mean) ** 2, axis=2)
    names = list(default_variables(trajectory) if variables is None else variables)
    observables = [
        observable_of(
            name,
            n_atoms=trajectory.n_atoms,
            dims=trajectory.dims,
            units=trajectory.units,
            masses=trajectory.masses,
        )
        for name in names
    ]
    compared = trajectory[_spread(chosen, variable_frames)]
    latent = latent_trajectory(model, compared).mean
    bins = min(bins, max(2, len(latent) // _FRAMES_A_BIN))
    rng = np.random.default_rng(seed)
    rolls = [max(1, round(share * len(latent))) for share in rng.uniform(0.1, 0.9, size=shifts)]
    eta2, floors = np.empty((2, latent.shape[1], len(observables)))
    columns = map_frames(partial(_values, tuple(observables)), compared.position_chunks()).T
    for place, (observable, values) in enumerate(zip(observables, columns, strict=True)):
        ratio = partial(
            correlation_ratio, latent, bins=bins, period=observable.period, weights=compared.weights
        )
        eta2[:, place] = ratio(values)
        floors[:, place] = np.mean([ratio(np.roll(values, roll)) for roll in rolls], axis=0)
    return Sensitivity(
        gradient=np.sqrt(weighted_mean(np.asarray(squares, np.float64), weights)),
        fluctuation=np.sqrt(weighted_mean(deviations, weights)),
        variables=tuple(observable.name for observable in observables),
        eta2=eta2,
        floor_eta2=floors,
        atoms=_atom_names(trajectory),
        positions=canonical[deviations.sum(axis=1).argmin()],
        bonds=trajectory.bonds,
        unit=trajectory.units.length,
        frames=len(some),
        bins=bins,
    )


@eqx.filter_jit
def _squared_gradients(
    model: ConformationModel, frames: Float[Any, "frames atoms dims"]
) -> Float[Array, "frames latent atoms"]:
    """Squared length of the gradient of each latent dimension by each atom's position."""

    def one(frame: Float[Array, "atoms dims"]) -> Float[Array, "latent atoms"]:
        jacobian = jax.jacrev(lambda positions: model.encode(positions).mean)(frame)
        return jnp.sum(jacobian**2, axis=2)

    return map_batched(one, jnp.asarray(frames, jnp.result_type(float)), _FRAMES_AT_ONCE)


@eqx.filter_jit
def _values(
    observables: tuple[Observable, ...], frames: Float[Any, "frames atoms dims"]
) -> Float[Array, "frames observables"]:
    """All observables of all frames, compiled together: one at a time each would be compiled by itself."""

    def one(frame: Float[Array, "atoms dims"]) -> Float[Array, " observables"]:
        return jnp.stack([observable(frame) for observable in observables])

    if not observables:
        return jnp.zeros((len(frames), 0))
    return map_batched(one, jnp.asarray(frames, jnp.result_type(float)), _FRAMES_AT_ONCE)


def _spread(frames: np.ndarray, most: int) -> np.ndarray:
    """At most so many of the frames, evenly spread."""
    if len(frames) <= most:
        return frames
    return frames[np.linspace(0, len(frames) - 1, most).round().astype(int)]


def _atom_names(trajectory: Trajectory) -> tuple[str, ...]:
    if trajectory.topology is None:
        return tuple(str(atom) for atom in range(trajectory.n_atoms))
    return tuple(f"{atom.residue}-{atom.name}" for atom in trajectory.topology.atoms)
