"""Start-up: imports, and the time from the command to the first trained epoch beside a bare JAX script.

    python benchmarks/start_up.py [--repeats 7] [--cold-repeats 3] [--file data/polymer_2d.npz]

Every figure comes from fresh processes, run in turn, on one core where the system lets it; medians are shown. First,
`import polyvae` and `polyvae --help` beside an empty program, and which heavy libraries they load. Then training: both
sides get the same file, network (256, 256, 256, two latents, gelu) and batches of 256, and are ended as soon as they
print their line. polyvae prints after its first epoch and the validation that follows. `bare_jax.py` does so too, or
already after its first step. What else each does until then: polyvae checks frames, deals out blocks by their
autocorrelation time, fits a Procrustes reference, superposes, and writes a run folder; the bare script superposes on
the first frame by a batched SVD. A cold cache of compiled code is an empty folder each time; a warm one has been filled
by a run of the same side. polyvae keeps what it keeps by default, the bare script everything that it compiles.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

_HERE = Path(__file__).resolve().parent
_HEAVY = ("jax", "matplotlib", "mdtraj", "numpy")
_HELP = "import sys; sys.argv = ['polyvae', '--help']\nfrom polyvae.cli import main; main()\n"


@dataclass(frozen=True)
class Taken:
    """What a process took until its line, seconds."""

    wall: float
    cpu: float


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--cold-repeats", type=int, default=3, help="repetitions with an empty cache")
    parser.add_argument("--file", type=Path, default=_HERE.parent / "data" / "polymer_2d.npz")
    arguments = parser.parse_args()
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    _imports(arguments.repeats)
    with tempfile.TemporaryDirectory() as name:
        _first_epochs(arguments.file, Path(name), arguments.repeats, arguments.cold_repeats)


def _imports(repeats: int) -> None:
    sides = {
        "empty program": "pass",
        "import numpy": "import numpy",
        "import polyvae": "import polyvae",
        "polyvae --help": _HELP,
        "import jax": "import jax",
    }
    taken: dict[str, list[Taken]] = {name: [] for name in sides}
    for _ in range(repeats):
        for name, code in sides.items():
            taken[name].append(_until([sys.executable, "-c", code], None))
    print(f"{'program':18s} {'CPU s':>8s} {'wall s':>8s}   has loaded")
    for name, code in sides.items():
        listed = f"{code}\nimport sys; print('loaded:', *[m for m in {_HEAVY} if m in sys.modules])"
        output = subprocess.run(
            [sys.executable, "-c", listed], check=True, capture_output=True, text=True
        ).stdout
        print(
            f"{name:18s} {_figures(taken[name])}   {output.rpartition('loaded:')[2].strip() or 'nothing heavy'}"
        )


def _first_epochs(file: Path, folder: Path, repeats: int, cold_repeats: int) -> None:
    run = str(folder / "run")
    bare = [sys.executable, str(_HERE / "bare_jax.py"), str(file)]
    train = [sys.executable, "-m", "polyvae", "train", str(file), "--epochs", "2", "-o", run, "--overwrite"]
    sides = {
        "polyvae, first epoch": (train, "epoch 1/"),
        "bare, first epoch": ([*bare, "epoch", "equinox"], "first"),
        "bare, first step": ([*bare, "step", "equinox"], "first"),
        "bare, first epoch, NumPy weights": ([*bare, "epoch", "numpy"], "first"),
        "bare, first step, NumPy weights": ([*bare, "step", "numpy"], "first"),
    }
    caches = {name: folder / f"cache-{index}" for index, name in enumerate(sides)}
    for name, (command, _) in sides.items():
        _until(command, None, _kept_in(caches[name], command))
    taken: dict[str, dict[str, list[Taken]]] = {"warm": {}, "cold": {}}
    for cache, count in (("warm", repeats), ("cold", cold_repeats)):
        for _ in range(count):
            for name, (command, line) in sides.items():
                with tempfile.TemporaryDirectory(dir=folder) as empty:
                    where = caches[name] if cache == "warm" else Path(empty)
                    one = _until(command, line, _kept_in(where, command))
                taken[cache].setdefault(name, []).append(one)
    for cache, by_side in taken.items():
        ours = statistics.median(one.cpu for one in by_side["polyvae, first epoch"])
        print(f"\n{f'{cache} cache':34s} {'CPU s':>8s} {'wall s':>8s} {'polyvae / this, CPU':>20s}")
        for name, values in by_side.items():
            print(
                f"{name:34s} {_figures(values)} {ours / statistics.median(one.cpu for one in values):20.2f}"
            )
    print()
    for name in sides:
        cold, warm = (statistics.median(one.cpu for one in taken[cache][name]) for cache in ("cold", "warm"))
        print(f"the cache saves {cold - warm:5.1f} CPU s of {cold:5.1f}: {name}")


def _kept_in(folder: Path, command: list[str]) -> dict[str, str]:
    """The environment in which a side keeps compiled code in a folder."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("JAX_")}
    if "polyvae" in command:
        return {**environment, "XDG_CACHE_HOME": str(folder)}
    return {
        **environment,
        "JAX_COMPILATION_CACHE_DIR": str(folder),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
    }


def _until(command: list[str], line: str | None, environment: dict[str, str] | None = None) -> Taken:
    """Time of a command until it prints a line that begins so, upon which it is killed; None lets it end."""
    started = time.perf_counter()
    child = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment
    )
    assert child.stdout is not None
    seen, wall = [], None
    for text in child.stdout:
        seen.append(text)
        if line is not None and text.startswith(line):
            wall = time.perf_counter() - started
            child.kill()
            break
    _, status, usage = os.wait4(child.pid, 0)
    child.stdout.close()
    child.returncode = os.waitstatus_to_exitcode(status)
    if line is None:
        wall = time.perf_counter() - started
    if wall is None or child.returncode > 0:
        raise SystemExit(f"{command} ended with {child.returncode} and printed:\n{''.join(seen)}")
    return Taken(wall, usage.ru_utime + usage.ru_stime)


def _figures(values: list[Taken]) -> str:
    cpu, wall = (statistics.median(getattr(one, name) for one in values) for name in ("cpu", "wall"))
    return f"{cpu:8.2f} {wall:8.2f}"


if __name__ == "__main__":
    main()
