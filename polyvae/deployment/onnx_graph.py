"""A graph of ONNX operations under construction, and the encoder's parts in it.

The library is handed in, so that it is imported only where it is asked for. Values are named; every function takes
names and returns names. The first axis of every value is the frames.
"""

from typing import Any

import numpy as np

from polyvae.deployment.numpy_runtime import Encoder

_NORM_FLOOR = 1e-6


class Graph:
    """Nodes and constants so far.

    Attributes:
        helper: the module `onnx.helper`.
        dtype: of all numbers that are not indices.
        nodes: in the order of computation.
        constants: what the nodes refer to.
    """

    def __init__(self, helper: Any, numpy_helper: Any, dtype: type) -> None:
        self.helper, self.numpy_helper, self.dtype = helper, numpy_helper, dtype
        self.nodes: list[Any] = []
        self.constants: list[Any] = []

    def constant(self, array: Any) -> str:
        """The name of a constant; whole numbers are indices."""
        array = np.asarray(array)
        array = array.astype(np.int64 if array.dtype.kind in "iu" else self.dtype)
        name = f"c{len(self.constants)}"
        self.constants.append(
            self.numpy_helper.from_array(np.ascontiguousarray(array).reshape(array.shape), name)
        )
        return name

    def __call__(self, operation: str, *inputs: Any, **attributes: Any) -> str:
        """The name of an operation's result; inputs are names, or arrays that become constants."""
        names = [value if isinstance(value, str) else self.constant(value) for value in inputs]
        result = f"v{len(self.nodes)}"
        self.nodes.append(self.helper.make_node(operation, names, [result], **attributes))
        return result

    def total(self, value: str, *axes: int, keepdims: int = 1) -> str:
        """The sum over axes."""
        return self("ReduceSum", value, np.asarray(axes), keepdims=keepdims)

    def dot(self, one: str, two: str, keepdims: int = 0) -> str:
        """The scalar product over the last axis."""
        return self.total(self("Mul", one, two), -1, keepdims=keepdims)

    def length(self, vectors: str, keepdims: int = 0) -> str:
        """The norm over the last axis."""
        return self("Sqrt", self.dot(vectors, vectors, keepdims))

    def cross(self, one: str, two: str) -> str:
        """The vector product over the last axis."""
        ahead, behind = np.array([1, 2, 0]), np.array([2, 0, 1])

        def turned(vectors: str, order: np.ndarray) -> str:
            return self("Gather", vectors, order, axis=-1)

        return self(
            "Sub",
            self("Mul", turned(one, ahead), turned(two, behind)),
            self("Mul", turned(one, behind), turned(two, ahead)),
        )

    def reshape(self, value: str, *shape: int) -> str:
        """The value with another shape after the axis of frames."""
        return self("Reshape", value, np.asarray((-1, *shape)))


def inputs_of(graph: Graph, encoder: Encoder, frame: str) -> str:
    """The inputs of the perceptron from aligned frames."""
    size, dims = encoder.n_atoms * encoder.dims, encoder.dims
    flat = graph.reshape(frame, size)
    image = frame
    if encoder.image.size:
        image = graph("Add", graph("MatMul", flat, encoder.image.T), encoder.image_offset)
        image = graph.reshape(image, encoder.n_atoms, dims)
    parts = []
    if len(encoder.pairs):
        parts.append(graph.length(_bond(graph, image, encoder.pairs)))
    if len(encoder.angles):
        parts.append(_angle(graph, frame, encoder.angles))
    if len(encoder.torsions):
        parts += (_torsion if dims == 3 else _turn)(graph, frame, encoder.torsions)
    if encoder.n_volumes:
        parts.append(_volume(graph, image, np.arange(encoder.n_volumes)[:, None] + np.arange(dims + 1)))
    if encoder.takes_coordinates:
        parts.append(flat)
    return graph("Concat", *parts, axis=1)


