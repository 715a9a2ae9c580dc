"""The state of a training run: all that is needed to go on to the same bits."""

from typing import Any, Protocol, runtime_checkable

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from polyvae.errors import InputError


class TrainingState(eqx.Module):
    """What one epoch hands to the next.

    Attributes:
        parameters: trainable arrays of the VAE.
        optimizer: state of the optimizer.
        best_parameters: those of the epoch with the best validation bound.
        best_bound: that bound, nats per frame.
        best_epoch: that epoch, -1 before the first.
        epoch: epochs done.
        log_beta: logarithm of the full weight of the KL divergence.
    """

    parameters: Any
    optimizer: Any
    best_parameters: Any
    best_bound: Float[Array, ""]
    best_epoch: Int[Array, ""]
    epoch: Int[Array, ""]
    log_beta: Float[Array, ""]


@runtime_checkable
class CheckpointStore(Protocol):
    """Where training states are kept between sessions; `polyvae.Checkpoint` keeps them in a file."""

    every: int
    """Epochs between two saved states."""

    def save(self, arrays: dict[str, np.ndarray], metadata: dict[str, Any]) -> None:
        """Keep this state in place of the one before, whole or not at all."""
        ...

    def load(self) -> tuple[dict[str, np.ndarray], dict[str, Any]] | None:
        """The state kept last, or None."""
        ...


def state_arrays(state: TrainingState) -> dict[str, np.ndarray]:
    """The leaves of a state by name, on the host."""
    leaves, _ = jax.tree_util.tree_flatten_with_path(state)
    return {jax.tree_util.keystr(path): np.asarray(leaf) for path, leaf in leaves}


def restored_state(like: TrainingState, arrays: dict[str, np.ndarray]) -> TrainingState:
    """The state with the structure of `like` and the given leaves.

    Raises:
        InputError: if a leaf is missing or has another shape or type, which names the leaf.
    """
    leaves, structure = jax.tree_util.tree_flatten_with_path(like)
    restored = []
    for path, leaf in leaves:
        name = jax.tree_util.keystr(path)
        array = arrays.get(name)
        if array is None or array.shape != leaf.shape or array.dtype != leaf.dtype:
            found = "nothing" if array is None else f"{array.dtype}{array.shape}"
            raise InputError(
                f"The checkpoint's leaf {name} should be {leaf.dtype}{leaf.shape}; found {found}."
            )
        restored.append(jnp.asarray(array))
    return jax.tree_util.tree_unflatten(structure, restored)
