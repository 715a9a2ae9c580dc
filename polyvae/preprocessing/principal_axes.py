"""Principal axes of one frame: the eigenvectors of its gyration tensor, as a right-handed rotation.

Axes are the rows of the rotation, the longest first. An axis has no sign of its own; this rule gives it one:

* the third moment Σ_i w_i (axis · x_i)³ is positive;
* where it is below sqrt(machine epsilon) of the second moment to the power 3/2 (a symmetric distribution
  along the axis), the first bead that is off the center by a tenth of the standard deviation or more lies on
  the positive side;
* where there is no such bead (no extent along the axis) the sign is arbitrary.

The last axis then follows from the handedness (determinant +1). No rule makes the axes continuous: a sign
jumps where the third moment passes zero, and two axes swap where their moments cross. Prefer Kabsch or
Procrustes alignment for anything that must be continuous; `moment_gap` tells how near a frame is to a swap.
"""

from functools import reduce

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from polyvae._typing import Frame, Rotation
from polyvae.preprocessing.centering import center
from polyvae.preprocessing.kabsch import covariance
from polyvae.preprocessing.symmetric_eigen import Entries, entries_of, matrix_of, symmetric_eigen


def principal_axes(frame: Frame, weights: Float[Array, " atoms"] | None = None) -> Rotation:
    """Right-handed rotation into the principal axes, longest axis first.

    Args:
        frame: one frame of shape (atoms, dims), dims 2 or 3.
        weights: positive weights of shape (atoms,) for center and moments; None weighs all atoms equally.

    Returns:
        Rotation with the axes as rows, determinant +1: `center(frame, weights) @ rotation.T` has a diagonal
        gyration tensor. Gradients are finite for every frame (see `principal_rotation`).
    """
    tensor, centered, weights = _gyration(frame, weights)
    axes = principal_rotation(tensor)
    projections = jnp.matmul(centered, axes.T, precision="highest")
    return axes * jax.lax.stop_gradient(_signs(projections, weights))[:, None]


def fast_principal_axes(
    coordinates: tuple[Float[Array, "atoms frames"], ...], weights: Float[Array, " atoms"]
) -> Entries:
    """As `principal_axes` of many frames, several times as fast; not for vmap, no derivative.

    Args:
        coordinates: one array for each dimension, relative to the centers of the frames.
        weights: of the atoms, with sum one.

    Returns:
        Entries of the rotations, each an array over the frames.
    """
    dims, shares = len(coordinates), weights[:, None]
    upper = {
        (a, b): jnp.sum(shares * coordinates[a] * coordinates[b], axis=0)
        for a in range(dims)
        for b in range(a, dims)
    }
    trace = reduce(jnp.add, (upper[a, a] for a in range(dims)))
    trace = jnp.where(trace > 0, trace, 1)
    tensor = tuple(tuple(upper[min(a, b), max(a, b)] / trace for b in range(dims)) for a in range(dims))
    values, vectors = symmetric_eigen(tensor)
    axes = _longest_first(values, [tuple(row[k] for row in vectors) for k in range(dims)])
    for k in range(dims - 1):
        along = reduce(jnp.add, (axes[k][a][None, :] * coordinates[a] for a in range(dims)))
        sign = _sign(along, shares)
        axes[k] = tuple(sign * entry for entry in axes[k])
    # The last axis makes the rotation proper.
    if dims == 2:
        axes[1] = (-axes[0][1], axes[0][0])
    else:
        (ax, ay, az), (bx, by, bz) = axes[0], axes[1]
        axes[2] = (ay * bz - az * by, az * bx - ax * bz, ax * by - ay * bx)
    return tuple(axes)


def moment_gap(frame: Frame, weights: Float[Array, " atoms"] | None = None) -> Float[Array, ""]:
    """Smallest difference between two principal moments over their sum; zero for coincident atoms.

    Below about 0.01 the axes of a frame turn by a large angle under a small change of its positions.
    """
    tensor, _, _ = _gyration(frame, weights)
    scale = _scale(tensor)
    values, _ = symmetric_eigen(entries_of(tensor / scale))
    values = jnp.sort(jnp.stack(values))
    return jnp.min(jnp.diff(values))


@jax.custom_jvp
def principal_rotation(tensor: Float[Array, "dims dims"]) -> Rotation:
    """Eigenvectors of a symmetric positive tensor as the rows of a proper rotation, largest eigenvalue first.

    The derivative is analytic: dV = Ω V with Ω_ij = (V dA Vᵀ)_ij / (λ_i - λ_j). 1/gap is replaced by gap /
    (gap² + ε²), ε = sqrt(machine epsilon) tr A: exact to (ε/gap)² where the moments differ, zero where two
    coincide and their axes are not determined, and never larger than 1/(2ε).
    """
    return _sorted_eigen(tensor)[1]


