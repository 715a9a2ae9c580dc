"""Bonds that no internal coordinates can describe: without length, or torn by a periodic boundary."""

import numpy as np

from polyvae.errors import InputError
from polyvae.features.bond_tree import BondTree
from polyvae.trajectory.mapped import chunk_rows, row_chunks, take_rows
from polyvae.trajectory.sampling import spread_rows

_COINCIDENT = 1e-6
_TORN = 3.0
_CHUNK_BYTES = 16_000_000
_MOST_LONG = 1_000_000


def check_bond_lengths(
    tree: BondTree,
    positions: np.ndarray,
    *,
    box: np.ndarray | None = None,
    weights: np.ndarray | None = None,
    source: str = "array",
) -> None:
    """Raise an `InputError` where a bond has no length, or is torn by a periodic boundary.

    A bond is torn if it is longer than half the shortest box vector; or, known without a box, than 3 times its own
    median length, with no other frame between: thermal motion leaves no such gap, a jump over the boundary does.
    Medians are those of 20 000 frames at most.

    Args:
        tree: order of placement.
        positions: shape (frames, atoms, dims).
        box: box vectors as rows, shape (frames, 3, 3), or None.
        weights: statistical weight of each frame, or None; frames of weight zero are not looked at.
        source: name of the data, for messages.
    """
    numbers = np.arange(len(positions)) if weights is None else np.flatnonzero(np.asarray(weights) > 0)
    sample = numbers[spread_rows(len(numbers), positions[:1].nbytes)]
    some = _lengths(tree, take_rows(positions, sample))
    median, typical = np.median(some, axis=0), float(np.median(some))
    is_bond = np.ones(tree.n_atoms - 1, bool)
    is_bond[np.asarray(tree.bridges, int) - 1] = False
    # Of every bond the longest of the usual lengths, and all that are long: frame, bond, length, longer than the box.
    usual, long, done = np.zeros(tree.n_atoms - 1), [], 0
    for chunk in row_chunks(positions, chunk_rows(positions, _CHUNK_BYTES), numbers):
        lengths, frames = _lengths(tree, chunk), numbers[done : done + len(chunk)]
        done += len(chunk)
        check_lengths(tree, lengths, frames, source, typical=typical)
        over = np.zeros(lengths.shape, bool)
        if box is not None:
            over = lengths > 0.5 * np.linalg.norm(box[frames], axis=2).min(axis=1)[:, None]
        is_long = lengths > _TORN * median
        usual = np.maximum(usual, np.where(is_long, 0.0, lengths).max(axis=0))
        rows, bonds = np.nonzero((is_long | over) & is_bond)
        long.append(np.stack([frames[rows], bonds, lengths[rows, bonds], over[rows, bonds]], axis=1))
        if sum(map(len, long)) > _MOST_LONG:
            break
    frames, bonds, lengths, over = np.concatenate(long).T
    bonds = bonds.astype(int)
    torn = (over > 0) | (lengths >= _limits(bonds, lengths, usual, median)[bonds])
    if torn.any():
        first = int(np.flatnonzero(torn)[0])
        bond = bonds[first]
        raise InputError(
            f"{source}: {_pair(tree, bond)} are bonded, but {lengths[first]:.4g} apart in frame {frames[first]:.0f} "
            f"(median {median[bond]:.4g}): the molecule is broken across a periodic boundary. Load the file with its "
            'topology and box and whole="auto", which puts molecules together, or make them whole beforehand.'
        )


def check_lengths(
    tree: BondTree, lengths: np.ndarray, frames: np.ndarray, source: str, *, typical: float | None = None
) -> None:
    """Raise an `InputError` for a bond without length.

    Args:
        tree: order of placement.
        lengths: shape (frames, bonds), in the order of placement.
        frames: numbers of the frames.
        source: name of the data.
        typical: a typical length; None takes the median of these.
    """
    typical = float(np.median(lengths)) if typical is None else typical
    bad = lengths <= _COINCIDENT * max(typical, 1e-300)
    if bad.any():
        frame, bond = np.argwhere(bad)[0]
        raise InputError(
            f"{source}: {_pair(tree, bond)} coincide in frame {frames[frame]}; a bond of length zero has no "
            "direction. Repair the file or cut the frame away."
        )


def _lengths(tree: BondTree, positions: np.ndarray) -> np.ndarray:
    order, parents = np.asarray(tree.atoms), np.asarray(tree.parents)
    return np.linalg.norm(positions[:, order[1:]] - positions[:, order[parents[1:]]], axis=2)


def _limits(bonds: np.ndarray, lengths: np.ndarray, usual: np.ndarray, median: np.ndarray) -> np.ndarray:
    """The length from which on each bond is torn; infinite where its lengths leave no gap."""
    limits = np.full(len(median), np.inf)
    for bond in np.unique(bonds):
        threshold = _TORN * median[bond]
        known = np.sort(np.append(lengths[(bonds == bond) & (lengths > threshold)], usual[bond]))
        beyond = (known[1:] > threshold) & (np.diff(known) > (_TORN - 1.0) * median[bond])
        limits[bond] = known[1:][beyond].min(initial=np.inf)
    return limits


def _pair(tree: BondTree, bond: int | np.integer) -> str:
    first, second = sorted((tree.atoms[bond + 1], tree.atoms[tree.parents[bond + 1]]))
    return f"atoms {first} and {second}"
