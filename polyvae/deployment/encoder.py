"""The encoder of a model as plain arrays, which every export starts from.

What leads from positions to the perceptron is linear apart from a few geometric quantities, so means, scales and bases
go into the first matrix. Numbers are float64.
"""

import dataclasses
from typing import Any

import jax
import numpy as np

from polyvae.deployment.numpy_runtime import Encoder
from polyvae.errors import InputError
from polyvae.features import InternalCoordinates
from polyvae.vae import ConformationModel, EncoderDecoder
from polyvae.vae.inputs import InternalInputs, InvariantInputs, PlainInputs
from polyvae.vae.networks import ACTIVATIONS, MLP

_POSTERIORS = ("diagonal", "full")


def encoder_of(model: ConformationModel) -> Encoder:
    """What turns raw positions into the mean of the model's posterior.

    Raises:
        InputError: if the model's network, posterior or inputs are none that polyvae can write down.
    """
    network = _perceptron(model)
    dims, n_atoms = model.system.dims, model.system.n_atoms
    empty = np.zeros(0)
    parts: dict[str, Any] = {
        "pairs": np.zeros((0, 2), int),
        "angles": np.zeros((0, 3), int),
        "torsions": np.zeros((0, dims + 1), int),
        "n_volumes": 0,
        "takes_coordinates": False,
        "image": np.zeros((0, 0)),
        "image_offset": empty,
    }
    representation, inputs = model.representation, model.vae.inputs
    motion = _motion(model)
    if isinstance(representation, InternalCoordinates):
        if not isinstance(inputs, InternalInputs):
            raise _unknown_inputs(inputs)
        measured, rows, mean, scale = _internal(representation, inputs)
        parts |= measured
        motion = {
            "motion": "fit",
            "weights": np.full(n_atoms, 1.0 / n_atoms),
            "reference": _double(inputs.representation.reference),
        }
        transform = rows / scale
        shift = mean / scale
    else:
        basis = jax.tree.map(_double, representation.directions).dense
        scale = _double(representation.scale)
        to_features, offset = basis / scale[:, None], _double(representation.mean) / scale
        if isinstance(inputs, PlainInputs):
            parts["takes_coordinates"] = True
            transform, shift = to_features.T, offset
        elif isinstance(inputs, InvariantInputs):
            modes = np.kron(_double(inputs.atoms), np.eye(dims))
            parts |= {
                "pairs": np.asarray(inputs.pairs, int).reshape(-1, 2),
                "n_volumes": max(n_atoms - dims, 0),
                "image": modes @ to_features,
                "image_offset": -modes @ offset,
            }
            transform, shift = (
                np.diag(1.0 / _double(inputs.scale)),
                _double(inputs.mean) / _double(inputs.scale),
            )
        else:
            raise _unknown_inputs(inputs)
    latent = model.latent_dim
    matrices, biases = [_double(m) for m in network.weights], [_double(b) for b in network.biases]
    matrices[-1], biases[-1] = matrices[-1][:, :latent], biases[-1][:latent]
    shortcut = np.zeros((0, latent))
    if network.shortcut is not None:
        direct = _double(network.shortcut)[:, :latent]
        shortcut, biases[-1] = transform @ direct, biases[-1] - shift @ direct
    biases[0] = biases[0] - shift @ matrices[0]
    matrices[0] = transform @ matrices[0]
    encoder = Encoder(
        n_atoms=n_atoms,
        dims=dims,
        **motion,
        **parts,
        matrices=tuple(matrices),
        biases=tuple(biases),
        gains=tuple(map(_double, network.norm_gains)),
        offsets=tuple(map(_double, network.norm_offsets)),
        adds=_adds(network),
        shortcut=shortcut,
        activation=network.activation,
    )
    # Float32 leaves the center of the reference a little off the origin.
    return with_reference(encoder, encoder.reference, encoder.weights) if encoder.motion == "fit" else encoder


def with_reference(encoder: Encoder, reference: np.ndarray, weights: np.ndarray) -> Encoder:
    """The encoder with another reference and other weights for the fit, both of them rounded, say."""
    weights = weights / weights.sum()
    return dataclasses.replace(encoder, reference=reference - weights @ reference, weights=weights)