@principal_rotation.defjvp
def _principal_rotation_jvp(primals, tangents):
    (tensor,), (change,) = primals, tangents
    scale = _scale(tensor)
    values, _ = _sorted_eigen(jax.lax.stop_gradient(tensor))
    axes = principal_rotation(tensor)
    gaps = values[:, None] - values[None, :]
    epsilon = jnp.finfo(tensor.dtype).eps ** 0.5
    mixed = jnp.linalg.multi_dot([axes, change / scale, axes.T], precision="highest")
    return axes, jnp.matmul(mixed * gaps / (gaps**2 + epsilon**2), axes, precision="highest")


def _gyration(
    frame: Frame, weights: Float[Array, " atoms"] | None
) -> tuple[Float[Array, "dims dims"], Frame, Float[Array, " atoms"]]:
    """Gyration tensor, centered frame, and weights that sum to one."""
    weights = jnp.ones(frame.shape[0], frame.dtype) if weights is None else weights.astype(frame.dtype)
    weights = weights / jnp.sum(weights)
    centered = center(frame, weights)
    return covariance(centered, centered, weights), centered, weights


def _scale(tensor: Float[Array, "dims dims"]) -> Float[Array, ""]:
    """Trace of the tensor, one for the zero tensor; held constant under differentiation."""
    trace = jax.lax.stop_gradient(jnp.trace(tensor))
    return jnp.where(trace > 0, trace, 1)


def _sorted_eigen(tensor: Float[Array, "dims dims"]) -> tuple[Float[Array, " dims"], Rotation]:
    """Eigenvalues over the trace in descending order, and the eigenvectors as rows of a proper rotation."""
    values, vectors = symmetric_eigen(entries_of(tensor / _scale(tensor)))
    values, axes = jnp.stack(values), matrix_of(vectors).T
    order = jnp.argsort(-values)
    values, axes = values[order], axes[order]
    # The order may have turned the axes left-handed; the last one makes up for it.
    if len(order) == 2:
        handedness = axes[0, 0] * axes[1, 1] - axes[0, 1] * axes[1, 0]
    else:
        handedness = jnp.dot(jnp.cross(axes[0], axes[1]), axes[2])
    return values, axes.at[-1].multiply(jnp.where(handedness < 0, -1, 1).astype(axes.dtype))


def _signs(projections: Frame, weights: Float[Array, " atoms"]) -> Float[Array, " dims"]:
    """Sign of each axis by the rule of this module, with product one."""
    second = jnp.sum(weights[:, None] * projections**2, axis=0)
    third = jnp.sum(weights[:, None] * projections**3, axis=0)
    symmetric = jnp.abs(third) <= jnp.finfo(third.dtype).eps ** 0.5 * second**1.5
    off_center = jnp.abs(projections) > 0.1 * jnp.sqrt(second)[None, :]
    first = jnp.take_along_axis(projections, jnp.argmax(off_center, axis=0)[None, :], axis=0)[0]
    signs = jnp.where(jnp.where(symmetric, first, third) < 0, -1, 1).astype(third.dtype)
    return signs.at[-1].set(jnp.prod(signs[:-1]))


def _longest_first(
    values: tuple[jax.Array, ...], axes: list[tuple[jax.Array, ...]]
) -> list[tuple[jax.Array, ...]]:
    """The axes of each frame in descending order of their eigenvalues."""
    values_left, axes = list(values), list(axes)
    for i, j in ((0, 1), (1, 2), (0, 1)) if len(axes) == 3 else ((0, 1),):
        swap = values_left[j] > values_left[i]
        values_left[i], values_left[j] = (
            jnp.where(swap, values_left[j], values_left[i]),
            jnp.where(swap, values_left[i], values_left[j]),
        )
        axes[i], axes[j] = (
            tuple(jnp.where(swap, b, a) for a, b in zip(axes[i], axes[j], strict=True)),
            tuple(jnp.where(swap, a, b) for a, b in zip(axes[i], axes[j], strict=True)),
        )
    return axes


def _sign(along: Float[Array, "atoms frames"], shares: Float[Array, "atoms 1"]) -> Float[Array, " frames"]:
    """Sign of one axis of every frame by the rule of this module, from the positions along it."""
    second, third = jnp.sum(shares * along**2, axis=0), jnp.sum(shares * along**3, axis=0)
    symmetric = jnp.abs(third) <= jnp.finfo(third.dtype).eps ** 0.5 * second**1.5

    def of_first_bead(third: jax.Array) -> jax.Array:
        off_center = jnp.abs(along) > 0.1 * jnp.sqrt(second)[None, :]
        first = jnp.take_along_axis(along, jnp.argmax(off_center, axis=0)[None], axis=0)[0]
        return jnp.where(symmetric, first, third)

    decisive = jax.lax.cond(jnp.any(symmetric), of_first_bead, lambda third: third, third)
    return jnp.where(decisive < 0, -1, 1).astype(along.dtype)
