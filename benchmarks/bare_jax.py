"""The bare script that `start_up.py` times polyvae beside: a VAE of a trajectory in JAX, equinox and optax, no more.

    python benchmarks/bare_jax.py FILE.npz {step,epoch} {equinox,numpy}

It reads positions with NumPy, superposes all frames on the first by a batched SVD, divides by one length, holds out the
last tenth, and trains encoder and decoder of 256, 256 and 256 with a jitted step of Adam. It prints a line and is done:
after the first step, or after the first epoch and its validation. Weights are drawn as equinox draws them, or by NumPy,
which compiles nothing.
"""

import itertools
import sys

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax

HIDDEN, LATENT, BATCH = (256, 256, 256), 2, 256
path, until, initializer = sys.argv[1:]

positions = np.load(path)["positions"].astype(np.float32)
n_frames, n_atoms, dims = positions.shape
centered = positions - positions.mean(axis=1, keepdims=True)
left, _, right = np.linalg.svd(np.einsum("fai,aj->fij", centered, centered[0]))
left[:, :, -1] *= np.sign(np.linalg.det(left @ right))[:, None]
vectors = (centered @ (left @ right)).reshape(n_frames, -1)
vectors -= vectors.mean(axis=0)
vectors /= vectors.std()
train, validation = np.split(vectors, [n_frames - n_frames // 10])


def perceptron(widths, key):
    layers = []
    rng = np.random.default_rng(int(key))
    for a, b in itertools.pairwise(widths):
        if initializer == "equinox":
            layers.append(eqx.nn.Linear(a, b, key=jax.random.key(int(rng.integers(2**31)))))
            continue
        layer = eqx.filter_eval_shape(eqx.nn.Linear, a, b, key=jax.random.key(0))
        weight = rng.uniform(-(a**-0.5), a**-0.5, (b, a)).astype(np.float32)
        layers.append(
            eqx.tree_at(lambda layer: (layer.weight, layer.bias), layer, (weight, np.zeros(b, np.float32)))
        )
    return layers


def through(layers, x):
    for layer in layers[:-1]:
        x = jax.nn.gelu(layer(x))
    return layers[-1](x)


def loss(model, batch, key):
    encoder, decoder, log_scale = model
    mean, log_variance = jnp.split(jax.vmap(lambda x: through(encoder, x))(batch), 2, axis=1)
    latent = mean + jnp.exp(0.5 * log_variance) * jax.random.normal(key, mean.shape)
    square = jnp.sum((batch - jax.vmap(lambda z: through(decoder, z))(latent)) ** 2, axis=1)
    fit = 0.5 * square * jnp.exp(-2 * log_scale) + batch.shape[1] * log_scale
    kl = 0.5 * jnp.sum(mean**2 + jnp.exp(log_variance) - log_variance - 1, axis=1)
    return jnp.mean(fit + kl)


@eqx.filter_jit
def step(model, state, batch, key):
    value, gradient = eqx.filter_value_and_grad(loss)(model, batch, key)
    updates, state = optimizer.update(gradient, state)
    return eqx.apply_updates(model, updates), state, value


n_features = vectors.shape[1]
model = (
    perceptron([n_features, *HIDDEN, 2 * LATENT], 0),
    perceptron([LATENT, *HIDDEN, n_features], 1),
    jnp.zeros(()),
)
optimizer = optax.adam(1e-3)
state = optimizer.init(eqx.filter(model, eqx.is_inexact_array))
order, key = np.random.default_rng(0).permutation(len(train)), jax.random.key(0)
for batch in order[: len(train) // BATCH * BATCH].reshape(-1, BATCH):
    key, noise = jax.random.split(key)
    model, state, value = step(model, state, train[batch], noise)
    if until == "step":
        print(f"first step done: loss {float(value):.3f}", flush=True)
        sys.exit()
held_out = eqx.filter_jit(loss)(model, validation, key)
print(f"first epoch done: loss {float(value):.3f}, validation {float(held_out):.3f}", flush=True)
