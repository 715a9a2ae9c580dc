"""The encoder's mean and its gradient from raw positions, with NumPy alone, in float64.

    positions --alignment--> canonical frame --geometry--> inputs --perceptron--> latent mean

Frames are a leading axis. Each step returns its value and a function that carries gradients back through it: arrays of
shape (frames, latent, ...) of the derivatives of every latent dimension. Where a best rotation or the principal axes
are not determined, derivatives stay finite as those of the model do.

`polyvae.deployment.export_numpy` copies this file as it is, so it imports nothing but NumPy.

References:
    Kabsch, Acta Cryst. A 34, 827 (1978), doi:10.1107/S0567739478001680, for the best rotation.
    Blondel & Karplus, J. Comput. Chem. 17, 1132 (1996), doi:10.1002/(SICI)1096-987X(19960715)17:9<1132::AID-JCC5>3.0.CO;2-T,
    for the derivative of a torsion.
"""  # noqa: E501

from collections.abc import Callable
from dataclasses import dataclass, fields
from itertools import pairwise

import numpy as np

Backward = Callable[[np.ndarray], np.ndarray]

_EPSILON = np.finfo(np.float64).eps ** 0.5
_NORM_FLOOR = 1e-6
_BLOCK = 256


@dataclass(frozen=True, eq=False)
class Encoder:
    """Everything that the latent mean depends on, as arrays.

    The inputs of the perceptron are, in this order, the distances of `pairs`, the angles of `angles`, cosines and then
    sines of the torsions of `torsions`, `n_volumes` signed volumes of consecutive atoms, and the coordinates, as far
    as the model takes them. Their means and scales, and a basis that they are projected on, are part of the first
    matrix.

    Attributes:
        n_atoms: atoms of a frame.
        dims: dimensions of space, 2 or 3.
        motion: "fit" (turn onto the reference), "principal_axes", "center" or "none".
        weights: of the atoms for center and fit, with sum one, shape (atoms,).
        reference: centered frame of shape (atoms, dims) for "fit", else of shape (0, dims).
        pairs: atoms of each distance, counted from 0, shape (pairs, 2).
        angles: atoms of each angle, the vertex in the middle, shape (angles, 3).
        torsions: atoms of each torsion, shape (torsions, 4); in two dimensions those of each turn angle, (torsions, 3).
        n_volumes: signed volumes of `dims + 1` consecutive atoms, twice an area in two dimensions.
        takes_coordinates: whether the aligned coordinates are inputs.
        image: matrix that turns the aligned coordinates into those that distances and volumes are of, shape (atoms *
            dims, atoms * dims), or empty.
        image_offset: added to them, or empty.
        matrices: weights of each layer, shape (in, out).
        biases: of each layer, shape (out,).
        gains: of each normalization before an activation, or none.
        offsets: likewise.
        adds: whether each layer adds to the signal.
        shortcut: matrix from the inputs to the latent, or empty.
        activation: "gelu" (with tanh), "relu", "silu", "tanh" or "elu".
    """

    n_atoms: int
    dims: int
    motion: str
    weights: np.ndarray
    reference: np.ndarray
    pairs: np.ndarray
    angles: np.ndarray
    torsions: np.ndarray
    n_volumes: int
    takes_coordinates: bool
    image: np.ndarray
    image_offset: np.ndarray
    matrices: tuple
    biases: tuple
    gains: tuple
    offsets: tuple
    adds: tuple
    shortcut: np.ndarray
    activation: str


def arrays_of(encoder: Encoder) -> dict:
    """The encoder as named arrays for `numpy.savez`."""
    arrays = {}
    for field in fields(encoder):
        value = getattr(encoder, field.name)
        if isinstance(value, tuple) and field.name != "adds":
            arrays |= {f"{field.name}_{index}": array for index, array in enumerate(value)}
        else:
            arrays[field.name] = np.asarray(value)
    return arrays


