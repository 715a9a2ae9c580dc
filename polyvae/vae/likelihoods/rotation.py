"""A normal likelihood of a conformation in any orientation: what alignment decides, it averages over.

Alignment picks one orientation of each frame, by a rule that is not continuous or blames one atom's noise on all. Here
p(x|z) is the normal around the decoder's conformation, turned by a rotation that nobody knows: each is as likely.
"""

import math

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from polyvae.errors import InputError
from polyvae.vae.likelihoods.likelihood import Likelihood
from polyvae.vae.likelihoods.normal import initial_log_scale
from polyvae.vae.likelihoods.rotation_average import log_scaled_rotation_average

_HALF_LOG_TWO_PI = 0.5 * math.log(2.0 * math.pi)


class RotationNormal(Likelihood):
    """A conformation x = R mu + sigma · noise, R a uniformly random proper rotation; the outputs are mu.

    Vectors are centered conformations in an orthonormal basis of the atoms' displacements without translation, shape
    (modes, dims) flattened row by row, modes = atoms - 1. The density is one over all of this space:

        log p = -(|x|² + |mu|²) / (2 sigma²) - n log sigma - (n/2) log 2 pi
                + log of the average over rotations of exp(x·R mu / sigma²)

    It does not change when x or mu is turned, and does when one is mirrored (unless flat, in three dimensions). It is
    computed from the residual after the best rotation, so that no digits are lost at small sigma. First derivatives
    are exact for every shape, also collinear, planar and mirror images; second ones would leave out how the best
    rotation turns. The optimum of sigma has no closed form.

    Attributes:
        log_scale: natural logarithm of sigma, shared by all entries.
        modes: rows of the conformation.
        dims: dimensions of space, 2 or 3.
        learn: sigma is trained; otherwise it stays as it is.
    """

    log_scale: Float[Array, ""]
    modes: int = eqx.field(static=True)
    dims: int = eqx.field(static=True)
    learn: bool = eqx.field(static=True, default=True)

    def __check_init__(self):
        if self.dims not in (2, 3):
            raise InputError(f"`dims` must be 2 or 3; got {self.dims}.")

    @classmethod
    def of(cls, n_values: int, dims: int, *, sigma: float = 1.0, learn: bool = True) -> "RotationNormal":
        """The likelihood with standard deviation `sigma`.

        Args:
            n_values: length of the vector, modes times dims.
            dims: dimensions of space, 2 or 3.
            sigma: standard deviation to start from, or to stay at.
            learn: sigma is trained.

        Raises:
            InputError: if `sigma` is not positive, `dims` not 2 or 3, or `n_values` no multiple of `dims`.
        """
        if dims in (2, 3) and n_values % dims:
            raise InputError(f"`n_values` must be a multiple of dims={dims}; got {n_values}.")
        log_scale = initial_log_scale(n_values, sigma, per_feature=False)
        return cls(log_scale=log_scale, modes=n_values // max(dims, 1), dims=dims, learn=learn)

    @property
    def n_values(self) -> int:
        """Length of the vector x."""
        return self.modes * self.dims

    @property
    def n_outputs(self) -> int:
        """One number for each entry of mu."""
        return self.n_values

    def log_prob(self, x: Float[Array, " values"], outputs: Float[Array, " outputs"]) -> Float[Array, ""]:
        """Log p(x|z), nats."""
        log_scale = self.log_scale if self.learn else jax.lax.stop_gradient(self.log_scale)
        positions = x.reshape(self.modes, self.dims)
        center = outputs.reshape(self.modes, self.dims)
        covariance = jnp.matmul(positions.T, center, precision="highest")
        left, right = _singular_frames(jax.lax.stop_gradient(covariance))
        # The frames are held: singular values and the residual are stationary with respect to them.
        singular = jnp.sum(left * jnp.matmul(covariance, right, precision="highest"), axis=0)
        turn = jnp.matmul(left, right.T, precision="highest")
        residual = positions - jnp.matmul(center, turn.T, precision="highest")
        precision = jnp.exp(-2.0 * log_scale)
        normal = -0.5 * precision * jnp.sum(residual**2) - self.n_values * (log_scale + _HALF_LOG_TWO_PI)
        return normal + log_scaled_rotation_average(precision * singular)

    def mean(self, outputs: Float[Array, " outputs"]) -> Float[Array, " values"]:
        """The conformation mu, in the orientation that the decoder gives it.

        The mean over orientations is zero for every z, and of no use; align mu to compare it with a frame.
        """
        return outputs

    def sample(self, outputs: Float[Array, " outputs"], key: PRNGKeyArray) -> Float[Array, " values"]:
        """One draw from p(x|z), in a random orientation."""
        rotation_key, noise_key = jax.random.split(key)
        rotation = _random_rotation(rotation_key, self.dims, outputs.dtype)
        turned = jnp.matmul(outputs.reshape(self.modes, self.dims), rotation.T, precision="highest")
        noise = jax.random.normal(noise_key, outputs.shape, outputs.dtype)
        return turned.reshape(-1) + jnp.exp(self.log_scale) * noise


def _singular_frames(
    covariance: Float[Array, "dims dims"],
) -> tuple[Float[Array, "dims dims"], Float[Array, "dims dims"]]:
    """Proper rotations U and V with U^T covariance V diagonal, the last entry with the sign of the determinant."""
    left, _, right = jnp.linalg.svd(covariance)
    return _proper(left), _proper(right.T)


def _proper(frame: Float[Array, "dims dims"]) -> Float[Array, "dims dims"]:
    return frame.at[:, -1].multiply(jnp.where(jnp.linalg.det(frame) < 0, -1.0, 1.0))


def _random_rotation(key: PRNGKeyArray, dims: int, dtype) -> Float[Array, "dims dims"]:
    """A proper rotation, all equally likely: from a random angle, or from a random unit quaternion."""
    if dims == 2:
        angle = jax.random.uniform(key, (), dtype, 0.0, 2.0 * math.pi)
        cosine, sine = jnp.cos(angle), jnp.sin(angle)
        return jnp.stack([jnp.stack([cosine, -sine]), jnp.stack([sine, cosine])])
    quaternion = jax.random.normal(key, (4,), dtype)
    w, x, y, z = quaternion / jnp.linalg.norm(quaternion)
    return jnp.stack(
        [
            jnp.stack([1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)]),
            jnp.stack([2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)]),
            jnp.stack([2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)]),
        ]
    )
