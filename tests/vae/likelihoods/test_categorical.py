"""The likelihood of classes: known answers and the check of its input."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.special
import scipy.stats

from polyvae.errors import InputError
from polyvae.vae.likelihoods import Categorical, check_one_hot


def test_log_density_equals_scipy(x64, rng):
    logits = rng.normal(size=4)
    value = jax.vmap(Categorical(4).log_prob, in_axes=(0, None))(jnp.eye(4), jnp.asarray(logits))
    probabilities = scipy.special.softmax(logits)
    expected = [scipy.stats.multinomial.logpmf(row, 1, probabilities) for row in np.eye(4)]
    np.testing.assert_allclose(value, np.array(expected), atol=1e-12)
    np.testing.assert_allclose(Categorical(4).mean(jnp.asarray(logits)), probabilities, atol=1e-14)


def test_soft_assignments_are_scored_by_their_expectation(x64):
    logits, soft = jnp.asarray([0.3, -0.2]), jnp.asarray([0.25, 0.75])
    hard = jax.vmap(Categorical(2).log_prob, in_axes=(0, None))(jnp.eye(2), logits)
    assert float(Categorical(2).log_prob(soft, logits)) == pytest.approx(float(soft @ hard), abs=1e-14)


def test_a_class_that_is_all_but_excluded_still_has_a_log_density_and_a_gradient():
    logits = jnp.asarray([0.0, 1000.0])
    value, gradient = jax.value_and_grad(Categorical(2).log_prob, argnums=1)(jnp.asarray([1.0, 0.0]), logits)
    assert float(value) == -1000.0
    np.testing.assert_array_equal(gradient, [1.0, -1.0])


def test_draws_are_one_hot():
    draws = jax.vmap(Categorical(3).sample, in_axes=(None, 0))(
        jnp.zeros(3), jax.random.split(jax.random.key(0), 50)
    )
    assert set(np.unique(draws)) == {0.0, 1.0}
    np.testing.assert_array_equal(draws.sum(axis=1), 1.0)


def test_one_hot_rows_and_probabilities_pass_the_check():
    check_one_hot(np.eye(3, dtype=np.float32))
    check_one_hot(np.array([[0.25, 0.75], [1.0, 0.0]]))


@pytest.mark.parametrize("row", [[0.5, 0.4], [1.5, -0.5], [0.0, 0.0], [np.nan, 1.0]])
def test_the_first_row_that_is_no_distribution_is_named(row):
    rows = np.array([[0.0, 1.0], row, [3.0, 3.0]])
    with pytest.raises(InputError, match=r"`states` must hold one-hot rows.*row 1 has the sum"):
        check_one_hot(rows, "states")
