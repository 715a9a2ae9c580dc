"""Observables: differentiable functions of the positions of one frame.

All are invariant to rotation and translation, and have finite gradients where the textbook formula has none (a
distance at zero). Batch them with `jax.vmap`.
"""

import math

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from polyvae._typing import Frame
from polyvae.errors import InputError


def safe_norm(vectors: Float[Array, "*batch dims"]) -> Float[Array, "*batch"]:
    """Euclidean length over the last axis, with gradient zero (not NaN) at length zero.

    Args:
        vectors: any batch of vectors.

    Returns:
        Lengths, in the unit of the vectors.
    """
    square = jnp.sum(vectors**2, axis=-1)
    is_zero = square == 0
    # The inner `where` keeps the square root, whose derivative is infinite at zero, away from zero.
    return jnp.where(
        is_zero, jnp.zeros_like(square), jnp.sqrt(jnp.where(is_zero, jnp.ones_like(square), square))
    )


def pair_distances(frame: Frame, pairs: Int[Array, "pairs 2"]) -> Float[Array, " pairs"]:
    """Distances of the chosen atom pairs of one frame, in the unit of the positions.

    Periodic images are not considered: molecules are made whole when a trajectory is read.

    Args:
        frame: positions of one conformation, shape (atoms, dims).
        pairs: zero-based atom indices.
    """
    return safe_norm(frame[pairs[:, 0]] - frame[pairs[:, 1]])


def distance(frame: Frame, first: int, second: int) -> Float[Array, ""]:
    """Distance of two atoms, in the unit of the positions; no periodic images.

    Args:
        frame: positions of one conformation, shape (atoms, dims).
        first: zero-based index of one atom.
        second: zero-based index of the other.
    """
    return safe_norm(frame[second] - frame[first])


def torsion(frame: Frame, atoms: tuple[int, int, int, int]) -> Float[Array, ""]:
    """Torsion angle of four atoms about the bond of the middle two, radians from -pi to pi; trans is pi.

    The sign is that of IUPAC: positive where, seen along the bond, the last atom is clockwise of the first. The
    gradient is zero where three atoms lie on a line and the angle has no meaning.

    Args:
        frame: positions of one conformation, shape (atoms, 3).
        atoms: zero-based indices.
    """
    a, b, c, d = (frame[atom] for atom in atoms)
    before, axis, after = b - a, c - b, d - c
    first, second = jnp.cross(before, axis), jnp.cross(axis, after)
    sine = safe_norm(axis) * jnp.dot(before, second)
    cosine = jnp.dot(first, second)
    determined = (sine != 0) | (cosine != 0)
    return jnp.where(determined, jnp.arctan2(sine, jnp.where(determined, cosine, 1)), 0)


def end_to_end_distance(frame: Frame) -> Float[Array, ""]:
    """Distance of the first from the last atom, in the unit of the positions."""
    return safe_norm(frame[-1] - frame[0])


def radius_of_gyration(frame: Frame, masses: Float[Array, " atoms"] | None = None) -> Float[Array, ""]:
    r"""Radius of gyration of one frame, in the unit of the positions.

    .. math:: R_g = \sqrt{\sum_i m_i |r_i - r_{com}|^2 / \sum_i m_i}

    Args:
        frame: positions of one conformation, shape (atoms, dims).
        masses: any positive weights, or None for equal ones.
    """
    if masses is None:
        masses = jnp.ones(frame.shape[0], frame.dtype)
    weights = (masses / jnp.sum(masses)).astype(frame.dtype)
    centered = frame - (weights @ frame)[None, :]
    return safe_norm((jnp.sqrt(weights)[:, None] * centered).reshape(-1))


