"""Exact symmetries of a system: every training frame stands for all its images.

An energy function in two dimensions does not know left from right, and a chain with two like ends does not know first
from last. Where that holds, drawing each training frame under a random symmetry multiplies the data at no cost.
"""

from collections.abc import Callable, Sequence

import numpy as np

from polyvae.errors import InputError
from polyvae.trajectory import Trajectory


def symmetry_images(trajectory: Trajectory, symmetries: Sequence[str]) -> list[np.ndarray]:
    """Positions under every combination of the chosen symmetries, the identity first.

    Args:
        trajectory: positions (frames, atoms, dims), not aligned yet.
        symmetries: "mirror" and/or "reversal".

    Returns:
        1, 2 or 4 arrays of the trajectory's shape.

    Raises:
        InputError: for a mirror image in three dimensions (chirality), or the reversal of a chain whose masses, atoms
            or bonds are not the same from both ends.
    """
    return [image(trajectory.positions) for image in symmetry_operations(trajectory, symmetries)]


def symmetry_operations(
    trajectory: Trajectory, symmetries: Sequence[str]
) -> list[Callable[[np.ndarray], np.ndarray]]:
    """Functions from positions (frames, atoms, dims) to their images; arguments and errors as `symmetry_images`."""
    operations: list[Callable[[np.ndarray], np.ndarray]] = [lambda positions: positions]
    if "mirror" in symmetries:
        if trajectory.dims != 2:
            raise InputError(
                "`augmentation='mirror'` holds in two dimensions only: in three, a mirror image changes chirality."
            )
        operations += [_mirrored]
    if "reversal" in symmetries:
        _check_reversal(trajectory)
        operations += [lambda positions, before=before: before(positions)[:, ::-1] for before in operations]
    return operations


def _mirrored(positions: np.ndarray) -> np.ndarray:
    return positions * np.array([1.0, -1.0], positions.dtype)


def _check_reversal(trajectory: Trajectory) -> None:
    reason = None
    last = trajectory.n_atoms - 1
    if trajectory.masses is not None and not np.allclose(trajectory.masses, trajectory.masses[::-1]):
        reason = "the masses differ when read from the other end"
    elif trajectory.bonds is not None:
        forward = {tuple(sorted(bond)) for bond in trajectory.bonds.tolist()}
        if forward != {tuple(sorted((last - a, last - b))) for a, b in trajectory.bonds.tolist()}:
            reason = "the bonds differ when read from the other end"
    if trajectory.topology is not None:
        names = [(atom.name, atom.residue.name) for atom in trajectory.topology.atoms]
        if names != names[::-1]:
            reason = "the atoms differ when read from the other end"
    if reason:
        raise InputError(f"`augmentation='reversal'` needs a chain with two like ends; here {reason}.")
