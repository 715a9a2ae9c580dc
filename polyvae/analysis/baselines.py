r"""Models to hold a VAE against, on the same coordinates: PCA, one full-covariance Gaussian, the Gaussian chain.

The Gaussian chain is the null model: bond vectors are jointly normal with the data's covariance, the same in
every direction of space, and there is no latent at all. It knows every mean square pair distance and nothing
of the shape of their distributions: good for flexible chains, poor for stiff ones, whose bonds are far from
normal. A latent must at least beat it, and earns its keep by compression, continuity and optimization.

To compare its density with models of aligned frames, it is integrated over rotations. Every centered
conformation is a rotation of exactly one aligned one, \(c = R s\), and \(dc = J(s)\, ds\, dR\) with J the
volume that the rotations' tangent vectors at s span across the aligned frames. As the chain's density does
not change under rotation, \(p(s) = V\, J(s)\, p(c = s)\), where V is the volume of the rotation group, 2π in
two dimensions and 8π² in three.

Where frames have statistical weights, all means and covariances are the weighted ones.
"""

import math
from dataclasses import dataclass

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from polyvae._batching import map_batched
from polyvae._typing import Frame
from polyvae.errors import InputError
from polyvae.features.free_directions import free_directions
from polyvae.preprocessing import Alignment, align
from polyvae.training import FitResult
from polyvae.training.noise import shrunk_covariance
from polyvae.trajectory import Trajectory
from polyvae.trajectory.mapped import take_rows
from polyvae.trajectory.sampling import spread_rows
from polyvae.trajectory.weights import chosen_weights, second_moment, weighted_mean
from polyvae.vae import ConformationModel
from polyvae.vae.distributions import cholesky_normal_log_density


class PCA(eqx.Module):
    """Principal component analysis of feature vectors: the linear model of the same dimension.

    Attributes:
        mean: mean feature vector.
        components: orthonormal rows, largest variance first, shape (latent, features).
        variances: variance along each, in squared feature units.
        explained: share of the total variance that each component explains.
    """

    mean: Float[Array, " features"]
    components: Float[Array, "latent features"]
    variances: Float[Array, " latent"]
    explained: Float[Array, " latent"]

    @classmethod
    def fit(cls, features: np.ndarray, latent_dim: int, *, weights: np.ndarray | None = None) -> "PCA":
        """The leading components of feature vectors of shape (frames, features), weighted if there are weights."""
        values = np.asarray(features, np.float64)
        mean = weighted_mean(values, weights)
        moment = second_moment(values - mean, weights)
        variances, directions = np.linalg.eigh(moment)
        order = np.argsort(variances)[::-1][:latent_dim]
        dtype = jnp.result_type(float)
        return cls(
            mean=jnp.asarray(mean, dtype),
            components=jnp.asarray(directions[:, order].T, dtype),
            variances=jnp.asarray(variances[order], dtype),
            explained=jnp.asarray(variances[order] / np.trace(moment), dtype),
        )

    def encode(self, features: Float[Array, "frames features"]) -> Float[Array, "frames latent"]:
        """Coordinates along the components."""
        return (features - self.mean[None, :]) @ self.components.T

    def decode(self, latent: Float[Array, "frames latent"]) -> Float[Array, "frames features"]:
        """Feature vectors on the principal plane."""
        return latent @ self.components + self.mean[None, :]


