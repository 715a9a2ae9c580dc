"""What every model of a comparison is given: the same aligned frames as arrays.

Frames are superposed and written in the basis of the directions that alignment leaves free, as polyvae's own models
see them: 21 numbers for 12 beads in a plane, divided by one length. A log-density of these vectors becomes one of
positions by adding `log_volume`.
"""

from collections.abc import Callable
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
from scipy.linalg import qr

import polyvae as pv

SYMMETRIES: tuple[str, ...] = ("mirror", "reversal")


@dataclass(frozen=True, kw_only=True, eq=False)
class AlignedFrames:
    """Feature vectors of one split, and the way back to positions.

    Attributes:
        train: training frames under each symmetry, the identity first, shape (images, frames, features).
        validation: frames for choosing settings, shape (frames, features).
        test: frames that no model has seen, shape (frames, features).
        train_index: frame numbers of the training frames in the trajectory, shape (frames,).
        test_index: those of the test frames.
        log_volume: add it to a log-density of features to get one of positions, nats.
        reference: the frame that all others are superposed on, shape (atoms, dims), unit of length.
        positions: feature vectors (frames, features) to positions (frames, atoms, dims).
    """

    train: np.ndarray
    validation: np.ndarray
    test: np.ndarray
    train_index: np.ndarray
    test_index: np.ndarray
    log_volume: float
    reference: np.ndarray
    positions: Callable[[np.ndarray], np.ndarray]


def aligned_frames(
    trajectory: pv.Trajectory, *, symmetries: tuple[str, ...] = SYMMETRIES, seed: int = 0
) -> AlignedFrames:
    """The arrays that `pv.fit` trains on with this seed: its split, alignment and representation.

    Args:
        trajectory: positions (frames, atoms, dims).
        symmetries: exact symmetries of the system, "mirror" and/or "reversal"; an image is made of raw positions and
            then aligned.
        seed: of the split.
    """
    result = pv.fit(
        trajectory,
        pv.ModelConfig(latent_dim=2),
        pv.TrainConfig(epochs=1, augmentation=symmetries),  # pyright: ignore[reportArgumentType]
        seed=seed,
    )
    model, split = result.model, result.split
    raw = trajectory.positions[split.train]
    images = [raw]
    if "mirror" in symmetries:
        images += [image * np.array([1, -1], image.dtype) for image in images]
    if "reversal" in symmetries:
        images += [image[:, ::-1] for image in images]

    def positions(features: np.ndarray) -> np.ndarray:
        decoded = jax.vmap(model.representation.positions)(jnp.asarray(features, jnp.result_type(float)))
        return np.asarray(decoded)

    return AlignedFrames(
        train=np.stack([np.asarray(model.features(image)) for image in images]),
        validation=np.asarray(model.features(trajectory.positions[split.validation])),
        test=np.asarray(model.features(trajectory.positions[split.test])),
        train_index=split.train,
        test_index=split.test,
        log_volume=float(model.representation.log_volume),
        reference=np.asarray(model.alignment.reference),
        positions=positions,
    )


def bond_directions(frames: AlignedFrames) -> np.ndarray:
    """Rows that take feature vectors to components of the bond vectors, along the chain, shape (features, features).

    Bond vectors are linear in positions, so this is a change of basis and densities stay comparable. They have more
    components than alignment leaves free; those that the others determine best are left out.
    """
    n_features = frames.test.shape[1]
    origin = frames.positions(np.zeros((1, n_features)))
    columns = frames.positions(np.eye(n_features)).astype(np.float64) - origin
    components = np.diff(columns, axis=1).reshape(n_features, -1)
    order = qr(components, mode="r", pivoting=True)[-1]
    return components[:, np.sort(order[:n_features])].T
