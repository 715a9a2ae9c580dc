"""Held-out log-likelihood of the bundled 2-D polymer under density models without a latent, and the exact density.

    pip install 'polyvae[bench]'
    python benchmarks/density_baselines.py [--seeds 1] [--minutes 15] [--no-symmetries]

A Gaussian mixture (scikit-learn) and spline flows (flowjax) are fitted to the arrays that `pv.fit` trains on: the same
split, superposition, coordinates and symmetry images. Settings are chosen on the validation frames. All numbers are
nats per frame in units of σ, those of `pv.log_likelihood`. The potential of this polymer is known and its partition
function can be summed, so the last row is the density that the frames were drawn from: on average no model exceeds it.
"""

import argparse
import math
import time
import warnings
from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
from comparison import SYMMETRIES, AlignedFrames, aligned_frames, bond_directions
from libraries import optional, versions
from scipy.integrate import quad

import polyvae as pv
from polyvae.simulation import BeadSpringConfig

_EVALUATION_BATCH = 500


class HeldOut(NamedTuple):
    """Log-density of the test frames, nats each and in units of the arrays given; and what was fitted."""

    log_density: np.ndarray
    description: str


def gaussian_mixture(
    train: np.ndarray,
    validation: np.ndarray,
    test: np.ndarray,
    seed: int,
    *,
    components: Sequence[int] = (1, 2, 4, 8, 16, 32, 64, 96, 128),
    reg_covar: Sequence[float] = (1e-6, 1e-3),
) -> HeldOut:
    """A mixture of Gaussians with full covariances, fitted by expectation maximization.

    The number of components grows until the validation frames like none of the last two better.

    Args:
        train: feature vectors, shape (frames, features), or (images, frames, features) with symmetry images.
        validation: feature vectors that choose the number of components and the regularization.
        test: feature vectors to evaluate.
        seed: of the start by k-means.
        components: numbers of components to try, in order.
        reg_covar: numbers to try on the diagonals of the covariances, in squared feature units.
    """
    mixture = optional("sklearn.mixture")
    flat, validation, test = (
        part.reshape(-1, train.shape[-1]).astype(np.float64) for part in (train, validation, test)
    )
    best, best_score, best_count, waited = None, -math.inf, 0, 0
    for count in components:
        waited += 1
        for added in reg_covar:
            model = mixture.GaussianMixture(count, reg_covar=added, max_iter=500, random_state=seed).fit(flat)
            score = float(model.score(validation))
            if score > best_score:
                best, best_score, best_count, waited = model, score, count, 0
        if waited == 2:
            break
    assert best is not None
    return HeldOut(
        log_density=best.score_samples(test),
        description=f"Gaussian mixture, {best_count} full covariances, reg_covar {best.reg_covar:g}",
    )


