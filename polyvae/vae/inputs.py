"""What the encoder sees of a vector: the vector itself, angles as cosines and sines, or what no rotation changes."""

from abc import abstractmethod

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from polyvae._batching import map_batched
from polyvae.features.internal import InternalCoordinates
from polyvae.features.observables import safe_norm
from polyvae.vae.likelihoods import Blocks, Likelihood, RotationNormal, VonMises

LARGEST_SEPARATION = 24
"""Invariant inputs take all pair distances up to this separation along the chain and every power of two above it."""

MOST_DISTANCES = 1000
"""Inputs from internal coordinates take this many pair distances at most, evenly spread over all pairs."""


class Inputs(eqx.Module):
    """A fixed map from vectors to the encoder's inputs."""

    @property
    @abstractmethod
    def n_inputs(self) -> int:
        """Numbers that the encoder sees."""

    @abstractmethod
    def __call__(self, x: Float[Array, "*batch values"]) -> Float[Array, "*batch inputs"]:
        """The encoder's inputs for one vector or a batch of rows."""


class PlainInputs(Inputs):
    """The vector as it is."""

    size: int = eqx.field(static=True)

    @property
    def n_inputs(self) -> int:
        """Numbers that the encoder sees."""
        return self.size

    def __call__(self, x: Float[Array, "*batch values"]) -> Float[Array, "*batch inputs"]:
        """The vector itself."""
        return x


class PeriodicInputs(Inputs):
    """Angles as cosines and sines of their multiples, everything else as it is.

    A network that sees an angle as a number tears the circle apart at ±180°.

    Attributes:
        angles: indices of the entries that are angles, radians.
        others: indices of the rest.
        harmonics: multiples 1, ..., harmonics of each angle are taken.
    """

    angles: tuple[int, ...] = eqx.field(static=True)
    others: tuple[int, ...] = eqx.field(static=True)
    harmonics: int = eqx.field(static=True, default=1)

    @property
    def n_inputs(self) -> int:
        """Numbers that the encoder sees."""
        return len(self.others) + 2 * self.harmonics * len(self.angles)

    def __call__(self, x: Float[Array, "*batch values"]) -> Float[Array, "*batch inputs"]:
        """Cosines and sines of the angles' multiples, then the rest."""
        angles = x[..., np.asarray(self.angles, int)]
        parts = [x[..., np.asarray(self.others, int)]]
        for multiple in range(1, self.harmonics + 1):
            parts += [jnp.cos(multiple * angles), jnp.sin(multiple * angles)]
        return jnp.concatenate(parts, axis=-1)


class ScaledInputs(Inputs):
    """Inputs brought to mean 0 and variance 1 over the training data.

    Attributes:
        mean: mean of each input in the training data; fixed.
        scale: its standard deviation; fixed.
    """

    mean: Float[Array, " inputs"]
    scale: Float[Array, " inputs"]

    @abstractmethod
    def _raw(self, x: Float[Array, " values"]) -> Float[Array, " inputs"]:
        """The inputs of one vector before scaling."""

    @property
    def n_inputs(self) -> int:
        """Numbers that the encoder sees."""
        return self.mean.shape[0]

    def __call__(self, x: Float[Array, "*batch values"]) -> Float[Array, "*batch inputs"]:
        """The scaled inputs."""
        if x.ndim > 1:
            return jax.vmap(self)(x)
        mean, scale = jax.lax.stop_gradient((self.mean, self.scale))
        return (self._raw(x) - mean) / scale

    def scaled_to(self, x: Float[Array, "frames values"]) -> "ScaledInputs":
        """The map whose outputs have mean 0 and variance 1 over these vectors."""
        raw = map_batched(self._raw, x, 256)
        scale = jnp.std(raw, axis=0)
        floor = 1e-3 * jnp.max(scale)
        return eqx.tree_at(
            lambda tree: (tree.mean, tree.scale), self, (jnp.mean(raw, axis=0), jnp.maximum(scale, floor))
        )


