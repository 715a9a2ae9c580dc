"""Eigenvectors of small symmetric matrices by a fixed number of Jacobi sweeps, batched over leading axes.

The matrices (2x2 or 3x3) are held as nested tuples of their entries, each entry an array over the batch, so
that every step is elementwise over the batch: vectorized, free of branches, and finite for every finite
matrix, repeated eigenvalues and the zero matrix included. In two dimensions one sweep is one rotation, the
closed form. The eigenvectors form a proper rotation. Nothing here is meant to be differentiated; callers
carry analytic derivatives.

References:
    Golub and Van Loan, Matrix Computations, 4th ed., section 8.5 (cyclic Jacobi).
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

Entries = tuple[tuple[jax.Array, ...], ...]
"""A batch of square matrices as rows of entries; each entry has the shape of the batch."""


def entries_of(matrices: Float[Array, "*batch n n"]) -> Entries:
    """The entries of a batch of matrices, each an array over the batch."""
    size = matrices.shape[-1]
    return tuple(tuple(matrices[..., row, column] for column in range(size)) for row in range(size))


def matrix_of(entries: Entries) -> Float[Array, "*batch n n"]:
    """The batch of matrices with these entries; undoes `entries_of`."""
    return jnp.stack([jnp.stack(row, axis=-1) for row in entries], axis=-2)


def symmetric_eigen(matrix: Entries) -> tuple[tuple[jax.Array, ...], Entries]:
    """Eigenvalues in no particular order, and eigenvectors as the columns of a proper rotation.

    Args:
        matrix: entries of symmetric matrices whose largest entries are about one; scale them first.

    Returns:
        The eigenvalues, one array over the batch for each, and the entries of the matrix of eigenvectors.
    """
    size = len(matrix)
    zero, one = jnp.zeros_like(matrix[0][0]), jnp.ones_like(matrix[0][0])
    identity = tuple(tuple(one if row == column else zero for column in range(size)) for row in range(size))
    # Convergence is quadratic: five sweeps reach float32 rounding, six float64 rounding.
    sweeps = 1 if size == 2 else 5 if zero.dtype == jnp.float32 else 6
    diagonalized, vectors = jax.lax.fori_loop(0, sweeps, lambda _, state: _sweep(*state), (matrix, identity))
    return tuple(diagonalized[i][i] for i in range(size)), vectors


def _sweep(matrix: Entries, vectors: Entries) -> tuple[Entries, Entries]:
    """One cyclic sweep: every off-diagonal pair rotated to zero once."""
    size = len(matrix)
    a = [list(row) for row in matrix]
    v = [list(row) for row in vectors]
    for p in range(size - 1):
        for q in range(p + 1, size):
            difference, twice = a[q][q] - a[p][p], 2 * a[p][q]
            denominator = jnp.abs(difference) + jnp.sqrt(difference**2 + twice**2)
            determined = denominator > 0
            tangent = jnp.where(determined, twice / jnp.where(determined, denominator, 1), 0)
            tangent = jnp.where(difference >= 0, tangent, -tangent)
            cosine = 1 / jnp.sqrt(1 + tangent**2)
            sine = tangent * cosine
            a[p][p], a[q][q] = a[p][p] - tangent * a[p][q], a[q][q] + tangent * a[p][q]
            a[p][q] = a[q][p] = jnp.zeros_like(tangent)
            for r in range(size):
                if r not in (p, q):
                    first, second = cosine * a[r][p] - sine * a[r][q], sine * a[r][p] + cosine * a[r][q]
                    a[r][p] = a[p][r] = first
                    a[r][q] = a[q][r] = second
                v[r][p], v[r][q] = cosine * v[r][p] - sine * v[r][q], sine * v[r][p] + cosine * v[r][q]
    return tuple(map(tuple, a)), tuple(map(tuple, v))