class GaussianModel(eqx.Module):
    """One normal distribution with full covariance over the feature vectors of aligned frames.

    Attributes:
        mean: mean feature vector.
        cholesky: lower Cholesky factor of the covariance.
    """

    mean: Float[Array, " features"]
    cholesky: Float[Array, "features features"]

    @classmethod
    def fit(
        cls,
        train: np.ndarray,
        validation: np.ndarray,
        *,
        train_weights: np.ndarray | None = None,
        validation_weights: np.ndarray | None = None,
    ) -> "GaussianModel":
        """Mean and covariance of the training features, shrunk as the validation features like best."""
        mean = weighted_mean(np.asarray(train, np.float64), train_weights)
        parts = ((train, train_weights), (validation, validation_weights))
        moments = [second_moment(np.asarray(part, np.float64) - mean, weights) for part, weights in parts]
        dtype = jnp.result_type(float)
        covariance = shrunk_covariance(*moments)
        return cls(mean=jnp.asarray(mean, dtype), cholesky=jnp.asarray(np.linalg.cholesky(covariance), dtype))

    def log_density(self, features: Float[Array, "frames features"]) -> Float[Array, " frames"]:
        """Log-density of each feature vector, nats."""
        return jax.vmap(lambda x: cholesky_normal_log_density(x, self.mean, self.cholesky))(features)

    def sample(self, n: int, key: Array) -> Float[Array, "n features"]:
        """Draws of feature vectors."""
        noise = jax.random.normal(key, (n, self.mean.shape[0]), self.mean.dtype)
        return noise @ self.cholesky.T + self.mean[None, :]


def rotation_directions(
    alignment: Alignment, n_atoms: int, dims: int
) -> Float[np.ndarray, "rotations atoms dims"]:
    """Orthonormal directions that centering leaves free and alignment removes; none where frames are only centered.

    Raises:
        InputError: for an alignment that does not send every conformation to one frame of a linear space.
    """
    if alignment.method not in ("procrustes", "kabsch", "center"):
        raise InputError(
            f"Conformations have no density on frames aligned by {alignment.method!r}. Use a model with "
            "`alignment='procrustes'`, 'kabsch' or 'center'."
        )
    if alignment.reference is None:
        return np.zeros((0, n_atoms, dims))
    centered = free_directions(Alignment(method="center", weights=alignment.weights), n_atoms, dims)
    aligned = free_directions(alignment, n_atoms, dims)
    # What alignment removes and centering leaves.
    across = centered.lift(centered.project(aligned.removed))
    _, singular, rows = np.linalg.svd(across, full_matrices=False)
    rotations = rows[singular > 0.5].reshape(-1, n_atoms, dims)
    if len(rotations) < dims * (dims - 1) // 2:
        raise InputError("Conformations have no density on frames aligned to a collinear reference.")
    return rotations


def log_rotation_volume(frame: Frame, rotations: Float[Array, "rotations atoms dims"]) -> Float[Array, ""]:
    r"""Log of J at a canonical frame: the volume that rotations span there across the aligned frames, nats.

    A centered conformation \(c = R s\) has \(dc = J(s)\, ds\, dR\).

    Args:
        frame: a canonical frame s.
        rotations: of `rotation_directions`; without any, the logarithm is 0.
    """
    if rotations.shape[0] == 0:
        return jnp.zeros((), frame.dtype)
    turned = []
    for a in range(frame.shape[1]):
        for b in range(a):
            tangent = jnp.zeros_like(frame).at[:, a].set(frame[:, b]).at[:, b].set(-frame[:, a])
            turned.append(jnp.einsum("rad,ad->r", rotations, tangent))
    return jnp.linalg.slogdet(jnp.stack(turned))[1]


