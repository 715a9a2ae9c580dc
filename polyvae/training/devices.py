"""Several devices that share each batch: data-parallel training by sharding.

Parameters, optimizer and validation frames are the same on every device; each holds its part of a batch, and XLA adds
the gradients up. Noise is drawn for the whole batch and cut, so that the loss is that of one device, to rounding.
"""

from dataclasses import dataclass
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from polyvae.errors import InputError

_BATCH = "batch"


@dataclass(frozen=True)
class SharedBatches:
    """The devices, as a mesh of one axis."""

    mesh: Mesh

    @classmethod
    def over(cls, n_devices: int) -> "SharedBatches":
        """The first devices that JAX has.

        Raises:
            InputError: if there are fewer.
        """
        devices = jax.devices()
        if n_devices > len(devices):
            hint = ""
            if devices[0].platform == "cpu":
                hint = (
                    " A processor counts as one device; the environment variable "
                    f"XLA_FLAGS=--xla_force_host_platform_device_count={n_devices} splits it for a trial."
                )
            raise InputError(
                f"`devices`={n_devices}, but JAX has {len(devices)} of the kind {devices[0].platform!r}. "
                f"Lower it.{hint}"
            )
        return cls(Mesh(np.array(devices[:n_devices]), (_BATCH,)))

    def everywhere(self, tree: Any) -> Any:
        """The arrays of a tree, whole on every device; other leaves as they are."""
        sharding = NamedSharding(self.mesh, PartitionSpec())
        return jax.tree.map(
            lambda leaf: jax.device_put(leaf, sharding) if isinstance(leaf, jax.Array) else leaf, tree
        )

    def shared(self, array: np.ndarray) -> jax.Array:
        """An array of shape (steps, batch, ...), every device with its part of each batch."""
        return jax.device_put(array, NamedSharding(self.mesh, PartitionSpec(None, _BATCH)))


def on_one_device(tree: Any) -> Any:
    """The arrays of a tree on JAX's first device."""
    first = jax.devices()[0]
    return jax.tree.map(
        lambda leaf: jax.device_put(leaf, first) if isinstance(leaf, jax.Array) else leaf, tree
    )
