"""What the machine can do at most, for reading the other tables: matrix products, copies of memory, reading of files.

    pip install 'polyvae[bench]'
    python benchmarks/limits.py [--threads 1] [--megabytes 512] [--folder .] [--repeats 101]

Products are of float32 matrices in the shapes that training multiplies, by NumPy (OpenBLAS) and by JAX (XLA), operands
in memory and results into memory of their own. A copy counts its bytes once. A file is read cold, after the system
has been asked to forget it, and warm. NumPy and JAX get the same threads and cores; the best of the repetitions is
shown, since a limit is what the machine can do when it is left alone.
"""

import argparse
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from libraries import optional, processor, versions

# Rows, inner, columns: a hidden layer at both batch sizes, the wide case's outer layers, and a large square.
_SHAPES = (
    (32, 256, 256),
    (256, 256, 256),
    (256, 3000, 256),
    (256, 256, 3000),
    (3000, 256, 256),
    (1024, 1024, 1024),
)
# Short windows, so that some of them fall between the turns of other processes.
_SECONDS = 0.002
_READ_AT_ONCE = 2**22


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--megabytes", type=int, default=512, help="size of the file")
    parser.add_argument("--folder", type=Path, default=None, help="where the file is written")
    parser.add_argument("--repeats", type=int, default=101)
    arguments = parser.parse_args()
    if hasattr(os, "sched_setaffinity"):
        # Before any library counts the cores: JAX starts its threads with its first array.
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[-arguments.threads :])
    pools = optional("threadpoolctl")
    with pools.threadpool_limits(arguments.threads):
        kernels = {pool["architecture"] for pool in pools.threadpool_info() if "architecture" in pool}
        print(
            f"{processor()}, {arguments.threads} thread(s); {versions('numpy', 'jax')}; OpenBLAS for {kernels}"
        )
        _products(arguments.repeats)
        _copies(arguments.repeats)
    _reads(arguments.megabytes * 10**6, arguments.folder, arguments.repeats)


def _products(repeats: int) -> None:
    print(f"\n{'product (float32)':24s} {'NumPy GFLOP/s':>14s} {'JAX GFLOP/s':>12s}")
    rng = np.random.default_rng(0)
    multiply = jax.jit(jnp.matmul)
    for rows, inner, columns in _SHAPES:
        a = rng.normal(size=(rows, inner)).astype(np.float32)
        b = rng.normal(size=(inner, columns)).astype(np.float32)
        out = np.empty((rows, columns), np.float32)
        x, y = jnp.asarray(a), jnp.asarray(b)
        sides = [
            lambda a=a, b=b, out=out: np.matmul(a, b, out=out),
            lambda x=x, y=y: multiply(x, y).block_until_ready(),
        ]
        seconds = _best(sides, repeats)
        rates = [2e-9 * rows * inner * columns / value for value in seconds]
        print(f"{f'{rows} x {inner} x {columns}':24s} {rates[0]:14.0f} {rates[1]:12.0f}")


def _copies(repeats: int) -> None:
    print(f"\n{'copy of':24s} {'GB/s':>6s}")
    for megabytes in (0.25, 4, 256):
        source = np.ones(int(megabytes * 1e6), np.uint8)
        target = np.empty_like(source)
        (seconds,) = _best([lambda source=source, target=target: np.copyto(target, source)], repeats)
        print(f"{f'{megabytes} MB':24s} {source.nbytes / seconds / 1e9:6.1f}")


def _reads(size: int, folder: Path | None, repeats: int) -> None:
    print(f"\n{'file read':24s} {'GB/s':>6s}")
    with tempfile.NamedTemporaryFile(dir=folder) as file:
        # Bytes that no file system can shrink.
        file.write(np.random.default_rng(0).bytes(size))
        file.flush()
        os.fsync(file.fileno())
        rates: dict[str, list[float]] = {"cold": [], "warm": []}
        for _ in range(min(repeats, 3)):
            if hasattr(os, "posix_fadvise"):
                os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
                rates["cold"].append(_read_rate(file.name))
            rates["warm"].append(_read_rate(file.name))
    for name, values in rates.items():
        print(f"{name:24s} {f'{max(values):6.2f}' if values else 'cannot be asked for here'}")


def _read_rate(path: str) -> float:
    buffer, done = memoryview(bytearray(_READ_AT_ONCE)), 0
    started = time.perf_counter()
    with open(path, "rb", buffering=0) as file:
        while count := file.readinto(buffer):
            done += count
    return done / (time.perf_counter() - started) / 1e9


def _best(sides: list[Callable[[], object]], repeats: int) -> list[float]:
    """Shortest time of one call of each, run in turn, with as many calls at once as the clock needs."""
    counts = []
    for side in sides:
        side()
        started = time.perf_counter()
        side()
        counts.append(max(1, int(_SECONDS / (time.perf_counter() - started))))
    best = [np.inf] * len(sides)
    for _ in range(repeats):
        for index, (side, count) in enumerate(zip(sides, counts, strict=True)):
            started = time.perf_counter()
            for _ in range(count):
                side()
            best[index] = min(best[index], (time.perf_counter() - started) / count)
    return best


if __name__ == "__main__":
    main()
