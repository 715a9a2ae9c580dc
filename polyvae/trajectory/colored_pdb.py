"""One conformation as PDB whose B-factor column holds a number for each atom: 3-D viewers color by it."""

import os
import warnings
from pathlib import Path

import numpy as np

from polyvae.errors import InputError
from polyvae.trajectory.atomic import atomic_path
from polyvae.trajectory.convert import to_mdtraj
from polyvae.trajectory.trajectory import Trajectory

# mdtraj takes numbers below 100.
_LARGEST = 99.99
_PDB_LIMIT = 99.0


def save_colored_pdb(
    trajectory: Trajectory, values: np.ndarray, path: str | os.PathLike[str], *, overwrite: bool = False
) -> Path:
    """Writes the first frame as PDB, the values scaled so that the largest gets the B-factor 99.99.

    In PyMOL: `spectrum b, white_red`; in VMD: coloring method Beta.

    Args:
        trajectory: its first frame is written, beads without a topology as a simple one.
        values: one number for each atom, not negative.
        path: the file to write, with the suffix .pdb.
        overwrite: whether an existing file may be replaced.

    Returns:
        The path.

    Raises:
        InputError: if the suffix is another, values do not fit, a coordinate is too large for PDB, or the file
            cannot be written.
    """
    target = Path(path)
    numbers = np.asarray(values, np.float64)
    if target.suffix.lower() != ".pdb":
        raise InputError(f"{target}: B-factors are written as .pdb; got {target.suffix or 'no suffix'}.")
    if numbers.shape != (trajectory.n_atoms,):
        raise InputError(
            f"`values` must have shape ({trajectory.n_atoms},), one number for each atom; got {numbers.shape}."
        )
    if not (np.isfinite(numbers) & (numbers >= 0)).all():
        raise InputError("`values` must be finite and not negative: B-factors run from 0 to 99.99.")
    frame = trajectory[:1]
    largest = float(np.abs(frame.positions).max())
    if largest >= _PDB_LIMIT:
        raise InputError(
            f"{target}: .pdb cannot hold a coordinate of {largest:.4g} {trajectory.units.length} "
            f"(limit {_PDB_LIMIT:.4g}). Center the frame."
        )
    scaled = _LARGEST * numbers / numbers.max() if numbers.max() > 0 else numbers
    with atomic_path(target, overwrite=overwrite) as temporary, warnings.catch_warnings():
        # mdtraj warns that a PDB file holds one box only.
        warnings.simplefilter("ignore")
        to_mdtraj(frame).save_pdb(str(temporary), bfactors=scaled)
    return target
