"""Training throughput: the compiled epoch against the usual Python loop, same network, same work, one run.

    python benchmarks/training_throughput.py [--repeats 7]

2048 frames x 24 features, batches of 32, network 24-256-256-256-2 and back. The usual loop calls a jitted
gradient for every batch and keeps the optimizer outside `jit`. A third row puts the whole step, optimizer
included, inside `jit`, as careful users do. Repetitions are interleaved; start-up (import, compilation, first
step) is excluded and reported by itself.
"""

import argparse
import subprocess
import sys
import time
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax

from polyvae.training.epoch import run_epoch
from polyvae.training.plan import EpochPlan
from polyvae.training.step import EpochInputs, initial_state, trainable
from polyvae.vae import ModelConfig, elbo_terms
from polyvae.vae.vae import initialize_vae

FRAMES, FEATURES, BATCH = 2048, 24, 32

_STARTUP = """
import time; started = time.perf_counter()
import numpy as np, polyvae as pv
first = []
positions = np.random.default_rng(0).normal(size=(2560, 12, 2)).astype("float32")
pv.fit(positions, pv.ModelConfig(alignment="none"), pv.TrainConfig(epochs=1, batch_size=32),
       on_epoch=lambda report: first.append(time.perf_counter() - started))
print(first[0])
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=7)
    repeats = parser.parse_args().repeats
    data = jnp.asarray(np.random.default_rng(0).normal(size=(FRAMES, FEATURES)), jnp.float32)
    vae = initialize_vae(ModelConfig(), FEATURES, seed=0)
    sides = {
        "polyvae epoch": _compiled(vae, data),
        "jitted step": _jitted_step(vae, data),
        "usual loop": _usual(vae, data),
    }
    for side in sides.values():
        side()
    seconds: dict[str, list[float]] = {name: [] for name in sides}
    for _ in range(repeats):
        for name, side in sides.items():
            started = time.perf_counter()
            side()
            seconds[name].append(time.perf_counter() - started)
    medians = {name: float(np.median(values)) for name, values in seconds.items()}
    print(f"{'side':16s} {'frames/s':>12s} {'polyvae is x':>14s}")
    for name, value in medians.items():
        print(f"{name:16s} {FRAMES / value:12.0f} {value / medians['polyvae epoch']:14.1f}")
    startup = subprocess.run([sys.executable, "-c", _STARTUP], capture_output=True, text=True, check=True)
    print(f"start-up, import to the end of the first epoch: {float(startup.stdout):.1f} s")


def _compiled(vae: Any, data: jax.Array) -> Any:
    steps = FRAMES // BATCH
    plan = EpochPlan(
        batch_size=BATCH, steps=steps, total_steps=10_000 * steps, warmup_steps=0, learning_rate=1e-3,
        schedule="constant", gradient_clip=0.0, beta=1.0,
    )  # fmt: skip
    # One validation frame: the other sides do not validate.
    inputs = EpochInputs(
        train=data[None], validation=data[:1], key=jax.random.key(0), static=trainable(vae)[1]
    )
    holder = [initial_state(vae, plan)]

    def run() -> None:
        holder[0], metrics = run_epoch(inputs, holder[0], plan)
        jax.block_until_ready((holder[0], metrics))

    return run


def _usual(vae: Any, data: jax.Array) -> Any:
    parameters, static = eqx.partition(vae, eqx.is_inexact_array)
    optimizer = optax.adam(1e-3)
    gradient = jax.jit(
        jax.grad(lambda p, batch, key: -elbo_terms(eqx.combine(p, static), batch, key).bound())
    )
    holder = [parameters, optimizer.init(parameters), jax.random.key(0)]
    rng = np.random.default_rng(0)

    def run() -> None:
        for rows in rng.permutation(FRAMES).reshape(-1, BATCH):
            holder[2], key = jax.random.split(holder[2])
            updates, holder[1] = optimizer.update(gradient(holder[0], data[rows], key), holder[1])
            holder[0] = optax.apply_updates(holder[0], updates)
        jax.block_until_ready(holder[0])

    return run


def _jitted_step(vae: Any, data: jax.Array) -> Any:
    parameters, static = eqx.partition(vae, eqx.is_inexact_array)
    optimizer = optax.adam(1e-3)

    @jax.jit
    def step(parameters: Any, state: Any, batch: jax.Array, key: jax.Array) -> Any:
        loss = lambda p: -elbo_terms(eqx.combine(p, static), batch, key).bound()  # noqa: E731
        updates, state = optimizer.update(jax.grad(loss)(parameters), state)
        return optax.apply_updates(parameters, updates), state

    holder = [parameters, optimizer.init(parameters), jax.random.key(0)]
    rng = np.random.default_rng(0)

    def run() -> None:
        for rows in rng.permutation(FRAMES).reshape(-1, BATCH):
            holder[2], key = jax.random.split(holder[2])
            holder[0], holder[1] = step(holder[0], holder[1], data[rows], key)
        jax.block_until_ready(holder[0])

    return run


if __name__ == "__main__":
    main()
