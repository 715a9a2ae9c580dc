"""The proper rotation that turns one centered cloud best onto another, from their 2x2 or 3x3 covariance.

With S = Σ_i w_i x_i ⊗ y_i the rotation R (determinant +1) maximizes Σ_ab R_ba S_ab, which minimizes Σ_i w_i
|R x_i - y_i|². In two dimensions R follows from Σ x·y and Σ x×y. In three, R is the unit quaternion that
belongs to the largest eigenvalue of Horn's symmetric 4x4 matrix, found in two ways. Squaring the matrix again
and again is safe for every input. Newton steps on its characteristic polynomial from an upper bound, the
eigenvector as a column of the adjugate, and a Rayleigh-quotient step that restores the digits that the
polynomial loses are quicker; where the two largest eigenvalues nearly coincide (collinear clouds, mirror
images of symmetric ones) a polynomial in floating point cannot separate them, and squaring takes over.

References:
    Horn, J. Opt. Soc. Am. A 4, 629 (1987), doi:10.1364/JOSAA.4.000629.
    Theobald, Acta Cryst. A 61, 478 (2005), doi:10.1107/S0108767305015266. We depart from it by the
    Rayleigh-quotient step, by the choice of the longest adjugate column, and by the fall-back.
"""

from collections.abc import Callable
from functools import reduce

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from polyvae.preprocessing.symmetric_eigen import Entries, entries_of, matrix_of, symmetric_eigen

_NEWTON_STEPS = 10
# Product of the gaps below the largest eigenvalue, over |S|³, under which the polynomial is not trusted.
_SEPARATED = 0.05
_UPPER = tuple((i, j) for i in range(4) for j in range(i, 4))


@jax.custom_jvp
def optimal_rotation(covariance: Float[Array, "*batch dims dims"]) -> Float[Array, "*batch dims dims"]:
    """Rotation R (determinant +1) that maximizes Σ_ab R_ba S_ab, for each matrix S of a batch.

    Where the best rotation is not unique, one of the best is returned: the identity for S = 0.

    The derivative is analytic. P = R S is symmetric at the optimum, so a change dS turns R by the vector ω
    that solves (tr P - P) ω = axial(R dS). The eigenvalues k of tr P - P are the sums of two signed singular
    values of S; they vanish exactly where a turn costs nothing, that is where R is not determined. 1/k is
    replaced by k / (k² + ε²), ε = sqrt(machine epsilon) |S|: exact to (ε/k)² where R is determined, zero for
    turns that are not determined at all, never larger than 1/(2ε). Gradients are therefore finite for every
    input.

    Args:
        covariance: S = Σ_i w_i x_i ⊗ y_i of shape (..., dims, dims), dims 2 or 3; row index from x, column
            from y.

    Returns:
        Rotations of shape (..., dims, dims): y ≈ x @ R.T for positions x, y as rows.
    """
    # Under vmap both sides of a condition run: squaring alone is quicker there, and to compile.
    return matrix_of(_rotation_entries(entries_of(covariance), _eigenvector_by_squaring))


def fast_optimal_rotation(covariance: Entries) -> Entries:
    """As `optimal_rotation`, several times as fast on large batches; not for vmap, no derivative."""
    return _rotation_entries(covariance, _eigenvector_by_polynomial)


def _rotation_entries(covariance: Entries, largest_eigenvector: Callable) -> Entries:
    covariance = _scaled(covariance)
    if len(covariance) == 2:
        (xx, xy), (yx, yy) = covariance
        along, across = xx + yy, xy - yx
        length = jnp.sqrt(along**2 + across**2)
        determined = length > 0
        cosine = jnp.where(determined, along / jnp.where(determined, length, 1), 1)
        sine = jnp.where(determined, across / jnp.where(determined, length, 1), 0)
        return ((cosine, -sine), (sine, cosine))
    return _rotation_of_quaternion(largest_eigenvector(_horn_matrix(covariance), covariance))


def turning_stiffness(
    rotation: Float[Array, "*batch dims dims"], covariance: Float[Array, "*batch dims dims"]
) -> Float[Array, "*batch"]:
    """Smallest cost of a small turn off the best rotation, relative to |S|; zero where it is not unique.

    In two dimensions Σ_ab R_ba S_ab; in three the smallest eigenvalue of tr P - P, P = R S.
    """
    scale = _norm(covariance)
    product = _product(rotation, covariance / scale[..., None, None])
    if covariance.shape[-1] == 2:
        return jnp.trace(product, axis1=-2, axis2=-1)
    values, _ = symmetric_eigen(entries_of(_stiffness_matrix(product)))
    return jnp.minimum(jnp.minimum(values[0], values[1]), values[2])


