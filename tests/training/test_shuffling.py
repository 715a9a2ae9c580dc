import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.stats import chi2

from polyvae.training.shuffling import shuffled


@pytest.mark.parametrize("n", [1, 2, 3, 5, 16, 17, 1000, 4096, 100_003])
def test_every_number_stands_at_one_place(n):
    order = np.asarray(shuffled(jax.random.key(1), n, jnp.arange(n)))
    np.testing.assert_array_equal(np.sort(order), np.arange(n))


def test_any_part_of_the_order_is_computed_alone():
    key, places = jax.random.key(2), jnp.asarray([[5, 999], [0, 17]])
    whole = np.asarray(shuffled(key, 1000, jnp.arange(1000)))
    np.testing.assert_array_equal(shuffled(key, 1000, places), whole[np.asarray(places)])


def test_large_numbers_stay_in_range():
    n = 2**31 - 1
    order = np.asarray(shuffled(jax.random.key(3), n, n - 1 - jnp.arange(10_000, dtype=jnp.int32)))
    assert len(np.unique(order)) == 10_000
    assert 0 <= order.min() < n / 100
    assert n * 0.99 < order.max() < n


def test_orders_are_as_good_as_random():
    keys = jax.random.split(jax.random.key(4), 20_000)
    orders = np.asarray(jax.vmap(lambda key: shuffled(key, 20, jnp.arange(20)))(keys))
    # Which number stands at each place, which follow one another: counts as even as chance makes them.
    first = np.zeros((20, 20))
    np.add.at(first, (np.arange(20)[None], orders), 1)
    next_to = np.zeros((20, 20))
    np.add.at(next_to, (orders[:, :-1], orders[:, 1:]), 1)
    expected = len(keys) / 20
    assert ((first - expected) ** 2 / expected).sum() < chi2.ppf(0.9999, 19 * 19)
    pairs = next_to[~np.eye(20, dtype=bool)]
    expected = len(keys) * 19 / (20 * 19)
    assert ((pairs - expected) ** 2 / expected).sum() < chi2.ppf(0.9999, 20 * 19 - 1)


def test_a_large_order_has_no_trend():
    n = 1_000_003
    order = np.asarray(shuffled(jax.random.key(5), n, jnp.arange(n))).astype(float)
    steps = np.abs(np.diff(order)) / n
    assert abs(np.corrcoef(order, np.arange(n))[0, 1]) < 5 / np.sqrt(n)
    assert abs(np.corrcoef(order[:-1], order[1:])[0, 1]) < 5 / np.sqrt(n)
    assert steps.mean() == pytest.approx(1 / 3, abs=5 * np.sqrt(1 / 18 / n))
