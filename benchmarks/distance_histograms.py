"""Histograms of all pair distances: polyvae against mdtraj with NumPy, and other ways to count in JAX, on one core.

    python benchmarks/distance_histograms.py [--frames 8192] [--atoms 100] [--bins 60] [--repeats 7]

Repetitions are interleaved and medians are shown, of CPU seconds and of wall clock. Both sides get the same positions
in memory, find each pair's range and count. The script keeps itself to one core where the system lets it.
"""

import argparse
import os
import time
from collections.abc import Callable

import jax
import jax.numpy as jnp
import mdtraj
import numpy as np

from polyvae.features.distance_histograms import FrameChunk, distance_counts, distance_ranges

_PAIRS = 64
_CALLS = 40
_FINE_BINS = 2100
_BLOCK_255 = 255


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--frames", type=int, default=8192)
    parser.add_argument("--atoms", type=int, default=100)
    parser.add_argument("--bins", type=int, default=60)
    parser.add_argument("--repeats", type=int, default=7)
    arguments = parser.parse_args()
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    rng = np.random.default_rng(0)
    shape = rng.normal(size=(arguments.atoms, 3))
    noise = 0.2 * rng.normal(size=(arguments.frames, arguments.atoms, 3))
    positions = (shape + noise).astype(np.float32)
    pairs = np.stack(np.triu_indices(arguments.atoms, 1), axis=1)
    chunks = [FrameChunk(positions)]
    trajectory = mdtraj.Trajectory(positions, _topology(arguments.atoms))
    bins = arguments.bins
    ranges = distance_ranges(chunks, pairs)
    sides: dict[str, Callable[[], object]] = {
        "polyvae, both passes": lambda: _both_passes(chunks, pairs, bins),
        f"polyvae, both passes, {_FINE_BINS} bins": lambda: _both_passes(chunks, pairs, _FINE_BINS),
        "  ranges and moments alone": lambda: distance_ranges(chunks, pairs),
        "  counts alone": lambda: distance_counts(chunks, pairs, ranges.low, ranges.high, bins=bins),
        "mdtraj + numpy.histogram": lambda: _mdtraj(trajectory, pairs, bins, transposed=False),
        "the same, pairs made contiguous": lambda: _mdtraj(trajectory, pairs, bins, transposed=True),
    }
    _compare_counts(sides, bins)
    n_distances = arguments.frames * len(pairs)
    _show(_timed(sides, arguments.repeats), n_distances, "polyvae, both passes")
    print(f"\nCounts alone, {_PAIRS} pairs x {4 * _BLOCK_255} frames, ranges known, {_CALLS} times:")
    layouts = _layouts(positions, pairs, ranges.low, ranges.high, bins)
    _show(_timed(layouts, arguments.repeats), _CALLS * _PAIRS * 4 * _BLOCK_255, "scatter, pair by pair")


def _topology(n_atoms: int) -> mdtraj.Topology:
    topology = mdtraj.Topology()
    residue = topology.add_residue("RES", topology.add_chain())
    for _ in range(n_atoms):
        topology.add_atom("C", mdtraj.element.carbon, residue)
    return topology


def _both_passes(chunks: list[FrameChunk], pairs: np.ndarray, bins: int) -> np.ndarray:
    ranges = distance_ranges(chunks, pairs)
    return distance_counts(chunks, pairs, ranges.low, ranges.high, bins=bins)[0]


def _mdtraj(trajectory: mdtraj.Trajectory, pairs: np.ndarray, bins: int, *, transposed: bool) -> np.ndarray:
    distances = mdtraj.compute_distances(trajectory, pairs, periodic=False).T
    if transposed:
        distances = np.ascontiguousarray(distances)
    return np.stack([np.histogram(values, bins)[0] for values in distances])


def _compare_counts(sides: dict[str, Callable[[], object]], bins: int) -> None:
    ours, theirs = (
        np.asarray(sides[name](), np.int64) for name in ("polyvae, both passes", "mdtraj + numpy.histogram")
    )
    print(
        f"{ours.sum()} distances in {bins} bins; in another bin than NumPy's: {np.abs(ours - theirs).sum() // 2}"
    )


