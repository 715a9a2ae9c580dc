"""Training throughput: the compiled epoch of polyvae beside the loops that users would write or get, on the same work.

    pip install 'polyvae[bench]'
    python benchmarks/training_throughput.py [--case small medium wide] [--repeats 5] [--threads 1]

Three cases: 24 features in batches of 32; 66 features and 100 000 frames, and 3000 features, in batches of 256. Encoder
and decoder have hidden layers of 256, 256 and 256, the latent two dimensions. Every side trains the textbook VAE
(squared errors with a width, KL divergence, Adam) on the same frames, from memory, for one pass that is shuffled anew:

* "usual loop": a jitted JAX gradient for every batch, the optimizer outside `jit`.
* "jitted step": the whole step inside `jit`, as careful users do.
* "PyTorch": eager mode, batches by indexing a shuffled order, `torch.optim.Adam`.
* "mlcolvar": `VariationalAutoEncoderCV` with a `DictModule` and a Lightning `Trainer`, as its documentation trains.
* "deeptime": `TVAE.fit` with a shuffled `DataLoader` of frames and themselves, at lag 0, as its documentation trains.

Repetitions are interleaved and medians are shown. Import, compilation and the first pass are excluded; for Lightning,
the time of a pass is that between the starts of two epochs. Every side gets the same number of threads and cores. The
rate in matrix products is beside that of plain products of the same shapes, and the processor is named: PyTorch's MKL
takes a slower path on some.
"""

import argparse
import itertools
import logging
import os
import time
import warnings
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
from libraries import optional, processor, versions
from torch_sides import CASES, HIDDEN, LATENT, Case, by_deeptime, by_mlcolvar, by_torch

from polyvae.training.config import TrainConfig
from polyvae.training.epoch import run_epoch
from polyvae.training.plan import plan_for
from polyvae.training.step import EpochInputs, initial_state, trainable
from polyvae.vae import ModelConfig, elbo_terms, make_vae
from polyvae.vae.likelihoods import Normal


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--case", nargs="*", default=list(CASES), choices=list(CASES))
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    if hasattr(os, "sched_setaffinity"):
        # Before any library counts the cores: JAX starts its threads with its first array.
        cores = sorted(os.sched_getaffinity(0))[-arguments.threads :]
        os.sched_setaffinity(0, cores)
    optional("torch").set_num_threads(arguments.threads)
    warnings.simplefilter("ignore")
    # Lightning sets its own level when it is imported.
    optional("lightning.pytorch")
    for name in ("lightning.pytorch", "lightning.fabric"):
        logging.getLogger(name).setLevel(logging.ERROR)
    print(f"{processor()}, {arguments.threads} thread(s); {versions('jax', 'torch', 'mlcolvar', 'deeptime')}")
    for name in arguments.case:
        _compare(name, CASES[name], arguments.repeats)


def _compare(name: str, case: Case, repeats: int) -> None:
    print(f"\n{name}: {case.frames} frames x {case.features} features, batches of {case.batch}")
    data = np.random.default_rng(0).normal(size=(case.frames, case.features)).astype(np.float32)
    config = ModelConfig(latent_dim=LATENT, hidden=HIDDEN, activation="relu")
    vae = make_vae(Normal.of(case.features), config)
    sides: dict[str, Callable[[], float]] = {"polyvae": _timed(_polyvae(vae, data, case))}
    sides["jitted step"] = _timed(_jitted_step(vae, data, case))
    if case.batch == 32:
        sides["usual loop"] = _timed(_usual(vae, data, case))
    sides["PyTorch"] = _timed(by_torch(data, case))
    sides["mlcolvar"] = by_mlcolvar(data, case)
    sides["deeptime"] = _timed(by_deeptime(data, case))
    for side in sides.values():
        side()
    seconds: dict[str, list[float]] = {side: [] for side in sides}
    for _, (side, run) in itertools.product(range(repeats), sides.items()):
        seconds[side].append(run())
    medians = {side: float(np.median(values)) for side, values in seconds.items()}
    operations = _operations(case)
    print(f"{'side':14s} {'frames/s':>10s} {'GFLOP/s':>9s} {'polyvae is x':>14s}")
    for side, value in medians.items():
        print(
            f"{side:14s} {case.frames / value:10.0f} {operations / value / 1e9:9.1f} {value / medians['polyvae']:14.2f}"
        )
    limit = _product_rate(case)
    print(
        f"plain products of these shapes (JAX): {limit / 1e9:.1f} GFLOP/s; polyvae reaches "
        f"{operations / medians['polyvae'] / limit:.0%} of it"
    )


def _timed(run: Callable[[], None]) -> Callable[[], float]:
    def seconds() -> float:
        started = time.perf_counter()
        run()
        return time.perf_counter() - started

    return seconds


