"""Measurements behind the diagnosis of a fit: what the latent says, who listens, and what it leaves unsaid.

`measure` looks at frames one by one in one compiled call, on JAX arrays; the rest are weighted means, distances and
eigenvalues over them, in float64. Memory grows as frames x 256 x latent and draws x frames x outputs.
"""

from collections.abc import Callable
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, PRNGKeyArray

from polyvae._arrays import device_array
from polyvae.vae import VAE, DiagonalNormal, Posterior, standard_normal_log_density
from polyvae.vae.likelihoods import (
    Blocks,
    Categorical,
    CorrelatedNormal,
    Likelihood,
    LowRankNormal,
    Normal,
    RotationNormal,
    VonMises,
)

_DRAWS = 4
_FLOOR_SAMPLES = 8
_POINTS_AT_ONCE = 256
_MOST_DIRECTIONS = 128
_ITERATIONS = 3
_EIGENVALUE_FRAMES = 1000
_CURVATURE_FRAMES = 256
_FLAT = 1e-5


class Measured(eqx.Module):
    """Numbers of each frame; the leading axis is frames, except in `prior_draws`.

    Attributes:
        mean: of the posterior, (frames, latent).
        scale: its standard deviations, (frames, latent).
        kl: its divergence from the standard normal, (frames, latent), nats.
        rate: its divergence from the prior, (frames,), nats.
        latent: one draw from it, (frames, latent).
        prior_draws: of the prior, (samples, frames, latent).
        log_prior: log-density of the prior at `latent`, nats.
        log_aggregate: that of the mixture of all frames' posteriors.
        log_aggregate_of_others: that of the mixture of all frames but the one that the draw belongs to.
        log_marginals: those of the marginals of the mixture of all, (frames, latent).
        log_likelihood: E_q log p(x|z), nats.
        loss_swapped: how much smaller it is with the draws of another frame, nats.
        loss_swapped_one: likewise, with one dimension of the draws of another frame, (frames, latent).
        score: mean over draws of the derivative of log p(x|z) by the decoder's outputs, (frames, outputs).
    """

    mean: Array
    scale: Array
    kl: Array
    rate: Array
    latent: Array
    prior_draws: Array
    log_prior: Array
    log_aggregate: Array
    log_aggregate_of_others: Array
    log_marginals: Array
    log_likelihood: Array
    loss_swapped: Array
    loss_swapped_one: Array
    score: Array


def measure(
    vae: VAE,
    trained_likelihood: Likelihood,
    features: Float[Array, "frames features"],
    shares: Float[np.ndarray, " frames"],
    key: PRNGKeyArray,
    *,
    targets: Float[Array, "frames features"] | None = None,
) -> Measured:
    """Numbers of each frame.

    Args:
        vae: the model.
        trained_likelihood: the one whose score is taken.
        features: scaled vectors.
        shares: weights of the frames, positive, with the sum 1.
        key: source of the draws.
        targets: vectors that the decoder is to give; None for `features`.
    """
    rng = np.random.default_rng(np.asarray(jax.random.key_data(key)))
    partners = rng.choice(len(shares), (_DRAWS, len(shares)), p=shares)
    pair = features, features if targets is None else targets
    return _measured(
        vae, trained_likelihood, pair, jnp.asarray(shares, features.dtype), jnp.asarray(partners), key
    )