def _layouts(
    positions: np.ndarray, pairs: np.ndarray, low: np.ndarray, high: np.ndarray, bins: int
) -> dict[str, Callable[[], object]]:
    """Ways to count; each takes coordinates of shape (dims, atoms, frames), in whole blocks of 255 frames."""
    coordinates = jnp.asarray(positions[: 4 * _BLOCK_255].transpose(2, 1, 0))
    some = slice(0, _PAIRS)
    chosen = jnp.asarray(pairs[some].astype(np.int32))
    start = jnp.asarray(low[some], jnp.float32)
    scale = jnp.asarray(bins / (high - low)[some], jnp.float32)
    ids = jnp.arange(bins, dtype=jnp.uint8)

    def index(coordinates: jax.Array) -> jax.Array:
        parts = [(axis[chosen[:, 0]] - axis[chosen[:, 1]]) ** 2 for axis in coordinates]
        scaled = (jnp.sqrt(parts[0] + parts[1] + parts[2]) - start[:, None]) * scale[:, None]
        return jnp.clip(scaled.astype(jnp.int32), 0, bins - 1)

    def compare_frames_last(coordinates: jax.Array) -> jax.Array:
        blocks = index(coordinates).astype(jnp.uint8).reshape(_PAIRS, -1, 1, _BLOCK_255)
        hits = (blocks == ids[:, None]).astype(jnp.uint8)
        return hits.sum(axis=-1, dtype=jnp.uint8).astype(jnp.int32).sum(axis=1)

    def compare_pairs_last(coordinates: jax.Array) -> jax.Array:
        blocks = index(coordinates).astype(jnp.uint8).T.reshape(-1, _BLOCK_255, 1, _PAIRS)
        hits = (blocks == ids[:, None]).astype(jnp.uint8)
        return hits.sum(axis=1, dtype=jnp.uint8).astype(jnp.int32).sum(axis=0)

    def compare_bin_by_bin(coordinates: jax.Array) -> jax.Array:
        blocks = index(coordinates).astype(jnp.uint8).reshape(_PAIRS, -1, _BLOCK_255)
        count = lambda bin_: (blocks == bin_).astype(jnp.uint8).sum(axis=-1, dtype=jnp.uint8)  # noqa: E731
        return jax.lax.map(lambda bin_: count(bin_).astype(jnp.int32).sum(axis=-1), ids)

    def scatter(coordinates: jax.Array) -> jax.Array:
        count = lambda row: jnp.zeros(bins, jnp.uint32).at[row].add(1, mode="promise_in_bounds")  # noqa: E731
        return jax.vmap(count)(index(coordinates))

    def scatter_by_two_indices(coordinates: jax.Array) -> jax.Array:
        rows = jnp.arange(_PAIRS)[:, None]
        zeros = jnp.zeros((_PAIRS, bins), jnp.uint32)
        return zeros.at[rows, index(coordinates)].add(1, mode="promise_in_bounds")

    def scatter_frame_by_frame(coordinates: jax.Array) -> jax.Array:
        rows = jnp.arange(_PAIRS)[None, :]
        zeros = jnp.zeros((_PAIRS, bins), jnp.uint32)
        return zeros.at[rows, index(coordinates).T].add(1, mode="promise_in_bounds")

    def sort(coordinates: jax.Array) -> jax.Array:
        ordered = jnp.sort(index(coordinates).astype(jnp.uint8), axis=1)
        return jax.vmap(lambda row: jnp.searchsorted(row, ids, side="right"))(ordered)

    flat = jax.jit(lambda coordinates: index(coordinates) + bins * jnp.arange(_PAIRS)[:, None])
    wide = {"xla_cpu_prefer_vector_width": 512} if jax.default_backend() == "cpu" else None
    compiled = {
        "scatter, pair by pair": jax.jit(scatter),
        "scatter, vectors of 512 bits": jax.jit(scatter, compiler_options=wide),
        "scatter, pair and bin as indices": jax.jit(scatter_by_two_indices),
        "scatter, frame by frame": jax.jit(scatter_frame_by_frame),
        "uint8 compare, frames last": jax.jit(compare_frames_last, compiler_options=wide),
        "uint8 compare, pairs last": jax.jit(compare_pairs_last, compiler_options=wide),
        "uint8 compare, bin by bin": jax.jit(compare_bin_by_bin, compiler_options=wide),
        "sort": jax.jit(sort),
        "distances and bin numbers alone": flat,
    }
    calls: dict[str, Callable[[], object]] = {
        name: (lambda function=function: jax.block_until_ready(function(coordinates)))
        for name, function in compiled.items()
    }
    calls["bin numbers in JAX, numpy.bincount"] = lambda: np.bincount(
        np.asarray(flat(coordinates)).ravel(), minlength=bins * _PAIRS
    )
    # One call is too short for the clock of CPU time.
    return {name: (lambda call=call: [call() for _ in range(_CALLS)][-1]) for name, call in calls.items()}


def _timed(sides: dict[str, Callable[[], object]], repeats: int) -> dict[str, tuple[float, float]]:
    """Median CPU seconds and wall-clock seconds of each side, run in turn."""
    for side in sides.values():
        side()
    taken: dict[str, list[tuple[float, float]]] = {name: [] for name in sides}
    for _ in range(repeats):
        for name, side in sides.items():
            cpu, wall = time.process_time(), time.perf_counter()
            side()
            taken[name].append((time.process_time() - cpu, time.perf_counter() - wall))
    return {name: tuple(np.median(values, axis=0)) for name, values in taken.items()}


def _show(medians: dict[str, tuple[float, float]], n_distances: int, ours: str) -> None:
    print(f"{'side':40s} {'CPU s':>8s} {'wall s':>8s} {'CPU ns a distance':>18s} {'CPU, times ours':>16s}")
    for name, (cpu, wall) in medians.items():
        print(
            f"{name:40s} {cpu:8.3f} {wall:8.3f} {1e9 * cpu / n_distances:18.2f} {cpu / medians[ours][0]:16.2f}"
        )


if __name__ == "__main__":
    main()
