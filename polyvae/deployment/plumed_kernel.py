"""PLUMED itself on given frames, through its Python wrapper: what `export_plumed` wrote, beside the model."""

import contextlib
import importlib
import os
import re
from pathlib import Path
from typing import Any

import numpy as np

from polyvae.deployment.agreement import compare
from polyvae.deployment.plumed import plumed_model
from polyvae.errors import InputError, MissingDependencyError
from polyvae.vae import ConformationModel


def verify_plumed(
    path: str | os.PathLike[str],
    model: ConformationModel,
    frames: Any,
    *,
    atoms: Any | None = None,
    tolerance: float = 1e-8,
) -> float:
    """Compare what PLUMED computes from a file of `export_plumed` with the model, in value and gradient.

    Args:
        path: the PLUMED input; other lines than those of the export are left as they are.
        model: the model that was exported; its reference is rounded as the file's is.
        frames: a trajectory, or positions of shape (frames, atoms, dims).
        atoms: the serial numbers that were given to `export_plumed`.
        tolerance: largest difference that passes, relative to the largest value and gradient.

    Returns:
        The largest difference.

    Raises:
        MissingDependencyError: if there is no Python package `plumed`, or no kernel.
        InputError: if the two differ by more than the tolerance.
    """
    path = Path(path)
    label = re.findall(r"^(\w+): ANN ", path.read_text(encoding="ascii"), re.MULTILINE)
    if not label:
        raise InputError(f"{path} holds no ANN action; name a file that `export_plumed` wrote.")

    def evaluate(positions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return _run(path, label[-1], model, positions, atoms)

    return compare(f"PLUMED with {path}", plumed_model(model), frames, evaluate, tolerance=tolerance)


def _run(
    path: Path, label: str, model: ConformationModel, positions: np.ndarray, atoms: Any | None
) -> tuple[np.ndarray, np.ndarray]:
    """Latent and gradient; the force of a bias that equals the value is minus its gradient."""
    n_frames, n_atoms, dims = positions.shape
    index = np.arange(n_atoms) if atoms is None else np.asarray(atoms) - 1
    value, gradient = (
        np.zeros((n_frames, model.latent_dim)),
        np.zeros((n_frames, model.latent_dim, n_atoms, dims)),
    )
    with contextlib.chdir(path.resolve().parent):
        for dimension in range(model.latent_dim):
            kernel = _kernel(int(index.max()) + 1, model.system.units == "reduced")
            for line in _lines(path):
                kernel.cmd("readInputLine", line)
            kernel.cmd("readInputLine", f"bias_of_polyvae: BIASVALUE ARG={label}.node-{dimension}")
            for frame in range(n_frames):
                everything = np.zeros((index.max() + 1, 3))
                everything[index, :dims] = positions[frame]
                forces, virial, energy = np.zeros_like(everything), np.zeros((3, 3)), np.zeros(1)
                kernel.cmd("setStep", frame)
                kernel.cmd("setBox", np.zeros((3, 3)))
                kernel.cmd("setMasses", np.ones(len(everything)))
                kernel.cmd("setPositions", everything)
                kernel.cmd("setForces", forces)
                kernel.cmd("setVirial", virial)
                kernel.cmd("calc")
                kernel.cmd("getBias", energy)
                value[frame, dimension] = energy[0]
                gradient[frame, dimension] = -forces[index, :dims]
            kernel.finalize()
    return value, gradient


def _kernel(n_atoms: int, is_reduced: bool) -> Any:
    try:
        kernel = importlib.import_module("plumed").Plumed()
    except (ImportError, RuntimeError) as error:
        raise MissingDependencyError(
            "PLUMED cannot be run from Python. Install PLUMED and its Python package (pip install plumed), and set "
            f"PLUMED_KERNEL to the path of libplumedKernel.so. ({error})"
        ) from error
    if is_reduced:
        kernel.cmd("setNaturalUnits")
    kernel.cmd("setRealPrecision", 8)
    kernel.cmd("setMDEngine", "polyvae")
    kernel.cmd("setNatoms", n_atoms)
    kernel.cmd("setTimestep", 1.0)
    kernel.cmd("setLogFile", os.devnull)
    kernel.cmd("init")
    return kernel


def _lines(path: Path) -> list[str]:
    lines = path.read_text(encoding="ascii").splitlines()
    return [line for line in lines if line.strip() and not line.startswith("#")]
