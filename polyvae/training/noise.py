r"""The decoder's noise after training: the full covariance of the residuals, in closed form.

Training uses one width for all features, which makes the latent explain the large motions. What it leaves
over is far from isotropic: bonds move little, slow modes much. Noise of one width would stretch and shrink
every bond. Given the encoder and the decoder's mean, the covariance that maximizes the expected
log-likelihood is the second moment of the residuals \(x - \mu(z)\), \(z \sim q(z|x)\) (the M-step of
expectation maximization), so it needs no further training. It is shrunk towards the shared width by the
amount that the validation frames like best.
"""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray

from polyvae.vae import VAE

LARGEST_COVARIANCE = 2048
"""Above this number of features the shared width is kept: the matrix would be larger than the network."""

_SHRINKAGES = (1.0, 0.5, 0.3, 0.2, 0.1, 0.05, 0.02, 0.01, 0.005, 0.002, 0.001, 1e-4)
_BLOCK = 1024


@eqx.filter_jit
def _residual_moment(vae: VAE, features: Float[Array, "frames features"], key: PRNGKeyArray) -> Array:
    """Second moment of the residuals, one draw of z a frame, (features, features)."""
    n_frames = features.shape[0]
    blocks = -(-n_frames // _BLOCK)
    padded = jnp.zeros((blocks * _BLOCK, features.shape[1]), features.dtype).at[:n_frames].set(features)
    present = (jnp.arange(blocks * _BLOCK) < n_frames).astype(features.dtype)

    def add(moment: Array, item: tuple[Array, Array, Array]) -> tuple[Array, None]:
        block, mask, index = item
        latent = vae.encode(block).sample(jax.random.fold_in(key, index))
        residual = (block - vae.decode(latent)) * mask[:, None]
        return moment + residual.T @ residual / n_frames, None

    items = (
        padded.reshape(blocks, _BLOCK, -1),
        present.reshape(blocks, _BLOCK),
        jnp.arange(blocks, dtype=jnp.int32),
    )
    moment, _ = jax.lax.scan(add, jnp.zeros((features.shape[1],) * 2, features.dtype), items)
    return moment


def with_residual_covariance(
    vae: VAE,
    train: Float[Array, "symmetries frames features"],
    validation: Float[Array, "validation features"],
    key: Array,
) -> VAE:
    """The VAE with the shrunk covariance of its training residuals as the decoder's noise.

    Args:
        vae: trained with a shared width.
        train: training features under every symmetry.
        validation: validation features, which choose the shrinkage.
        key: source of the draws of z.
    """
    if train.shape[2] > LARGEST_COVARIANCE:
        return vae
    moments = [
        np.asarray(_residual_moment(vae, image, jax.random.fold_in(key, index)), np.float64)
        for index, image in enumerate(train)
    ]
    moment = np.mean(moments, axis=0)
    held_out = np.asarray(
        _residual_moment(vae, validation, jax.random.fold_in(key, len(moments))), np.float64
    )
    covariance = shrunk_covariance(moment, held_out)
    shared = np.trace(moment) / len(moment)
    dtype = vae.log_sigma.dtype
    return eqx.tree_at(
        lambda tree: (tree.residual_cholesky, tree.log_sigma),
        vae,
        (jnp.asarray(np.linalg.cholesky(covariance), dtype), jnp.asarray(0.5 * np.log(shared), dtype)),
        is_leaf=lambda leaf: leaf is None,
    )


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
