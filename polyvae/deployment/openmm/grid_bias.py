"""A bias on a grid of one or two latent dimensions, with continuous forces, and harmonic walls at its ends."""

from dataclasses import dataclass
from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array


@dataclass(frozen=True)
class Grid:
    """Points at equal distances.

    Attributes:
        low: first point of each dimension.
        high: last point of each dimension.
        points: number of points of each dimension, four at least.
        wall: stiffness of the walls in kJ/mol per squared latent unit.
    """

    low: tuple[float, ...]
    high: tuple[float, ...]
    points: tuple[int, ...]
    wall: float

    @property
    def axes(self) -> tuple[np.ndarray, ...]:
        """Coordinates of the points along each dimension."""
        return tuple(np.linspace(a, b, n) for a, b, n in zip(self.low, self.high, self.points, strict=True))

    def gaussian(self, center: np.ndarray, sigma: np.ndarray) -> np.ndarray:
        """A Gaussian of height one at every point, shape `points`."""
        factors = [
            np.exp(-0.5 * ((axis - c) / s) ** 2) for axis, c, s in zip(self.axes, center, sigma, strict=True)
        ]
        return factors[0] if len(factors) == 1 else np.multiply.outer(*factors)

    def __call__(self, latent: Array, values: Any) -> Array:
        """Energy at a latent point: the cubic through the values around it (Catmull-Rom), and the walls.

        Args:
            latent: shape (latent,); dimensions that the grid does not span come last and are free.
            values: at the points, kJ/mol, shape `points`.
        """
        energy = jnp.zeros((), latent.dtype)
        rows, weights = [], []
        for dimension, (low, high, count) in enumerate(zip(self.low, self.high, self.points, strict=True)):
            z = latent[dimension]
            outside = jnp.maximum(low - z, 0.0) + jnp.maximum(z - high, 0.0)
            energy = energy + 0.5 * self.wall * outside**2
            place = (jnp.clip(z, low, high) - low) * ((count - 1) / (high - low))
            first = jnp.clip(jnp.floor(place), 0, count - 2)
            rows.append(jnp.clip(first.astype(jnp.int32) + jnp.arange(-1, 3, dtype=jnp.int32), 0, count - 1))
            weights.append(_catmull_rom(place - first))
        # The few values around the place are gathered at once: each operation costs a microsecond a step.
        around = jnp.asarray(values, latent.dtype)[jnp.ix_(*rows)]
        for each in weights:
            around = jnp.sum(each.reshape(4, *[1] * (around.ndim - 1)) * around, axis=0)
        return energy + around


def _catmull_rom(t: Array) -> Array:
    """Weights of the four points around a place at a fraction t between the middle two."""
    return 0.5 * jnp.stack(
        [
            -(t**3) + 2 * t**2 - t,
            3 * t**3 - 5 * t**2 + 2,
            -3 * t**3 + 4 * t**2 + t,
            t**3 - t**2,
        ]
    )
