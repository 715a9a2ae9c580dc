"""The model itself inside PLUMED: a Python file for the module pycv, which calls it and its gradient through JAX."""

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from polyvae.deployment.files import checked_paths, checked_serials
from polyvae.trajectory import atomic_path
from polyvae.vae import ConformationModel

_SCRIPT = '''"""Latent coordinates of a polyvae model for PLUMED's PYCVINTERFACE (module pycv, PLUMED 2.10 or newer).

In the PLUMED input, where `python -m pycv` prints the path of the library:

    LOAD FILE=/path/to/PythonCVInterface.so
    z: PYCVINTERFACE IMPORT={stem}
    PRINT ARG={arguments} STRIDE=500 FILE=COLVAR

This file must lie where the engine runs or on PYTHONPATH, in a Python that has polyvae.
"""

import jax
import numpy as np
import plumedCommunications

jax.config.update("jax_enable_x64", True)

import polyvae

MODEL = polyvae.load_model({model_file!r})
DIMS = {dims}


def latent(positions):
    return MODEL.encode(positions).mean


latent_and_gradient = jax.jit(lambda positions: (latent(positions), jax.jacrev(latent)(positions)))

plumedInit = {{
    "ATOMS": "{atoms}",
    "NOPBC": True,
    {declared},
}}


def plumedCalculate(action):
    action.makeWhole()
    positions = np.asarray(action.getPositions())
    values, gradients = latent_and_gradient(jax.numpy.asarray(positions[:, :DIMS]))
    answer = {{}}
    for index, name in enumerate({names!r}):
        gradient = np.zeros(positions.shape)
        gradient[:, :DIMS] = gradients[index]
        # Under NOPBC pycv adds the derivative by the box itself.
        answer[name] = (float(values[index]), gradient, np.zeros((3, 3)))
    return {answer}
'''


def export_pycv(
    model: ConformationModel,
    path: str | os.PathLike[str],
    *,
    model_file: str | os.PathLike[str],
    atoms: Sequence[int] | np.ndarray | None = None,
    overwrite: bool = False,
) -> Path:
    """Write a Python file through which PLUMED's module pycv calls the model, whatever it is made of.

    Nothing is rounded or left out: alignment, representation and network are the model's. It costs a call of Python at
    every step, and PLUMED has to find polyvae. The file's first lines say what to write into the PLUMED input.

    Args:
        model: the trained model.
        path: the file to write, ending in .py; its name must be one that Python can import.
        model_file: where the model is saved.
        atoms: serial numbers of the model's atoms in the engine, as in `export_plumed`.
        overwrite: whether an existing file may be replaced.

    Returns:
        The path of the Python file.

    Raises:
        InputError: if `atoms` are not the model's, or the file exists and `overwrite` is False.
    """
    (script,) = checked_paths(path, ".py", overwrite=overwrite)
    names = [f"node-{index}" for index in range(model.latent_dim)]
    component = "plumedCommunications.defaults.COMPONENT"
    # A single value has no name in pycv.
    is_single = model.latent_dim == 1
    text = _SCRIPT.format(
        stem=script.stem,
        arguments="z" if is_single else ",".join(f"z.py-{name}" for name in names),
        declared=f'"Value": {component}'
        if is_single
        else f'"COMPONENTS": {{name: {component} for name in {names!r}}}',
        answer='answer["node-0"]' if is_single else "answer",
        model_file=os.path.abspath(model_file),
        dims=model.system.dims,
        atoms=",".join(map(str, checked_serials(model, atoms))),
        names=names,
    )
    with atomic_path(script, overwrite=overwrite) as temporary:
        temporary.write_text(text, encoding="utf-8")
    return script