class GaussianChain(eqx.Module):
    """The null model: isotropic normal bond vectors with the data's covariance, and no latent.

    Attributes:
        directions: orthonormal combinations of atoms without the center, shape (atoms - 1, atoms).
        cholesky: lower Cholesky factor of their covariance in one direction of space, shape (atoms - 1, atoms - 1).
        rotations: orthonormal directions across the aligned frames, shape (rotations, atoms, dims).
        log_group_volume: log of the volume of the rotation group, nats.
    """

    directions: Float[Array, "modes atoms"]
    cholesky: Float[Array, "modes modes"]
    rotations: Float[Array, "rotations atoms dims"]
    log_group_volume: float = eqx.field(static=True)

    @classmethod
    def fit(
        cls,
        model: ConformationModel,
        train: np.ndarray,
        validation: np.ndarray,
        *,
        train_weights: np.ndarray | None = None,
        validation_weights: np.ndarray | None = None,
    ) -> "GaussianChain":
        """The chain with the bond-vector covariance of the canonical training frames, shape (frames, atoms, dims).

        Raises:
            InputError: for an alignment that does not send every conformation to one frame of a linear space.
        """
        alignment = model.alignment
        n_atoms, dims = train.shape[1:]
        rotations = rotation_directions(alignment, n_atoms, dims)
        atom_weights = np.asarray(alignment.weights, np.float64)
        directions = np.linalg.svd(atom_weights[None, :])[2][1:]
        moments = []
        for frames, weights in ((train, train_weights), (validation, validation_weights)):
            modes = np.einsum("ma,fad->fdm", directions, frames.astype(np.float64)).reshape(-1, n_atoms - 1)
            # Every direction of space is one more observation of the same frame.
            moments.append(second_moment(modes, None if weights is None else np.repeat(weights, dims)))
        log_volume = 0.0
        if len(rotations):
            log_volume = math.log(2 * math.pi if dims == 2 else 8 * math.pi**2)
        dtype = jnp.result_type(float)
        return cls(
            directions=jnp.asarray(directions, dtype),
            cholesky=jnp.asarray(np.linalg.cholesky(shrunk_covariance(*moments)), dtype),
            rotations=jnp.asarray(rotations, dtype),
            log_group_volume=log_volume,
        )

    def log_density(self, frames: Float[Array, "frames atoms dims"]) -> Float[Array, " frames"]:
        """Log-density of canonical frames on the coordinates that alignment leaves free, nats per unit length."""
        return map_batched(self._log_density, frames, 1024)

    def _log_density(self, frame: Float[Array, "atoms dims"]) -> Float[Array, ""]:
        modes = self.directions @ frame
        origin = jnp.zeros(modes.shape[0], modes.dtype)
        density = jnp.sum(
            jax.vmap(lambda mode: cholesky_normal_log_density(mode, origin, self.cholesky), in_axes=1)(modes)
        )
        return density + self.log_group_volume + log_rotation_volume(frame, self.rotations)

    def sample(self, n: int, key: Array) -> Float[Array, "n atoms dims"]:
        """Draws of centered conformations, in random orientation."""
        dims = self.rotations.shape[2]
        noise = jax.random.normal(key, (n, self.cholesky.shape[0], dims), self.cholesky.dtype)
        return jnp.einsum("ma,mk,nkd->nad", self.directions, self.cholesky, noise)


@dataclass(frozen=True, kw_only=True, eq=False)
class Baselines:
    """The two models without a latent, fitted to the training frames of a fit.

    Attributes:
        gaussian: one full-covariance Gaussian over feature vectors.
        chain: the Gaussian chain, or None where the alignment gives it no density (principal axes, no alignment, a
            straight reference).
    """

    gaussian: GaussianModel
    chain: GaussianChain | None


def fit_baselines(result: FitResult, trajectory: Trajectory) -> Baselines:
    """The baselines of a fit, shrunk as its validation frames like best.

    Of more than 20 000 frames a sample, spread evenly, is used.

    Args:
        result: a fit to this trajectory.
        trajectory: what was trained on.

    Raises:
        InputError: if the training or the validation frames all have weight zero.
    """
    model, split = result.model, result.split
    frame_bytes = trajectory.positions[:1].nbytes
    train, validation = (
        part[spread_rows(len(part), frame_bytes)] for part in (split.train, split.validation)
    )
    parts = [take_rows(trajectory.positions, frames) for frames in (train, validation)]
    weights = {
        "train_weights": chosen_weights(trajectory.weights, train, name="training frames"),
        "validation_weights": chosen_weights(trajectory.weights, validation, name="validation frames"),
    }
    try:
        chain = GaussianChain.fit(model, *(align(model.alignment, part) for part in parts), **weights)
    except InputError:
        chain = None
    gaussian = GaussianModel.fit(*(np.asarray(model.cartesian_features(part)) for part in parts), **weights)
    return Baselines(gaussian=gaussian, chain=chain)
