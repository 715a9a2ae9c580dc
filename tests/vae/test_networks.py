"""Multilayer perceptrons: against NumPy, in batches, and the variance of a signal through many layers."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from polyvae.vae import MLP, EncoderDecoder, Network
from polyvae.vae.networks import _GAINS, ACTIVATIONS, initialize_mlp

KINDS = {
    "plain": {},
    "residual": {"residual": True},
    "layer norm": {"layer_norm": True},
    "both": {"residual": True, "layer_norm": True},
}


def test_a_network_is_linear_maps_with_activations_between(x64, rng):
    network = initialize_mlp(rng, (3, 5, 2), "tanh")
    x = rng.normal(size=3)
    first, second = (np.asarray(weight) for weight in network.weights)
    np.testing.assert_allclose(network(jnp.asarray(x)), np.tanh(x @ first) @ second, rtol=1e-12)


def test_there_is_no_activation_after_the_last_layer():
    network = MLP(weights=(jnp.full((1, 1), -2.0),), biases=(jnp.array([-1.0]),), activation="relu")
    assert float(network(jnp.array([3.0]))[0]) == -7.0


def with_random_extras(network: MLP, rng: np.random.Generator) -> MLP:
    """The network with biases, gains and offsets that are not at their start values."""

    def drawn(leaves: tuple, center: float) -> tuple:
        return tuple(jnp.asarray(center + rng.normal(size=leaf.shape), leaf.dtype) for leaf in leaves)

    return MLP(
        weights=network.weights,
        biases=drawn(network.biases, 0.0),
        norm_gains=drawn(network.norm_gains, 1.0),
        norm_offsets=drawn(network.norm_offsets, 0.0),
        activation=network.activation,
        residual=network.residual,
    )


def by_hand(network: MLP, x: np.ndarray, adds: tuple[bool, ...]) -> np.ndarray:
    """The output of a tanh network in NumPy; `adds` says which layers add to the signal."""
    weights, biases = ([np.asarray(leaf) for leaf in leaves] for leaves in (network.weights, network.biases))
    signal = x @ weights[0] + biases[0]
    for layer in range(1, len(weights)):
        white = signal
        if network.norm_gains:
            white = (signal - signal.mean()) / np.sqrt(signal.var() + 1e-6)
            white = white * np.asarray(network.norm_gains[layer - 1]) + np.asarray(
                network.norm_offsets[layer - 1]
            )
        following = np.tanh(white) @ weights[layer] + biases[layer]
        signal = following + signal if adds[layer] else following
    return signal


@pytest.mark.parametrize("kind", KINDS)
def test_residual_and_normalized_networks_equal_numpy(x64, rng, kind):
    # Widths allow addition in the second and fourth layer; the last never adds, though 4 -> 4 would fit.
    network = initialize_mlp(rng, (4, 6, 6, 4, 4, 4), "tanh", **KINDS[kind])
    network = with_random_extras(network, rng)
    adds = (False, True, False, True, False) if network.residual else (False,) * 5
    x = rng.normal(size=4)
    np.testing.assert_allclose(network(jnp.asarray(x)), by_hand(network, x, adds), rtol=1e-10)


@pytest.mark.parametrize("kind", KINDS)
def test_a_batch_gives_the_rows_that_single_vectors_give(x64, rng, kind):
    network = with_random_extras(initialize_mlp(rng, (4, 6, 6, 3), "gelu", **KINDS[kind]), rng)
    batch = jnp.asarray(rng.normal(size=(2, 5, 4)))
    single = jax.vmap(jax.vmap(network))(batch)
    np.testing.assert_allclose(network(batch), single, rtol=1e-10)


@pytest.mark.parametrize("activation", sorted(ACTIVATIONS))
def test_a_standard_signal_keeps_its_variance_through_twelve_layers(rng, activation):
    network = initialize_mlp(rng, (64, *[512] * 12, 512), activation, output_gain=1.0)
    output = network(jnp.asarray(rng.normal(size=(400, 64)), jnp.float32))
    # The last layer has gain 1, so one activation's loss remains (0.35 to 0.65); that of twelve would leave 1 %.
    assert 0.2 < float(jnp.mean(output**2)) < 1.2


def mean_square_after_fifty_layers(rng, activation: str, kind: str) -> float:
    network = initialize_mlp(rng, (64, *[128] * 50, 128), activation, **KINDS[kind])
    output = network(jnp.asarray(rng.normal(size=(200, 64)), jnp.float32))
    return float(jnp.mean(output**2))


@pytest.mark.parametrize("kind", ["residual", "layer norm", "both"])
def test_a_signal_stays_within_a_factor_of_five_through_fifty_layers(rng, kind):
    for activation in sorted(ACTIVATIONS):
        # The output layer's gain of 1 costs a factor of 1.5 to 3; the sum over the residual layers grows by up to e.
        assert 0.2 < mean_square_after_fifty_layers(rng, activation, kind) < 5.0, activation


def test_fifty_plain_layers_need_an_activation_that_holds_the_variance(rng):
    for activation in ("elu", "relu", "tanh"):
        # Of relu the logarithm wanders by sqrt(5 * 50 / 128) = 1.4 on the way: two of these.
        assert 0.05 < mean_square_after_fifty_layers(rng, activation, "plain") < 10.0, activation
    for activation in ("gelu", "silu"):
        # As the docstring warns: deviations grow by 14 and 17 % a layer.
        assert not 0.05 < mean_square_after_fifty_layers(rng, activation, "plain") < 10.0, activation


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


def test_weights_are_float32_by_default_biases_zero_and_norms_the_identity(rng):
    network = initialize_mlp(rng, (3, 4, 2), "gelu", layer_norm=True)
    assert all(weight.dtype == jnp.float32 for weight in network.weights)
    assert all((bias == 0).all() for bias in (*network.biases, *network.norm_offsets))
    assert [(gain == 1).all() for gain in network.norm_gains] == [True]


def test_the_network_that_comes_with_the_package_keeps_the_protocol(rng):
    encoder, decoder = (initialize_mlp(rng, widths, "gelu") for widths in ((3, 4, 2), (1, 4, 3)))
    network = EncoderDecoder(encoder=encoder, decoder=decoder)
    assert isinstance(network, Network)
    np.testing.assert_array_equal(network.encode(jnp.ones(3)), encoder(jnp.ones(3)))
    np.testing.assert_array_equal(network.decode(jnp.ones((2, 1))), decoder(jnp.ones((2, 1))))
