r"""The coordinates that alignment leaves free, in an orthonormal basis that is never written out.

A handful of directions is removed of 3N. Householder reflections that carry these onto the first axes carry the rest of
an orthonormal basis onto the others: \(Q = 1 - V T V^\top\) with as many columns in V as directions are removed. A
product with Q costs a few operations a coordinate, where a matrix of 3N x 3N numbers would rule out large systems.

References:
    Schreiber & Van Loan, A storage-efficient WY representation for products of Householder transformations, 1989,
    doi:10.1137/0910005.
"""

from typing import Any

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from polyvae.preprocessing import Alignment


class FreeDirections(eqx.Module):
    """Orthonormal directions of a space, those left when some have been removed.

    Attributes:
        reflectors: V, one column for each direction removed.
        mixing: T, upper triangular.
    """

    reflectors: Float[Array, "coordinates removed"] | Float[np.ndarray, "coordinates removed"]
    mixing: Float[Array, "removed removed"] | Float[np.ndarray, "removed removed"]

    @property
    def n_removed(self) -> int:
        """Number of directions removed."""
        return self.reflectors.shape[1]

    def __len__(self) -> int:
        return self.reflectors.shape[0] - self.n_removed

    def project(self, vectors: Any) -> Any:
        """Coordinates along the free directions, shape (..., free), of vectors of shape (..., coordinates)."""
        inner = _product(_product(vectors, self.reflectors), self.mixing)
        return (vectors - _product(inner, self.reflectors.T))[..., self.n_removed :]

    def lift(self, coordinates: Any) -> Any:
        """The vectors with these coordinates and nothing along the directions removed; undoes `project`."""
        reflectors = self.reflectors
        inner = _product(_product(coordinates, reflectors[self.n_removed :]), self.mixing.T)
        moved = -_product(inner, reflectors.T)
        # Padding written as a sum would take a copy more.
        free = moved[..., self.n_removed :] + coordinates
        concatenate = np.concatenate if isinstance(moved, np.ndarray) else jnp.concatenate
        return concatenate([moved[..., : self.n_removed], free], axis=-1)

    @property
    def removed(self) -> Any:
        """The directions removed as rows, orthonormal, shape (removed, coordinates)."""
        identity = np.eye(self.n_removed, self.reflectors.shape[0], dtype=self.reflectors.dtype)
        inner = _product(self.reflectors[: self.n_removed], self.mixing.T)
        return identity - _product(inner, self.reflectors.T)

    @property
    def dense(self) -> Any:
        """The directions as rows, shape (free, coordinates): as many numbers as the square of the coordinates."""
        identity = np.eye(len(self), dtype=self.reflectors.dtype)
        return self.lift(identity if isinstance(self.reflectors, np.ndarray) else jnp.asarray(identity))


def free_directions(alignment: Alignment, n_atoms: int, dims: int) -> FreeDirections:
    """The directions that an alignment leaves free, for coordinates in the order of the flattened positions; NumPy.

    Args:
        alignment: its method, weights and reference.
        n_atoms: atoms of a frame.
        dims: spatial dimensions.
    """
    return _complement(_removed(alignment, n_atoms, dims))


def _removed(alignment: Alignment, n_atoms: int, dims: int) -> Float[np.ndarray, "coordinates removed"]:
    """Orthonormal columns along which canonical positions are zero."""
    if alignment.method == "none":
        return np.zeros((n_atoms * dims, 0))
    weights = np.asarray(alignment.weights, np.float64)
    # One set of modes for all axes of space: the coordinates of a mode turn with the frame as a vector does.
    translations = np.kron((weights / np.linalg.norm(weights))[:, None], np.eye(dims))
    if alignment.reference is None:
        return translations
    weighted = weights[:, None] * np.asarray(alignment.reference, np.float64)
    size = max(np.linalg.norm(weighted), 1e-300)
    rotations = []
    for a in range(dims):
        for b in range(a):
            antisymmetric = np.zeros((n_atoms, dims))
            antisymmetric[:, a] = weighted[:, b] / size
            antisymmetric[:, b] = -weighted[:, a] / size
            rotations.append(antisymmetric.reshape(-1))
    constraints = np.concatenate([translations, np.stack(rotations, axis=1)], axis=1)
    directions, singular, _ = np.linalg.svd(constraints, full_matrices=False)
    # A collinear reference constrains one rotation less: count the independent directions instead of the columns. All
    # rotations are measured by one size, so that the rounding noise across such a reference counts as nothing.
    return directions[:, : int(np.sum(singular > 1e-6 * singular[0]))]


def _complement(removed: Float[np.ndarray, "coordinates removed"]) -> FreeDirections:
    """What is left of the space, by a QR decomposition that is kept as reflections."""
    n_coordinates, n_removed = removed.shape
    if n_removed == 0:
        return FreeDirections(reflectors=removed, mixing=np.zeros((0, 0)))
    packed, tau = np.linalg.qr(removed, mode="raw")
    reflectors = np.tril(packed.T, -1) + np.eye(n_coordinates, n_removed)
    mixing = np.zeros((n_removed, n_removed))
    for column in range(n_removed):
        before = mixing[:column, :column] @ (reflectors[:, :column].T @ reflectors[:, column])
        mixing[:column, column] = -tau[column] * before
        mixing[column, column] = tau[column]
    return FreeDirections(reflectors=reflectors, mixing=mixing)


def _product(left: Any, right: Any) -> Any:
    """In full precision, which accelerators don't use by themselves."""
    if isinstance(left, np.ndarray) and isinstance(right, np.ndarray):
        return left @ right
    return jnp.matmul(left, right, precision="highest")
