"""The encoder as an ONNX file, from raw positions to the latent mean, alignment included."""

import os
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from polyvae.deployment.agreement import compare
from polyvae.deployment.encoder import encoder_of
from polyvae.deployment.files import checked_paths
from polyvae.deployment.numpy_runtime import Encoder
from polyvae.deployment.onnx_alignment import aligned
from polyvae.deployment.onnx_graph import Graph, inputs_of, perceptron
from polyvae.errors import MissingDependencyError
from polyvae.trajectory import atomic_path
from polyvae.vae import ConformationModel

_OPSET = 18
_IR_VERSION = 8


def export_onnx(
    model: ConformationModel,
    path: str | os.PathLike[str],
    *,
    double: bool = False,
    check: Any | None = None,
    overwrite: bool = False,
) -> Path:
    """Write the encoder as an ONNX file with the input `positions` and the output `latent`.

    `positions` has shape (frames, atoms, dims): raw positions of whole molecules in any orientation, in the model's
    unit of length (nm). `latent` has shape (frames, latent). Every alignment, representation and perceptron of polyvae
    can be written, in plain operations of opset 18. ONNX has no derivatives; take `export_numpy` where they are needed.

    Args:
        model: the trained model.
        path: the file to write, ending in .onnx.
        double: compute in float64 instead of float32.
        check: frames on which the export is compared with the model first, by ONNX's own reference implementation: a
            trajectory or positions of shape (frames, atoms, dims).
        overwrite: whether an existing file may be replaced.

    Returns:
        The path of the file.

    Raises:
        MissingDependencyError: if the library onnx is not installed.
        InputError: if the model has a network of its own, the file exists and `overwrite` is False, or the export
            differs from the model on `check` by more than 1e-5 (1e-9 in float64).
    """
    onnx = _library()
    (target,) = checked_paths(path, ".onnx", overwrite=overwrite)
    dtype = np.float64 if double else np.float32
    proto = _model(onnx, encoder_of(model), dtype)
    if check is not None:
        tolerance = 1e-9 if double else 1e-5
        compare("The ONNX export", model, check, partial(_evaluate, proto, dtype), tolerance=tolerance)
    with atomic_path(target, overwrite=overwrite) as temporary:
        temporary.write_bytes(proto.SerializeToString())
    return target


def _model(onnx: Any, encoder: Encoder, dtype: type) -> Any:
    helper = onnx.helper
    graph = Graph(helper, onnx.numpy_helper, dtype)
    inputs = inputs_of(graph, encoder, aligned(graph, encoder, "positions"))
    graph.nodes.append(helper.make_node("Identity", [perceptron(graph, encoder, inputs)], ["latent"]))
    kind = helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
    n_latent = len(encoder.biases[-1])
    proto = helper.make_model(
        helper.make_graph(
            graph.nodes,
            "encoder",
            [helper.make_tensor_value_info("positions", kind, ["frames", encoder.n_atoms, encoder.dims])],
            [helper.make_tensor_value_info("latent", kind, ["frames", n_latent])],
            graph.constants,
        ),
        opset_imports=[helper.make_opsetid("", _OPSET)],
        ir_version=_IR_VERSION,
        producer_name="polyvae",
    )
    onnx.checker.check_model(proto, full_check=True)
    return proto


def _evaluate(proto: Any, dtype: type, positions: np.ndarray) -> tuple[np.ndarray, None]:
    evaluator = import_module("onnx.reference").ReferenceEvaluator(proto)
    (latent,) = evaluator.run(None, {"positions": positions.astype(dtype)})
    return np.asarray(latent, np.float64), None


def _library() -> Any:
    try:
        for part in ("checker", "helper", "numpy_helper"):
            import_module(f"onnx.{part}")
        return import_module("onnx")
    except ImportError as error:
        raise MissingDependencyError(
            "Writing ONNX files needs the library onnx. Install it with: pip install 'polyvae[onnx]'"
        ) from error
