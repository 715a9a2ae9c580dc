"""The encoder as a Python file that needs nothing but NumPy, for scripts and engines without JAX."""

import os
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from polyvae.deployment import numpy_runtime
from polyvae.deployment.agreement import compare
from polyvae.deployment.encoder import encoder_of
from polyvae.deployment.files import checked_paths
from polyvae.trajectory import atomic_path
from polyvae.vae import ConformationModel

_ENDING = '''

_ENCODER = None


def latent_and_gradient(positions):
    """Latent mean and its derivative by positions; shapes and units as in `evaluate`."""
    global _ENCODER
    if _ENCODER is None:
        from pathlib import Path

        with np.load(Path(__file__).with_suffix(".npz")) as arrays:
            _ENCODER = encoder_from(dict(arrays))
    return evaluate(_ENCODER, positions)


def latent(positions):
    """Latent mean of raw positions, shape (latent,) or (frames, latent)."""
    return latent_and_gradient(positions)[0]
'''


def export_numpy(
    model: ConformationModel,
    path: str | os.PathLike[str],
    *,
    check: Any | None = None,
    overwrite: bool = False,
) -> Path:
    """Write the encoder as a Python file and an .npz of the same name beside it.

    The file imports NumPy alone. Its functions `latent(positions)` and `latent_and_gradient(positions)` take raw
    positions, whole molecules in any orientation, in the model's unit of length (nm), and compute in float64. Every
    alignment, representation and perceptron of polyvae can be written.

    Args:
        model: the trained model.
        path: the file to write, ending in .py.
        check: frames on which the export is compared with the model first, a trajectory or positions of shape
            (frames, atoms, dims); None leaves that out.
        overwrite: whether existing files may be replaced.

    Returns:
        The path of the Python file.

    Raises:
        InputError: if the model has a network of its own, a file exists and `overwrite` is False, or the export
            differs from the model on `check` by more than 1e-9.
    """
    script, arrays_path = checked_paths(path, ".py", (".npz",), overwrite=overwrite)
    encoder = encoder_of(model)
    if check is not None:
        compare("The NumPy export", model, check, partial(numpy_runtime.evaluate, encoder), tolerance=1e-9)
    source = Path(numpy_runtime.__file__).read_text(encoding="utf-8")
    with atomic_path(arrays_path, overwrite=overwrite) as temporary:
        np.savez(temporary, **numpy_runtime.arrays_of(encoder))
    with atomic_path(script, overwrite=overwrite) as temporary:
        temporary.write_text(source + _ENDING, encoding="utf-8")
    return script
