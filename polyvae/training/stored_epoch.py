"""An epoch over vectors that stay in a file: the same steps as in memory, in blocks that are read ahead.

Frames, symmetries and noise of every step are those of `run_epoch`, and so are the results.
"""

from collections.abc import Iterator
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from polyvae.training.epoch import (
    Carry,
    EpochInputs,
    EpochMetrics,
    closed_epoch,
    dealt_frames,
    stepper,
)
from polyvae.training.plan import EpochPlan
from polyvae.training.state import TrainingState
from polyvae.training.stored_vectors import StoredVectors
from polyvae.trajectory.read_ahead import read_ahead
from polyvae.vae import ElboTerms

_BLOCK_BYTES = 32_000_000

_deal = eqx.filter_jit(dealt_frames)
_close = eqx.filter_jit(closed_epoch)


def run_stored_epoch(
    vectors: StoredVectors, inputs: EpochInputs, state: TrainingState, plan: EpochPlan
) -> tuple[TrainingState, EpochMetrics]:
    """One pass over training frames in a file and one over the validation frames.

    Args:
        vectors: of the training frames.
        inputs: all else; its `train` has symmetries and features, but no frames.
        state: left as it is.
        plan: settings known at compile time.
    """
    order, images = (np.asarray(part) for part in _deal(inputs, state.epoch, plan))
    step_bytes = plan.batch_size * vectors.shape[2] * vectors.dtype.itemsize
    size = min(plan.steps, max(1, _BLOCK_BYTES // step_bytes))
    carry: Carry = (state.parameters, state.optimizer, state.log_beta)
    parts: list[ElboTerms] = []
    blocks = read_ahead(_blocks(vectors, order, images, size), depth=1)
    for first, (batches, rows) in zip(range(0, plan.steps, size), blocks, strict=True):
        count = min(size, plan.steps - first)
        carry, terms = _run_steps(
            inputs,
            carry,
            jnp.asarray(batches),
            jnp.asarray(rows),
            jnp.asarray(first, jnp.int32),
            jnp.asarray(count, jnp.int32),
            state.epoch,
            plan,
        )
        parts.append(jax.tree.map(lambda leaf, count=count: np.asarray(leaf[:count]), terms))
    every = jax.tree.map(lambda *leaves: jnp.asarray(np.concatenate(leaves)), *parts)
    return _close(inputs, state, carry, every, plan)


def _blocks(
    vectors: StoredVectors, order: np.ndarray, images: np.ndarray, size: int
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Vectors and frame numbers of `size` steps at a time; the last block is filled up with its last step."""
    for first in range(0, len(order), size):
        steps = np.minimum(np.arange(first, first + size), len(order) - 1)
        yield vectors.rows(images[steps], order[steps]), order[steps]


@eqx.filter_jit
def _run_steps(
    inputs: EpochInputs,
    carry: Carry,
    batches: Float[Array, "block batch features"],
    rows: Int[Array, "block batch"],
    first: Int[Array, ""],
    count: Int[Array, ""],
    epoch: Int[Array, ""],
    plan: EpochPlan,
) -> tuple[Carry, ElboTerms]:
    """The first `count` steps of a block; terms of the rest are zero."""
    step = stepper(inputs, epoch, plan)
    shape = jax.eval_shape(step, carry, batches[0], inputs.train_weights[rows[0]], first)[1]
    empty = jax.tree.map(lambda leaf: jnp.zeros((len(batches), *leaf.shape), leaf.dtype), shape)

    def one(index: Array, held: tuple[Carry, Any]) -> tuple[Carry, Any]:
        carry, every = held
        carry, terms = step(carry, batches[index], inputs.train_weights[rows[index]], first + index)
        return carry, jax.tree.map(lambda all_steps, leaf: all_steps.at[index].set(leaf), every, terms)

    return jax.lax.fori_loop(0, count, one, (carry, empty))
