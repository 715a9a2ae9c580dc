"""Trajectories larger than memory: the pass over the file beside other readers, peak memory, and a run that is killed.

    pip install 'polyvae[bench]'
    python benchmarks/streaming.py [--gigabytes 1] [--folder .] [--memory 100MB]

A DCD file is made by tiling the bundled alanine dipeptide with noise; four times its size must be free in `--folder`.
Passes are repeated in turn and medians are shown: mdtraj reads a thousand frames at once; MDAnalysis hands out one
frame after the other, as its users' loops take them, of a file of a tenth of the size. Peak memory is the resident
set of a whole `polyvae` command as the system counts it, for a tenth of the frames and for all of them; the budget
holds neither. Last, training is killed (SIGKILL) at three random times, resumed, and its model compared byte by byte
with that of a run that was left alone. The script keeps itself to one core where the system lets it.
"""

import argparse
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import mdtraj
import numpy as np
from libraries import optional
from mdtraj.formats import DCDTrajectoryFile

import polyvae as pv

_READ_AT_ONCE = 1000
_REPEATS = 3
_KILLS = 3
_TRAINING = ["--epochs", "2", "--batch-size", "512", "--hidden", "128", "128", "--quiet"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--gigabytes", type=float, default=1.0)
    parser.add_argument("--folder", type=Path, default=None)
    parser.add_argument("--memory", default="100MB")
    arguments = parser.parse_args()
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    with tempfile.TemporaryDirectory(dir=arguments.folder) as name:
        folder = Path(name)
        os.environ["TMPDIR"] = name
        n_frames = _tile(folder / "long.dcd", arguments.gigabytes)
        _tile(folder / "short.dcd", arguments.gigabytes / 10)
        size = (folder / "long.dcd").stat().st_size / 1e9
        print(f"{size:.2f} GB, {n_frames} frames of 22 atoms")
        _passes(folder, size)
        _memory(folder, arguments.memory)
        _kills(folder)


def _tile(path: Path, gigabytes: float) -> int:
    """Write the file and return its number of frames."""
    trajectory = pv.load(pv.bundled("alanine_dipeptide.xtc"), top=pv.bundled("alanine_dipeptide.pdb"))
    rng = np.random.default_rng(0)
    n_frames, written = trajectory.n_frames, 0
    with DCDTrajectoryFile(str(path), "w", force_overwrite=True) as file:
        while written * trajectory.n_atoms * 12 < gigabytes * 1e9:
            noise = rng.normal(scale=0.003, size=trajectory.positions.shape)
            file.write(((trajectory.positions + noise) * 10).astype(np.float32))
            written += n_frames
    return written


def _passes(folder: Path, size: float) -> None:
    path, top = folder / "long.dcd", pv.bundled("alanine_dipeptide.pdb")
    mdanalysis = optional("MDAnalysis")

    def read_by_mdtraj() -> None:
        with mdtraj.open(str(path)) as file:
            while len(file.read(_READ_AT_ONCE)[0]):
                pass

    def chunks() -> None:
        source = pv.open_trajectory(path, top=top)
        for _ in source.chunks(source.chunk):
            pass

    def stored() -> None:
        with tempfile.TemporaryDirectory(dir=folder) as store:
            pv.load(path, top=top, memory="1MB", store=store)

    def read_by_mdanalysis() -> None:
        for frame in mdanalysis.Universe(str(top), str(folder / "short.dcd")).trajectory:
            _ = frame.positions

    sides = {
        "mdtraj, read(1000)": read_by_mdtraj,
        "MDAnalysis, frame by frame": read_by_mdanalysis,
        "polyvae, chunks": chunks,
        "polyvae, shards hashed": stored,
    }
    seconds: dict[str, list[tuple[float, float]]] = {name: [] for name in sides}
    for _ in range(_REPEATS):
        for name, side in sides.items():
            wall, cpu = time.perf_counter(), time.process_time()
            side()
            seconds[name].append((time.perf_counter() - wall, time.process_time() - cpu))
    rates = {name: size / np.median([wall for wall, _ in values]) for name, values in seconds.items()}
    rates["MDAnalysis, frame by frame"] *= (folder / "short.dcd").stat().st_size / path.stat().st_size
    print(f"{'pass over the file':28s} {'wall s':>8s} {'CPU s':>8s} {'GB/s':>6s} {'rate, times mdtraj':>19s}")
    for name, values in seconds.items():
        wall, cpu = np.median(values, axis=0)
        ratio = rates[name] / rates["mdtraj, read(1000)"]
        print(f"{name:28s} {wall:8.2f} {cpu:8.2f} {rates[name]:6.3f} {ratio:19.2f}")


def _command(folder: Path, *words: str) -> list[str]:
    return [sys.executable, "-m", "polyvae", *words, "--top", str(pv.bundled("alanine_dipeptide.pdb"))]


def _memory(folder: Path, memory: str) -> None:
    print(
        f"{'peak resident memory, MB':24s} {'train':>8s} {'encode':>8s}   ({memory} for frames and vectors)"
    )
    for name in ("short", "long"):
        file, run = str(folder / f"{name}.dcd"), str(folder / f"{name}_run")
        train = _peak(_command(folder, "train", file, "--memory", memory, "--output", run, *_TRAINING))
        encode = _peak(_command(folder, "encode", run, file, "--output", f"{run}.npz"))
        print(f"{name:24s} {train:8.0f} {encode:8.0f}")


def _peak(command: list[str]) -> float:
    """Largest resident set of a command, MB."""
    child = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode:
        raise SystemExit(f"{command} ended with {child.returncode}")
    # Kilobytes on Linux, bytes on macOS.
    return usage.ru_maxrss / (1e6 if sys.platform == "darwin" else 1e3)


def _kills(folder: Path) -> None:
    file, rng = str(folder / "short.dcd"), np.random.default_rng()
    whole = folder / "short_run" / "model.safetensors"
    run, store = folder / "killed", folder / "killed_store"
    command = _command(
        folder, "train", file, "--memory", "20MB", "--store", str(store), "--output", str(run), *_TRAINING
    )
    resume: list[str] = []
    for _ in range(_KILLS):
        child = subprocess.Popen([*command, *resume], stdout=subprocess.DEVNULL)
        wait = rng.uniform(3.0, 12.0)
        try:
            child.wait(wait)
        except subprocess.TimeoutExpired:
            child.send_signal(signal.SIGKILL)
            child.wait()
        print(f"killed after {wait:.1f} s: {'yes' if child.returncode < 0 else 'it had ended'}")
        resume = ["--resume"] if (run / "manifest.json").exists() else []
    if not (run / "model.safetensors").exists():
        subprocess.run([*command, *resume], check=True, stdout=subprocess.DEVNULL)
    same = (run / "model.safetensors").read_bytes() == whole.read_bytes()
    print(f"the resumed model is {'the same to the byte' if same else 'NOT the same'}")


if __name__ == "__main__":
    main()
