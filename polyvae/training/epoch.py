"""One epoch in compiled loops: shuffle, gather, gradient, update, validate, keep the best.

Steps run in blocks: the vectors of a block are gathered, on the device or from a file, and one compiled loop takes
all its steps. Every function is compiled once for a shape: epochs, seeds, repeated fits and the last, shorter block
reuse it, and where the vectors come from does not change a bit. The state is donated. Several models of one shape (an
ensemble over seeds, a sweep over beta) run as one through `run_epoch_of_members`.
"""

from collections.abc import Iterator
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, PRNGKeyArray

from polyvae._arrays import device_array
from polyvae.training.devices import SharedBatches
from polyvae.training.plan import EpochPlan
from polyvae.training.state import TrainingState
from polyvae.training.step import (
    Carry,
    EpochInputs,
    EpochMetrics,
    closed_epoch,
    dealt_frames,
    stepper,
)
from polyvae.training.stored_vectors import StoredVectors
from polyvae.trajectory.read_ahead import read_ahead
from polyvae.vae import ElboTerms

_BLOCK_BYTES = 32_000_000


def run_epoch(
    inputs: EpochInputs, state: TrainingState, plan: EpochPlan, shared: SharedBatches | None = None
) -> tuple[TrainingState, EpochMetrics]:
    """One pass over the training frames and one over the validation frames.

    Args:
        inputs: data and key, left untouched.
        state: donated; use the one returned.
        plan: settings known at compile time.
        shared: several devices that share each batch; inputs and state lie on all of them then, training vectors on the
            host.
    """
    train, rest = inputs.train, inputs.without_frames()
    step_bytes = plan.batch_size * train.shape[2] * train.dtype.itemsize * (1 if inputs.pairs is None else 2)
    size = min(plan.steps, max(1, _BLOCK_BYTES // step_bytes))
    blocks = (device_array(np.int32(index)) for index in range(-(-plan.steps // size)))
    dealt = (_deal(rest, state.epoch, plan, size, block) for block in blocks)
    carry: Carry = (state.parameters, state.optimizer, state.log_beta)
    every = []
    for index, (batches, rows) in enumerate(_blocks(train, dealt, shared)):
        block = _Block(
            batches=batches,
            rows=rows,
            first=device_array(np.int32(index * size)),
            count=device_array(np.int32(min(size, plan.steps - index * size))),
        )
        carry, terms = _run_steps((rest, block, state.epoch, plan), carry)
        every.append(terms)
        # JAX computes behind one's back: without waiting, all vectors of an epoch would queue up in memory.
        jax.block_until_ready(every[-2:-1])
    return _close((rest, every, plan), _after_steps(state, carry))


@eqx.filter_jit(donate="all-except-first")
def run_epoch_of_members(
    inputs: EpochInputs, state: TrainingState, plan: EpochPlan
) -> tuple[TrainingState, EpochMetrics]:
    """The same for several models at once: keys and states carry a leading axis of members, data are shared."""

    def one(key: PRNGKeyArray, member: TrainingState) -> tuple[TrainingState, EpochMetrics]:
        return _whole_epoch(eqx.tree_at(lambda tree: tree.key, inputs, key), member, plan)

    return jax.vmap(one)(inputs.key, state)


def _whole_epoch(
    inputs: EpochInputs, state: TrainingState, plan: EpochPlan
) -> tuple[TrainingState, EpochMetrics]:
    steps = jnp.arange(plan.steps, dtype=jnp.int32)
    order, images = dealt_frames(inputs, state.epoch, plan, steps)
    step, train = stepper(inputs, state.epoch, plan), inputs.train
    assert isinstance(train, jax.Array), "members share vectors in memory"

    def gathered(carry: Carry, item: tuple[Array, Array, Array]) -> tuple[Carry, ElboTerms]:
        rows, image, index = item
        return step(carry, train[image, rows], inputs.weights_of(rows), index)

    carry, terms = jax.lax.scan(
        gathered, (state.parameters, state.optimizer, state.log_beta), (order, images, steps)
    )
    return closed_epoch(inputs, _after_steps(state, carry), terms, plan)


class _Block(eqx.Module):
    """Some steps: their vectors, the numbers of their frames, the first step's number, and how many of them to take.

    Pairs of frames have an axis of their own after that of the batch.
    """

    batches: Float[Array, "steps batch *pair features"]
    rows: Int[Array, "steps batch *pair"]
    first: Int[Array, ""]
    count: Int[Array, ""]


@eqx.filter_jit
def _deal(inputs: EpochInputs, epoch: Array, plan: EpochPlan, size: int, block: Array) -> tuple[Array, Array]:
    """Frames and symmetries of a block, shape (size, batch); the last block is filled up with the last step."""
    steps = jnp.minimum(block * size + jnp.arange(size, dtype=jnp.int32), plan.steps - 1)
    return dealt_frames(inputs, epoch, plan, steps)


def _blocks(
    train: Array | StoredVectors, dealt: Iterator[tuple[Array, Array]], shared: SharedBatches | None
) -> Iterator[tuple[Array, Array]]:
    """Vectors and frames of each block; vectors on the host are gathered while the block before is worked on."""
    place = device_array if shared is None else shared.shared
    if isinstance(train, StoredVectors):
        on_host = ((np.asarray(rows), np.asarray(images)) for rows, images in dealt)
        for batches, rows in read_ahead(
            ((train.rows(images, rows), rows) for rows, images in on_host), depth=1
        ):
            yield place(batches), place(rows)
    else:
        for rows, images in dealt:
            yield _gather(train, images, rows), rows


@eqx.filter_jit
def _gather(train: Array, images: Array, rows: Array) -> Array:
    return train[images, rows]


@eqx.filter_jit(donate="all-except-first")
def _run_steps(fixed: tuple[EpochInputs, _Block, Array, EpochPlan], carry: Carry) -> tuple[Carry, ElboTerms]:
    """The first `count` steps of a block; terms of the rest are zero."""
    inputs, block, epoch, plan = fixed
    # Traced once: for the shape of its terms here, and in the loop.
    step = jax.jit(stepper(inputs, epoch, plan))
    first = block.batches[0], inputs.weights_of(block.rows[0]), block.first
    shape = jax.eval_shape(step, carry, *first)[1]
    empty = jax.tree.map(lambda leaf: jnp.zeros((len(block.batches), *leaf.shape), leaf.dtype), shape)

    def one(index: Array, held: tuple[Carry, Any]) -> tuple[Carry, Any]:
        carry, every = held
        carry, terms = step(
            carry, block.batches[index], inputs.weights_of(block.rows[index]), block.first + index
        )
        return carry, jax.tree.map(lambda filled, leaf: filled.at[index].set(leaf), every, terms)

    return jax.lax.fori_loop(0, block.count, one, (carry, empty))


def _after_steps(state: TrainingState, carry: Carry) -> TrainingState:
    return eqx.tree_at(lambda tree: (tree.parameters, tree.optimizer, tree.log_beta), state, carry)


@eqx.filter_jit(donate="all-except-first")
def _close(
    fixed: tuple[EpochInputs, list[ElboTerms], EpochPlan], state: TrainingState
) -> tuple[TrainingState, EpochMetrics]:
    inputs, every, plan = fixed
    terms = jax.tree.map(lambda *leaves: jnp.concatenate(leaves)[: plan.steps], *every)
    return closed_epoch(inputs, state, terms, plan)