@eqx.filter_jit
def _measured(
    vae: VAE,
    trained_likelihood: Likelihood,
    pair: tuple[Float[Array, "frames features"], Float[Array, "frames features"]],
    shares: Float[Array, " frames"],
    partners: Int[Array, "draws frames"],
    key: PRNGKeyArray,
) -> Measured:
    features, targets = pair
    n_frames = features.shape[0]
    noise_key, prior_key = jax.random.split(key)
    posterior, prior = vae.encode(features), vae.latent_prior()
    # Repeated before it is drawn from: one call of the random generator, which is slow to compile.
    repeated = jax.tree.map(lambda leaf: jnp.broadcast_to(leaf[None], (_DRAWS, *leaf.shape)), posterior)
    draws = repeated.sample(noise_key)
    swapped = jnp.take_along_axis(draws, partners[:, :, None], axis=1)
    log_shares, log_densities = jnp.log(shares), _log_densities_at(posterior)

    def log_likelihood(taken: Array) -> Array:
        latent = jnp.where(taken[None, None, :], swapped, draws)
        values = jax.vmap(jax.vmap(vae.log_likelihood), in_axes=(None, 0))(targets, vae.outputs(latent))
        return jnp.mean(values, axis=0)

    def score(latent: Array) -> Array:
        return jax.vmap(jax.grad(trained_likelihood.log_prob, argnums=1))(targets, vae.outputs(latent))

    def mixtures(item: tuple[Array, Array]) -> tuple[Array, Array]:
        index, point = item
        joint = log_densities(point) + log_shares
        points = jnp.broadcast_to(point[None, :], posterior.mean.shape)
        marginals = posterior.log_prob_by_dimension(points) + log_shares[:, None]
        others = jnp.where(jnp.arange(n_frames) == index, -jnp.inf, joint)
        return jax.nn.logsumexp(others), jax.nn.logsumexp(marginals, axis=0)

    # Which dimensions come from the partner: none, all, each alone.
    taken = np.pad(np.eye(vae.latent_dim, dtype=bool), ((2, 0), (0, 0)))
    taken[1] = True
    values = jax.lax.map(log_likelihood, jnp.asarray(taken))
    others, log_marginals = jax.lax.map(
        mixtures, (jnp.arange(n_frames), draws[0]), batch_size=_POINTS_AT_ONCE
    )
    rates = jax.vmap(lambda latent: jnp.sum(prior.kl(posterior, latent), axis=1))(draws)
    prior_draws = prior.sample(prior_key, (_FLOOR_SAMPLES + 1) * n_frames)
    return Measured(
        mean=posterior.mean,
        scale=posterior.scale,
        kl=posterior.kl_from_standard_normal(),
        rate=jnp.mean(rates, axis=0),
        latent=draws[0],
        prior_draws=prior_draws.reshape(_FLOOR_SAMPLES + 1, n_frames, -1),
        log_prior=jax.vmap(prior.log_prob)(draws[0]),
        log_aggregate=jnp.logaddexp(others, log_shares + posterior.log_prob(draws[0])),
        log_aggregate_of_others=others - jnp.log1p(-shares),
        log_marginals=log_marginals,
        log_likelihood=values[0],
        loss_swapped=values[0] - values[1],
        loss_swapped_one=(values[:1] - values[2:]).T,
        score=jnp.mean(jax.lax.map(score, draws), axis=0),
    )


def _log_densities_at(posterior: Posterior) -> Callable[[Array], Array]:
    """A function of one latent point: its log-density under the posterior of every frame."""
    if isinstance(posterior, DiagonalNormal):
        return lambda point: posterior.log_prob(jnp.broadcast_to(point[None, :], posterior.mean.shape))
    # One triangular system a frame, not one a frame and point.
    identity = jnp.broadcast_to(
        jnp.eye(posterior.mean.shape[1], dtype=posterior.mean.dtype), posterior.cholesky.shape
    )
    whitening = jax.lax.linalg.triangular_solve(posterior.cholesky, identity, left_side=True, lower=True)
    log_determinant = jnp.sum(jnp.log(jnp.diagonal(whitening, axis1=1, axis2=2)), axis=1)

    def at(point: Array) -> Array:
        white = jnp.einsum("nij,nj->ni", whitening, point[None, :] - posterior.mean, precision="highest")
        return jax.vmap(standard_normal_log_density)(white) + log_determinant

    return at


def weighted_mean_and_error(
    values: Float[np.ndarray, "frames *rest"], shares: Float[np.ndarray, " frames"]
) -> tuple[np.ndarray, np.ndarray]:
    """Weighted mean over frames and its standard error, which takes frames as independent."""
    mean = np.asarray(np.tensordot(shares, values, axes=1))
    return mean, np.asarray(np.sqrt(np.tensordot(shares**2, (values - mean) ** 2, axes=1)))


