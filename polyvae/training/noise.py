r"""The decoder's noise after training: the covariance of the residuals, in closed form.

Training uses one width for all features, which makes the latent explain the large motions. What it leaves
over is far from isotropic: bonds move little, slow modes much. Noise of one width would stretch and shrink
every bond. Given the encoder and the decoder's mean, the covariance that maximizes the expected
log-likelihood is the second moment of the residuals \(x - \mu(z)\), \(z \sim q(z|x)\) (the M-step of
expectation maximization), so it needs no further training. It is shrunk towards the shared width by the
amount that the validation frames like best. Above `LARGEST_COVARIANCE` features the matrix is never formed:
the noise is correlated through its leading directions and independent beyond them.
"""

from collections.abc import Callable, Iterable, Iterator

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, PRNGKeyArray

from polyvae._arrays import device_array
from polyvae.training.data import TrainingData
from polyvae.vae import VAE, ModelConfig
from polyvae.vae.likelihoods import CorrelatedNormal, Likelihood, LowRankNormal, Normal
from polyvae.vae.vae import LARGEST_COVARIANCE

_SHRINKAGES = (1.0, 0.5, 0.3, 0.2, 0.1, 0.05, 0.02, 0.01, 0.005, 0.002, 0.001, 1e-4)
_BLOCK = 1024
_PIECE = 32 * _BLOCK
_OVERSAMPLING = 16
_POWER_ITERATIONS = 2


def with_fitted_noise(vae: VAE, config: ModelConfig, data: TrainingData, key: PRNGKeyArray) -> VAE:
    """The VAE whose normal likelihood has its widths, or its covariance, at the optimum for the training frames.

    Other likelihoods are returned as they were trained.

    Args:
        vae: a trained model.
        config: says which noise is wanted.
        data: training frames, which the noise is fitted to, and validation frames, which choose the shrinkage.
        key: source of the draws of z.
    """
    likelihood = vae.likelihood
    if not isinstance(likelihood, Normal):
        return vae
    if config.residual == "covariance":
        fitted = _correlated(vae, data, config.residual_rank, key)
    elif likelihood.learn:
        square = _mean_square(vae, data, key)
        square = square if likelihood.log_scale.ndim else square.mean()
        log_scale = device_array(0.5 * np.log(square), likelihood.log_scale.dtype)
        fitted = eqx.tree_at(lambda tree: tree.log_scale, likelihood, log_scale)
    else:
        return vae
    return eqx.tree_at(lambda tree: tree.likelihood, vae, fitted)


def _correlated(vae: VAE, data: TrainingData, rank: int, key: PRNGKeyArray) -> Likelihood:
    n_features = data.train.shape[2]
    if n_features > LARGEST_COVARIANCE:
        return _low_rank(vae, data, rank, key)
    identity = jnp.eye(n_features, dtype=data.train.dtype)
    moment = _train_moment(vae, data, identity, key)
    held_out = _moment(
        vae,
        [(data.validation, data.validation_target)],
        len(data.validation),
        data.validation_weights,
        identity,
        jax.random.fold_in(key, data.train.shape[0]),
    )
    return CorrelatedNormal.from_covariance(shrunk_covariance(moment, np.asarray(held_out, np.float64)))


def _low_rank(vae: VAE, data: TrainingData, rank: int, key: PRNGKeyArray) -> LowRankNormal:
    """Leading directions of the residuals by randomized subspace iteration, the rest as independent noise.

    References:
        Halko, Martinsson & Tropp, Finding structure with randomness, 2011, doi:10.1137/090771806.
    """
    n_features = data.train.shape[2]
    rank = min(rank, n_features)
    rng = np.random.default_rng(0)
    directions = rng.normal(size=(n_features, min(rank + _OVERSAMPLING, n_features)))
    products = directions
    for _ in range(_POWER_ITERATIONS + 1):
        directions, _ = np.linalg.qr(products)
        products = _train_moment(vae, data, device_array(directions, data.train.dtype), key)
    variances, turn = np.linalg.eigh(directions.T @ products)
    variances, turn = np.maximum(variances[::-1][:rank], 0.0), turn[:, ::-1][:, :rank]
    square = _mean_square(vae, data, key)
    # The directions hold, beyond their own variance, the noise that is everywhere.
    noise = max(square.sum() - variances.sum(), 0.0) / max(n_features - rank, 1)
    factor = (directions @ turn) * np.sqrt(np.maximum(variances - noise, 0.0))
    # A feature that the directions explain nearly whole keeps a little noise of its own.
    rest = np.maximum(square - (factor**2).sum(axis=1), 1e-3 * square)
    dtype = data.train.dtype
    return LowRankNormal(
        log_scale=device_array(0.5 * np.log(rest), dtype), factor=device_array(factor, dtype)
    )


def _train_moment(vae: VAE, data: TrainingData, directions: Array, key: PRNGKeyArray) -> np.ndarray:
    """Second moment of the training residuals times some directions, mean over the symmetries."""
    moments = [
        _moment(
            vae,
            data.decoded_pieces(image, _PIECE),
            *data.decoded(),
            directions,
            jax.random.fold_in(key, image),
        )
        for image in range(data.train.shape[0])
    ]
    return np.mean(moments, axis=0)