def _layers(case: Case) -> list[tuple[int, int]]:
    """Inputs and outputs of every matrix of the network."""
    encoder = [case.features, *HIDDEN, 2 * LATENT]
    decoder = [LATENT, *HIDDEN, case.features]
    return [*itertools.pairwise(encoder), *itertools.pairwise(decoder)]


def _operations(case: Case) -> float:
    """Floating-point operations of the products of one pass: forward, and backward for weights and inputs."""
    layers = _layers(case)
    # No gradient for the frames themselves.
    return case.frames * (6.0 * sum(a * b for a, b in layers) - 2.0 * layers[0][0] * layers[0][1])


def _product_rate(case: Case) -> float:
    """Operations a second of products with the shapes of the network's layers, forward and backward, nothing else."""
    rng = np.random.default_rng(0)
    layers = _layers(case)
    weights = [jnp.asarray(rng.normal(size=shape), jnp.float32) for shape in layers]
    signals = [jnp.asarray(rng.normal(size=(case.batch, a)), jnp.float32) for a, _ in layers]
    slopes = [jnp.asarray(rng.normal(size=(case.batch, b)), jnp.float32) for _, b in layers]

    @jax.jit
    def products(weights: Any, signals: Any, slopes: Any) -> Any:
        forward = [x @ w for x, w in zip(signals, weights, strict=True)]
        for_weights = [x.T @ d for x, d in zip(signals, slopes, strict=True)]
        for_inputs = [d @ w.T for w, d in zip(weights[1:], slopes[1:], strict=True)]
        return forward, for_weights, for_inputs

    steps = max(10, int(2e10 / _operations(case) * case.frames / case.batch))
    jax.block_until_ready(products(weights, signals, slopes))
    best = np.inf
    for _ in range(5):
        started = time.perf_counter()
        for _ in range(steps):
            result = products(weights, signals, slopes)
        jax.block_until_ready(result)
        best = min(best, time.perf_counter() - started)
    return _operations(case) / case.frames * case.batch * steps / best


def _polyvae(vae: Any, data: np.ndarray, case: Case) -> Callable[[], None]:
    config = TrainConfig(
        epochs=1000, batch_size=case.batch, schedule="constant", kl_warmup=0, gradient_clip=0.0, patience=None
    )
    plan = plan_for(config, case.frames, analytic_scale=False)
    # One validation frame: the other sides do not validate.
    inputs = EpochInputs(
        train=jnp.asarray(data)[None],
        train_weights=None,
        n_frames=case.frames,
        validation=jnp.asarray(data[:1]),
        validation_weights=jnp.ones(1),
        key=jax.random.key(0),
        static=trainable(vae)[1],
    )
    holder = [initial_state(vae, plan, 1.0)]

    def run() -> None:
        holder[0], metrics = run_epoch(inputs, holder[0], plan)
        jax.block_until_ready((holder[0], metrics))

    return run


def _usual(vae: Any, data: np.ndarray, case: Case) -> Callable[[], None]:
    parameters, static = eqx.partition(vae, eqx.is_inexact_array)
    optimizer = optax.adam(1e-3)
    gradient = jax.jit(
        jax.grad(lambda p, batch, key: -elbo_terms(eqx.combine(p, static), batch, key).bound())
    )
    holder = [parameters, optimizer.init(parameters), jax.random.key(0)]
    rng, frames = np.random.default_rng(0), jnp.asarray(data)

    def run() -> None:
        for rows in rng.permutation(case.frames).reshape(-1, case.batch):
            holder[2], key = jax.random.split(holder[2])
            updates, holder[1] = optimizer.update(gradient(holder[0], frames[rows], key), holder[1])
            holder[0] = optax.apply_updates(holder[0], updates)
        jax.block_until_ready(holder[0])

    return run


def _jitted_step(vae: Any, data: np.ndarray, case: Case) -> Callable[[], None]:
    parameters, static = eqx.partition(vae, eqx.is_inexact_array)
    optimizer = optax.adam(1e-3)

    @jax.jit
    def step(parameters: Any, state: Any, batch: jax.Array, key: jax.Array) -> Any:
        loss = lambda p: -elbo_terms(eqx.combine(p, static), batch, key).bound()  # noqa: E731
        updates, state = optimizer.update(jax.grad(loss)(parameters), state)
        return optax.apply_updates(parameters, updates), state

    holder = [parameters, optimizer.init(parameters), jax.random.key(0)]
    rng, frames = np.random.default_rng(0), jnp.asarray(data)

    def run() -> None:
        for rows in rng.permutation(case.frames).reshape(-1, case.batch):
            holder[2], key = jax.random.split(holder[2])
            holder[0], holder[1] = step(holder[0], holder[1], frames[rows], key)
        jax.block_until_ready(holder[0])

    return run


if __name__ == "__main__":
    main()
