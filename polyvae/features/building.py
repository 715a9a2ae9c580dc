"""Internal coordinates to positions and back along a bond tree, for one frame; compiled, differentiable, shallow.

Each atom carries a frame of axes (u, v, w): u along the bond from its parent, v in the plane of its grandparent on the
side of the next ancestor, w = u x v. The frame of a child is that of its parent turned by a matrix of the angle and the
torsion alone, so frames compose along the tree. Composition is associative, and pointers to ancestors double their
reach at each round: a chain of n atoms takes log2(n) rounds, in which all atoms go at once.

In two dimensions the turn angle takes the place of angle and torsion: the signed angle from the bond of the parent to
that of the atom.

References:
    Parsons et al., Practical conversion from torsion space to Cartesian space for in silico protein synthesis, J.
    Comput. Chem. 26, 1063 (2005), doi:10.1002/jcc.20237, for the frames (NeRF).
    Hillis & Steele, Data parallel algorithms, Commun. ACM 29, 1170 (1986), doi:10.1145/7902.7903, for the doubling.
"""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from polyvae._typing import Frame
from polyvae.features.bond_tree import BondTree

_STRAIGHT = {"float32": 1e-6, "float64": 1e-12}
"""Three atoms are collinear where the turn between their bonds is below this, radians: what rounding of positions
leaves, and too little to move anything built."""


def build(
    tree: BondTree,
    lengths: Float[Array, " lengths"],
    angles: Float[Array, " angles"],
    torsions: Float[Array, " torsions"],
) -> Frame:
    """Positions in the order of placement: the root at the origin, the first bond along x.

    Args:
        tree: order of placement.
        lengths: bond length of every atom but the root, unit of length.
        angles: bond angle at the parent, of every atom from the third, radians; none in two dimensions.
        torsions: torsion of every atom from the fourth, counted from the eldest sibling where there is one; in two
            dimensions the turn angle of every atom from the third.

    Returns:
        Positions of shape (atoms, 3), or (atoms, 2) where no angles are given.
    """
    if angles.shape[0] == 0:
        headings = _along_tree(tree, jnp.concatenate([jnp.zeros(2, lengths.dtype), torsions]))
        directions = jnp.stack([jnp.cos(headings[1:]), jnp.sin(headings[1:])], axis=1)
    else:
        axes = _axes(tree, angles, torsions)
        directions = axes[1:, :, 0]
    steps = jnp.concatenate(
        [jnp.zeros((1, directions.shape[1]), lengths.dtype), lengths[:, None] * directions]
    )
    return _along_tree(tree, steps)


def measure(
    tree: BondTree, positions: Frame
) -> tuple[Float[Array, " lengths"], Float[Array, " angles"], Float[Array, " torsions"]]:
    """Lengths, angles and torsions of positions in the order of placement; the inverse of `build`.

    Angles lie in [0, pi], torsions in [-pi, pi]. A torsion that three collinear atoms leave open is zero, and those
    after it are counted along the straight part; gradients are finite.
    """
    parents = np.asarray(tree.parents)
    bonds = positions[1:] - positions[parents[1:]]
    lengths = _norm(bonds)
    before = bonds[parents[2:] - 1]
    after = bonds[1:]
    if positions.shape[1] == 2:
        cross = before[:, 0] * after[:, 1] - before[:, 1] * after[:, 0]
        return lengths, jnp.zeros(0, positions.dtype), _arctan2(cross, jnp.sum(before * after, axis=1))
    across, references, is_straight = _across(tree, bonds)
    sine = jnp.where(is_straight, 0, _norm(jnp.cross(before, after)))
    angles = _arctan2(sine, -jnp.sum(before * after, axis=1))
    along = _unit(bonds, 0)[parents[3:] - 1]
    side = jnp.sum(across[1:] * jnp.cross(along, references), axis=1)
    return lengths, angles, _arctan2(side, jnp.sum(across[1:] * references, axis=1))