@optimal_rotation.defjvp
def _optimal_rotation_jvp(primals, tangents):
    (covariance,), (change,) = primals, tangents
    rotation = optimal_rotation(covariance)
    scale = _norm(covariance)[..., None, None]
    epsilon = jnp.finfo(covariance.dtype).eps ** 0.5
    product, turned = _product(rotation, covariance / scale), _product(rotation, change / scale)
    if covariance.shape[-1] == 2:
        stiffness = jnp.trace(product, axis1=-2, axis2=-1)
        twist = turned[..., 0, 1] - turned[..., 1, 0]
        angle = (twist * stiffness / (stiffness**2 + epsilon**2))[..., None, None]
        quarter_turn = jnp.broadcast_to(jnp.array([[0, -1], [1, 0]], rotation.dtype), rotation.shape)
        return rotation, angle * _product(quarter_turn, rotation)
    values, vectors = symmetric_eigen(entries_of(jax.lax.stop_gradient(_stiffness_matrix(product))))
    values, vectors = jnp.stack(values, axis=-1), matrix_of(vectors)
    axial = jnp.stack([turned[..., b, c] - turned[..., c, b] for b, c in ((1, 2), (2, 0), (0, 1))], axis=-1)
    along = _product(jnp.swapaxes(vectors, -1, -2), axial[..., None])
    along = along * (values / (values**2 + epsilon**2))[..., None]
    turn = _product(vectors, along)[..., 0]
    return rotation, _product(_cross_matrix(turn), rotation)


def _product(
    left: Float[Array, "*batch n m"], right: Float[Array, "*batch m k"]
) -> Float[Array, "*batch n k"]:
    """Matrix product in full precision, which accelerators don't use by themselves."""
    return jnp.matmul(left, right, precision="highest")


def _norm(matrices: Float[Array, "*batch n n"]) -> Float[Array, "*batch"]:
    """Frobenius norm, one for the zero matrix; held constant under differentiation."""
    matrices = jax.lax.stop_gradient(matrices)
    largest = jnp.max(jnp.abs(matrices), axis=(-1, -2))
    largest = jnp.where(largest > 0, largest, 1)
    scaled = matrices / largest[..., None, None]
    norm = largest * jnp.sqrt(jnp.sum(scaled**2, axis=(-1, -2)))
    return jnp.where(norm > 0, norm, 1)


def _stiffness_matrix(product: Float[Array, "*batch 3 3"]) -> Float[Array, "*batch 3 3"]:
    """The matrix tr P - P of the symmetric part P of `product`."""
    symmetric = (product + jnp.swapaxes(product, -1, -2)) / 2
    identity = jnp.broadcast_to(jnp.eye(3, dtype=product.dtype), product.shape)
    return jnp.trace(symmetric, axis1=-2, axis2=-1)[..., None, None] * identity - symmetric


def _cross_matrix(vector: Float[Array, "*batch 3"]) -> Float[Array, "*batch 3 3"]:
    """The antisymmetric matrix W with W u = vector × u."""
    x, y, z = vector[..., 0], vector[..., 1], vector[..., 2]
    zero = jnp.zeros_like(x)
    return matrix_of(((zero, -z, y), (z, zero, -x), (-y, x, zero)))


def _scaled(covariance: Entries) -> Entries:
    """The matrices divided by their Frobenius norms (zero matrices stay zero)."""
    flat = [entry for row in covariance for entry in row]
    largest = jnp.abs(flat[0])
    for entry in flat[1:]:
        largest = jnp.maximum(largest, jnp.abs(entry))
    largest = jnp.where(largest > 0, largest, 1)
    norm = largest * jnp.sqrt(sum((entry / largest) ** 2 for entry in flat))
    inverse = 1 / jnp.where(norm > 0, norm, 1)
    return tuple(tuple(entry * inverse for entry in row) for row in covariance)


def _horn_matrix(covariance: Entries) -> Entries:
    """Horn's matrix, whose largest eigenvalue has the quaternion of the best rotation as eigenvector."""
    (xx, xy, xz), (yx, yy, yz), (zx, zy, zz) = covariance
    return (
        (xx + yy + zz, yz - zy, zx - xz, xy - yx),
        (yz - zy, xx - yy - zz, xy + yx, zx + xz),
        (zx - xz, xy + yx, yy - xx - zz, yz + zy),
        (xy - yx, zx + xz, yz + zy, zz - xx - yy),
    )


def _eigenvector_by_polynomial(horn: Entries, covariance: Entries) -> tuple[jax.Array, ...]:
    """Unit eigenvector of the largest eigenvalue of Horn's matrix, for a covariance of norm one, or zero."""
    (xx, xy, xz), (yx, yy, yz), (zx, zy, zz) = covariance
    # The characteristic polynomial λ⁴ - 2λ² + c1 λ + c0 of Horn's matrix, for |S| = 1.
    c1 = -8 * (xx * (yy * zz - yz * zy) - xy * (yx * zz - yz * zx) + xz * (yx * zy - yy * zx))
    squared = [
        [sum(a * b for a, b in zip(row, other, strict=True)) for other in covariance] for row in covariance
    ]
    c0 = 2 * sum(entry**2 for row in squared for entry in row) - 1

    def newton(_, root):
        slope = (4 * root**2 - 4) * root + c1
        value = ((root**2 - 2) * root + c1) * root + c0
        return root - jnp.where(slope > 0, value / jnp.where(slope > 0, slope, 1), 0)

    # The three singular values of a matrix of norm one sum to sqrt(3) at most: an upper bound to start from.
    root = jax.lax.fori_loop(0, _NEWTON_STEPS, newton, jnp.full_like(xx, 3**0.5))

    def refine(_, state):
        value, _, _ = state
        vector, gaps = _eigenvector(horn, value)
        value = sum(vector[i] * sum(horn[i][j] * vector[j] for j in range(4)) for i in range(4))
        return value, vector, gaps

    _, quaternion, gaps = jax.lax.fori_loop(0, 2, refine, (root, (root, root, root, root), root))
    unsure = ~(gaps > _SEPARATED)

    def by_squaring(quaternion):
        robust = _eigenvector_by_squaring(horn, covariance)
        return tuple(jnp.where(unsure, robust[i], quaternion[i]) for i in range(4))

    return jax.lax.cond(jnp.any(unsure), by_squaring, lambda quaternion: quaternion, quaternion)


