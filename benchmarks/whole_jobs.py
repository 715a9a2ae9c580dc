"""Whole training jobs, start-up included: polyvae beside PyTorch, mlcolvar and deeptime, each in a process of its own.

    pip install 'polyvae[bench]'
    python benchmarks/whole_jobs.py [--case small medium wide] [--epochs 5] [--repeats 3]

A job is one command: start Python, import, read the vectors from a file, train the textbook VAE (hidden layers of 256,
256 and 256, two latents) for a few epochs on one core, be done. The sides are those of `training_throughput.py`.
polyvae's is `fit_vae` with all that it does: it checks the vectors, validates on a thousand frames after every epoch,
chooses the best epoch and diagnoses the latent. Its compiled code is found in the cache of an earlier run ("warm") or
compiled ("cold", an empty cache each time). Jobs run in turn; medians of wall clock and of CPU time are shown.
"""

import argparse
import dataclasses
import logging
import os
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from pathlib import Path

import numpy as np
from libraries import optional, processor, versions
from torch_sides import CASES, HIDDEN, LATENT, Case, by_deeptime, by_mlcolvar, by_torch

_FRAMES = {"small": 32_768, "medium": 100_096, "wide": 16_384}
_VALIDATION = 1024
_SIDES = ("polyvae, warm", "polyvae, cold", "PyTorch", "mlcolvar", "deeptime")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--case", nargs="*", default=list(CASES), choices=list(CASES))
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--job", nargs=2, metavar=("SIDE", "FILE"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.job:
        _job(*arguments.job, arguments.case[0], arguments.epochs)
        return
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    print(
        f"{processor()}, one core, {arguments.epochs} epochs; {versions('jax', 'torch', 'mlcolvar', 'deeptime')}"
    )
    with tempfile.TemporaryDirectory() as name:
        for case in arguments.case:
            _compare(case, arguments.epochs, arguments.repeats, Path(name))


def _sized(name: str) -> Case:
    return dataclasses.replace(CASES[name], frames=_FRAMES[name])


def _compare(name: str, epochs: int, repeats: int, folder: Path) -> None:
    case = _sized(name)
    print(f"\n{name}: {case.frames} frames x {case.features} features, batches of {case.batch}")
    file = folder / f"{name}.npy"
    rng = np.random.default_rng(0)
    np.save(file, rng.normal(size=(case.frames + _VALIDATION, case.features)).astype(np.float32))
    taken: dict[str, list[tuple[float, float]]] = {side: [] for side in _SIDES}
    _timed("polyvae", name, epochs, file, folder / "warm")
    for _ in range(repeats):
        for side in _SIDES:
            with tempfile.TemporaryDirectory(dir=folder) as empty:
                cache = folder / "warm" if side.endswith("warm") else Path(empty)
                taken[side].append(_timed(side.partition(",")[0], name, epochs, file, cache))
    medians = {
        side: (statistics.median(wall for wall, _ in values), statistics.median(cpu for _, cpu in values))
        for side, values in taken.items()
    }
    print(f"{'side':14s} {'wall s':>8s} {'CPU s':>8s} {'CPU, times polyvae warm':>24s} {'cold':>6s}")
    for side, (wall, cpu) in medians.items():
        warm, cold = (cpu / medians[f"polyvae, {cache}"][1] for cache in ("warm", "cold"))
        print(f"{side:14s} {wall:8.1f} {cpu:8.1f} {warm:24.2f} {cold:6.2f}")
    file.unlink()


def _timed(side: str, case: str, epochs: int, file: Path, cache: Path) -> tuple[float, float]:
    """Wall-clock and CPU seconds of one job."""
    environment = {**os.environ, "XDG_CACHE_HOME": str(cache)}
    # polyvae keeps compiled code in the user's cache folder unless this names another.
    environment.pop("JAX_COMPILATION_CACHE_DIR", None)
    command = [sys.executable, __file__, "--case", case, "--epochs", str(epochs), "--job", side, str(file)]
    started = time.perf_counter()
    child = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(child.pid, 0)
    wall = time.perf_counter() - started
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode:
        raise SystemExit(f"{command} ended with {child.returncode}")
    return wall, usage.ru_utime + usage.ru_stime


def _job(side: str, file: str, name: str, epochs: int) -> None:
    case, vectors = _sized(name), np.load(file)
    train, validation = vectors[: case.frames], vectors[case.frames :]
    if side == "polyvae":
        _by_polyvae(train, validation, case, epochs)
        return
    optional("torch").set_num_threads(1)
    warnings.simplefilter("ignore")
    if side == "PyTorch":
        run = by_torch(train, case)
        for _ in range(epochs):
            run()
    elif side == "mlcolvar":
        # Lightning sets its own level when it is imported.
        optional("lightning.pytorch")
        for logger in ("lightning.pytorch", "lightning.fabric"):
            logging.getLogger(logger).setLevel(logging.ERROR)
        by_mlcolvar(train, case, epochs=epochs)()
    else:
        by_deeptime(train, case, epochs=epochs)()


def _by_polyvae(train: np.ndarray, validation: np.ndarray, case: Case, epochs: int) -> None:
    import polyvae as pv
    from polyvae.vae.likelihoods import Normal

    config = pv.ModelConfig(latent_dim=LATENT, hidden=HIDDEN, activation="relu")
    training = pv.TrainConfig(epochs=epochs, batch_size=case.batch, schedule="constant", kl_warmup=0)
    pv.fit_vae(pv.make_vae(Normal.of(case.features), config), train, training, validation=validation)


if __name__ == "__main__":
    main()