def prior_distance(
    measured: Measured, shares: Float[np.ndarray, " frames"]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Wasserstein distance W1 of each dimension between q(z) and the prior, its floor, and the prior's width.

    The floor is the mean distance between samples of the prior as large as the frames' and weighted as they are.
    """
    latent = np.asarray(measured.latent, np.float64)
    reference, *others = np.asarray(measured.prior_draws, np.float64)

    # Half a second of imports, which training need not wait for.
    from scipy.stats import wasserstein_distance

    def distance(sample: np.ndarray) -> np.ndarray:
        columns = zip(sample.T, reference.T, strict=True)
        return np.array([wasserstein_distance(one, other, u_weights=shares) for one, other in columns])

    return distance(latent), np.mean([distance(sample) for sample in others], axis=0), reference.std(axis=0)


class Untapped(NamedTuple):
    """What z leaves over, in units of the decoder's noise.

    Attributes:
        signal: largest eigenvalue of the scores' covariance relative to the curvature of the log-likelihood.
        floor: what noise alone shows in as many frames, the edge of the Marchenko-Pastur law.
        scatter: mean of these eigenvalues.
    """

    signal: float
    floor: float
    scatter: float


def untapped_signal(
    vae: VAE,
    likelihood: Likelihood,
    measured: Measured,
    targets: Float[Array, "frames features"],
    shares: Float[np.ndarray, " frames"],
) -> Untapped | None:
    """What z leaves over; None where the likelihood is flat in all directions.

    Directions of the outputs in which the likelihood is flat (the sum of logits, rotations) are left out. Where the
    curvature depends on the frame and there are more than 128 outputs, the eigenvalue is that within the leading
    directions of the scores: for noise of one width the same. The finite number of draws leaves a part of their own
    scatter in the scores, which does not lift a direction that a dimension at its optimum carries above beta.

    Args:
        vae: the model.
        likelihood: the one that the networks were trained with.
        measured: with the scores of this likelihood.
        targets: scaled vectors that the decoder is to give.
        shares: weights of the frames, with the sum 1.
    """
    score = np.asarray(measured.score, np.float64)
    centered = (score - shares @ score) * np.sqrt(shares)[:, None]
    n_directions = n_searched = score.shape[1]
    white = _times_noise_root(likelihood, centered)
    if white is None:
        basis = _leading_directions(centered)
        curvature = basis.T @ _curvature_along(basis, vae, likelihood, measured, targets, shares)
        widths, turn = np.linalg.eigh((curvature + curvature.T) / 2)
        if not widths[-1] > 0:
            return None
        curved = widths > _FLAT * widths[-1]
        n_directions, n_searched = n_directions - int(np.sum(~curved)), int(np.sum(curved))
        if isinstance(likelihood, RotationNormal):
            # Its second derivatives do not know that it is flat where the conformation turns as a whole.
            n_searched -= likelihood.dims * (likelihood.dims - 1) // 2
        white = centered @ (basis @ (turn[:, curved] / np.sqrt(widths[curved])))
    return Untapped(
        signal=float(np.linalg.norm(white @ _leading_directions(white), 2) ** 2),
        floor=float((1.0 + np.sqrt(n_directions * np.sum(shares**2))) ** 2),
        scatter=float(np.sum(white**2) / n_searched),
    )


def _times_noise_root(likelihood: Likelihood, rows: np.ndarray) -> np.ndarray | None:
    """Rows times a root of the covariance C of x given z, rows C rows^T = result result^T, where C is the same for all.

    The curvature of these families is the inverse of C.
    """
    if isinstance(likelihood, CorrelatedNormal):
        return rows @ np.linalg.inv(np.asarray(likelihood.whitening, np.float64))
    if not isinstance(likelihood, Normal | LowRankNormal):
        return None
    own = rows * np.exp(np.asarray(likelihood.log_scale, np.float64))
    if isinstance(likelihood, Normal):
        return own
    return np.concatenate([own, rows @ np.asarray(likelihood.factor, np.float64)], axis=1)


def _curvature_along(
    basis: np.ndarray,
    vae: VAE,
    likelihood: Likelihood,
    measured: Measured,
    targets: Array,
    shares: np.ndarray,
) -> np.ndarray:
    """The curvature times directions, shape (outputs, directions), from some of the frames."""
    rows = np.linspace(0, len(shares) - 1, min(_CURVATURE_FRAMES, len(shares))).round().astype(int)
    product = _curvature(
        vae,
        likelihood,
        jnp.asarray(np.asarray(targets)[rows]),
        jnp.asarray(np.asarray(measured.latent)[rows]),
        device_array(shares[rows] / shares[rows].sum(), targets.dtype),
        device_array(basis.T, targets.dtype),
    )
    return np.asarray(product, np.float64)


@eqx.filter_jit
def _curvature(
    vae: VAE,
    likelihood: Likelihood,
    features: Float[Array, "frames features"],
    latent: Float[Array, "frames latent"],
    shares: Float[Array, " frames"],
    directions: Float[Array, "directions outputs"],
) -> Float[Array, "outputs directions"]:
    """Minus the mean second derivative of log p(x|z) by the decoder's outputs, times some directions."""
    outputs = vae.outputs(latent)

    def mean(shift: Array) -> Array:
        return shares @ jax.vmap(likelihood.log_prob)(features, outputs + shift[None, :])

    zero = jnp.zeros(outputs.shape[1], outputs.dtype)
    return -jax.lax.map(lambda direction: jax.jvp(jax.grad(mean), (zero,), (direction,))[1], directions).T


def _leading_directions(rows: Float[np.ndarray, "frames outputs"]) -> Float[np.ndarray, "outputs directions"]:
    """An orthonormal basis of at most 128 directions in which the rows are longest, by subspace iteration.

    References:
        Halko, Martinsson & Tropp, Finding structure with randomness, 2011, doi:10.1137/090771806.
    """
    n_outputs = rows.shape[1]
    if n_outputs <= _MOST_DIRECTIONS:
        return np.eye(n_outputs)
    directions = np.random.default_rng(0).normal(size=(n_outputs, _MOST_DIRECTIONS))
    for _ in range(_ITERATIONS):
        directions, _ = np.linalg.qr(rows.T @ (rows @ directions))
    return directions


def noise_variance(likelihood: Likelihood) -> float | None:
    """Variance of normal noise that is the same for all frames, mean over features; None for other likelihoods."""
    if isinstance(likelihood, CorrelatedNormal):
        return float(np.mean(np.diagonal(np.asarray(likelihood.covariance, np.float64))))
    if not isinstance(likelihood, Normal | LowRankNormal):
        return None
    own = float(np.mean(np.exp(2.0 * np.asarray(likelihood.log_scale, np.float64))))
    if isinstance(likelihood, Normal):
        return own
    return own + float(np.sum(np.asarray(likelihood.factor, np.float64) ** 2)) / likelihood.n_values


def covariance_eigenvalues(
    features: Float[np.ndarray, "frames features"], shares: Float[np.ndarray, " frames"]
) -> Float[np.ndarray, " eigenvalues"]:
    """Eigenvalues of the weighted covariance of the features, largest first, as many as can be positive.

    Of vectors longer than 1000 entries no more than 1000 frames are looked at.
    """
    if features.shape[1] > _EIGENVALUE_FRAMES < len(features):
        rows = np.linspace(0, len(features) - 1, _EIGENVALUE_FRAMES).round().astype(int)
        features, shares = features[rows], shares[rows] / shares[rows].sum()
    centered = (features - shares @ features) * np.sqrt(shares)[:, None]
    # The smaller of the two products has the same positive eigenvalues.
    product = centered.T @ centered if len(features) > features.shape[1] else centered @ centered.T
    return np.maximum(np.linalg.eigvalsh(product)[::-1], 0.0)


def log_likelihood_without_latent(
    likelihood: Likelihood, features: Float[Array, "frames features"], shares: Float[np.ndarray, " frames"]
) -> float | None:
    """Mean log-likelihood of the frames with outputs that are the same for all and fit best, nats per frame.

    A VAE whose bound is lower would do better without its latent. None where the best outputs or the best shared
    numbers have no closed form, and where the best density is infinite (an entry that does not vary).
    """
    values = np.asarray(features, np.float64)
    outputs = _best_outputs(likelihood, values, shares)
    if outputs is None:
        return None
    dtype = features.dtype
    repeated = jnp.broadcast_to(jnp.asarray(outputs, dtype)[None, :], (len(values), len(outputs)))
    weights = device_array(shares, dtype)
    refitted = likelihood.refitted(features, repeated, weights)
    value = float(weights @ jax.vmap(refitted.log_prob)(features, repeated))
    return value if np.isfinite(value) else None


def _best_outputs(likelihood: Likelihood, values: np.ndarray, shares: np.ndarray) -> np.ndarray | None:
    """The outputs that describe all frames best."""
    if isinstance(likelihood, Normal | CorrelatedNormal):
        return shares @ values
    if isinstance(likelihood, Categorical):
        return np.log(np.maximum(shares @ values, 1e-12))
    if isinstance(likelihood, VonMises) and likelihood.concentration == "shared":
        return np.stack([shares @ np.cos(values), shares @ np.sin(values)], axis=1).ravel()
    if isinstance(likelihood, Blocks):
        ends = np.cumsum([part.n_values for part in likelihood.parts])[:-1]
        pieces = zip(likelihood.parts, np.split(values, ends, axis=1), strict=True)
        outputs = [_best_outputs(part, piece, shares) for part, piece in pieces]
        known = [output for output in outputs if output is not None]
        return np.concatenate(known) if len(known) == len(outputs) else None
    return None
