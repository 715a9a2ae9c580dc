"""Superposing frames on a reference, and turning them into their principal axes, beside mdtraj and NumPy, one run.

    python benchmarks/alignment.py [--frames 100000] [--atoms 100] [--repeats 7]

Repetitions are interleaved and medians are shown. `mdtraj.superpose` works in place, so it gets a copy made outside the
clock, and `polyvae.align` is shown with an array to write into as well. The loops over frames, as they are usually
written, run on a fiftieth of the frames; their times are scaled up. Axes are given a sign by their third moment, and a
right hand, on every side. polyvae's results are compared with the loop's before the clock runs. The script keeps itself
to one core where the system lets it.
"""

import argparse
import os
import time
from collections.abc import Callable

import mdtraj
import numpy as np

from polyvae.preprocessing import align, fit_alignment

_LOOPED = 50


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--frames", type=int, default=100_000)
    parser.add_argument("--atoms", type=int, default=100)
    parser.add_argument("--repeats", type=int, default=7)
    arguments = parser.parse_args()
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    rng = np.random.default_rng(0)
    shape = rng.normal(size=(arguments.atoms, 3)) * [1.0, 0.6, 0.3]
    noise = 0.2 * rng.normal(size=(arguments.frames, arguments.atoms, 3))
    positions = (shape + noise).astype(np.float32)
    print(f"{arguments.frames} frames x {arguments.atoms} atoms")
    _superposition(positions, arguments.repeats)
    _principal_axes(positions, arguments.repeats)


def _superposition(positions: np.ndarray, repeats: int) -> None:
    alignment, _ = fit_alignment(positions, method="kabsch")
    reference = np.asarray(alignment.reference)
    trajectory, target = (_trajectory(array) for array in (positions.copy(), reference[None]))
    room, some = positions.copy(), positions[::_LOOPED]
    largest = np.abs(align(alignment, some) - _superposed_one_by_one(some, reference)).max()
    print(f"superposition; largest difference to the loop {largest:.1e}")
    _compare(
        {
            "polyvae.align, in place": lambda: align(alignment, room, out=room),
            "polyvae.align, new array": lambda: align(alignment, positions),
            "mdtraj.superpose, in place": lambda: trajectory.superpose(target),
            "NumPy, batched SVD": lambda: _superposed(positions, reference),
            "loop over frames, SVD": lambda: _superposed_one_by_one(some, reference),
        },
        repeats,
    )


def _principal_axes(positions: np.ndarray, repeats: int) -> None:
    alignment, _ = fit_alignment(positions, method="principal_axes")
    trajectory, room, some = _trajectory(positions), positions.copy(), positions[::_LOOPED]
    largest = np.abs(align(alignment, some) - _turned_one_by_one(some)).max(axis=(1, 2))
    print(f"principal axes; {np.count_nonzero(largest > 1e-3)} of {len(some)} frames differ from the loop's")
    _compare(
        {
            "polyvae.align, in place": lambda: align(alignment, room, out=room),
            "polyvae.align, new array": lambda: align(alignment, positions),
            "mdtraj tensor, batched eigh": lambda: _turned_by_mdtraj(trajectory),
            "NumPy, batched eigh": lambda: _turned(positions),
            "loop over frames, eigh": lambda: _turned_one_by_one(some),
        },
        repeats,
    )


def _compare(sides: dict[str, Callable[[], object]], repeats: int) -> None:
    for side in sides.values():
        side()
    seconds: dict[str, list[float]] = {name: [] for name in sides}
    for _ in range(repeats):
        for name, side in sides.items():
            started = time.perf_counter()
            side()
            seconds[name].append((time.perf_counter() - started) * (_LOOPED if "loop" in name else 1))
    medians = {name: float(np.median(values)) for name, values in seconds.items()}
    ours = list(medians.values())[:2]
    print(f"{'side':28s} {'ms':>8s} {'in place is x':>14s} {'new array is x':>15s}")
    for name, value in medians.items():
        print(f"{name:28s} {1e3 * value:8.0f} {value / ours[0]:14.1f} {value / ours[1]:15.1f}")


def _trajectory(positions: np.ndarray) -> mdtraj.Trajectory:
    topology = mdtraj.Topology()
    residue = topology.add_residue("RES", topology.add_chain())
    for _ in range(positions.shape[1]):
        topology.add_atom("C", mdtraj.element.carbon, residue)
    return mdtraj.Trajectory(positions, topology)


def _superposed(positions: np.ndarray, reference: np.ndarray) -> np.ndarray:
    centered = positions - positions.mean(axis=1, keepdims=True)
    left, _, right = np.linalg.svd(np.einsum("fai,aj->fij", centered, reference))
    left[:, :, 2] *= np.sign(np.linalg.det(left @ right))[:, None]
    return centered @ (left @ right)


def _superposed_one_by_one(positions: np.ndarray, reference: np.ndarray) -> np.ndarray:
    turned = np.empty_like(positions)
    for index, frame in enumerate(positions):
        centered = frame - frame.mean(axis=0)
        left, _, right = np.linalg.svd(centered.T @ reference)
        left[:, 2] *= np.sign(np.linalg.det(left @ right))
        turned[index] = centered @ (left @ right)
    return turned


def _turned_by_mdtraj(trajectory: mdtraj.Trajectory) -> np.ndarray:
    _, axes = np.linalg.eigh(mdtraj.compute_gyration_tensor(trajectory))
    centered = trajectory.xyz - trajectory.xyz.mean(axis=1, keepdims=True)
    return _signed(centered @ axes[:, :, ::-1].astype(np.float32), axes)


def _turned(positions: np.ndarray) -> np.ndarray:
    centered = positions - positions.mean(axis=1, keepdims=True)
    _, axes = np.linalg.eigh(np.einsum("fai,faj->fij", centered, centered))
    return _signed(centered @ axes[:, :, ::-1], axes)


def _turned_one_by_one(positions: np.ndarray) -> np.ndarray:
    turned = np.empty_like(positions)
    for index, frame in enumerate(positions):
        centered = frame - frame.mean(axis=0)
        _, axes = np.linalg.eigh(centered.T @ centered)
        turned[index] = _signed(centered @ axes[:, ::-1], axes)
    return turned


def _signed(turned: np.ndarray, axes: np.ndarray) -> np.ndarray:
    """One frame or many along axes whose third moment is positive; the last axis makes them right-handed."""
    signs = np.where((turned**3).sum(axis=-2) < 0, -1, 1).astype(turned.dtype)
    signs[..., 2] = np.sign(np.linalg.det(axes[..., ::-1])) * signs[..., 0] * signs[..., 1]
    return turned * signs[..., None, :]


if __name__ == "__main__":
    main()
