"""Arrays put on the device without a computation."""

from typing import Any

import jax
import numpy as np


def device_array(values: Any, dtype: Any = None) -> jax.Array:
    """As `jnp.array`, but converted by NumPy and put, where JAX would trace and compile a function for every shape.

    Args:
        values: numbers or a NumPy array, not traced.
        dtype: type of the result; None keeps that of the values.
    """
    return jax.device_put(np.asarray(values, dtype), may_alias=False)