def reference_frames(
    tree: BondTree, positions: Frame
) -> tuple[Float[Array, "placed dims"], Float[Array, "placed dims dims"]]:
    """Where each atom but the root is placed from: its parent, and axes fixed by atoms that were placed before it.

    The first axis continues the bond of the parent; from the second the atom's torsion is counted.

    Returns:
        Origins of shape (atoms - 1, dims) and axes as columns of shape (atoms - 1, dims, dims). The axes of the first
        atom are those of space, as are directions that earlier atoms leave open.
    """
    parents = np.asarray(tree.parents)
    dims = positions.shape[1]
    origins = positions[parents[1:]]
    bonds = positions[1:] - origins
    first = jnp.eye(dims, dtype=positions.dtype)[None]
    along = _unit(bonds, 0)[parents[2:] - 1]
    if dims == 2:
        turned = jnp.stack([-along[:, 1], along[:, 0]], axis=1)
        return origins, jnp.concatenate([first, jnp.stack([along, turned], axis=2)])
    _, references, _ = _across(tree, bonds)
    # The third atom has no torsion: any plane will do.
    aside = jnp.concatenate([_any_perpendicular(along[:1]), references])
    return origins, jnp.concatenate([first, jnp.stack([along, aside, jnp.cross(along, aside)], axis=2)])


def _across(
    tree: BondTree, bonds: Float[Array, "lengths 3"]
) -> tuple[Float[Array, "angles 3"], Float[Array, "torsions 3"], Bool[Array, " angles"]]:
    """Unit vectors across the parent's bond: towards each atom from the third, and where its torsion is counted from.

    Also whether the atom continues that bond in a straight line. An atom's own direction e and its parent's bond p make
    the second axis of its frame, v = cos e - sin p with the turn between the bonds. Where atoms are nearly collinear, e
    is what rounding makes of it; but the atom's torsion and those of its children refer to the same e, so that `build`
    takes it out again. Where nothing is left of e, the torsion is zero: v is carried along the straight part, found by
    pointers to ancestors.
    """
    parents, siblings = np.asarray(tree.parents), np.asarray(tree.siblings)
    along = _unit(bonds, 0)
    before, after = along[parents[2:] - 1], along[1:]
    cosine = jnp.sum(before * after, axis=1)
    offset = after - cosine[:, None] * before
    sine = _norm(offset)
    # Normalization brings up what rounding left along the bond.
    across = _unit(_without(_unit(offset, 1), before), 1)
    second = cosine[:, None] * across - sine[:, None] * before

    is_straight = jnp.concatenate([jnp.zeros(2, bool), sine < _STRAIGHT[str(bonds.dtype)]])
    ancestors = jnp.where(is_straight, parents, np.arange(len(parents)))
    folds = jnp.concatenate([jnp.ones(2, bonds.dtype), jnp.sign(cosine)])
    signs = jnp.where(is_straight, folds, 1)
    signs, ancestors = jax.lax.fori_loop(
        0,
        tree.depth.bit_length(),
        lambda _, carry: (carry[0] * carry[0][carry[1]], carry[1][carry[1]]),
        (jax.lax.stop_gradient(signs), ancestors),
    )

    # The first atom off the line of the first bond has torsion zero.
    is_off = ~is_straight[2:] & (ancestors[parents[2:]] <= 1)
    turn = jnp.argmax(is_off)
    start = jnp.where(is_off[turn], signs[parents[2:]][turn] * across[turn], _any_perpendicular(along[:1])[0])
    start = _unit(_without(start[None], along[:1]), 1)
    seconds = jnp.concatenate([start, start, second])
    carried = signs[:, None] * seconds[ancestors]
    carried = _unit(_without(carried, jnp.concatenate([along[:1], along])), 1)
    seconds = jnp.where(is_straight[:, None], carried, seconds)
    across = jnp.where(is_straight[2:, None], seconds[parents[2:]], across)
    eldest = across[np.maximum(siblings[3:] - 2, 0)]
    references = jnp.where(jnp.asarray(siblings[3:] >= 0)[:, None], eldest, seconds[parents[3:]])
    return across, references, is_straight[2:]