def encoder_from(arrays) -> Encoder:
    """The encoder of such arrays."""
    values = {}
    for field in fields(Encoder):
        if field.name in ("matrices", "biases", "gains", "offsets"):
            count = sum(name.startswith(f"{field.name}_") for name in arrays)
            values[field.name] = tuple(arrays[f"{field.name}_{index}"] for index in range(count))
        elif field.name == "adds":
            values[field.name] = tuple(arrays[field.name].tolist())
        else:
            value = arrays[field.name]
            values[field.name] = value if value.ndim else value.item()
    return Encoder(**values)


def evaluate(encoder: Encoder, positions) -> tuple[np.ndarray, np.ndarray]:
    """Latent mean of raw positions and its derivative by them.

    Args:
        encoder: what to evaluate.
        positions: molecules whole, in the model's unit of length (nm), shape (atoms, dims) or (frames, atoms, dims).

    Returns:
        Latent of shape (latent,) or (frames, latent), and the gradient of each dimension, shape (latent, atoms, dims)
        or (frames, latent, atoms, dims), per unit of length.
    """
    positions = np.asarray(positions, np.float64)
    expected = (encoder.n_atoms, encoder.dims)
    if positions.ndim not in (2, 3) or positions.shape[-2:] != expected:
        raise ValueError(
            f"`positions` must have shape (frames, {expected[0]}, {expected[1]}); got {positions.shape}."
        )
    if positions.ndim == 2:
        latent, gradient = _evaluate(encoder, positions[None])
        return latent[0], gradient[0]
    blocks = [positions[start : start + _BLOCK] for start in range(0, max(len(positions), 1), _BLOCK)]
    latents, gradients = zip(*(_evaluate(encoder, block) for block in blocks), strict=True)
    return np.concatenate(latents), np.concatenate(gradients)