def _perceptron(model: ConformationModel) -> MLP:
    network = model.vae.network
    if not isinstance(network, EncoderDecoder) or type(network.encoder) is not MLP:
        raise InputError(
            f"The model has a network of its own, a {type(network).__name__}, which cannot be written down. Export "
            "works for the perceptrons that polyvae makes: train without `network`. Elsewhere use the model in Python "
            "(`export_pycv` does so inside PLUMED)."
        )
    if model.vae.posterior not in _POSTERIORS:
        raise InputError(
            f"A posterior {model.vae.posterior!r} cannot be exported, only {' and '.join(map(repr, _POSTERIORS))}: its "
            "mean is no plain number. Train with `posterior='diagonal'`."
        )
    if network.encoder.activation not in ACTIVATIONS:
        raise InputError(
            f"The activation {network.encoder.activation!r} cannot be exported, only "
            f"{', '.join(map(repr, ACTIVATIONS))}."
        )
    return network.encoder


def _motion(model: ConformationModel) -> dict[str, Any]:
    alignment, dims = model.alignment, model.system.dims
    method = "fit" if alignment.method in ("procrustes", "kabsch") else alignment.method
    weights = _double(alignment.weights)
    reference = np.zeros((0, dims)) if alignment.reference is None else _double(alignment.reference)
    return {"motion": method, "weights": weights / weights.sum(), "reference": reference}


def _internal(
    representation: InternalCoordinates, inputs: InternalInputs
) -> tuple[dict[str, Any], np.ndarray, np.ndarray, np.ndarray]:
    """What is measured, the matrix from it to the inputs in their order, and the inputs' means and scales."""
    tree, dims, n_atoms = representation.tree, representation.dims, representation.n_atoms
    atoms, parents = np.asarray(tree.atoms), np.asarray(tree.parents)
    bonds = np.stack([atoms[parents[1:]], atoms[1:]], axis=1)
    bends = np.stack([atoms[parents[parents[2:]]], atoms[parents[2:]], atoms[2:]], axis=1)
    measured = {
        "pairs": np.concatenate([bonds, np.asarray(inputs.pairs, int).reshape(-1, 2)]),
        "angles": bends if dims == 3 else np.zeros((0, 3), int),
        "torsions": atoms[tree.torsion_atoms()] if dims == 3 else bends,
        "takes_coordinates": True,
    }
    n_bonds, n_pairs, n_angles = len(bonds), len(inputs.pairs), len(measured["angles"])
    n_torsions = 2 * len(measured["torsions"])
    sizes = (n_bonds, n_angles, n_torsions, n_pairs, n_atoms * dims)
    starts = np.cumsum((0, *sizes))
    # Inputs come as bonds, angles, torsions, distances, coordinates; what is measured has the distances second.
    order = np.concatenate([np.arange(starts[k], starts[k + 1]) for k in (0, 3, 1, 2, 4)])
    mean, scale = _double(inputs.mean), _double(inputs.scale)
    stiff_mean, stiff_scale = _double(representation.mean), _double(representation.scale)
    n_stiff = len(stiff_mean)
    # The raw input is (measured - stiff_mean) / stiff_scale, and is scaled once more.
    mean, scale = mean.copy(), scale.copy()
    mean[:n_stiff] = stiff_mean + stiff_scale * mean[:n_stiff]
    scale[:n_stiff] = stiff_scale * scale[:n_stiff]
    return measured, np.eye(len(mean))[order], mean, scale


def _adds(network: MLP) -> tuple[bool, ...]:
    last = len(network.weights) - 1
    return tuple(
        network.residual and 0 < layer < last and weight.shape[0] == weight.shape[1]
        for layer, weight in enumerate(network.weights)
    )


def _unknown_inputs(inputs: object) -> InputError:
    return InputError(
        f"The model's encoder sees {type(inputs).__name__}, which cannot be written down. Train with the inputs that "
        "`fit` chooses."
    )


def _double(array: Any) -> np.ndarray:
    return np.asarray(array, np.float64)
