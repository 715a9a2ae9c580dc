"""Vectors of training frames that no device holds: in a file, mapped, or in the host's memory; gathered by batches."""

import os
import shutil
import tempfile
import weakref
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from polyvae.errors import OutputError
from polyvae.trajectory.mapped import map_array, release, take_rows


class StoredVectors:
    """Vectors under every symmetry, in a file or in the memory of the host; shape (symmetries, frames, features)."""

    def __init__(self, array: np.ndarray, path: Path | None = None) -> None:
        self._array = array
        self.shape: tuple[int, int, int] = array.shape
        self.dtype = array.dtype
        self._file: int | None = None
        if path is not None and hasattr(os, "preadv"):
            self._file = os.open(path, os.O_RDONLY)
            weakref.finalize(self, os.close, self._file)

    @classmethod
    def written(
        cls,
        images: Iterable[Iterable[np.ndarray]],
        shape: tuple[int, int, int],
        dtype: Any,
        folder: Path | None,
    ) -> "StoredVectors":
        """Vectors written piece by piece into a file that goes when nothing refers to it any more.

        Args:
            images: for each symmetry the vectors in pieces, each of shape (frames, features).
            shape: of all vectors.
            dtype: of the numbers.
            folder: folder for the file; None for where `tempfile` puts it.

        Raises:
            OutputError: if the disk is too full.
        """
        needed = int(np.prod(shape, dtype=np.int64)) * np.dtype(dtype).itemsize
        if folder is not None:
            folder.mkdir(parents=True, exist_ok=True)
        place = Path(tempfile.mkdtemp(prefix="polyvae-vectors-", dir=folder))
        try:
            free = shutil.disk_usage(place).free
            if needed > free:
                raise OutputError(
                    f"The vectors of the training frames need {needed / 1e9:.1f} GB of disk in {place.parent}, where "
                    f"{free / 1e9:.1f} GB are free. Name a folder on another disk with `store`, take fewer frames, or "
                    "raise `memory`."
                )
            with (place / "vectors").open("wb") as file:
                for image in images:
                    for piece in image:
                        file.write(np.ascontiguousarray(piece, dtype).reshape(-1).view(np.uint8).data)
            return cls(map_array(place / "vectors", dtype, shape, remove_with=place), place / "vectors")
        except BaseException as error:
            shutil.rmtree(place, ignore_errors=True)
            if isinstance(error, OSError):
                raise OutputError(
                    f"The vectors of the training frames cannot be kept in {place.parent}: {error.strerror or error}. "
                    "Free some space there, raise the file-size limit (`ulimit -f`), or name a folder on another disk "
                    "with `store`."
                ) from error
            raise

    def rows(self, images: np.ndarray, rows: np.ndarray) -> np.ndarray:
        """The vectors of some frames, each under a symmetry; arrays of one shape, features come last."""
        numbers = images.astype(np.int64) * self.shape[1] + rows
        if self._file is None:
            flat = self._array.reshape(-1, self.shape[2])
            return take_rows(flat, numbers.reshape(-1)).reshape(*numbers.shape, -1)
        # Rows all over a file are read twice as fast as they are mapped, and leave nothing resident.
        gathered = np.empty((*numbers.shape, self.shape[2]), self.dtype)
        room, size = gathered.reshape(-1).view(np.uint8).data, self.shape[2] * self.dtype.itemsize
        for place, number in enumerate(numbers.reshape(-1).tolist()):
            os.preadv(self._file, [room[place * size : (place + 1) * size]], number * size)
        return gathered

    def pieces(self, image: int, size: int) -> Iterable[np.ndarray]:
        """All vectors under one symmetry, `size` at a time."""
        for start in range(0, self.shape[1], size):
            yield self._array[image, start : start + size]
            release(self._array)


def vectors_at(train: jax.Array | StoredVectors, images: np.ndarray, rows: np.ndarray) -> jax.Array:
    """The vectors of some frames, each under a symmetry, wherever they are kept; arrays of one shape."""
    if isinstance(train, StoredVectors):
        return jnp.asarray(train.rows(images, rows))
    return train[images, rows]


def vector_pieces(train: jax.Array | StoredVectors, image: int, size: int) -> Iterator[jax.Array]:
    """All vectors under one symmetry, `size` at a time, wherever they are kept."""
    if isinstance(train, StoredVectors):
        yield from map(jnp.asarray, train.pieces(image, size))
    else:
        yield from (train[image, start : start + size] for start in range(0, train.shape[1], size))
