"""An exact shuffle of any number of frames without a list of them: a keyed permutation of the numbers below n.

A list of all frames in random order, and the sort that makes it, would take twenty bytes a frame. A Feistel network is
a permutation of 2^2k numbers by construction, whatever its round function; numbers that land at n or above go through
it again until they are below.

References:
    Luby & Rackoff, How to construct pseudorandom permutations from pseudorandom functions, 1988, doi:10.1137/0217022.
    Black & Rogaway, Ciphers with arbitrary finite domains, 2002, doi:10.1007/3-540-45760-7_9, for the cycle walking.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Int, PRNGKeyArray, UInt32

_ROUNDS = 8


def shuffled(key: PRNGKeyArray, n: int, places: Int[Array, "*shape"]) -> Int[Array, "*shape"]:
    """What stands at some places of the numbers from 0 to n - 1 in random order.

    Args:
        key: decides on the order.
        n: how many numbers, fewer than 2^31.
        places: from 0 to n - 1.
    """
    half = max(1, -(-(n - 1).bit_length() // 2))
    round_keys = jax.random.bits(key, (_ROUNDS,), jnp.uint32)
    mask, shift = jnp.uint32(2**half - 1), jnp.uint32(half)

    def permuted(numbers: UInt32[Array, "*shape"]) -> UInt32[Array, "*shape"]:
        def one_round(index: Array, halves: tuple[Array, Array]) -> tuple[Array, Array]:
            left, right = halves
            return right, left ^ (_mixed(right ^ round_keys[index]) & mask)

        left, right = jax.lax.fori_loop(0, _ROUNDS, one_round, (numbers >> shift, numbers & mask))
        return (left << shift) | right

    def once_more(numbers: UInt32[Array, "*shape"]) -> UInt32[Array, "*shape"]:
        return jnp.where(numbers >= jnp.uint32(n), permuted(numbers), numbers)

    numbers = jax.lax.while_loop(
        lambda numbers: jnp.any(numbers >= jnp.uint32(n)), once_more, permuted(places.astype(jnp.uint32))
    )
    return numbers.astype(jnp.int32)


def _mixed(bits: UInt32[Array, "*shape"]) -> UInt32[Array, "*shape"]:
    """Every bit of the result depends on every bit; the finalizer of MurmurHash3 (A. Appleby, public domain)."""
    bits = (bits ^ (bits >> jnp.uint32(16))) * jnp.uint32(0x85EBCA6B)
    bits = (bits ^ (bits >> jnp.uint32(13))) * jnp.uint32(0xC2B2AE35)
    return bits ^ (bits >> jnp.uint32(16))