def perceptron(graph: Graph, encoder: Encoder, inputs: str) -> str:
    """The latent mean from the inputs."""
    signal = graph("Add", graph("MatMul", inputs, encoder.matrices[0]), encoder.biases[0])
    for layer in range(1, len(encoder.matrices)):
        normalized = _normalized(graph, encoder, signal, layer - 1)
        value = _activated(graph, encoder.activation, normalized)
        product = graph("Add", graph("MatMul", value, encoder.matrices[layer]), encoder.biases[layer])
        signal = graph("Add", signal, product) if encoder.adds[layer] else product
    if encoder.shortcut.size:
        signal = graph("Add", signal, graph("MatMul", inputs, encoder.shortcut))
    return signal


def _bond(graph: Graph, frame: str, atoms: np.ndarray, first: int = 0, second: int = 1) -> str:
    """Vectors from one column of atoms to another."""
    end, start = (graph("Gather", frame, atoms[:, column], axis=1) for column in (second, first))
    return graph("Sub", end, start)


def _angle(graph: Graph, frame: str, atoms: np.ndarray) -> str:
    one, two = _bond(graph, frame, atoms, 1, 0), _bond(graph, frame, atoms, 1, 2)
    sine = graph.length(graph.cross(one, two))
    size = graph("Mul", graph.length(one), graph.length(two))
    # The tangent of half the angle keeps digits that its cosine loses.
    half = graph("Atan", graph("Div", sine, graph("Add", size, graph.dot(one, two))))
    return graph("Mul", half, np.array(2.0))


def _torsion(graph: Graph, frame: str, atoms: np.ndarray) -> list[str]:
    """Cosines and sines of torsions."""
    first, axis, last = (_bond(graph, frame, atoms, k, k + 1) for k in range(3))
    before, after = graph.cross(first, axis), graph.cross(axis, last)
    size = graph("Mul", graph.length(before), graph.length(after))
    sine = graph("Mul", graph.length(axis), graph.dot(first, after))
    return [graph("Div", graph.dot(before, after), size), graph("Div", sine, size)]


def _turn(graph: Graph, frame: str, atoms: np.ndarray) -> list[str]:
    """Cosines and sines of turn angles, in two dimensions."""
    before, after = (_bond(graph, frame, atoms, k, k + 1) for k in range(2))
    size = graph("Mul", graph.length(before), graph.length(after))
    sine = graph.dot(_quarter_turned(graph, before), after)
    return [graph("Div", graph.dot(before, after), size), graph("Div", sine, size)]


def _volume(graph: Graph, frame: str, atoms: np.ndarray) -> str:
    steps = [_bond(graph, frame, atoms, k, k + 1) for k in range(atoms.shape[1] - 1)]
    if len(steps) == 2:
        return graph.dot(_quarter_turned(graph, steps[0]), steps[1])
    return graph.dot(steps[0], graph.cross(steps[1], steps[2]))


def _quarter_turned(graph: Graph, vectors: str) -> str:
    return graph("MatMul", vectors, np.array([[0.0, 1.0], [-1.0, 0.0]]))


def _normalized(graph: Graph, encoder: Encoder, signal: str, layer: int) -> str:
    if not encoder.gains:
        return signal
    centered = graph("Sub", signal, graph("ReduceMean", signal, np.array([1])))
    variance = graph("ReduceMean", graph("Mul", centered, centered), np.array([1]))
    white = graph("Div", centered, graph("Sqrt", graph("Add", variance, np.array(_NORM_FLOOR))))
    return graph("Add", graph("Mul", white, encoder.gains[layer]), encoder.offsets[layer])


def _activated(graph: Graph, name: str, x: str) -> str:
    if name == "silu":
        return graph("Mul", x, graph("Sigmoid", x))
    if name != "gelu":
        return graph({"tanh": "Tanh", "relu": "Relu", "elu": "Elu"}[name], x)
    cube = graph("Mul", x, graph("Mul", x, x))
    inner = graph("Add", x, graph("Mul", cube, np.array(0.044715)))
    gate = graph("Tanh", graph("Mul", inner, np.array(np.sqrt(2.0 / np.pi))))
    return graph("Mul", graph("Mul", x, np.array(0.5)), graph("Add", gate, np.array(1.0)))
