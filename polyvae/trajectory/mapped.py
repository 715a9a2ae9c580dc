"""Arrays in files, mapped into memory: as large as the disk, and resident only while they are looked at."""

import mmap
import shutil
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

_ROWS_AT_ONCE = 128


def map_array(
    path: Path, dtype: Any, shape: tuple[int, ...], *, remove_with: Path | None = None
) -> np.ndarray:
    """The array in a file, read-only.

    Args:
        path: raw numbers in C order.
        dtype: their type.
        shape: of the array.
        remove_with: a folder that is removed when nothing refers to the array any more, or Python ends.
    """
    with path.open("rb") as file:
        mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    if remove_with is not None:
        weakref.finalize(mapped, shutil.rmtree, remove_with, ignore_errors=True)
    return np.frombuffer(mapped, dtype).reshape(shape)


def mapping_of(array: np.ndarray) -> mmap.mmap | None:
    """The mapping that an array looks into, or None for an array in memory."""
    base: Any = array
    while isinstance(base, np.ndarray | memoryview):
        base = base.obj if isinstance(base, memoryview) else base.base
    return base if isinstance(base, mmap.mmap) else None


def release(array: np.ndarray) -> None:
    """Let go of the pages of memory that a mapped array has filled; they are read again when needed."""
    mapped = mapping_of(array)
    if mapped is not None and hasattr(mapped, "madvise"):
        mapped.madvise(mmap.MADV_DONTNEED)


def row_chunks(array: np.ndarray, size: int, rows: np.ndarray | None = None) -> Iterator[np.ndarray]:
    """Pieces of at most `size` rows, in order; of a mapped array one piece is resident at a time.

    Args:
        array: any array.
        size: rows in a piece.
        rows: indices of the rows, ascending, or None for all.
    """
    count = len(array) if rows is None else len(rows)
    for start in range(0, count, size):
        yield array[start : start + size] if rows is None else take_rows(array, rows[start : start + size])
        release(array)


def take_rows(array: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """The chosen rows, in memory; shape (rows, ...).

    Args:
        array: any array, mapped or not.
        rows: indices of the rows, in any order.
    """
    if mapping_of(array) is None:
        return array[rows]
    taken = np.empty((len(rows), *array.shape[1:]), array.dtype)
    # One row brings its neighbors with it: the kernel maps up to 2 MB around each.
    for start in range(0, len(rows), _ROWS_AT_ONCE):
        taken[start : start + _ROWS_AT_ONCE] = array[rows[start : start + _ROWS_AT_ONCE]]
        release(array)
    return taken


def chunk_rows(array: np.ndarray, n_bytes: int) -> int:
    """How many rows make a piece of about so many bytes."""
    return max(1, n_bytes // max(1, array[:1].nbytes))