def _mean_square(vae: VAE, data: TrainingData, key: PRNGKeyArray) -> np.ndarray:
    """Mean square of each feature's residuals."""
    squares = []
    for image in range(data.train.shape[0]):
        total = jnp.zeros(data.train.shape[2], data.train.dtype)
        for piece, shares, first in _padded(data.decoded_pieces(image, _PIECE), *data.decoded()):
            total = _add_squares(vae, total, piece, shares, first, jax.random.fold_in(key, image))
        squares.append(np.asarray(total, np.float64))
    return np.mean(squares, axis=0)


def _moment(
    vae: VAE,
    pieces: Iterable[tuple[Array, Array]],
    n_frames: int,
    weights: Array | None,
    directions: Array,
    key: PRNGKeyArray,
) -> np.ndarray:
    """Weighted second moment of the residuals, one draw of z a frame, times some directions."""
    total = jnp.zeros_like(directions)
    for piece, shares, first in _padded(pieces, n_frames, weights):
        total = _add_moments(vae, total, piece, shares, first, directions, key)
    return np.asarray(total, np.float64)


def _padded(
    pieces: Iterable[tuple[Array, Array]], n_frames: int, weights: Array | None
) -> Iterator[tuple[tuple[Array, Array], Array, Array]]:
    """Pieces of one size, a multiple of the block, the shares of their frames, and the number of their first block.

    A piece is what the encoder sees and what the decoder is to give, often the same array.
    """
    size = min(_PIECE, -(-n_frames // _BLOCK) * _BLOCK)
    shares = None if weights is None else weights / jnp.sum(weights)
    start = 0
    for seen, wanted in pieces:
        for first in range(0, len(seen), size):
            part = seen[first : first + size]
            target = part if wanted is seen else wanted[first : first + size]
            if shares is None:
                share = jnp.full(len(part), 1.0 / n_frames, part.dtype)
            else:
                share = shares[start : start + len(part)]
            if len(part) < size:
                share = _filled(share, size)
                filled = _filled(part, size)
                part, target = filled, filled if target is part else _filled(target, size)
            yield (part, target), share, jnp.asarray(start // _BLOCK, jnp.int32)
            start += size


def _filled(rows: Array, size: int) -> Array:
    """The rows with zeros after them."""
    return jnp.zeros((size, *rows.shape[1:]), rows.dtype).at[: len(rows)].set(rows)


@eqx.filter_jit
def _add_moments(
    vae: VAE,
    total: Float[Array, "features directions"],
    piece: tuple[Float[Array, "frames features"], Float[Array, "frames features"]],
    shares: Float[Array, " frames"],
    first: Int[Array, ""],
    directions: Float[Array, "features directions"],
    key: PRNGKeyArray,
) -> Float[Array, "features directions"]:
    def of_block(residual: Array, share: Array) -> Array:
        return (residual * share[:, None]).T @ (residual @ directions)

    return _added(vae, total, piece, shares, first, key, of_block)


@eqx.filter_jit
def _add_squares(
    vae: VAE,
    total: Float[Array, " features"],
    piece: tuple[Float[Array, "frames features"], Float[Array, "frames features"]],
    shares: Float[Array, " frames"],
    first: Int[Array, ""],
    key: PRNGKeyArray,
) -> Float[Array, " features"]:
    def of_block(residual: Array, share: Array) -> Array:
        return share @ residual**2

    return _added(vae, total, piece, shares, first, key, of_block)


def _added(
    vae: VAE,
    total: Array,
    piece: tuple[Array, Array],
    shares: Array,
    first: Array,
    key: PRNGKeyArray,
    of_block: Callable[[Array, Array], Array],
) -> Array:
    """The total and, block by block, a function of the residuals of a piece and their shares."""

    def add(total: Array, item: tuple[Array, Array, Array, Array]) -> tuple[Array, None]:
        block, target, share, index = item
        latent = vae.encode(block).sample(jax.random.fold_in(key, index))
        return total + of_block(target - vae.decode(latent), share), None

    blocks = shares.shape[0] // _BLOCK
    items = (
        piece[0].reshape(blocks, _BLOCK, -1),
        piece[1].reshape(blocks, _BLOCK, -1),
        shares.reshape(blocks, _BLOCK),
        first + jnp.arange(blocks, dtype=jnp.int32),
    )
    return jax.lax.scan(add, total, items)[0]


def shrunk_covariance(moment: Float[np.ndarray, "n n"], held_out: Float[np.ndarray, "n n"]) -> np.ndarray:
    """The mixture of a covariance matrix and its mean variance under which held-out data are likeliest.

    Args:
        moment: second moment of the training data.
        held_out: second moment of the validation data, around the same mean.

    Returns:
        (1 - a) moment + a (trace / n) identity, with a chosen from a fixed list; positive definite.

    References:
        Ledoit & Wolf, A well-conditioned estimator for large-dimensional covariance matrices, 2004,
        doi:10.1016/S0047-259X(03)00096-4, for the form; the weight here is chosen by held-out likelihood.
    """
    eigenvalues, directions = np.linalg.eigh(moment)
    shared = np.trace(moment) / len(moment)
    spread = np.einsum("ij,ik,kj->j", directions, held_out, directions)
    widths = [(1.0 - a) * np.maximum(eigenvalues, 0.0) + a * shared for a in _SHRINKAGES]
    costs = [np.sum(np.log(width) + spread / width) for width in widths]
    width = widths[int(np.argmin(costs))]
    return (directions * width) @ directions.T
