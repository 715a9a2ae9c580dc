"""Headers of XTC frames, looked at before a frame is decoded.

A frame begins with big-endian 32-bit numbers: 1995, number of atoms, step, time, nine of the box, number of atoms once
more. Where there are more than nine atoms, these follow: precision, smallest and largest x, y, z as integers, an index
into a table, and the size of the compressed positions.

References:
    xdrfile of GROMACS, for the order of the fields and the range of the index.
"""

from pathlib import Path

import numpy as np
from jaxtyping import Bool

_MAGIC = 1995
_SMALLEST_INDEX, _LARGEST_INDEX = 9, 73
_MOST_UNCOMPRESSED = 9


def announced_atoms(path: Path) -> int:
    """Number of atoms, as the first frame says it."""
    return int(np.fromfile(path, ">i4", 2)[1])


def sound_headers(path: Path, places: np.ndarray, n_atoms: int) -> Bool[np.ndarray, " frames"]:
    """Whether the header of each frame says what the header of a frame of this file can say.

    Args:
        path: the file.
        places: bytes at which the frames begin, all of them inside the file.
        n_atoms: number of atoms in each frame.
    """
    n_numbers = 14 if n_atoms <= _MOST_UNCOMPRESSED else 22
    content = np.memmap(path, np.uint8, mode="r")
    numbers = content[np.asarray(places)[:, None] + np.arange(4 * n_numbers)].view(">i4")
    sound = (numbers[:, 0] == _MAGIC) & (numbers[:, 1] == n_atoms) & (numbers[:, 13] == n_atoms)
    if n_atoms > _MOST_UNCOMPRESSED:
        smallest, largest, index = numbers[:, 15:18], numbers[:, 18:21], numbers[:, 21]
        sound &= (smallest <= largest).all(axis=1) & (index >= _SMALLEST_INDEX) & (index <= _LARGEST_INDEX)
    return sound


def damaged_bytes(path: Path, place: int, n_atoms: int) -> tuple[int, int] | None:
    """First damaged byte after the last good frame, and the byte at which a frame begins again.

    None if no frame follows: the file was cut off. The index that mdtraj makes ends at the first header that it cannot
    read, however much follows.

    Args:
        path: the file.
        place: byte at which the last good frame begins.
        n_atoms: number of atoms in each frame.
    """
    content = np.memmap(path, np.uint8, mode="r")
    if n_atoms <= _MOST_UNCOMPRESSED:
        begin = place + 56 + 12 * n_atoms
    else:
        size = int(content[place + 88 : place + 92].view(">i4")[0])
        begin = place + 92 + -(-size // 4) * 4
    header = np.array([_MAGIC, n_atoms], ">i4").tobytes()
    # The next header itself may be sound, and what follows it damaged.
    for start in range(begin + len(header), len(content), _SEARCHED):
        found = content[start : start + _SEARCHED + len(header)].tobytes().find(header)
        if found >= 0:
            return begin, start + found
    return None


_SEARCHED = 1 << 24
