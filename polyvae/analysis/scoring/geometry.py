"""Internal coordinates of all frames at once: distances, angles, torsions, turns, handedness, size.

Coordinates come as (dims, atoms, frames), results go as (rows, frames): the frames of one quantity lie together in
memory, ready to be sorted or counted. Angles are in radians.
"""

import numpy as np

from polyvae.errors import InputError


def distances(coordinates: np.ndarray, pairs: np.ndarray) -> np.ndarray:
    """Distances of atom pairs (pairs, 2), in the unit of the coordinates."""
    return np.sqrt(np.sum(_between(coordinates, pairs[:, 0], pairs[:, 1]) ** 2, axis=0))


def angles(coordinates: np.ndarray, triples: np.ndarray) -> np.ndarray:
    """Angles at the middle atom of (angles, 3), from 0 to π."""
    first = _between(coordinates, triples[:, 1], triples[:, 0])
    second = _between(coordinates, triples[:, 1], triples[:, 2])
    along = np.sum(first * second, axis=0)
    if len(coordinates) == 2:
        across = np.abs(first[0] * second[1] - first[1] * second[0])
    else:
        across = np.sqrt(np.sum(_cross(first, second) ** 2, axis=0))
    # The arctangent keeps the digits that the arccosine loses near 0 and π.
    return np.arctan2(across, along)


def turns(coordinates: np.ndarray, triples: np.ndarray) -> np.ndarray:
    """Signed angles from bond a-b to bond b-c in two dimensions, from -π to π; 0 is straight, left is positive."""
    first = _between(coordinates, triples[:, 0], triples[:, 1])
    second = _between(coordinates, triples[:, 1], triples[:, 2])
    return np.arctan2(first[0] * second[1] - first[1] * second[0], np.sum(first * second, axis=0))


def torsions(coordinates: np.ndarray, quadruples: np.ndarray) -> np.ndarray:
    """Torsions of (torsions, 4), from -π to π, by the sign convention of IUPAC; trans is ±π."""
    first = _between(coordinates, quadruples[:, 0], quadruples[:, 1])
    middle = _between(coordinates, quadruples[:, 1], quadruples[:, 2])
    last = _between(coordinates, quadruples[:, 2], quadruples[:, 3])
    left, right = _cross(first, middle), _cross(middle, last)
    across = np.sqrt(np.sum(middle**2, axis=0)) * np.sum(first * right, axis=0)
    return np.arctan2(across, np.sum(left * right, axis=0))


def handedness(coordinates: np.ndarray, centers: np.ndarray) -> np.ndarray:
    """Sign of (a - d)·[(b - d) x (c - d)] for rows d, a, b, c of (centers, 4): 1, -1, or 0 for a flat center."""
    arms = [_between(coordinates, centers[:, 0], centers[:, other]) for other in (1, 2, 3)]
    return np.sign(np.sum(arms[0] * _cross(arms[1], arms[2]), axis=0))


def radii_of_gyration(coordinates: np.ndarray, masses: np.ndarray | None) -> np.ndarray:
    """Radius of gyration of every frame, shape (1, frames)."""
    share = np.ones(coordinates.shape[1]) if masses is None else masses
    share = share / share.sum()
    center = np.einsum("a,daf->df", share, coordinates, dtype=np.float64)
    offsets = coordinates - center[:, None, :]
    return np.sqrt(np.einsum("a,daf->f", share, offsets**2, dtype=np.float64))[None]


def check_bonds(coordinates: np.ndarray, bonds: np.ndarray, source: str, names: list[str]) -> None:
    """Raise an `InputError` where two bonded atoms coincide: no angle is defined there."""
    flat = np.all(_between(coordinates, bonds[:, 0], bonds[:, 1]) == 0, axis=0)
    if flat.any():
        bond, frame = np.argwhere(flat)[0]
        first, second = bonds[bond]
        raise InputError(
            f"{source}: the bonded atoms {names[first]} and {names[second]} (indices {first} and {second}) lie at the "
            f"same place in frame {frame}, counted among frames that have weight. Angles are not defined there; cut "
            "such frames away or give them the weight 0."
        )


def _between(coordinates: np.ndarray, start: np.ndarray, end: np.ndarray) -> np.ndarray:
    """Vectors from one atom to another, shape (dims, rows, frames)."""
    return coordinates[:, end] - coordinates[:, start]


def _cross(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Cross product along the first axis; much quicker than `numpy.cross` on this layout."""
    (ax, ay, az), (bx, by, bz) = first, second
    return np.stack([ay * bz - az * by, az * bx - ax * bz, ax * by - ay * bx])