def _evaluate(encoder: Encoder, positions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    frame, align_back = _aligned(encoder, positions)
    inputs, inputs_back = _inputs(encoder, frame)
    latent, by_inputs = _perceptron(encoder, inputs)
    return latent, align_back(inputs_back(by_inputs))


def _aligned(encoder: Encoder, positions: np.ndarray) -> tuple[np.ndarray, Backward]:
    """The canonical frames."""
    if encoder.motion == "none":
        return positions, lambda gradient: gradient
    weights = encoder.weights
    # Relative to one atom the sum keeps its digits however far the molecule has diffused.
    shifted = positions - positions[:, :1]
    centered = shifted - np.einsum("i,fia->fa", weights, shifted)[:, None]

    def center_back(gradient):
        return gradient - weights[:, None] * gradient.sum(axis=2, keepdims=True)

    if encoder.motion == "center":
        return centered, center_back
    if encoder.motion == "fit":
        rotation, turn_back = _fit(encoder, centered)
    else:
        rotation, turn_back = _principal_axes(encoder, centered)
    frame = np.einsum("fab,fib->fia", rotation, centered)

    def back(gradient):
        turned = gradient + weights[:, None] * turn_back(frame, gradient)
        return center_back(np.einsum("flia,fab->flib", turned, rotation))

    return frame, back


def _fit(encoder: Encoder, centered: np.ndarray) -> tuple[np.ndarray, Callable]:
    """The proper rotation onto the reference, and how a change of it acts, by the atoms of the turned frame."""
    reference, dims = encoder.reference, encoder.dims
    covariance = np.einsum("i,fia,ib->fab", encoder.weights, centered, reference)
    left, _, right = np.linalg.svd(covariance)
    sign = np.ones((len(centered), dims))
    sign[:, -1] = np.where(np.linalg.det(left) * np.linalg.det(right) < 0, -1.0, 1.0)
    rotation = np.einsum("fka,fk,fbk->fab", right, sign, left)
    norm = np.sqrt(np.sum(covariance**2, axis=(1, 2)))
    norm = np.where(norm > 0, norm, 1.0)
    product = np.einsum("fab,fbc->fac", rotation, covariance) / norm[:, None, None]
    product = 0.5 * (product + product.transpose(0, 2, 1))
    trace = np.trace(product, axis1=1, axis2=2)

    def turn_back(frame, gradient):
        if dims == 2:
            torque = np.einsum("fi,fli->fl", frame[..., 0], gradient[..., 1])
            torque -= np.einsum("fi,fli->fl", frame[..., 1], gradient[..., 0])
            along = torque * (trace / (trace**2 + _EPSILON**2) / norm)[:, None]
            quarter = np.stack([reference[:, 1], -reference[:, 0]], axis=1)
            return along[:, :, None, None] * quarter
        torque = np.sum(np.cross(frame[:, None], gradient), axis=2)
        values, vectors = np.linalg.eigh(trace[:, None, None] * np.eye(3) - product)
        inverse = values / (values**2 + _EPSILON**2) / norm[:, None]
        along = np.einsum("fak,fk,fbk,flb->fla", vectors, inverse, vectors, torque)
        return np.cross(reference[None, None], along[:, :, None])

    return rotation, turn_back


def _principal_axes(encoder: Encoder, centered: np.ndarray) -> tuple[np.ndarray, Callable]:
    """The axes of the gyration tensor as rows, longest first, signs by the third moment, determinant +1."""
    weights = encoder.weights
    tensor = np.einsum("i,fia,fib->fab", weights, centered, centered)
    trace = np.trace(tensor, axis1=1, axis2=2)
    trace = np.where(trace > 0, trace, 1.0)
    values, vectors = np.linalg.eigh(tensor / trace[:, None, None])
    values, axes = values[:, ::-1], vectors[:, :, ::-1].transpose(0, 2, 1)
    along = np.einsum("fab,fib->fia", axes, centered)
    second, third = (np.einsum("i,fia->fa", weights, along**power) for power in (2, 3))
    off_center = np.abs(along) > 0.1 * np.sqrt(second)[:, None]
    first = np.take_along_axis(along, np.argmax(off_center, axis=1)[:, None], axis=1)[:, 0]
    decisive = np.where(np.abs(third) <= _EPSILON * second**1.5, first, third)
    axes = axes * np.where(decisive < 0, -1.0, 1.0)[:, :, None]
    axes[:, -1] *= np.where(np.linalg.det(axes) < 0, -1.0, 1.0)[:, None]
    gaps = values[:, :, None] - values[:, None]
    factors = gaps / (gaps**2 + _EPSILON**2) / trace[:, None, None]

    def turn_back(frame, gradient):
        mixed = np.einsum("flia,fib->flab", gradient, frame) * factors[:, None]
        return np.einsum("flab,fib->flia", mixed + mixed.swapaxes(2, 3), frame)

    return axes, turn_back


def _inputs(encoder: Encoder, frame: np.ndarray) -> tuple[np.ndarray, Backward]:
    """The inputs of the perceptron."""
    n_frames, shape = len(frame), frame.shape[1:]
    has_image = encoder.image.size > 0
    image = frame
    if has_image:
        image = (frame.reshape(n_frames, -1) @ encoder.image.T + encoder.image_offset).reshape(frame.shape)
    torsion, torsions_back = (_torsion if encoder.dims == 3 else _turn)(frame, encoder.torsions)
    # Of each block its values, how their derivatives spread over atoms, and those atoms.
    blocks = [
        (*_distance(image, encoder.pairs), encoder.pairs, True),
        (*_angle(frame, encoder.angles), encoder.angles, False),
        (
            np.cos(torsion),
            [-np.sin(torsion)[..., None] * part for part in torsions_back],
            encoder.torsions,
            False,
        ),
        (
            np.sin(torsion),
            [np.cos(torsion)[..., None] * part for part in torsions_back],
            encoder.torsions,
            False,
        ),
    ]
    if encoder.n_volumes:
        atoms = np.arange(encoder.n_volumes)[:, None] + np.arange(encoder.dims + 1)
        blocks.append((*_volume(image, atoms), atoms, True))
    values = [block[0] for block in blocks]
    if encoder.takes_coordinates:
        values.append(frame.reshape(n_frames, -1))

    def back(gradient):
        by_frame = np.zeros((*gradient.shape[:2], *shape))
        by_image = np.zeros_like(by_frame) if has_image else by_frame
        start = 0
        for value, parts, atoms, is_of_image in blocks:
            share = gradient[:, :, start : start + value.shape[1], None]
            start += value.shape[1]
            for column, part in zip(atoms.T, parts, strict=True):
                target = (by_image if is_of_image else by_frame).swapaxes(0, 2)
                np.add.at(target, column, (share * part[:, None]).swapaxes(0, 2))
        if has_image:
            flat = by_image.reshape(*by_image.shape[:2], -1) @ encoder.image
            by_frame = by_frame + flat.reshape(by_frame.shape)
        if encoder.takes_coordinates:
            by_frame = by_frame + gradient[:, :, start:].reshape(by_frame.shape)
        return by_frame

    return np.concatenate(values, axis=1), back


def _distance(frame: np.ndarray, pairs: np.ndarray) -> tuple[np.ndarray, list[np.ndarray]]:
    difference = frame[:, pairs[:, 1]] - frame[:, pairs[:, 0]]
    length = np.sqrt(np.sum(difference**2, axis=2))
    unit = difference * _inverse(length)[..., None]
    return length, [-unit, unit]


def _angle(frame: np.ndarray, atoms: np.ndarray) -> tuple[np.ndarray, list[np.ndarray]]:
    if not len(atoms):
        return np.zeros((len(frame), 0)), [np.zeros((len(frame), 0, frame.shape[2]))] * 3
    one, two = (frame[:, atoms[:, end]] - frame[:, atoms[:, 1]] for end in (0, 2))
    across = np.cross(one, two)
    size = np.sqrt(np.sum(across**2, axis=2))
    angle = np.arctan2(size, np.sum(one * two, axis=2))
    normal = across * _inverse(size)[..., None]
    by_one = np.cross(one, normal) * _inverse(np.sum(one**2, axis=2))[..., None]
    by_two = -np.cross(two, normal) * _inverse(np.sum(two**2, axis=2))[..., None]
    return angle, [by_one, -by_one - by_two, by_two]


def _torsion(frame: np.ndarray, atoms: np.ndarray) -> tuple[np.ndarray, list[np.ndarray]]:
    if not len(atoms):
        return np.zeros((len(frame), 0)), [np.zeros((len(frame), 0, 3))] * 4
    first, axis, last = (frame[:, atoms[:, k + 1]] - frame[:, atoms[:, k]] for k in range(3))
    before, after = np.cross(first, axis), np.cross(axis, last)
    length = np.sqrt(np.sum(axis**2, axis=2))
    torsion = np.arctan2(length * np.sum(first * after, axis=2), np.sum(before * after, axis=2))
    by_first = -before * (length * _inverse(np.sum(before**2, axis=2)))[..., None]
    by_last = after * (length * _inverse(np.sum(after**2, axis=2)))[..., None]
    inverse = _inverse(length**2)
    start = (np.sum(first * axis, axis=2) * inverse)[..., None] * by_first
    end = (np.sum(last * axis, axis=2) * inverse)[..., None] * by_last
    return torsion, [by_first, -by_first - start + end, -by_last + start - end, by_last]


def _turn(frame: np.ndarray, atoms: np.ndarray) -> tuple[np.ndarray, list[np.ndarray]]:
    """Signed angles from one bond to the next, in two dimensions."""
    if not len(atoms):
        return np.zeros((len(frame), 0)), [np.zeros((len(frame), 0, 2))] * 3
    before, after = (frame[:, atoms[:, k + 1]] - frame[:, atoms[:, k]] for k in range(2))
    cross = before[..., 0] * after[..., 1] - before[..., 1] * after[..., 0]
    turn = np.arctan2(cross, np.sum(before * after, axis=2))
    by_before, by_after = (
        sign * np.stack([-bond[..., 1], bond[..., 0]], axis=2) * _inverse(np.sum(bond**2, axis=2))[..., None]
        for sign, bond in ((-1.0, before), (1.0, after))
    )
    return turn, [-by_before, by_before - by_after, by_after]


def _volume(frame: np.ndarray, atoms: np.ndarray) -> tuple[np.ndarray, list[np.ndarray]]:
    """Determinants of the steps between consecutive atoms."""
    steps = [frame[:, atoms[:, k + 1]] - frame[:, atoms[:, k]] for k in range(atoms.shape[1] - 1)]
    if len(steps) == 2:
        one, two = steps
        by_steps = [np.stack([two[..., 1], -two[..., 0]], 2), np.stack([-one[..., 1], one[..., 0]], 2)]
    else:
        one, two, three = steps
        by_steps = [np.cross(two, three), np.cross(three, one), np.cross(one, two)]
    parts = [-by_steps[0], *(a - b for a, b in pairwise(by_steps)), by_steps[-1]]
    return np.sum(steps[0] * by_steps[0], axis=2), parts


def _inverse(values: np.ndarray) -> np.ndarray:
    """1 / values, and 0 where that has no value."""
    return np.where(values > 0, 1.0 / np.where(values > 0, values, 1.0), 0.0)


def _perceptron(encoder: Encoder, inputs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The latent, and its derivative by the inputs, shape (frames, latent, inputs)."""
    matrices, last = encoder.matrices, len(encoder.matrices) - 1
    signal = inputs @ matrices[0] + encoder.biases[0]
    steps = []
    for layer in range(1, last + 1):
        normalized, normalize_back = _normalized(encoder, signal, layer - 1)
        value, slope = _activated(encoder.activation, normalized)
        product = value @ matrices[layer] + encoder.biases[layer]
        signal = signal + product if encoder.adds[layer] else product
        steps.append((slope, normalize_back))
    gradient = np.broadcast_to(np.eye(signal.shape[1]), (len(inputs), signal.shape[1], signal.shape[1]))
    for layer in range(last, 0, -1):
        slope, normalize_back = steps[layer - 1]
        through = normalize_back((gradient @ matrices[layer].T) * slope[:, None])
        gradient = through + gradient if encoder.adds[layer] else through
    gradient = gradient @ matrices[0].T
    if encoder.shortcut.size:
        signal, gradient = signal + inputs @ encoder.shortcut, gradient + encoder.shortcut.T
    return signal, gradient


def _normalized(encoder: Encoder, signal: np.ndarray, layer: int) -> tuple[np.ndarray, Backward]:
    if not encoder.gains:
        return signal, lambda gradient: gradient
    centered = signal - signal.mean(axis=1, keepdims=True)
    inverse = 1.0 / np.sqrt(np.mean(centered**2, axis=1, keepdims=True) + _NORM_FLOOR)
    white, gain = centered * inverse, encoder.gains[layer]

    def back(gradient):
        gradient = gradient * gain
        along = np.mean(gradient * white[:, None], axis=2, keepdims=True)
        return inverse[:, None] * (gradient - gradient.mean(axis=2, keepdims=True) - white[:, None] * along)

    return white * gain + encoder.offsets[layer], back


def _activated(name: str, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The activation and its derivative."""
    if name == "tanh":
        value = np.tanh(x)
        return value, 1.0 - value**2
    if name == "relu":
        return np.maximum(x, 0.0), (x > 0).astype(x.dtype)
    if name == "elu":
        below = np.expm1(np.minimum(x, 0.0))
        return np.where(x > 0, x, below), np.where(x > 0, 1.0, below + 1.0)
    if name == "silu":
        gate = 0.5 * (1.0 + np.tanh(0.5 * x))
        return x * gate, gate * (1.0 + x * (1.0 - gate))
    scale = np.sqrt(2.0 / np.pi)
    gate = np.tanh(scale * (x + 0.044715 * x**3))
    slope = 0.5 * (1.0 + gate) + 0.5 * x * (1.0 - gate**2) * scale * (1.0 + 3 * 0.044715 * x**2)
    return 0.5 * x * (1.0 + gate), slope
