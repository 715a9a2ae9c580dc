"""How well frames come back from the latent, beside PCA of the same dimension."""

from dataclasses import dataclass

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from polyvae.analysis.baselines import PCA
from polyvae.preprocessing import kabsch_rmsd
from polyvae.preprocessing.align import map_frames
from polyvae.training import FitResult
from polyvae.trajectory import Trajectory
from polyvae.trajectory.mapped import take_rows
from polyvae.trajectory.sampling import spread_rows
from polyvae.trajectory.weights import chosen_weights, counted_frames, effective_sample_size, weighted_mean
from polyvae.vae import ConformationModel

_SHOWN_TRAIN_FRAMES = 2000


@dataclass(frozen=True, kw_only=True, eq=False)
class ReconstructionReport:
    """Kabsch RMSD per atom between held-out frames and their reconstructions.

    Attributes:
        rmsd: of the model, one number a test frame, unit of length.
        pca_rmsd: of PCA with as many components as the model has latent dimensions, fitted to the training frames.
        mean_rmsd: of the mean structure, which uses no latent at all.
        train_rmsd: of the model on (at most 2000) training frames; much lower than `rmsd` means overfitting.
        pca_explained: share of the variance that PCA explains.
        unit: unit of length.
        weights: statistical weight of each test frame, or None for equal ones.
        train_weights: those of the training frames of `train_rmsd`.
    """

    rmsd: np.ndarray
    pca_rmsd: np.ndarray
    mean_rmsd: np.ndarray
    train_rmsd: np.ndarray
    pca_explained: float
    unit: str
    weights: np.ndarray | None = None
    train_weights: np.ndarray | None = None

    @property
    def average_rmsd(self) -> float:
        """Weighted mean of `rmsd` over the test frames, unit of length."""
        return float(weighted_mean(self.rmsd, self.weights))

    @property
    def average_pca_rmsd(self) -> float:
        """Weighted mean of `pca_rmsd` over the test frames, unit of length."""
        return float(weighted_mean(self.pca_rmsd, self.weights))

    @property
    def average_mean_structure_rmsd(self) -> float:
        """Weighted mean of `mean_rmsd` over the test frames, unit of length."""
        return float(weighted_mean(self.mean_rmsd, self.weights))

    @property
    def average_train_rmsd(self) -> float:
        """Weighted mean of `train_rmsd` over its training frames, unit of length."""
        return float(weighted_mean(self.train_rmsd, self.train_weights))

    @property
    def ratio(self) -> float:
        """Weighted mean RMSD of the model over that of PCA; below 1 the model is better."""
        return self.average_rmsd / self.average_pca_rmsd

    @property
    def effective_sample_size(self) -> float:
        """Number of test frames of equal weight that fix a mean as well."""
        return effective_sample_size(self.weights, len(self.rmsd))


@eqx.filter_jit
def _rmsd_of_features(model: ConformationModel, features: jax.Array, positions: jax.Array) -> jax.Array:
    return kabsch_rmsd(jax.vmap(model.cartesian.positions)(features), positions)


def reconstruction_report(result: FitResult, trajectory: Trajectory) -> ReconstructionReport:
    """Reconstruction error of the held-out test frames, beside PCA of the same dimension.

    Test frames are taken piece by piece. PCA is fitted to at most 20 000 training frames, spread evenly.

    Args:
        result: a fit to this trajectory.
        trajectory: what was trained on.

    Raises:
        InputError: if the training or the test frames all have weight zero.
    """
    model, split, weights = result.model, result.split, trajectory.weights
    # Checked before the work: a mean over frames without weight does not exist.
    test_weights = chosen_weights(weights, split.test, name="test frames")
    train_frames = counted_frames(weights, split.train, name="training frames")
    train_frames = train_frames[spread_rows(len(train_frames), trajectory.positions[:1].nbytes)]
    train = take_rows(trajectory.positions, train_frames)
    train_weights = None if weights is None else weights[train_frames]
    pca = PCA.fit(map_frames(model.cartesian_features, [train]), model.latent_dim, weights=train_weights)
    spread = np.unique(np.linspace(0, len(train) - 1, min(len(train), _SHOWN_TRAIN_FRAMES)).astype(int))

    def rmsd(frames: np.ndarray) -> jax.Array:
        return kabsch_rmsd(model.reconstruct(frames), jnp.asarray(frames))

    def three_rmsd(frames: np.ndarray) -> tuple[jax.Array, jax.Array, jax.Array]:
        positions, features = jnp.asarray(frames), model.cartesian_features(frames)
        principal = _rmsd_of_features(model, pca.decode(pca.encode(features)), positions)
        mean = _rmsd_of_features(model, jnp.broadcast_to(pca.mean, features.shape), positions)
        return rmsd(frames), principal, mean

    test_rmsd, pca_rmsd, mean_rmsd = map_frames(three_rmsd, trajectory.position_chunks(split.test))
    return ReconstructionReport(
        rmsd=test_rmsd,
        pca_rmsd=pca_rmsd,
        mean_rmsd=mean_rmsd,
        train_rmsd=map_frames(rmsd, [train[spread]]),
        pca_explained=float(np.sum(np.asarray(pca.explained))),
        unit=trajectory.units.length,
        weights=test_weights,
        train_weights=None if train_weights is None else train_weights[spread],
    )
