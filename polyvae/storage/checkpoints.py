"""`Checkpoint`: the state of a training run in one file that appears whole or not at all.

A safetensors file: the arrays of the state, and in its header the learning curves, the run's fingerprint and
a SHA-256 of everything, so that a damaged file is refused rather than trained on.
"""

import hashlib
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.numpy
from safetensors import SafetensorError, safe_open

from polyvae.errors import InputError
from polyvae.trajectory import atomic_path

FORMAT_VERSION = 1


@dataclass
class Checkpoint:
    """Keeps the state of training in a file; give it to `polyvae.fit` as `checkpoint`.

    Attributes:
        path: the file, by convention with the suffix .safetensors.
        every: epochs between two saved states; the last state is saved in any case.

    Raises:
        InputError: if `every` is below 1.
    """

    path: str | os.PathLike[str]
    every: int = 10

    def __post_init__(self) -> None:
        if self.every < 1:
            raise InputError(f"`every` must be at least 1; got {self.every}.")

    def save(self, arrays: dict[str, np.ndarray], metadata: dict[str, Any]) -> None:
        """Keep this state in place of the one before, whole or not at all."""
        # Ascontiguous because safetensors stores strided arrays wrongly; 0-d arrays must stay 0-d.
        arrays = {name: np.asarray(array, order="C") for name, array in arrays.items()}
        text = json.dumps(metadata)
        header = {
            "polyvae_checkpoint": str(FORMAT_VERSION),
            "metadata": text,
            "sha256": _digest(arrays, text),
        }
        data = safetensors.numpy.save(arrays, metadata=header)
        with atomic_path(self.path, overwrite=True) as temporary:
            temporary.write_bytes(data)

    def load(self) -> tuple[dict[str, np.ndarray], dict[str, Any]] | None:
        """The state kept last, or None where there is no file.

        Raises:
            InputError: if the file is damaged, no checkpoint, or of a newer version.
        """
        path = Path(self.path)
        if not path.exists():
            return None
        try:
            with safe_open(str(path), framework="numpy") as file:
                header = file.metadata() or {}
                arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        except (SafetensorError, OSError, ValueError) as error:
            raise InputError(
                f"The checkpoint {path} cannot be read: {error}. Delete it to start anew."
            ) from error
        found = header.get("polyvae_checkpoint")
        if found is None:
            raise InputError(f"{path} is not a checkpoint of polyvae. Choose another path.")
        if int(found) > FORMAT_VERSION:
            raise InputError(
                f"The checkpoint {path} has format version {found}, newer than {FORMAT_VERSION}."
            )
        if header.get("sha256") != _digest(arrays, header.get("metadata", "")):
            raise InputError(
                f"The checkpoint {path} is damaged: its content does not match its SHA-256. Delete it to "
                "start anew."
            )
        return arrays, json.loads(header["metadata"])

    def remove(self) -> None:
        """Delete the file, once training has finished and its state is of no more use."""
        Path(self.path).unlink(missing_ok=True)


def _digest(arrays: dict[str, np.ndarray], text: str) -> str:
    digest = hashlib.sha256(text.encode())
    for name in sorted(arrays):
        array = arrays[name]
        digest.update(f"{name} {array.dtype} {array.shape}".encode())
        digest.update(array.tobytes())
    return digest.hexdigest()