def _eigenvector_by_squaring(matrix: Entries, _: Entries) -> tuple[jax.Array, ...]:
    """Unit vector v that maximizes v·Mv, for symmetric 4x4 matrices M with eigenvalues within ±sqrt(3).

    Squaring M + sqrt(3) repeatedly leaves the projector on the eigenvectors of the largest eigenvalue, or
    a mixture with others so close to it that v·Mv loses no more than rounding.
    """
    dtype = matrix[0][0].dtype

    def square(_step, upper):
        full = _symmetric(upper)
        inverse = 1 / (full[0][0] + full[1][1] + full[2][2] + full[3][3])
        products = [[full[i][k] * full[k][j] for k in range(4)] for i, j in _UPPER]
        return tuple(reduce(jnp.add, terms) * inverse**2 for terms in products)

    shifted = tuple(matrix[i][j] + 3**0.5 if i == j else matrix[i][j] for i, j in _UPPER)
    # n squarings lose at most 2^-n, as two eigenvalues that close are never told apart.
    upper = jax.lax.fori_loop(0, jnp.finfo(dtype).nmant, square, shifted)
    return _normalized(_longest_column(_symmetric(upper)))


def _eigenvector(matrix: Entries, value: jax.Array) -> tuple[tuple[jax.Array, ...], jax.Array]:
    """Unit eigenvector of a symmetric 4x4 matrix and the product of the gaps below `value`."""
    shifted = tuple(
        tuple(value - matrix[i][j] if i == j else -matrix[i][j] for j in range(4)) for i in range(4)
    )
    adjugate = _adjugate(shifted)
    gaps = adjugate[0][0] + adjugate[1][1] + adjugate[2][2] + adjugate[3][3]
    return _normalized(_longest_column(adjugate)), gaps


def _longest_column(projector: Entries) -> list[jax.Array]:
    """Column with the largest diagonal entry of a symmetric 4x4 matrix that is nearly of rank one."""
    longest, column = projector[0][0], list(projector[0])
    for k in range(1, 4):
        longer = projector[k][k] > longest
        longest = jnp.where(longer, projector[k][k], longest)
        column = [jnp.where(longer, projector[k][i], column[i]) for i in range(4)]
    return column


def _normalized(column: list[jax.Array]) -> tuple[jax.Array, ...]:
    """The vector of length one (zero stays zero)."""
    square = sum(entry**2 for entry in column)
    inverse = 1 / jnp.sqrt(jnp.where(square > 0, square, 1))
    return tuple(entry * inverse for entry in column)


def _adjugate(m: Entries) -> Entries:
    """Adjugate of a symmetric 4x4 matrix from its 2x2 minors."""

    def minor(rows, i, j):
        return m[rows[0]][i] * m[rows[1]][j] - m[rows[0]][j] * m[rows[1]][i]

    pairs = ((0, 1), (0, 2), (0, 3), (1, 2), (1, 3), (2, 3))
    top = {pair: minor((0, 1), *pair) for pair in pairs}
    low = {pair: minor((2, 3), *pair) for pair in pairs}

    def cofactor(row, column):
        i, j, k = (index for index in range(4) if index != column)
        if row < 2:
            other = m[1 - row]
            value = other[i] * low[j, k] - other[j] * low[i, k] + other[k] * low[i, j]
        else:
            other = m[5 - row]
            value = other[i] * top[j, k] - other[j] * top[i, k] + other[k] * top[i, j]
        return value if (row + column) % 2 == 0 else -value

    return _symmetric(tuple(cofactor(i, j) for i, j in _UPPER))


def _symmetric(upper: tuple[jax.Array, ...]) -> Entries:
    """The symmetric 4x4 matrix with this upper triangle."""
    entries = dict(zip(_UPPER, upper, strict=True))
    return tuple(tuple(entries[min(i, j), max(i, j)] for j in range(4)) for i in range(4))


def _rotation_of_quaternion(quaternion: tuple[jax.Array, ...]) -> Entries:
    """Entries of the rotation matrix of a unit quaternion (w, x, y, z)."""
    w, x, y, z = quaternion
    return (
        (1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)),
        (2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)),
        (2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)),
    )
