"""`ConformationModel`: raw positions to latent and back as one differentiable JAX function.

    positions --alignment--> canonical frame --representation--> features --encoder--> q(z|x)
    positions <--undo motion-- canonical frame <--representation-- features <--decoder-- z

It is a pytree: what is trained, saved, shared and deployed. Every method takes one frame (atoms, dims) or many
(frames, atoms, dims), works inside `jax.jit`, `jax.grad` and `jax.vmap`, and runs many frames in blocks, so that memory
stays bounded.
"""

from dataclasses import dataclass
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray

from polyvae._batching import map_batched
from polyvae._typing import Frame, LatentVector
from polyvae.errors import InputError
from polyvae.features import Cartesian, GeometryBounds, InternalCoordinates
from polyvae.preprocessing import Alignment, kabsch_rotation
from polyvae.trajectory import Trajectory, TrajectorySource
from polyvae.units import BY_NAME, Units
from polyvae.vae.config import ModelConfig
from polyvae.vae.likelihoods import RotationNormal
from polyvae.vae.posteriors import Posterior
from polyvae.vae.vae import VAE

_BLOCK = 512


@dataclass(frozen=True, kw_only=True, eq=False)
class SystemInfo:
    """What the model was trained on, apart from numbers that enter the computation.

    Attributes:
        n_atoms: atoms of a frame.
        dims: spatial dimensions.
        units: name of the units, "molecular" or "reduced".
        topology: mdtraj topology of the selected atoms, or None.
        bonds: zero-based atom pairs, or None.
        bond_source: where the bonds come from, as in `Trajectory`.
        masses: atomic masses in Da, or None.
        selection: the atom selection, or None for all atoms.
        source: name of the training data.
        source_hash: SHA-256 of the training data, or None.
    """

    n_atoms: int
    dims: int
    units: str
    topology: Any = None
    bonds: np.ndarray | None = None
    bond_source: str = "none"
    masses: np.ndarray | None = None
    selection: str | None = None
    source: str = "array"
    source_hash: str | None = None

    # Two models of one system share what has been compiled for it. A topology is compared by identity: comparing
    # its atoms would cost more than the call.
    def _key(self) -> tuple[Any, ...]:
        arrays = [None if array is None else array.tobytes() for array in (self.bonds, self.masses)]
        words = (self.units, self.bond_source, self.selection, self.source, self.source_hash)
        return (self.n_atoms, self.dims, id(self.topology), *arrays, *words)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, SystemInfo) and self._key() == other._key()

    def __hash__(self) -> int:
        return hash(self._key())

    @classmethod
    def of(cls, trajectory: Trajectory) -> "SystemInfo":
        """The system that a trajectory shows."""
        return cls(
            n_atoms=trajectory.n_atoms,
            dims=trajectory.dims,
            units=trajectory.units.name,
            topology=trajectory.topology,
            bonds=trajectory.bonds,
            bond_source=trajectory.bond_source,
            masses=trajectory.masses,
            selection=trajectory.selection,
            source=trajectory.source,
            source_hash=trajectory.source_hash,
        )

    @property
    def length_units(self) -> Units:
        """The record of units."""
        return BY_NAME[self.units]

    def trajectory(self, positions: np.ndarray, *, source: str) -> Trajectory:
        """New conformations of this system as a trajectory, ready to save."""
        return Trajectory(
            positions=np.asarray(positions, np.float32),
            topology=self.topology,
            bonds=self.bonds,
            bond_source=self.bond_source,
            masses=self.masses,
            units=self.length_units,
            selection=self.selection,
            source=source,
        )

    def check(self, trajectory: Trajectory | TrajectorySource) -> None:
        """Raise an `InputError` unless the trajectory shows this system."""
        if (trajectory.n_atoms, trajectory.dims) != (self.n_atoms, self.dims):
            advice = " Load it with the same `atoms` selection." if trajectory.dims == self.dims else ""
            raise InputError(
                f"{trajectory.source}: the model was trained on {self.n_atoms} atoms in {self.dims} dimensions "
                f"(selection {self.selection!r}), but this trajectory has {trajectory.n_atoms} atoms in "
                f"{trajectory.dims} dimensions.{advice}"
            )
        if trajectory.units.name != self.units:
            raise InputError(
                f"{trajectory.source}: the model's lengths are in {self.length_units.length}, the trajectory's in "
                f"{trajectory.units.length}. Give `units={self.units!r}` when loading if that is what they are."
            )
        if self.topology is None or trajectory.topology is None:
            return
        for index, (mine, other) in enumerate(
            zip(self.topology.atoms, trajectory.topology.atoms, strict=True)
        ):
            if (mine.name, mine.residue.name) != (other.name, other.residue.name):
                raise InputError(
                    f"{trajectory.source}: atom {index} is {other.residue}-{other.name}, but the model was trained on "
                    f"{mine.residue}-{mine.name}. Use the topology and selection of the training run."
                )


