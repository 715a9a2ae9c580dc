"""`Alignment`: the map from raw positions to the canonical frame that the model sees, for one frame.

A pure, differentiable function that is stored with a model. How its reference is found from data is the
business of `fit_alignment`; applying it to whole trajectories that of `align`.
"""

from typing import Literal

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float

from polyvae._typing import Frame
from polyvae.preprocessing.centering import center_of_mass
from polyvae.preprocessing.kabsch import covariance
from polyvae.preprocessing.optimal_rotation import optimal_rotation
from polyvae.preprocessing.principal_axes import principal_axes
from polyvae.preprocessing.rigid_motion import RigidMotion

Method = Literal["procrustes", "kabsch", "principal_axes", "center", "none"]
METHODS: tuple[Method, ...] = ("procrustes", "kabsch", "principal_axes", "center", "none")


class Alignment(eqx.Module):
    """Removes rigid motion from a frame.

    After "procrustes" and "kabsch" a canonical frame x obeys Σ_i w_i x_i = 0, and Σ_i w_i x_i ⊗ reference_i
    is symmetric.

    Attributes:
        method: "procrustes" or "kabsch" (turn onto the reference), "principal_axes", "center" (move only), or
            "none".
        weights: positive weights of shape (atoms,) that sum to one, for center and fit.
        reference: centered frame of shape (atoms, dims) for "procrustes" and "kabsch", else None.
    """

    method: Method = eqx.field(static=True)
    weights: Float[Array, " atoms"]
    reference: Float[Array, "atoms dims"] | None = None

    def motion(self, frame: Frame) -> RigidMotion:
        """The rigid motion that makes `frame` canonical, with finite gradients for every frame."""
        dims = frame.shape[1]
        identity = jnp.eye(dims, dtype=frame.dtype)
        if self.method == "none":
            return RigidMotion(rotation=identity, center=jnp.zeros(dims, frame.dtype))
        weights = self.weights.astype(frame.dtype)
        origin = center_of_mass(frame, weights)
        if self.method == "center":
            return RigidMotion(rotation=identity, center=origin)
        if self.reference is None:
            return RigidMotion(rotation=principal_axes(frame, weights), center=origin)
        reference = self.reference.astype(frame.dtype)
        rotation = optimal_rotation(covariance(frame - origin[None, :], reference, weights))
        return RigidMotion(rotation=rotation, center=origin)

    def __call__(self, frame: Frame) -> Frame:
        """The canonical frame of `frame`, shape (atoms, dims), in the unit of the positions."""
        return self.motion(frame).apply(frame)