def _axes(tree: BondTree, angles: Array, torsions: Array) -> Float[Array, "atoms 3 3"]:
    """Axes of every atom's frame, as columns, in the frame of the root."""
    siblings = np.asarray(tree.siblings)
    zeros = jnp.zeros(3, torsions.dtype)
    torsions = jnp.concatenate([zeros, torsions])
    eldest = torsions[np.maximum(siblings, 0)]
    # Torsions of later siblings are counted from the eldest.
    torsions = torsions + jnp.where(jnp.asarray(siblings >= 0), eldest, 0.0)
    angles = jnp.concatenate([jnp.full(2, jnp.pi, angles.dtype), angles])
    cos_angle, sin_angle = jnp.cos(angles), jnp.sin(angles)
    cos_torsion, sin_torsion = jnp.cos(torsions), jnp.sin(torsions)
    turns = jnp.stack(
        [
            jnp.stack([-cos_angle, sin_angle * cos_torsion, sin_angle * sin_torsion], axis=1),
            jnp.stack([-sin_angle, -cos_angle * cos_torsion, -cos_angle * sin_torsion], axis=1),
            jnp.stack([jnp.zeros_like(sin_torsion), -sin_torsion, cos_torsion], axis=1),
        ],
        axis=2,
    )
    identity = jnp.broadcast_to(jnp.eye(3, dtype=turns.dtype), (2, 3, 3))
    turns = jnp.concatenate([identity, turns[2:]])
    reach = np.asarray(tree.parents)
    while reach.any():
        turns = jnp.matmul(turns[reach], turns, precision="highest")
        reach = reach[reach]
    return turns


def _along_tree(tree: BondTree, values: Float[Array, "atoms *rest"]) -> Float[Array, "atoms *rest"]:
    """Sum of the values from the root to each atom; the root's own must be zero."""
    reach = np.asarray(tree.parents)
    while reach.any():
        values = values + values[reach]
        reach = reach[reach]
    return values


def _norm(vectors: Float[Array, "n dims"]) -> Float[Array, " n"]:
    square = jnp.sum(vectors**2, axis=1)
    positive = square > 0
    return jnp.where(positive, jnp.sqrt(jnp.where(positive, square, 1)), 0)


def _unit(vectors: Float[Array, "n dims"], axis: int) -> Float[Array, "n dims"]:
    """Unit vectors; an axis of space for those without length."""
    square = jnp.sum(vectors**2, axis=1, keepdims=True)
    positive = square > 0
    fallback = jnp.broadcast_to(jnp.eye(vectors.shape[1], dtype=vectors.dtype)[axis], vectors.shape)
    return jnp.where(positive, vectors / jnp.sqrt(jnp.where(positive, square, 1)), fallback)


def _without(vectors: Float[Array, "n 3"], directions: Float[Array, "n 3"]) -> Float[Array, "n 3"]:
    """What is left of the vectors across unit vectors."""
    return vectors - jnp.sum(vectors * directions, axis=1, keepdims=True) * directions


def _any_perpendicular(directions: Float[Array, "n 3"]) -> Float[Array, "n 3"]:
    least = jnp.argmin(jnp.abs(directions), axis=1)
    return _unit(_without(jnp.eye(3, dtype=directions.dtype)[least], directions), 1)


def _arctan2(y: Array, x: Array) -> Array:
    """The angle of (x, y), 0 with no gradient for the point (0, 0)."""
    determined = (x != 0) | (y != 0)
    return jnp.where(determined, jnp.arctan2(y, jnp.where(determined, x, 1)), 0)