class ConformationModel(eqx.Module):
    """Alignment, representation and VAE in one: from raw positions to latent, and back.

    Attributes:
        alignment: removes rotation and translation.
        representation: canonical frame to feature vector, and back.
        vae: network, likelihood and prior.
        geometry: bounds of the geometry in the training data.
        config: the settings that made the model.
        system: what it was trained on.
    """

    alignment: Alignment
    representation: Cartesian | InternalCoordinates
    vae: VAE
    geometry: GeometryBounds
    config: ModelConfig = eqx.field(static=True)
    system: SystemInfo = eqx.field(static=True)

    @property
    def latent_dim(self) -> int:
        """Number of latent dimensions."""
        return self.vae.latent_dim

    @property
    def cartesian(self) -> Cartesian:
        """Canonical positions as a vector: the representation itself, or the one beside internal coordinates."""
        representation = self.representation
        return representation if isinstance(representation, Cartesian) else representation.cartesian

    def cartesian_features(self, positions: Float[Array, "*frames atoms dims"] | np.ndarray) -> Array:
        """Scaled canonical positions as vectors, what linear models of the same frames see."""
        return _blockwise(_cartesian_features, self, self._checked(positions), 2)

    def log_volume(self, canonical: Frame) -> Float[Array, ""]:
        """Add this to a log-density of one frame's features to get one of its canonical positions.

        Nats, in the trajectory's unit of length, over the coordinates that alignment leaves free.
        """
        representation = self.representation
        if isinstance(representation, Cartesian):
            return representation.log_volume
        return representation.log_volume(canonical)

    def features(self, positions: Float[Array, "*frames atoms dims"] | np.ndarray) -> Array:
        """Scaled feature vectors of raw positions, shape (frames, features) or (features,)."""
        return _blockwise(_features, self, self._checked(positions), 2)

    def encode(self, positions: Float[Array, "*frames atoms dims"] | np.ndarray) -> Posterior:
        """Posterior q(z|x) of raw positions.

        Args:
            positions: molecules whole, any orientation, in the model's unit of length.

        Raises:
            InputError: if the number of atoms or dimensions is not the model's, or a number is not finite.
        """
        return _blockwise(_encode, self, self._checked(positions), 2)

    def decode(self, latent: Float[Array, "*frames latent"] | np.ndarray) -> Array:
        """Mean conformation of p(x|z), centered and in the reference's orientation, shape (frames, atoms, dims)."""
        return _blockwise(_decode, self, self._checked_latent(latent, (1, 2)), 1)

    def reconstruct(self, positions: Float[Array, "*frames atoms dims"] | np.ndarray) -> Array:
        """Positions sent to the posterior mean and back, put where the input lay (same center and orientation).

        Args:
            positions: molecules whole, any orientation, in the model's unit of length.
        """
        return _blockwise(_reconstruct, self, self._checked(positions), 2)

    def sample(self, latent: Float[Array, "frames latent"] | np.ndarray, key: PRNGKeyArray) -> Array:
        """One draw from p(x|z) for each latent point, centered, in the reference's orientation."""
        return _sample(self, self._checked_latent(latent, (2,)), key)

    def _checked_latent(self, latent: Any, ndims: tuple[int, ...]) -> Array:
        latent = jnp.asarray(latent, jnp.result_type(float))
        if latent.ndim not in ndims or latent.shape[-1] != self.latent_dim:
            raise InputError(f"`latent` must have shape (frames, {self.latent_dim}); got {latent.shape}.")
        return latent

    def _checked(self, positions: Any) -> Array:
        shape = np.shape(positions)
        if len(shape) not in (2, 3) or shape[-2:] != (self.system.n_atoms, self.system.dims):
            raise InputError(
                f"`positions` must have shape (frames, {self.system.n_atoms}, {self.system.dims}), the atoms that the "
                f"model was trained on; got {shape}."
            )
        if isinstance(positions, np.ndarray) and not np.isfinite(positions).all():
            bad = np.flatnonzero(~np.isfinite(positions.reshape(-1, shape[-2] * shape[-1])).all(axis=1))
            raise InputError(
                f"`positions` hold NaN or infinity in {len(bad)} frame(s), first frame {bad[0]}."
            )
        return jnp.asarray(positions, jnp.result_type(float))


def _features(model: ConformationModel, frame: Frame) -> Array:
    return model.representation(model.alignment(frame))


def _cartesian_features(model: ConformationModel, frame: Frame) -> Array:
    return model.cartesian(model.alignment(frame))


def _encode(model: ConformationModel, frame: Frame) -> Posterior:
    return model.vae.encode(_features(model, frame))


def _decode(model: ConformationModel, latent: LatentVector) -> Frame:
    return model.representation.positions(model.vae.decode(latent))


def _reconstruct(model: ConformationModel, frame: Frame) -> Frame:
    motion = model.alignment.motion(frame)
    latent = model.vae.encode(model.representation(motion.apply(frame))).mean
    decoded = _decode(model, latent)
    if isinstance(model.vae.likelihood, RotationNormal) or isinstance(
        model.representation, InternalCoordinates
    ):
        # The decoder's own orientation means nothing: turn its answer onto the frame.
        centered = motion.apply(frame)
        return motion.invert(decoded @ kabsch_rotation(decoded, centered).T)
    return motion.invert(decoded)


@eqx.filter_jit
def _blockwise(function: Any, model: ConformationModel, values: Array, single_ndim: int) -> Any:
    """The function of one item applied to one, or to many in blocks of bounded memory."""
    if values.ndim == single_ndim:
        return function(model, values)
    return map_batched(lambda value: function(model, value), values, _BLOCK)


@eqx.filter_jit
def _sample(model: ConformationModel, latents: Array, key: PRNGKeyArray) -> Array:
    keys = jax.random.split(key, latents.shape[0])

    def one(item: tuple[LatentVector, PRNGKeyArray]) -> Frame:
        return model.representation.positions(model.vae.sample(item[0], item[1]))

    return map_batched(one, (latents, keys), _BLOCK)
