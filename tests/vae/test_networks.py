"""Multilayer perceptrons: by hand, in batches, and the variance of a signal through many layers."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from polyvae.vae import MLP
from polyvae.vae.networks import _GAINS, ACTIVATIONS, initialize_mlp


def test_a_network_is_linear_maps_with_activations_between(x64, rng):
    network = initialize_mlp(rng, (3, 5, 2), "tanh")
    x = rng.normal(size=3)
    first, second = (np.asarray(weight) for weight in network.weights)
    np.testing.assert_allclose(network(jnp.asarray(x)), np.tanh(x @ first) @ second, rtol=1e-12)


def test_there_is_no_activation_after_the_last_layer():
    network = MLP(weights=(jnp.full((1, 1), -2.0),), biases=(jnp.array([-1.0]),), activation="relu")
    assert float(network(jnp.array([3.0]))[0]) == -7.0


def test_a_batch_gives_the_rows_that_single_vectors_give(x64, rng):
    network = initialize_mlp(rng, (4, 6, 6, 3), "gelu")
    batch = jnp.asarray(rng.normal(size=(2, 5, 4)))
    single = jax.vmap(jax.vmap(network))(batch)
    np.testing.assert_allclose(network(batch), single, rtol=1e-12)


@pytest.mark.parametrize("activation", sorted(ACTIVATIONS))
def test_a_standard_signal_keeps_its_variance_through_twelve_layers(rng, activation):
    network = initialize_mlp(rng, (64, *[512] * 12, 512), activation, output_gain=1.0)
    output = network(jnp.asarray(rng.normal(size=(400, 64)), jnp.float32))
    # The last layer has gain 1, so one activation's loss remains (0.35 to 0.65); that of twelve would leave 1 %.
    assert 0.2 < float(jnp.mean(output**2)) < 1.2


@pytest.mark.parametrize("activation", sorted(ACTIVATIONS))
def test_gains_restore_the_mean_square_of_a_standard_normal(activation):
    x = np.linspace(-10.0, 10.0, 20_001)
    weight = np.exp(-0.5 * x**2) / np.sqrt(2 * np.pi) * (x[1] - x[0])
    after = np.asarray(ACTIVATIONS[activation](jnp.asarray(x, jnp.float32)), np.float64)
    assert _GAINS[activation] ** 2 * np.sum(weight * after**2) == pytest.approx(1.0, abs=2e-4)


def test_weights_depend_on_the_seed_alone():
    draws = [initialize_mlp(np.random.default_rng(seed), (3, 4, 2), "gelu").weights[0] for seed in (1, 1, 2)]
    np.testing.assert_array_equal(draws[0], draws[1])
    assert (draws[0] != draws[2]).all()


def test_weights_are_float32_by_default_and_biases_zero(rng):
    network = initialize_mlp(rng, (3, 4, 2), "gelu")
    assert all(weight.dtype == jnp.float32 for weight in network.weights)
    assert all((bias == 0).all() for bias in network.biases)
