"""How reading, training and encoding grow with frames, atoms, latent dimensions and devices, and the memory they take.

    python benchmarks/scaling.py [--quick] [--figure docs/_static/scaling.svg] [--folder .]

Chains of atoms that jitter around one shape are written to DCD files; 1.2 GB must be free in `--folder`. Every point is
a process of its own, on one core where the system lets it: it reads and superposes all frames chunk by chunk, trains
on the file (hidden layers of 64 and 64, batches of 1024, two latents unless they are varied), and encodes the file.
Times are of the processor, so that other work on the machine counts less: the better of two epochs after the first,
which compiles, and the best of as many passes as fit into a second. Peak memory is the resident set of the whole
process, also with `memory="100MB"` for frames and vectors. Devices are host devices that XLA is told to make and that
share all cores; hidden layers are 256 wide there, and the time is that of the wall clock.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from libraries import processor, versions

_BUDGET = "100MB"
_BLOCK_BYTES = 20_000_000
_READ_AT_ONCE = 1000
_PASSES_SECONDS = 1.0
_LONG_SECONDS = 30.0


@dataclass(frozen=True, kw_only=True)
class Point:
    """What is varied. Without `devices` it is one core and CPU time; with them all cores and wall-clock time."""

    frames: int
    atoms: int
    latent: int = 2
    devices: int | None = None
    hidden: int = 64
    memory: str | None = None


@dataclass(frozen=True, kw_only=True)
class Measured:
    """What a process took: seconds a frame, and peak memory in bytes."""

    read: float
    train: float
    encode: float
    peak: float


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="fewer and smaller points")
    parser.add_argument("--figure", type=Path, help="draw the curves into this file")
    parser.add_argument("--folder", type=Path, default=None)
    parser.add_argument("--point", nargs=2, metavar=("FILE", "SETTINGS"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.point:
        _measure(Path(arguments.point[0]), Point(**json.loads(arguments.point[1])))
        return
    print(f"{processor()}; {versions('jax', 'numpy', 'mdtraj')}")
    curves: dict[str, list[tuple[Point, Measured]]] = {}
    known: dict[Point, Measured] = {}
    with tempfile.TemporaryDirectory(dir=arguments.folder) as name:
        for title, points in _points(quick=arguments.quick).items():
            print(
                f"\n{title:22s} {'read+align':>11s} {'train':>9s} {'encode':>9s}   us a frame"
                f" {'train frames/s':>15s} {'peak MB':>8s}"
            )
            curves[title] = []
            for point in points:
                if point not in known:
                    known[point] = _in_process(Path(name), point)
                measured = known[point]
                curves[title].append((point, measured))
                read, train, encode = (
                    1e6 * value for value in (measured.read, measured.train, measured.encode)
                )
                print(
                    f"{_varied(title, point):22s} {read:11.2f} {train:9.2f} {encode:9.2f} {'':12s}"
                    f" {1 / measured.train:15.0f} {measured.peak / 1e6:8.0f}",
                    flush=True,
                )
    if arguments.figure:
        _draw(curves, arguments.figure)


def _points(*, quick: bool) -> dict[str, list[Point]]:
    """The curves: by frames, by frames within a budget of memory, by atoms, by latent dimensions, by devices."""
    most = 6 if quick else 7
    frames = [Point(frames=10**power, atoms=10) for power in range(4, most + 1)]
    sizes = [10, 100, 1000] if quick else [10, 100, 1000, 10_000]
    coordinates = 10**6 if quick else 10**7
    atoms = [Point(frames=min(100_000, max(1000, coordinates // n)), atoms=n) for n in sizes]
    medium = Point(frames=20_000, atoms=100)
    latents = [1, 64] if quick else [1, 8, 64]
    return {
        "frames": frames,
        f"frames, {_BUDGET}": [replace(point, memory=_BUDGET) for point in frames[1:]],
        "atoms": atoms,
        "latent": [replace(medium, latent=n) for n in latents],
        "devices": [replace(medium, devices=n, hidden=256) for n in (1, 2, 4)],
    }


def _varied(title: str, point: Point) -> str:
    return f"{getattr(point, title.partition(',')[0])} {title}"


def _in_process(folder: Path, point: Point) -> Measured:
    file = folder / f"{point.frames}_{point.atoms}.dcd"
    if not file.exists():
        for old in folder.glob("*.dcd"):
            old.unlink()
        _write(file, point)
    environment = {**os.environ, "TMPDIR": str(folder)}
    if point.devices is not None:
        environment["XLA_FLAGS"] = f"--xla_force_host_platform_device_count={point.devices}"
    command = [sys.executable, __file__, "--point", str(file), json.dumps(asdict(point))]
    child = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None
    output = child.stdout.read()
    _, status, usage = os.wait4(child.pid, 0)
    child.stdout.close()
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode:
        raise SystemExit(f"{command} ended with {child.returncode}")
    # Kilobytes on Linux, bytes on macOS.
    peak = usage.ru_maxrss * (1.0 if sys.platform == "darwin" else 1024.0)
    return Measured(**json.loads(output), peak=peak)


def _write(file: Path, point: Point) -> None:
    """A chain that jitters around one random walk; a block of frames is written as often as is needed."""
    from mdtraj.formats import DCDTrajectoryFile

    rng = np.random.default_rng(0)
    # Steps of 1.5 A; DCD files hold angstroms.
    steps = rng.normal(size=(point.atoms, 3))
    walk = np.cumsum(1.5 * steps / np.linalg.norm(steps, axis=1, keepdims=True), axis=0)
    size = min(point.frames, _BLOCK_BYTES // (12 * point.atoms))
    block = walk.astype(np.float32) + rng.normal(scale=0.3, size=(size, point.atoms, 3)).astype(np.float32)
    with DCDTrajectoryFile(str(file), "w") as output:
        for start in range(0, point.frames, size):
            output.write(block[: point.frames - start])


def _measure(file: Path, point: Point) -> None:
    """One point, in its own process; prints seconds a frame as JSON."""
    if point.devices is None and hasattr(os, "sched_setaffinity"):
        # Before JAX counts the cores.
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    import polyvae as pv
    from polyvae.preprocessing import align, fit_alignment

    source = pv.open_trajectory(file, top=_topology(point.atoms))
    first = next(iter(source.chunks(_READ_AT_ONCE)))
    alignment, _ = fit_alignment(first.positions, method="kabsch")
    aligned = np.empty_like(first.positions)

    def read() -> None:
        for chunk in source.chunks(_READ_AT_ONCE):
            align(alignment, chunk.positions, out=aligned[: len(chunk.positions)])

    now = time.process_time if point.devices is None else time.perf_counter
    epochs: list[float] = []
    result = pv.fit(
        source,
        pv.ModelConfig(latent_dim=point.latent, hidden=(point.hidden, point.hidden)),
        pv.TrainConfig(epochs=3, batch_size=1024, devices=point.devices or 1),
        on_epoch=lambda _: epochs.append(now()),
        memory=point.memory,
    )
    train = min(np.diff(epochs)) / len(result.split.train)
    seconds = {
        "read": _best(read, now) / point.frames,
        "train": train,
        "encode": _best(lambda: pv.latent_trajectory(result.model, source), now) / point.frames,
    }
    print(json.dumps(seconds))


def _topology(n_atoms: int) -> Any:
    import mdtraj

    topology = mdtraj.Topology()
    residue = topology.add_residue("RES", topology.add_chain())
    for _ in range(n_atoms):
        topology.add_atom("C", mdtraj.element.carbon, residue)
    return topology


def _best(run: Callable[[], object], now: Callable[[], float]) -> float:
    """The shortest of as many runs as fit into a second. The first, which compiles, counts only where it is long."""
    started = now()
    run()
    first = now() - started
    if first > _LONG_SECONDS:
        return first
    best, began = np.inf, now()
    while now() - began < _PASSES_SECONDS:
        started = now()
        run()
        best = min(best, now() - started)
    return best


def _draw(curves: dict[str, list[tuple[Point, Measured]]], path: Path) -> None:
    """Time a frame and memory against what was varied, five panels and a legend."""
    import matplotlib as mpl
    import matplotlib.pyplot as plt

    from polyvae.plots.style import DATA, MODEL, VALIDATION, style

    works = {
        "read": ("read and superpose", DATA, "o"),
        "train": ("train, one epoch", MODEL, "s"),
        "encode": ("read and encode", VALIDATION, "^"),
    }
    with style(), mpl.rc_context({"svg.hashsalt": "scaling", "lines.markersize": 3.5}):
        figure, axes = plt.subplots(2, 3, figsize=(8.4, 4.9))
        by_frames, memory, by_atoms, by_latent, by_devices, legend = axes.flat
        for ax, title in ((by_frames, "frames"), (by_atoms, "atoms"), (by_latent, "latent")):
            points = curves[title]
            x = [getattr(point, title) for point, _ in points]
            for work, (label, color, marker) in works.items():
                y = [1e6 * getattr(measured, work) for _, measured in points]
                ax.plot(x, y, color=color, marker=marker, label=label)
            ax.set(xscale="log", yscale="log", ylabel="CPU time a frame (µs)")
        bounded = curves[f"frames, {_BUDGET}"]
        x = [point.frames for point, _ in bounded]
        dashed = {"color": MODEL, "linestyle": (0, (4, 2)), "marker": "s", "markerfacecolor": "white"}
        by_frames.plot(x, [1e6 * measured.train for _, measured in bounded], **dashed)
        points = curves["frames"]
        memory.plot(x, [measured.peak / 1e9 for _, measured in bounded], **dashed)
        x = [point.frames for point, _ in points]
        memory.plot(x, [measured.peak / 1e9 for _, measured in points], color=MODEL, marker="s")
        memory.plot(x, [12e-9 * point.frames * point.atoms for point, _ in points], color=DATA, linestyle=":")
        memory.set(xscale="log", yscale="log", ylabel="peak memory (GB)")
        by_latent.set_xscale("log", base=2)
        devices = curves["devices"]
        by_devices.plot(
            [point.devices for point, _ in devices],
            [1e-3 / measured.train for _, measured in devices],
            color=MODEL,
            marker="s",
        )
        by_devices.set(ylabel="training (1000 frames/s)", xscale="log", ylim=(0, None))
        by_devices.set_xscale("log", base=2)
        for ax, title, label in (
            (by_frames, f"{points[0][0].atoms} atoms", "frames"),
            (memory, f"{points[0][0].atoms} atoms", "frames"),
            (by_atoms, "2 latent dimensions", "atoms"),
            (by_latent, f"{curves['latent'][0][0].atoms} atoms", "latent dimensions"),
            (by_devices, f"{os.cpu_count()} cores shared", "devices of the host"),
        ):
            ax.set_title(title)
            ax.set_xlabel(label)
            ax.grid(color="#e4e4e4", linewidth=0.6)
        # Whole decades, so that what is level looks level.
        for ax, limits in ((by_frames, (0.1, 10)), (memory, (1e-3, 10)), (by_latent, (1, 100))):
            ax.set_ylim(*limits)
        for ax in (by_frames, memory, by_atoms, by_latent):
            ax.yaxis.set_major_formatter(mpl.ticker.FuncFormatter(lambda value, _: f"{value:g}"))
            ax.yaxis.set_minor_formatter(mpl.ticker.NullFormatter())
        for ax, title in ((by_latent, "latent"), (by_devices, "devices")):
            ticks = [getattr(point, title) for point, _ in curves[title]]
            ax.set_xticks(ticks, [str(tick) for tick in ticks])
            ax.minorticks_off()
        handles, labels = by_latent.get_legend_handles_labels()
        handles += [
            mpl.lines.Line2D([], [], **dashed),
            mpl.lines.Line2D([], [], color=DATA, linestyle=":"),
        ]
        labels += [f"train within {_BUDGET.replace('MB', ' MB')}", "size of the file"]
        legend.axis("off")
        legend.legend(handles, labels, loc="center left", handlelength=2.6, labelspacing=0.9)
        figure.savefig(path, metadata={"Date": None} if path.suffix == ".svg" else None, dpi=160)


if __name__ == "__main__":
    main()
