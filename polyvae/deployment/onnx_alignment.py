"""Alignment in ONNX operations: the best rotation and principal axes as eigenvectors that repeated squaring finds.

The rotation in space is the quaternion that belongs to the largest eigenvalue of Horn's matrix, as in
`polyvae.preprocessing.optimal_rotation`, found in the same way: squaring a matrix again and again leaves the projector
on that eigenvector.
"""

import numpy as np

from polyvae.deployment.numpy_runtime import Encoder
from polyvae.deployment.onnx_graph import Graph


def aligned(graph: Graph, encoder: Encoder, positions: str) -> str:
    """Canonical frames from raw positions."""
    if encoder.motion == "none":
        return positions
    # Relative to one atom the sum keeps its digits however far the molecule has diffused.
    shifted = graph("Sub", positions, graph("Gather", positions, np.array([0]), axis=1))
    centered = graph("Sub", shifted, graph("MatMul", encoder.weights[None], shifted))
    if encoder.motion == "center":
        return centered
    turned_back = graph("Transpose", centered, perm=[0, 2, 1])
    if encoder.motion == "fit":
        covariance = graph("MatMul", turned_back, encoder.weights[:, None] * encoder.reference)
        transposed = (_rotation_in_plane if encoder.dims == 2 else _rotation_in_space)(graph, covariance)
    else:
        weighted = graph("Mul", centered, encoder.weights[:, None])
        tensor = _scaled(graph, graph("MatMul", turned_back, weighted), encoder.dims)
        transposed = _principal_axes(graph, encoder, tensor, centered)
    return graph("MatMul", centered, transposed)


def _rotation_in_plane(graph: Graph, covariance: str) -> str:
    """The transposed rotation in two dimensions."""
    flat = graph.reshape(covariance, 4)
    along_across = graph("MatMul", flat, np.array([[1.0, 0.0], [0.0, 1.0], [0.0, -1.0], [1.0, 0.0]]))
    unit = _unit(graph, along_across, np.array([1.0, 0.0]))
    return graph.reshape(graph("MatMul", unit, np.array([[1.0, 0.0, 0.0, 1.0], [0.0, 1.0, -1.0, 0.0]])), 2, 2)


def _rotation_in_space(graph: Graph, covariance: str) -> str:
    """The transposed rotation in three dimensions."""
    flat = graph.reshape(_scaled(graph, covariance, 3), 9)
    horn = graph.reshape(graph("MatMul", flat, _horn()), 4, 4)
    # For a covariance of norm one no eigenvalue is below -sqrt(3).
    quaternion = _largest_eigenvector(graph, graph("Add", horn, np.sqrt(3.0) * np.eye(4)), 4)
    products = graph(
        "Mul", graph("Unsqueeze", quaternion, np.array([2])), graph("Unsqueeze", quaternion, np.array([1]))
    )
    entries = graph("MatMul", graph.reshape(products, 16), _rotation_of_products())
    return graph.reshape(graph("Add", entries, np.eye(3).reshape(-1)), 3, 3)


def _principal_axes(graph: Graph, encoder: Encoder, tensor: str, centered: str) -> str:
    """The axes as columns, longest first, with the signs of `polyvae.preprocessing.principal_axes`."""
    dims = encoder.dims
    longest = _signed(graph, encoder, centered, _largest_eigenvector(graph, tensor, dims))
    if dims == 2:
        rest = [graph("MatMul", longest, np.array([[0.0, 1.0], [-1.0, 0.0]]))]
    else:
        trace = graph.total(graph("Mul", tensor, np.eye(3)), 1, 2)
        shortest = _largest_eigenvector(graph, graph("Sub", graph("Mul", trace, np.eye(3)), tensor), 3)
        middle = _unit(graph, graph.cross(shortest, longest), np.array([0.0, 1.0, 0.0]))
        middle = _signed(graph, encoder, centered, middle)
        rest = [middle, graph.cross(longest, middle)]
    return graph("Concat", *(graph("Unsqueeze", axis, np.array([2])) for axis in (longest, *rest)), axis=2)


