"""The textbook network on a bead-spring polymer, with the usual slips kept: the baseline of our tables.

Four layers (features-256-256-256-latent and back), squared error, beta 0.01, Adam at 1e-2, 250 epochs,
batches of 32, positions turned on their principal axes. As it is usually written:

* one noise key for the whole batch: every frame of a batch gets the same draw;
* the KL divergence is averaged over latent dimensions while the squared error is summed over features;
* Adam's step counter restarts each epoch, so its bias correction does;
* generated structures are decoder means at z ~ N(0, 1).
"""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from polyvae.preprocessing import align, fit_alignment
from polyvae.vae.networks import MLP, initialize_mlp

HIDDEN = (256, 256, 256)


class Textbook:
    """The trained baseline: `reconstruct`, `encode` and `generate` as its users would."""

    def __init__(self, positions: np.ndarray, *, latent_dim: int, seed: int, epochs: int = 250) -> None:
        self.alignment, _ = fit_alignment(positions, method="principal_axes")
        self.shape = positions.shape[1:]
        self.latent_dim = latent_dim
        features = jnp.asarray(align(self.alignment, positions).reshape(len(positions), -1))
        n = features.shape[1]
        rng = np.random.default_rng(seed)
        encoder = initialize_mlp(rng, (n, *HIDDEN, 2 * latent_dim), "relu")
        decoder = initialize_mlp(rng, (latent_dim, *HIDDEN, n), "relu")
        self.parameters = _train((encoder, decoder), features, jax.random.key(seed), epochs)

    def _features(self, positions: np.ndarray) -> jax.Array:
        return jnp.asarray(align(self.alignment, positions).reshape(len(positions), -1))

    def encode(self, positions: np.ndarray) -> np.ndarray:
        """Posterior means."""
        return np.asarray(jnp.split(self.parameters[0](self._features(positions)), 2, axis=1)[0])

    def reconstruct(self, positions: np.ndarray) -> np.ndarray:
        """Positions sent to the posterior mean and back, in the canonical frame."""
        return np.asarray(self.parameters[1](jnp.asarray(self.encode(positions)))).reshape(-1, *self.shape)

    def generate(self, n: int, seed: int) -> np.ndarray:
        """Decoder means at z ~ N(0, 1)."""
        latent = jax.random.normal(jax.random.key(seed), (n, self.latent_dim))
        return np.asarray(self.parameters[1](latent)).reshape(-1, *self.shape)


def loss(parameters: tuple[MLP, MLP], batch: jax.Array, noise: jax.Array) -> jax.Array:
    """Summed squared error plus 0.01 times the KL divergence averaged over latents."""
    encoder, decoder = parameters
    mean, raw = jnp.split(encoder(batch), 2, axis=1)
    scale = jax.nn.softplus(raw)
    latent = mean + scale * noise[None, :]
    error = jnp.mean(jnp.sum((decoder(latent) - batch) ** 2, axis=1))
    kl = jnp.mean(0.5 * (mean**2 + scale**2 - 1) - jnp.log(scale))
    return error + 0.01 * kl


def adam(gradient: Any, state: tuple[Any, Any], counter: jax.Array, rate: float = 1e-2) -> tuple[Any, Any]:
    """Adam with an explicit step counter, as in `jax.example_libraries.optimizers`."""
    first, second = state
    first = jax.tree.map(lambda m, g: 0.9 * m + 0.1 * g, first, gradient)
    second = jax.tree.map(lambda v, g: 0.999 * v + 0.001 * g**2, second, gradient)
    t = (counter + 1).astype(jnp.float32)
    update = jax.tree.map(
        lambda m, v: -rate * (m / (1 - 0.9**t)) / (jnp.sqrt(v / (1 - 0.999**t)) + 1e-8), first, second
    )
    return update, (first, second)


@partial(jax.jit, static_argnums=3)
def _train(parameters: Any, features: jax.Array, key: jax.Array, epochs: int) -> Any:
    steps = features.shape[0] // 32

    def epoch(carry: Any, epoch_key: jax.Array) -> tuple[Any, None]:
        order = jax.random.permutation(epoch_key, features.shape[0])[: steps * 32].reshape(steps, 32)

        def step(carry: Any, item: Any) -> tuple[Any, None]:
            parameters, state = carry
            rows, counter = item
            noise = jax.random.normal(
                jax.random.fold_in(epoch_key, counter), (parameters[1].weights[0].shape[0],)
            )
            gradient = jax.grad(loss)(parameters, features[rows], noise)
            update, state = adam(gradient, state, counter)
            return (jax.tree.map(jnp.add, parameters, update), state), None

        return jax.lax.scan(step, carry, (order, jnp.arange(steps)))

    zeros = jax.tree.map(jnp.zeros_like, parameters)
    (parameters, _), _ = jax.lax.scan(epoch, (parameters, (zeros, zeros)), jax.random.split(key, epochs))
    return parameters
