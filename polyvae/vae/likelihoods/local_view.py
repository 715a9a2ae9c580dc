"""What a factor of the autoregressive likelihood sees: places of atoms in the frame that its own atom is placed from.

No rotation changes them, so that what a factor learns in one orientation holds in all.
"""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from polyvae._typing import Frame
from polyvae.features.internal import InternalCoordinates

MOST_SEEN = 48
"""Atoms that one factor sees at most: those that are closest on average."""

_FARTHEST = 6.0
_FRAMES = 200


class LocalView(eqx.Module):
    """Offsets of some atoms from each placed atom's parent, along the axes that the atom is placed by, scaled.

    Attributes:
        mean: of the offsets in the data, shape (placed, seen * dims), unit of length; fixed.
        scale: their standard deviation; fixed.
        atoms: steps of the atoms seen, -1 where there are fewer, one row a placed atom. An array, so that models that
            differ in nothing else run the same compiled code.
    """

    mean: Float[Array, "placed inputs"]
    scale: Float[Array, "placed inputs"]
    atoms: Int[Array, "placed seen"]

    def __call__(
        self, placed: Frame, origins: Float[Array, "placed dims"], axes: Float[Array, "placed dims dims"]
    ) -> Float[Array, "placed inputs"]:
        """The view of every placed atom, zero for missing ones.

        Args:
            placed: positions in the order of placement.
            origins: where each atom is placed from, as `reference_frames` gives them.
            axes: the axes there, as columns.
        """
        offsets = placed[jnp.maximum(self.atoms, 0)] - origins[:, None, :]
        local = jnp.einsum("nmd,nda->nma", offsets, axes).reshape(len(origins), -1)
        mean, scale = jax.lax.stop_gradient((self.mean, self.scale))
        present = jnp.repeat(self.atoms >= 0, placed.shape[1], axis=1)
        # A rare place far outside must not throw the network off.
        scaled = _FARTHEST * jnp.tanh((local - mean) / (_FARTHEST * scale))
        return jnp.where(present, scaled, 0.0)


def fitted_view(
    representation: InternalCoordinates,
    placed: Float[np.ndarray, "frames atoms dims"],
    origins: Float[np.ndarray, "frames placed dims"],
    axes: Float[np.ndarray, "frames placed dims dims"],
    *,
    earlier: bool,
) -> LocalView:
    """The view with the mean and the scale of example frames.

    Args:
        representation: of the internal coordinates.
        placed: positions of some frames in the order of placement.
        origins: where each atom is placed from in each of them.
        axes: the axes there, as columns.
        earlier: whether only atoms placed before are seen, as a factor of the density must; or all.
    """
    atoms = _closest(representation, placed, earlier=earlier)
    offsets = placed[:, np.maximum(atoms, 0)] - origins[:, :, None, :]
    local = np.einsum("fnmd,fnda->fnma", offsets, axes).reshape(*offsets.shape[:2], -1)
    scale = local.std(axis=0)
    dtype = jnp.result_type(float)
    return LocalView(
        mean=jnp.asarray(local.mean(axis=0), dtype),
        scale=jnp.asarray(np.maximum(scale, 1e-2 * scale.max()), dtype),
        atoms=jnp.asarray(atoms, jnp.int32),
    )


def _closest(representation: InternalCoordinates, placed: np.ndarray, *, earlier: bool) -> np.ndarray:
    """For each placed atom those it sees, without its parent, closest to the parent first; -1 for missing ones."""
    n_atoms = placed.shape[1]
    most = min(max(n_atoms - (2 if earlier else 1), 1), MOST_SEEN)
    rows = np.full((n_atoms - 1, most), -1)
    some = placed[:: max(1, len(placed) // _FRAMES)]
    for step in range(1, n_atoms):
        parent = representation.tree.parents[step]
        last = step if earlier else n_atoms
        seen = np.array([other for other in range(last) if other != parent], int)
        if len(seen):
            distances = np.linalg.norm(some[:, seen] - some[:, parent][:, None], axis=2).mean(axis=0)
            chosen = seen[np.argsort(distances, kind="stable")[:most]]
            rows[step - 1, : len(chosen)] = chosen
    return rows