def _signed(graph: Graph, encoder: Encoder, centered: str, axis: str) -> str:
    """The axis with the sign of the third moment along it, or of the first atom off the center."""
    weights = encoder.weights
    along = graph.reshape(graph("MatMul", centered, graph("Unsqueeze", axis, np.array([2]))), encoder.n_atoms)
    square = graph("Mul", along, along)
    second = graph("MatMul", square, weights[:, None])
    third = graph("MatMul", graph("Mul", square, along), weights[:, None])
    spread = graph("Sqrt", second)
    epsilon = np.array(np.finfo(graph.dtype).eps ** 0.5)
    is_symmetric = graph(
        "LessOrEqual", graph("Abs", third), graph("Mul", graph("Mul", second, spread), epsilon)
    )
    off_center = graph("Greater", graph("Abs", along), graph("Mul", spread, np.array(0.1)))
    first = graph.dot(along, _where_largest(graph, _number(graph, off_center), encoder.n_atoms), keepdims=1)
    negative = graph("Less", graph("Where", is_symmetric, first, third), np.array(0.0))
    return graph("Mul", axis, graph("Where", negative, np.array(-1.0), np.array(1.0)))


def _largest_eigenvector(graph: Graph, matrix: str, size: int) -> str:
    """Unit eigenvector of the largest eigenvalue of matrices with no negative eigenvalue, shape (frames, size)."""
    identity = np.eye(size)
    name = graph.constant(identity)
    # n squarings lose at most 2^-n, as two eigenvalues that close are never told apart.
    for _ in range(np.finfo(graph.dtype).nmant):
        trace = graph.total(graph("Mul", matrix, name), 1, 2)
        # A frame without extent has no trace and no axes.
        trace = graph("Where", graph("Greater", trace, np.array(0.0)), trace, np.array(1.0))
        matrix = graph("Div", matrix, trace)
        matrix = graph("MatMul", matrix, matrix)
    diagonal = graph.total(graph("Mul", matrix, name), 2, keepdims=0)
    longest = graph("Unsqueeze", _where_largest(graph, diagonal, size), np.array([1]))
    return _unit(graph, graph.total(graph("Mul", matrix, longest), 2, keepdims=0), identity[0])


def _where_largest(graph: Graph, values: str, size: int) -> str:
    """One at the first largest value of each row, zero elsewhere."""
    index = graph("ArgMax", values, axis=1, keepdims=1)
    return _number(graph, graph("Equal", index, np.arange(size)))


def _number(graph: Graph, claim: str) -> str:
    return graph("Where", claim, np.array(1.0), np.array(0.0))


def _unit(graph: Graph, vectors: str, fallback: np.ndarray) -> str:
    """Unit vectors, and the fallback for those without length."""
    length = graph.length(vectors, keepdims=1)
    has_length = graph("Greater", length, np.array(0.0))
    safe = graph("Where", has_length, length, np.array(1.0))
    return graph("Where", has_length, graph("Div", vectors, safe), fallback)


def _scaled(graph: Graph, matrix: str, size: int) -> str:
    """The matrices divided by their Frobenius norms; zero matrices stay zero."""
    flat = graph.reshape(matrix, size * size)
    return graph.reshape(_unit(graph, flat, np.zeros(size * size)), size, size)


def _horn() -> np.ndarray:
    """The matrix that turns the nine entries of a covariance into the sixteen of Horn's."""
    xx, xy, xz, yx, yy, yz, zx, zy, zz = np.eye(9)
    rows = (
        (xx + yy + zz, yz - zy, zx - xz, xy - yx),
        (yz - zy, xx - yy - zz, xy + yx, zx + xz),
        (zx - xz, xy + yx, yy - xx - zz, yz + zy),
        (xy - yx, zx + xz, yz + zy, zz - xx - yy),
    )
    return np.stack([entry for row in rows for entry in row], axis=1)


def _rotation_of_products() -> np.ndarray:
    """The matrix that turns the products of a quaternion's entries into a transposed rotation less the identity."""
    product = np.eye(16).reshape(4, 4, 16)
    w, x, y, z = range(4)
    rotation = (
        (-product[y, y] - product[z, z], product[x, y] - product[w, z], product[x, z] + product[w, y]),
        (product[x, y] + product[w, z], -product[x, x] - product[z, z], product[y, z] - product[w, x]),
        (product[x, z] - product[w, y], product[y, z] + product[w, x], -product[x, x] - product[y, y]),
    )
    return 2.0 * np.stack([rotation[row][column] for column in range(3) for row in range(3)], axis=1)