def spline_flow(
    train: np.ndarray,
    validation: np.ndarray,
    test: np.ndarray,
    seed: int,
    *,
    kind: Literal["autoregressive", "coupling"] = "autoregressive",
    directions: np.ndarray | None = None,
    knots: int = 8,
    interval: float = 4.0,
    layers: int = 6,
    width: int = 128,
    depth: int = 2,
    learning_rate: float = 2e-3,
    epochs: int = 100,
    batch_size: int = 256,
    patience: int = 15,
    minutes: float = 15.0,
) -> HeldOut:
    """A normalizing flow with rational-quadratic splines, trained by Adam; the best epoch on validation frames counts.

    Args:
        train: feature vectors, shape (frames, features), or (images, frames, features): each frame of a batch is then
            drawn under a random image.
        validation: feature vectors that decide on the best epoch.
        test: feature vectors to evaluate.
        seed: of weights, batches and images.
        kind: "autoregressive" or "coupling" layers.
        directions: rows of an invertible matrix that the features are multiplied with first; None whitens them.
        knots: knots of each spline; 0 takes affine transformations in place of splines.
        interval: splines act between minus and plus this many standard deviations.
        layers: layers of the flow.
        width: width of the networks that set the splines.
        depth: their hidden layers.
        learning_rate: peak of a cosine schedule.
        epochs: length of the schedule.
        batch_size: frames a step.
        patience: epochs without a better validation score before training stops.
        minutes: wall time before training stops.

    References:
        Durkan et al., Neural spline flows, 2019, arXiv:1906.04032.
        Papamakarios et al., Masked autoregressive flow for density estimation, 2017, arXiv:1705.07057.
    """
    flows, bijections = optional("flowjax.flows"), optional("flowjax.bijections")
    distributions, paramax = optional("flowjax.distributions"), optional("paramax")
    images = train[None] if train.ndim == 2 else train
    flat = images.reshape(-1, images.shape[-1]).astype(np.float64)
    mean = flat.mean(axis=0)
    if directions is None:
        matrix = np.linalg.inv(np.linalg.cholesky(np.cov(flat.T)))
    else:
        matrix = directions / np.std((flat - mean) @ directions.T, axis=0)[:, None]
    volume = float(np.linalg.slogdet(matrix)[1])
    data, held_out, unseen = (
        jnp.asarray((part - mean) @ matrix.T, jnp.float32) for part in (images, validation, test)
    )
    make = {"autoregressive": flows.masked_autoregressive_flow, "coupling": flows.coupling_flow}[kind]
    transformer = bijections.RationalQuadraticSpline(knots=knots, interval=interval) if knots else None
    key = jax.random.key(seed)
    flow = make(
        key,
        base_dist=distributions.Normal(jnp.zeros(flat.shape[1])),
        transformer=transformer,
        flow_layers=layers,
        nn_width=width,
        nn_depth=depth,
        nn_activation=jax.nn.silu,
    )
    parameters, static = eqx.partition(
        flow, eqx.is_inexact_array, is_leaf=lambda leaf: isinstance(leaf, paramax.NonTrainable)
    )
    steps = data.shape[1] // batch_size
    schedule = optax.warmup_cosine_decay_schedule(0.0, learning_rate, steps, steps * epochs)
    optimizer = optax.chain(optax.clip_by_global_norm(5.0), optax.adam(schedule))

    def log_density(parameters: Any, batch: jax.Array) -> jax.Array:
        return paramax.unwrap(eqx.combine(parameters, static)).log_prob(batch)

    @jax.jit
    def evaluate(parameters: Any, batch: jax.Array) -> jax.Array:
        return jax.lax.map(lambda x: log_density(parameters, x), batch, batch_size=_EVALUATION_BATCH)

    @jax.jit
    def train_epoch(parameters: Any, state: Any, key: jax.Array) -> tuple[Any, Any]:
        order_key, image_key = jax.random.split(key)
        order = jax.random.permutation(order_key, data.shape[1])[: steps * batch_size]
        image = jax.random.randint(image_key, (steps, batch_size), 0, data.shape[0])

        def step(carry: Any, rows: Any) -> tuple[Any, None]:
            parameters, state = carry
            gradient = jax.grad(lambda p: -jnp.mean(log_density(p, data[rows])))(parameters)
            update, state = optimizer.update(gradient, state, parameters)
            return (optax.apply_updates(parameters, update), state), None

        carry, _ = jax.lax.scan(step, (parameters, state), (image, order.reshape(steps, batch_size)))
        return carry

    state = optimizer.init(parameters)
    best, best_score, best_epoch, started = parameters, -math.inf, 0, time.perf_counter()
    for epoch in range(epochs):
        parameters, state = train_epoch(parameters, state, jax.random.fold_in(key, epoch))
        score = float(evaluate(parameters, held_out).mean())
        if score > best_score:
            best, best_score, best_epoch = parameters, score, epoch
        if epoch - best_epoch >= patience or time.perf_counter() - started > 60 * minutes:
            break
    transformers = f"{knots}-knot spline" if knots else "affine"
    return HeldOut(
        log_density=np.asarray(evaluate(best, unseen), np.float64) + volume,
        description=f"{transformers} {kind} flow, {layers} layers, best epoch {best_epoch + 1}",
    )


