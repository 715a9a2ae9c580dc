"""Multilayer perceptrons.

Weights are stored (in, out) and rows are the batch: the layout in which both the forward product and its transpose
are fast on a CPU. They are drawn with NumPy, since drawing them with JAX compiles for seconds before training starts.
"""

import itertools
from collections.abc import Callable, Sequence

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

ACTIVATIONS: dict[str, Callable[[Array], Array]] = {
    "gelu": jax.nn.gelu,
    "relu": jax.nn.relu,
    "silu": jax.nn.silu,
    "tanh": jnp.tanh,
    "elu": jax.nn.elu,
}

# Gain that keeps the variance of a standard normal signal through a layer with this activation.
_GAINS = {"gelu": 1.5335, "relu": 2.0**0.5, "silu": 1.6765, "tanh": 1.5926, "elu": 1.2452}


class MLP(eqx.Module):
    """A multilayer perceptron: linear maps with an activation between them and none after the last.

    Attributes:
        weights: one matrix a layer, (in, out).
        biases: one vector a layer, (out,).
        activation: name of the non-linearity.
    """

    weights: tuple[Float[Array, "..."], ...]
    biases: tuple[Float[Array, "..."], ...]
    activation: str = eqx.field(static=True)

    def __call__(self, x: Float[Array, "*batch inputs"]) -> Float[Array, "*batch outputs"]:
        """The network's output; a batch of rows is one matrix product a layer."""
        activation = ACTIVATIONS[self.activation]
        last = len(self.weights) - 1
        for layer, (weight, bias) in enumerate(zip(self.weights, self.biases, strict=True)):
            product = x @ weight
            x = product + jnp.broadcast_to(bias, product.shape)
            if layer < last:
                x = activation(x)
        return x


def initialize_mlp(
    rng: np.random.Generator, widths: Sequence[int], activation: str, *, output_gain: float = 1.0
) -> MLP:
    """A network with normal weights of variance gain^2 / inputs and zero biases.

    Args:
        rng: source of the weights.
        widths: number of inputs, widths of the hidden layers, number of outputs.
        activation: name of the non-linearity.
        output_gain: gain of the last layer; small values start the network near zero output.

    References:
        He et al., Delving deep into rectifiers, 2015, doi:10.1109/ICCV.2015.123; the gains of the other activations
        come from the same condition by quadrature.
    """
    dtype = jnp.result_type(float)
    weights = []
    for layer, (n_in, n_out) in enumerate(itertools.pairwise(widths)):
        is_first, is_last = layer == 0, layer == len(widths) - 2
        # The first layer sees the data themselves, not an activation's output.
        gain = output_gain if is_last else (1.0 if is_first else _GAINS[activation])
        weights.append(jnp.asarray(rng.normal(size=(n_in, n_out)) * (gain / np.sqrt(n_in)), dtype))
    biases = tuple(jnp.zeros(n_out, dtype) for n_out in widths[1:])
    return MLP(weights=tuple(weights), biases=biases, activation=activation)
