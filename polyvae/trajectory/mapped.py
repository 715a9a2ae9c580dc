"""Arrays in files, mapped into memory: as large as the disk, and resident only while they are looked at."""

import contextlib
import mmap
import shutil
import tempfile
import weakref
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from polyvae.errors import OutputError

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


def joined_rows(pieces: Iterable[dict[str, np.ndarray]], *, on_disk: bool) -> dict[str, np.ndarray]:
    """Arrays that come in pieces, each end to end.

    Args:
        pieces: rows under the name of their array; the same names and types in every piece, of which there is one at
            least.
        on_disk: whether they are kept in temporary folders and mapped from there, rather than held in memory.

    Raises:
        OutputError: if the disk is full.
    """
    if not on_disk:
        every = list(pieces)
        return {name: np.concatenate([piece[name] for piece in every]) for name in every[0]}
    folders: dict[str, Path] = {}
    files, kinds, n_rows = {}, {}, 0
    try:
        with contextlib.ExitStack() as stack:
            for piece in pieces:
                for name, rows in piece.items():
                    if name not in files:
                        # A folder each, which goes when nothing refers to its array any more.
                        folders[name] = Path(tempfile.mkdtemp(prefix="polyvae-rows-"))
                        files[name] = stack.enter_context((folders[name] / name).open("wb"))
                        kinds[name] = rows.dtype, rows.shape[1:]
                    files[name].write(np.ascontiguousarray(rows).reshape(-1).view(np.uint8).data)
                n_rows += len(next(iter(piece.values())))
        return {
            name: map_array(folders[name] / name, dtype, (n_rows, *shape), remove_with=folders[name])
            for name, (dtype, shape) in kinds.items()
        }
    except BaseException as error:
        for folder in folders.values():
            shutil.rmtree(folder, ignore_errors=True)
        if isinstance(error, OSError):
            raise OutputError(
                f"Results cannot be kept in {tempfile.gettempdir()}: {error.strerror or error}. Free some space there, "
                "or name another folder in the environment variable TMPDIR."
            ) from error
        raise


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