def boltzmann_log_density(
    aligned: np.ndarray,
    reference: np.ndarray,
    config: BeadSpringConfig,
    *,
    samples: int = 1_000_000,
    seed: int = 0,
) -> np.ndarray:
    r"""The exact log-density of superposed frames of the planar bead-spring polymer, nats per unit length^features.

    With bonds and angles alone the partition function is a product of integrals over bond lengths r (weight r) and
    angles; the attraction multiplies it by \(\langle e^{-U_{LJ}/kT} \rangle\) over chains drawn from that product.
    Bond vectors have \(N^{d/2}\) times the volume of orthonormal centered coordinates c. A centered frame is a
    rotation of one superposed frame s, so \(p(s) = 2\pi\, J(s)\, p(c = s)\) with J the length of the part of the
    tangent of rotation at s that leaves the superposed frames.

    Args:
        aligned: superposed frames, shape (frames, atoms, 2).
        reference: the frame they are superposed on, all atoms counting alike, shape (atoms, 2).
        config: the polymer and its state point.
        samples: chains for the mean; its error is about 0.35 / sqrt(samples) nats.
        seed: of these chains.
    """
    n, kt = config.n_beads, config.thermal_energy
    bond = config.bond_stiffness / kt
    angle = config.angle_stiffness / kt
    reach = config.bond_length + 12 / math.sqrt(bond)

    def bond_weight(length: Any) -> Any:
        return length * np.exp(-0.5 * bond * (length - config.bond_length) ** 2)

    def angle_weight(bend: Any) -> Any:
        return np.exp(-0.5 * angle * bend**2)

    def attraction(chains: np.ndarray) -> np.ndarray:
        first, second = np.triu_indices(n, 2)
        square = np.sum((chains[:, first] - chains[:, second]) ** 2, axis=2)
        sixth = (config.bead_diameter**2 / square) ** 3
        return np.sum(4 * config.attraction / kt * (sixth**2 - sixth), axis=1)

    rng = np.random.default_rng(seed)
    lengths, bends = np.linspace(0, reach, 200_001), np.linspace(-math.pi, math.pi, 200_001)
    length_share, bend_share = np.cumsum(bond_weight(lengths)), np.cumsum(angle_weight(bends))
    weights = []
    for _ in range(max(1, samples // 100_000)):
        drawn = np.interp(rng.random((100_000, n - 1)), length_share / length_share[-1], lengths)
        turns = np.interp(rng.random((100_000, n - 2)), bend_share / bend_share[-1], bends)
        heading = np.pad(np.cumsum(turns, axis=1), ((0, 0), (1, 0)))
        steps = drawn[:, :, None] * np.stack([np.cos(heading), np.sin(heading)], axis=2)
        weights.append(np.exp(-attraction(np.pad(np.cumsum(steps, axis=1), ((0, 0), (1, 0), (0, 0))))))
    log_partition = (
        (n - 1) * math.log(quad(bond_weight, 0, reach)[0])
        + (n - 2) * math.log(quad(angle_weight, -math.pi, math.pi)[0])
        + math.log(2 * math.pi)
        + math.log(np.mean(weights))
        - math.log(n)
    )
    frames = np.asarray(aligned, np.float64)
    vectors = np.diff(frames, axis=1)
    before, after = vectors[:, :-1], vectors[:, 1:]
    cross = before[:, :, 0] * after[:, :, 1] - before[:, :, 1] * after[:, :, 0]
    bend = np.arctan2(cross, np.sum(before * after, axis=2))
    length = np.linalg.norm(vectors, axis=2)
    energy = 0.5 * bond * np.sum((length - config.bond_length) ** 2, axis=1) + 0.5 * angle * np.sum(
        bend**2, axis=1
    )
    centered = np.asarray(reference, np.float64) - np.mean(reference, axis=0, dtype=np.float64)
    # Both are a quarter turn of the frame, so their product is that of the frames themselves.
    across = np.sum(frames * centered, axis=(1, 2)) / np.linalg.norm(centered)
    return math.log(2 * math.pi) + np.log(across) - energy - attraction(frames) - log_partition


def main() -> None:
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--minutes", type=float, default=15.0, help="longest training of one flow")
    parser.add_argument(
        "--no-symmetries", action="store_true", help="train without mirror image and reversal"
    )
    arguments = parser.parse_args()
    symmetries = () if arguments.no_symmetries else SYMMETRIES
    print(versions("polyvae", "flowjax", "scikit-learn", "jax", "numpy"))
    print(f"symmetry images in training: {', '.join(symmetries) or 'none'}\n")
    trajectory = pv.load(pv.bundled("polymer_2d.npz"))
    for seed in range(arguments.seeds):
        _table(aligned_frames(trajectory, symmetries=symmetries, seed=seed), seed, arguments.minutes)


def _table(frames: AlignedFrames, seed: int, minutes: float) -> None:
    parts = (frames.train, frames.validation, frames.test, seed)
    bonds = bond_directions(frames)
    fits = {
        "full-covariance Gaussian": lambda: gaussian_mixture(*parts, components=(1,)),
        "Gaussian mixture": lambda: gaussian_mixture(*parts),
        "coupling spline flow, bonds": lambda: spline_flow(
            *parts, kind="coupling", layers=12, directions=bonds, minutes=minutes
        ),
        "autoregressive affine flow, bonds": lambda: spline_flow(
            *parts, knots=0, layers=10, epochs=80, directions=bonds, minutes=minutes
        ),
        "autoregressive spline flow, whitened": lambda: spline_flow(*parts, minutes=minutes),
        "autoregressive spline flow, bonds": lambda: spline_flow(*parts, directions=bonds, minutes=minutes),
    }
    print(f"seed {seed}, {frames.train.shape[1]} training and {len(frames.test)} test frames", flush=True)
    for name, fit in fits.items():
        started = time.perf_counter()
        result = fit()
        _row(name, result.log_density + frames.log_volume, time.perf_counter() - started, result.description)
    started = time.perf_counter()
    exact = boltzmann_log_density(frames.positions(frames.test), frames.reference, BeadSpringConfig())
    _row("the density the frames were drawn from", exact, time.perf_counter() - started, "no fit")
    print()


def _row(name: str, log_density: np.ndarray, seconds: float, description: str) -> None:
    print(f"  {name:40s} {np.mean(log_density):8.3f}  {seconds:6.0f} s  {description}", flush=True)


if __name__ == "__main__":
    warnings.simplefilter("error", pv.PolyvaeWarning)
    main()
