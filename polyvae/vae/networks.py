"""Networks: multilayer perceptrons, plain or residual, and the protocol through which any other network comes in.

Weights are stored (in, out) and rows are the batch: the layout in which both the forward product and its transpose
are fast on a CPU. They are drawn with NumPy, since drawing them with JAX compiles for seconds before training starts.
"""

import itertools
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Protocol, runtime_checkable

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from polyvae._arrays import device_array

ACTIVATIONS: dict[str, Callable[[Array], Array]] = {
    "gelu": jax.nn.gelu,
    "relu": jax.nn.relu,
    "silu": jax.nn.silu,
    "tanh": jnp.tanh,
    "elu": jax.nn.elu,
}

# Gain that keeps the variance of a standard normal signal through a layer with this activation.
_GAINS = {"gelu": 1.5335, "relu": 2.0**0.5, "silu": 1.6765, "tanh": 1.5926, "elu": 1.2452}

_NORM_FLOOR = 1e-6


@runtime_checkable
class Network(Protocol):
    """What a network has to offer to be trained as a VAE; any pytree with these two methods will do.

    Both methods take one vector or a batch of rows and treat rows independently. How many numbers they return is said
    by `VAE`: `encode` returns the numbers of the posterior (mean, then logarithms of the standard deviations, then
    for a full covariance the entries below the diagonal, row by row), `decode` the likelihood's `n_outputs`.
    """

    def encode(self, inputs: Any) -> Any:
        """Numbers of the posterior, shape (..., posterior numbers), of inputs of shape (..., inputs)."""
        ...

    def decode(self, latent: Any) -> Any:
        """Outputs of the likelihood, shape (..., outputs), at latent points of shape (..., latent)."""
        ...


class MLP(eqx.Module):
    """A multilayer perceptron: linear maps with an activation between them and none after the last.

    With `residual` each hidden layer adds to the signal where widths allow; with `norm_gains` the signal is brought to
    zero mean and unit variance over its entries before each activation (layer normalization).

    Attributes:
        weights: one matrix a layer, (in, out).
        biases: one vector a layer, (out,).
        norm_gains: one vector a hidden layer, or none at all.
        norm_offsets: likewise.
        activation: name of the non-linearity.
        residual: whether hidden layers add to the signal.
        shortcut: a linear map from input to output that is added to the answer, or None. What the layers learn then
            bends a linear model, and far from the data the answer goes on as the linear model does.

    References:
        He et al., Identity mappings in deep residual networks, 2016, doi:10.1007/978-3-319-46493-0_38.
        Ba, Kiros & Hinton, Layer normalization, 2016, arXiv:1607.06450.
    """

    weights: tuple[Float[Array, "..."], ...]
    biases: tuple[Float[Array, "..."], ...]
    norm_gains: tuple[Float[Array, "..."], ...] = ()
    norm_offsets: tuple[Float[Array, "..."], ...] = ()
    shortcut: Float[Array, "inputs outputs"] | None = None
    activation: str = eqx.field(static=True, default="gelu")
    residual: bool = eqx.field(static=True, default=False)

    def __call__(self, x: Float[Array, "*batch inputs"]) -> Float[Array, "*batch outputs"]:
        """The network's output; a batch of rows is one matrix product a layer."""
        activation = ACTIVATIONS[self.activation]
        last = len(self.weights) - 1
        signal = _linear(x, self.weights[0], self.biases[0])
        for layer in range(1, last + 1):
            product = _linear(
                activation(self._normalized(signal, layer - 1)), self.weights[layer], self.biases[layer]
            )
            adds = self.residual and layer < last and signal.shape == product.shape
            signal = signal + product if adds else product
        return signal if self.shortcut is None else signal + x @ self.shortcut

    def _normalized(self, signal: Array, layer: int) -> Array:
        if not self.norm_gains:
            return signal
        centered = signal - jnp.mean(signal, axis=-1, keepdims=True)
        variance = jnp.mean(centered**2, axis=-1, keepdims=True)
        white = centered * jax.lax.rsqrt(variance + _NORM_FLOOR)
        gain = jnp.broadcast_to(self.norm_gains[layer], white.shape)
        return white * gain + jnp.broadcast_to(self.norm_offsets[layer], white.shape)


def _linear(x: Array, weight: Array, bias: Array) -> Array:
    product = x @ weight
    return product + jnp.broadcast_to(bias, product.shape)


class EncoderDecoder(eqx.Module):
    """The network that comes with polyvae: one perceptron encodes, another decodes.

    Attributes:
        encoder: inputs to the numbers of the posterior.
        decoder: latent to the likelihood's outputs.
    """

    encoder: MLP
    decoder: MLP

    def encode(self, inputs: Float[Array, "*batch inputs"]) -> Float[Array, "*batch numbers"]:
        """Numbers of the posterior."""
        return self.encoder(inputs)

    def decode(self, latent: Float[Array, "*batch latent"]) -> Float[Array, "*batch outputs"]:
        """Outputs of the likelihood."""
        return self.decoder(latent)


def initialize_mlp(
    rng: np.random.Generator,
    widths: Sequence[int],
    activation: str,
    *,
    output_gain: float = 1.0,
    residual: bool = False,
    layer_norm: bool = False,
    shortcut: bool = False,
) -> MLP:
    """A network with normal weights of variance gain^2 / inputs and zero biases.

    The gain of each activation keeps the mean square of a standard normal signal at one. For tanh, elu and relu it
    stays there through any number of layers; for gelu and silu a deviation grows by 14 and 17 % with each, so that
    networks of some tens of layers need `residual` or `layer_norm`. Layers that add to the signal are scaled down by
    the root of their number, so that the sum stays of order one.

    Args:
        rng: source of the weights.
        widths: number of inputs, widths of the hidden layers, number of outputs.
        activation: name of the non-linearity.
        output_gain: gain of the last layer; small values start the network near zero output.
        residual: whether hidden layers add to the signal.
        layer_norm: whether the signal is normalized before each activation.
        shortcut: whether a linear map goes past the layers; it starts as small as the last layer.

    References:
        He et al., Delving deep into rectifiers, 2015, doi:10.1109/ICCV.2015.123; the gains of the other activations
        come from the same condition by quadrature.
    """
    put = partial(device_array, dtype=jnp.result_type(float))
    last = len(widths) - 2
    added = [
        residual and 0 < layer < last and widths[layer] == widths[layer + 1] for layer in range(last + 1)
    ]
    weights = []
    for layer, (n_in, n_out) in enumerate(itertools.pairwise(widths)):
        # The first layer sees the data themselves, not an activation's output.
        gain = output_gain if layer == last else (1.0 if layer == 0 else _GAINS[activation])
        if added[layer]:
            gain /= np.sqrt(sum(added))
        weights.append(put(rng.normal(size=(n_in, n_out)) * (gain / np.sqrt(n_in))))
    hidden = widths[1:-1] if layer_norm else ()
    direct = (
        rng.normal(size=(widths[0], widths[-1])) * (output_gain / np.sqrt(widths[0])) if shortcut else None
    )
    return MLP(
        weights=tuple(weights),
        biases=tuple(put(np.zeros(n_out)) for n_out in widths[1:]),
        norm_gains=tuple(put(np.ones(width)) for width in hidden),
        norm_offsets=tuple(put(np.zeros(width)) for width in hidden),
        activation=activation,
        residual=residual,
        shortcut=None if direct is None else put(direct),
    )
