"""The encoder as PLUMED input, of PLUMED's own actions alone: no plugin, no LibTorch.

    WHOLEMOLECULES, FIT_TO_TEMPLATE, POSITION (or DISTANCE, ANGLE, TORSION) --> ANN, CUSTOM --> label.node-0, ...

The module `annfunc` knows the activation tanh alone; a network of tanh is one ANN action, others take a linear ANN
for each layer and a CUSTOM for each unit. In two dimensions there is no FIT_TO_TEMPLATE: a fit in space may turn a
plane upside down, so the fit is written out.

The reference stands in a PDB, whose columns hold eight characters a coordinate. What PLUMED computes is the encoder
with that rounded reference, to the last digit; `plumed_model` is the model that has it. Against the model as it was
trained, rounding moves the latent by about 1e-6 of its size.
"""

import os
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from polyvae.deployment.agreement import compare
from polyvae.deployment.encoder import encoder_of, with_reference
from polyvae.deployment.expressible import check_perceptron
from polyvae.deployment.files import checked_label, checked_paths, checked_serials
from polyvae.deployment.numpy_runtime import Encoder, evaluate
from polyvae.deployment.pdb import reference_pdb
from polyvae.deployment.plumed_actions import actions
from polyvae.features import InternalCoordinates
from polyvae.trajectory import atomic_path
from polyvae.vae import ConformationModel

_ROUNDING = 1e-5


def export_plumed(
    model: ConformationModel,
    path: str | os.PathLike[str],
    *,
    atoms: Sequence[int] | np.ndarray | None = None,
    label: str = "z",
    check: Any | None = None,
    overwrite: bool = False,
) -> Path:
    """Write the latent mean as PLUMED input, with a reference PDB of the same name where frames are fitted.

    The values are `label.node-0`, `label.node-1`, ... Bring the file into your input by INCLUDE; it ends with lines to
    uncomment for a restraint, metadynamics and OPES. PLUMED has to be built with the module `annfunc`.

    Models of Cartesian positions with the alignments "procrustes", "kabsch", "center" and "none" can be written, and
    those of internal coordinates. With another activation than tanh PLUMED evaluates every unit by an action of its
    own, which costs much more: train with `activation="tanh"` and few units for long simulations.

    Args:
        model: the trained model.
        path: the file to write, ending in .dat.
        atoms: serial numbers of the model's atoms in the engine, counted from 1, in the model's order; None where the
            engine simulates the model's atoms alone.
        label: of the last action.
        check: frames on which the encoder with the rounded reference is compared with the model first, a trajectory
            or positions of shape (frames, atoms, dims). `verify_plumed` runs PLUMED itself.
        overwrite: whether existing files may be replaced.

    Returns:
        The path of the PLUMED input.

    Raises:
        InputError: if PLUMED's actions cannot express the model, `atoms` are not the model's, a file exists and
            `overwrite` is False, or rounding moves the latent by more than 1e-5 of its size on `check`.
    """
    encoder = encoder_of(model)
    check_expressible(encoder)
    serials, label = checked_serials(model, atoms), checked_label(label)
    others = (".pdb",) if _takes_template(encoder) else ()
    script, *rest = checked_paths(path, ".dat", others, overwrite=overwrite)
    pdb = rest[0] if rest else None
    text, center = "", np.zeros(encoder.dims)
    if pdb is not None:
        text, encoder, center = _with_template(model, encoder, serials)
    if check is not None:
        compare("The PLUMED input", model, check, partial(evaluate, encoder), tolerance=_ROUNDING)
    lines = actions(
        encoder,
        serials,
        label=label,
        template=None if pdb is None else pdb.name,
        center=center,
        is_reduced=model.system.units == "reduced",
    )
    if pdb is not None:
        with atomic_path(pdb, overwrite=overwrite) as temporary:
            temporary.write_text(text, encoding="ascii")
    with atomic_path(script, overwrite=overwrite) as temporary:
        temporary.write_text("\n".join(lines) + "\n", encoding="ascii")
    return script


def plumed_model(model: ConformationModel) -> ConformationModel:
    """The model with the reference and the weights as PLUMED reads them, in float64: what PLUMED computes exactly."""
    encoder = encoder_of(model)
    if not _takes_template(encoder) or encoder.motion != "fit":
        return model
    _, rounded, _ = _with_template(model, encoder, np.arange(1, encoder.n_atoms + 1))
    with jax.enable_x64(True):
        reference, weights = jnp.asarray(rounded.reference), jnp.asarray(rounded.weights)
    if isinstance(model.representation, InternalCoordinates):
        # The encoder superposes what it sees by a copy of its own.
        return eqx.tree_at(_references, model, (reference, reference))
    return eqx.tree_at(
        lambda tree: (tree.alignment.reference, tree.alignment.weights), model, (reference, weights)
    )


def _references(model: Any) -> tuple[Any, Any]:
    return model.representation.reference, model.vae.inputs.representation.reference


def check_expressible(encoder: Encoder) -> None:
    """Raise an `InputError` where PLUMED's actions cannot express an encoder."""
    check_perceptron(
        encoder,
        engine="PLUMED",
        part="action",
        network="PLUMED's ANN",
        remedy="`export_pycv` runs any model inside PLUMED, in Python.",
    )


def _takes_template(encoder: Encoder) -> bool:
    return encoder.takes_coordinates and encoder.dims == 3 and encoder.motion in ("fit", "center")


def _with_template(
    model: ConformationModel, encoder: Encoder, serials: np.ndarray
) -> tuple[str, Encoder, np.ndarray]:
    """The text of the PDB, the encoder with the reference that it holds, and that reference's center."""
    is_fit = encoder.motion == "fit"
    reference = encoder.reference if is_fit else np.zeros((encoder.n_atoms, 3))
    scale = 1.0 if model.system.units == "reduced" else 10.0
    # Without signs one more decimal fits.
    reference = (reference - reference.min(axis=0)) * scale
    text, reference, weights = reference_pdb(reference, encoder.weights, serials, model.system.topology)
    reference = reference / scale
    center = weights @ reference / weights.sum()
    rounded = with_reference(encoder, reference, weights)
    return text, rounded if is_fit else encoder, center
