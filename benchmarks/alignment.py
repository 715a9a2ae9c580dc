"""Superposing frames on a reference: `align` against `mdtraj.superpose` and a batched SVD in NumPy, one run.

    python benchmarks/alignment.py [--frames 20000] [--atoms 22] [--repeats 11]

Repetitions are interleaved and medians are shown. mdtraj works in place, so it gets a copy made outside the clock.
"""

import argparse
import time
from collections.abc import Callable

import mdtraj
import numpy as np

from polyvae.preprocessing import align, fit_alignment


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--frames", type=int, default=20_000)
    parser.add_argument("--atoms", type=int, default=22)
    parser.add_argument("--repeats", type=int, default=11)
    arguments = parser.parse_args()
    rng = np.random.default_rng(0)
    shape = rng.normal(size=(arguments.atoms, 3))
    noise = 0.2 * rng.normal(size=(arguments.frames, arguments.atoms, 3))
    positions = (shape + noise).astype(np.float32)
    alignment, _ = fit_alignment(positions, method="kabsch")
    reference = np.asarray(alignment.reference)
    topology = mdtraj.Topology()
    residue = topology.add_residue("RES", topology.add_chain())
    for _ in range(arguments.atoms):
        topology.add_atom("C", mdtraj.element.carbon, residue)
    target = mdtraj.Trajectory(reference[None], topology)
    copies = iter([mdtraj.Trajectory(positions.copy(), topology) for _ in range(arguments.repeats + 1)])
    sides: dict[str, Callable[[], object]] = {
        "polyvae.align": lambda: align(alignment, positions),
        "mdtraj.superpose": lambda: next(copies).superpose(target),
        "NumPy batched SVD": lambda: _svd(positions, reference),
    }
    for side in sides.values():
        side()
    seconds: dict[str, list[float]] = {name: [] for name in sides}
    for _ in range(arguments.repeats):
        for name, side in sides.items():
            started = time.perf_counter()
            side()
            seconds[name].append(time.perf_counter() - started)
    medians = {name: float(np.median(values)) for name, values in seconds.items()}
    print(f"{'side':20s} {'ms':>8s} {'polyvae is x':>14s}")
    for name, value in medians.items():
        print(f"{name:20s} {1e3 * value:8.1f} {value / medians['polyvae.align']:14.1f}")


def _svd(positions: np.ndarray, reference: np.ndarray) -> np.ndarray:
    centered = positions - positions.mean(axis=1, keepdims=True)
    left, _, right = np.linalg.svd(np.einsum("fai,aj->fij", centered, reference))
    sign = np.sign(np.linalg.det(left @ right))
    left[:, :, 2] *= sign[:, None]
    return centered @ (left @ right)


if __name__ == "__main__":
    main()
