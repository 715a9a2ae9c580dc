"""`linear_baselines`: PCA and TICA of the features, the linear coordinates that a model's latent has to beat."""

from dataclasses import dataclass

import numpy as np

from polyvae.analysis.baselines import PCA
from polyvae.analysis.kinetics.series import Series, series_of
from polyvae.analysis.kinetics.slow_modes import SlowModes, slow_modes
from polyvae.analysis.latent import LatentTrajectory
from polyvae.errors import InputError
from polyvae.preprocessing.align import map_frames
from polyvae.trajectory import Trajectory
from polyvae.trajectory.weights import chosen_weights
from polyvae.vae import ConformationModel


@dataclass(frozen=True, kw_only=True, eq=False)
class LinearBaselines:
    """Linear coordinates of features, fitted to some frames.

    Attributes:
        pca_mean: mean of the features, shape (features,).
        pca_components: orthonormal directions of largest variance, shape (modes, features).
        pca_explained: share of the variance that each explains.
        tica: the slowest linear combinations.
    """

    pca_mean: np.ndarray
    pca_components: np.ndarray
    pca_explained: np.ndarray
    tica: SlowModes

    def pca(self, features: np.ndarray) -> np.ndarray:
        """Principal components of some frames, shape (frames, modes)."""
        return (np.asarray(features, np.float64) - self.pca_mean) @ self.pca_components.T


def encoder_inputs(model: ConformationModel, trajectory: Trajectory) -> np.ndarray:
    """What the encoder sees of every frame, shape (frames, inputs): the features that a latent is made of.

    Args:
        model: a trained model.
        trajectory: frames of its system.

    Raises:
        InputError: if the trajectory shows another system.
    """
    model.system.check(trajectory)
    return map_frames(lambda frames: model.vae.inputs(model.features(frames)), trajectory.position_chunks())


def linear_baselines(
    features: LatentTrajectory | Series | np.ndarray,
    n_modes: int,
    lag_time: int,
    *,
    frames: np.ndarray | None = None,
    segments: tuple[int, ...] | None = None,
    weights: np.ndarray | None = None,
) -> LinearBaselines:
    """PCA and TICA of the features with as many coordinates as the model has.

    Args:
        features: what the encoder sees, shape (frames, features).
        n_modes: number of coordinates.
        lag_time: lag time of TICA, in frames.
        frames: indices of the frames to fit to, such as the training frames; None for all.
        segments: lengths of the joined simulations.
        weights: statistical weight of each frame, or None for equal ones.

    Raises:
        InputError: if there are fewer independent features than `n_modes`, or as in `slow_modes`.
    """
    series = series_of(features, segments=segments, weights=weights, name="features")
    if not 1 <= n_modes <= series.values.shape[1]:
        raise InputError(
            f"`n_modes` must be at least 1 and at most the {series.values.shape[1]} features; got {n_modes}."
        )
    tica = slow_modes(series, lag_time, frames=frames, n_modes=n_modes, reversible=True)
    chosen = np.arange(len(series)) if frames is None else frames
    pca = PCA.fit(
        series.values[chosen], n_modes, weights=chosen_weights(series.weights, chosen, name="fitted frames")
    )
    return LinearBaselines(
        pca_mean=np.asarray(pca.mean, np.float64),
        pca_components=np.asarray(pca.components, np.float64),
        pca_explained=np.asarray(pca.explained, np.float64),
        tica=tica,
    )
