"""A function of one item over many, in batches of one size: bounded memory, and one body to compile."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp


def map_batched(function: Callable[[Any], Any], items: Any, batch_size: int) -> Any:
    """`jax.lax.map(function, items, batch_size=batch_size)`, but compiled once.

    `jax.lax.map` compiles the function a second time for a last batch that is not full. Here batches are of one size,
    and the last is filled up with copies of the last item, whose results are dropped.

    Args:
        function: of one item.
        items: arrays with one row an item.
        batch_size: items at once, at most.
    """
    n_items = jax.tree.leaves(items)[0].shape[0]
    if n_items <= batch_size:
        return jax.vmap(function)(items)
    n_batches = -(-n_items // batch_size)
    size = -(-n_items // n_batches)
    rows = jnp.minimum(jnp.arange(n_batches * size), n_items - 1).reshape(n_batches, size)
    results = jax.lax.map(
        lambda batch: jax.vmap(function)(jax.tree.map(lambda leaf: leaf[batch], items)), rows
    )
    return jax.tree.map(lambda leaf: leaf.reshape(n_batches * size, *leaf.shape[2:])[:n_items], results)