class InvariantInputs(ScaledInputs):
    """Pair distances and signed volumes of a centered conformation: no rotation changes them, a mirror image does.

    Signed volumes are those of consecutive atoms: twice the area of triangles in two dimensions, six times the volume
    of tetrahedra in three.

    Attributes:
        atoms: matrix that turns the vector's modes into positions of atoms, shape (atoms, modes).
        pairs: zero-based atom pairs.
        dims: dimensions of space.
    """

    atoms: Float[Array, "atoms modes"]
    pairs: tuple[tuple[int, int], ...] = eqx.field(static=True)
    dims: int = eqx.field(static=True)

    @classmethod
    def unscaled(cls, atoms: np.ndarray, dims: int) -> "InvariantInputs":
        """The map with mean 0 and scale 1 for atoms in the order of a chain.

        Args:
            atoms: orthonormal columns that turn modes into positions, shape (atoms, modes).
            dims: 2 or 3.
        """
        n_atoms = len(atoms)
        separations = [gap for gap in range(1, n_atoms) if gap <= LARGEST_SEPARATION or gap & (gap - 1) == 0]
        pairs = tuple((first, first + gap) for gap in separations for first in range(n_atoms - gap))
        n_inputs = len(pairs) + max(n_atoms - dims, 0)
        dtype = jnp.result_type(float)
        return cls(
            atoms=jnp.asarray(atoms, dtype),
            mean=jnp.zeros(n_inputs, dtype),
            scale=jnp.ones(n_inputs, dtype),
            pairs=pairs,
            dims=dims,
        )

    def _raw(self, x: Float[Array, " values"]) -> Float[Array, " inputs"]:
        positions = jax.lax.stop_gradient(self.atoms) @ x.reshape(-1, self.dims)
        pairs = np.asarray(self.pairs, int).reshape(-1, 2)
        distances = safe_norm(positions[pairs[:, 0]] - positions[pairs[:, 1]])
        count = positions.shape[0] - self.dims
        if count <= 0:
            return distances
        steps = positions[1:] - positions[:-1]
        edges = jnp.stack([steps[index : index + count] for index in range(self.dims)], axis=1)
        return jnp.concatenate([distances, jnp.linalg.det(edges)])


class InternalInputs(ScaledInputs):
    """Internal coordinates, distances and superposed positions of a conformation: no rotation changes them.

    Angles come as they are, torsions as cosines and sines. Torsions and superposed positions tell mirror images apart.

    Attributes:
        representation: of the internal coordinates; fixed.
        pairs: pairs of atoms whose distances are taken, in the trajectory's order.
    """

    representation: InternalCoordinates
    pairs: tuple[tuple[int, int], ...] = eqx.field(static=True)

    @classmethod
    def fitted(cls, representation: InternalCoordinates, x: Float[Array, "frames values"]) -> ScaledInputs:
        """The map whose outputs have mean 0 and variance 1 over these vectors."""
        every = np.stack(np.triu_indices(representation.n_atoms, 1), axis=1)
        chosen = np.unique(np.linspace(0, len(every) - 1, min(len(every), MOST_DISTANCES)).astype(int))
        pairs = tuple((int(first), int(second)) for first, second in every[chosen])
        empty = jnp.zeros(0, x.dtype)
        unscaled = cls(representation=representation, mean=empty, scale=empty, pairs=pairs)
        return unscaled.scaled_to(x)

    def _raw(self, x: Float[Array, " values"]) -> Float[Array, " inputs"]:
        representation = jax.lax.stop_gradient(self.representation)
        torsions = x[representation.n_stiff :]
        positions = representation.positions(x)
        pairs = np.asarray(self.pairs, int)
        distances = safe_norm(positions[pairs[:, 0]] - positions[pairs[:, 1]])
        stiff = x[: representation.n_stiff]
        return jnp.concatenate(
            [stiff, jnp.cos(torsions), jnp.sin(torsions), distances, positions.reshape(-1)]
        )


def inputs_for(likelihood: Likelihood, harmonics: int = 1) -> Inputs:
    """The inputs that suit a likelihood: invariant, periodic or plain.

    Args:
        likelihood: of the vectors.
        harmonics: multiples of each angle.
    """
    if isinstance(likelihood, RotationNormal):
        dims = likelihood.dims
        modes = likelihood.n_values // dims
        # Any orthonormal basis of the centered chain will do here; a representation brings its own.
        centered = np.linalg.svd(np.ones((1, modes + 1)))[2][1:].T
        return InvariantInputs.unscaled(centered, dims)
    parts = likelihood.parts if isinstance(likelihood, Blocks) else (likelihood,)
    angles: list[int] = []
    start = 0
    for part in parts:
        if isinstance(part, VonMises):
            angles.extend(range(start, start + part.n_values))
        start += part.n_values
    if not angles:
        return PlainInputs(start)
    others = tuple(index for index in range(start) if index not in set(angles))
    return PeriodicInputs(angles=tuple(angles), others=others, harmonics=harmonics)
