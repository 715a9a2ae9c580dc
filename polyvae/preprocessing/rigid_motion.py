"""A rigid motion: the rotation and the center that turn one frame into its canonical frame, and back."""

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float

from polyvae._typing import Frame


class RigidMotion(eqx.Module):
    """Rotation about a center: canonical = (positions - center) @ rotation.T.

    Attributes:
        rotation: proper rotation (determinant +1) of shape (dims, dims).
        center: the point that moves to the origin, shape (dims,), in the unit of the positions.
    """

    rotation: Float[Array, "dims dims"]
    center: Float[Array, " dims"]

    def apply(self, frame: Frame) -> Frame:
        """The canonical frame of `frame`."""
        # Accelerators would round a plain product to ten bits; positions need all of theirs.
        return jnp.matmul(frame - self.center[None, :], self.rotation.T, precision="highest")

    def invert(self, frame: Frame) -> Frame:
        """The frame in the laboratory whose canonical frame is `frame`."""
        return jnp.matmul(frame, self.rotation, precision="highest") + self.center[None, :]
