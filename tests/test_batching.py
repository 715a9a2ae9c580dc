"""Mapping in batches against a loop."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from polyvae._batching import map_batched


def _one(item):
    values, key = item
    return jnp.sum(values**2), {"noise": jax.random.normal(key, (3,))}


@pytest.mark.parametrize("n_items", [1, 7, 8, 9, 16, 23])
def test_the_results_are_those_of_a_loop(n_items, rng, key):
    values = jnp.asarray(rng.normal(size=(n_items, 4)))
    keys = jax.random.split(key, n_items)
    squares, rest = map_batched(_one, (values, keys), 8)
    loop = [_one((values[index], keys[index])) for index in range(n_items)]
    np.testing.assert_allclose(squares, [square for square, _ in loop], rtol=1e-6)
    np.testing.assert_allclose(rest["noise"], [one["noise"] for _, one in loop], rtol=1e-6)


def test_no_items_give_no_results():
    assert map_batched(lambda item: item * 2, jnp.zeros((0, 3)), 8).shape == (0, 3)


def test_results_may_be_empty():
    assert map_batched(lambda item: item[:0], jnp.zeros((20, 3)), 8).shape == (20, 0)


def test_the_function_is_traced_once():
    traces = []

    def watched(item):
        traces.append(item.shape)
        return item

    np.testing.assert_array_equal(map_batched(watched, jnp.arange(20), 8), np.arange(20))
    assert traces == [()]


def test_gradients_pass_through(rng):
    values = jnp.asarray(rng.normal(size=11))
    gradient = jax.grad(lambda x: jnp.sum(map_batched(jnp.sin, x, 4)))(values)
    np.testing.assert_allclose(gradient, np.cos(values), rtol=1e-6)