def asphericity(frame: Frame, masses: Float[Array, " atoms"] | None = None) -> Float[Array, ""]:
    r"""How far the gyration tensor is from a ball's: 0 for a ball (in two dimensions a disk), 1 for a rod; no unit.

    .. math:: A = \frac{\sum_{i>j} (\lambda_i - \lambda_j)^2}{(d-1) (\sum_i \lambda_i)^2}
                = \frac{d\, \mathrm{tr}\, S^2 / (\mathrm{tr}\, S)^2 - 1}{d - 1}

    with the eigenvalues λ of the gyration tensor S in d dimensions. The right side needs no eigenvalues, so the
    gradient is finite for planar, collinear and symmetric frames too; where all atoms coincide, value and gradient
    are 0. In three dimensions it is the relative shape anisotropy κ²; the asphericity of Theodorou & Suter,
    λ₁ - (λ₂ + λ₃)/2, is another quantity with a unit.

    Args:
        frame: positions of one conformation, shape (atoms, dims), dims 2 or 3.
        masses: any positive weights, or None for equal ones.

    References:
        Rudnick & Gaspari, The aspherity of random walks, 1986, doi:10.1088/0305-4470/19/4/004.
        Theodorou & Suter, Shape of unperturbed linear polymers: polypropylene, 1985, doi:10.1021/ma00148a028.
    """
    dims = frame.shape[1]
    if masses is None:
        masses = jnp.ones(frame.shape[0], frame.dtype)
    weights = (masses / jnp.sum(masses)).astype(frame.dtype)
    centered = frame - (weights @ frame)[None, :]
    # Divided by the largest coordinate first: fourth powers of small or large lengths leave the range of float32.
    largest = jax.lax.stop_gradient(jnp.max(jnp.abs(centered)))
    collapsed = largest == 0
    centered = centered / jnp.where(collapsed, jnp.ones_like(largest), largest)
    tensor = jnp.matmul(centered.T * weights[None, :], centered, precision="highest")
    trace = jnp.where(collapsed, jnp.ones_like(largest), jnp.trace(tensor))
    shape = (dims * jnp.sum(tensor**2) / trace**2 - 1.0) / (dims - 1)
    return jnp.where(collapsed, jnp.zeros_like(shape), shape)


def contacts(
    frame: Frame,
    pairs: Int[Array, "pairs 2"],
    *,
    r0: float,
    d0: float = 0.0,
    n: int = 6,
    m: int | None = None,
) -> Float[Array, ""]:
    r"""Smooth number of contacts among the chosen pairs, by the rational switching function of PLUMED's COORDINATION.

    .. math:: \sum_{(i,j)} s(r_{ij}), \qquad s(r) = \frac{1 - x^n}{1 - x^m}, \quad
              x = \max\left(\frac{r - d_0}{r_0}, 0\right)

    s is 1 below d0 and n/m at d0 + r0. Large n makes it a count of the pairs closer than that.

    Args:
        frame: positions of one conformation, shape (atoms, dims).
        pairs: zero-based atom indices.
        r0: width of the switch, unit of the positions.
        d0: distance up to which a pair counts in full.
        n: exponent of the numerator.
        m: exponent of the denominator, above `n`; None takes 2 n, and then s = 1 / (1 + x^n).

    Raises:
        InputError: if `r0` is not positive, `d0` is negative, or the exponents are not 1 <= n < m.

    References:
        Tribello et al., PLUMED 2: New feathers for an old bird, 2014, doi:10.1016/j.cpc.2013.09.018.
    """
    m = 2 * n if m is None else m
    if not r0 > 0:
        raise InputError(f"`r0` must be positive; got {r0}.")
    if not d0 >= 0:
        raise InputError(f"`d0` must not be negative; got {d0}.")
    if not 1 <= n < m:
        raise InputError(f"`n` must be at least 1 and `m` larger; got n={n}, m={m}.")
    x = jnp.maximum((pair_distances(frame, pairs) - d0) / r0, 0.0)
    # Both sides divided by 1 - x leave sums of powers, without a zero over zero at x = 1; and beyond it powers of
    # 1 / x, which do not overflow.
    near = x <= 1.0
    inverse = 1.0 / jnp.where(near, jnp.ones_like(x), x)
    low = jnp.where(near, x, jnp.ones_like(x))
    step = math.gcd(n, m)
    near_value = _power_sum(low**step, n // step) / _power_sum(low**step, m // step)
    ratio = _power_sum(inverse**step, n // step) / _power_sum(inverse**step, m // step)
    return jnp.sum(jnp.where(near, near_value, inverse ** (m - n) * ratio))


def _power_sum(x: Float[Array, "*any"], terms: int) -> Float[Array, "*any"]:
    """1 + x + ... + x^(terms - 1), by Horner's rule."""
    total = jnp.ones_like(x)
    for _ in range(terms - 1):
        total = 1.0 + x * total
    return total
