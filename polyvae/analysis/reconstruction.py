"""How well frames come back from the latent, beside PCA of the same dimension."""

from dataclasses import dataclass

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from polyvae.analysis.baselines import PCA
from polyvae.preprocessing import kabsch_rmsd
from polyvae.training import FitResult
from polyvae.trajectory import Trajectory
from polyvae.trajectory.weights import chosen_weights, counted_frames, effective_sample_size, weighted_mean
from polyvae.vae import ConformationModel


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
    train_weights = None if weights is None else weights[train_frames]
    train = trajectory.positions[train_frames]
    test = jnp.asarray(trajectory.positions[split.test])
    train_features = model.cartesian_features(train)
    test_features = model.cartesian_features(test)
    pca = PCA.fit(np.asarray(train_features), model.latent_dim, weights=train_weights)
    spread = np.unique(np.linspace(0, len(train) - 1, min(len(train), 2000)).astype(int))
    some_train = jnp.asarray(train[spread])
    return ReconstructionReport(
        rmsd=np.asarray(kabsch_rmsd(model.reconstruct(test), test)),
        pca_rmsd=np.asarray(_rmsd_of_features(model, pca.decode(pca.encode(test_features)), test)),
        mean_rmsd=np.asarray(_rmsd_of_features(model, jnp.broadcast_to(pca.mean, test_features.shape), test)),
        train_rmsd=np.asarray(kabsch_rmsd(model.reconstruct(some_train), some_train)),
        pca_explained=float(np.sum(np.asarray(pca.explained))),
        unit=trajectory.units.length,
        weights=test_weights,
        train_weights=None if train_weights is None else train_weights[spread],
    )
