"""`--dry-run`: what a run would read, hold in memory, write and take, from a short trial; nothing is written.

The trial trains three epochs on at most 2000 frames. Time grows in proportion to the frames from there; start-up and
compilation are taken as they were. These are estimates: a run may stop early, and larger batches are faster.
"""

import math
import resource
import sys
import time
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import equinox as eqx
import jax

from polyvae.analysis import log_likelihood
from polyvae.cli.options import AnalysisConfig, say_skipped, source_of
from polyvae.errors import InputError, PolyvaeWarning
from polyvae.training import EpochReport, FitResult, fit
from polyvae.trajectory import Trajectory, TrajectorySource, open_trajectory
from polyvae.trajectory.budget import memory_budget
from polyvae.trajectory.finding import counted

_FRAMES = 2000
_EPOCHS = 3
_SCORED = 64
_STATES = 4
"""Copies of the parameters in a checkpoint: the model, two moments of Adam, and the best model so far."""
_PAGE_BYTES = 4_000_000
"""Report, figures and records that do not grow with the frames; between 2 and 6 MB in the runs of the documentation."""


@dataclass(frozen=True, kw_only=True, eq=False)
class _Trial:
    """What three epochs showed.

    Attributes:
        result: the model that they ended with.
        n_frames: frames of the trial.
        reading: seconds to read them.
        startup: seconds until the first epoch had ended.
        epoch: seconds of each further epoch.
        scoring: seconds that the log-likelihood of one held-out frame takes; 0 where none is wanted.
    """

    result: FitResult
    n_frames: int
    reading: float
    startup: float
    epoch: float
    scoring: float


def dry_run(settings: Any, *, analysis: AnalysisConfig | None) -> int:
    """Print what the command would take.

    Args:
        settings: the dataclass of `run` or `train`.
        analysis: how much of each analysis; None for none.

    Raises:
        InputError: if the trajectory cannot be read or trained on.
    """
    step = settings.printing.steps()
    step("opening the trajectory")
    opened = open_trajectory(source_of(settings.trajectories), **settings.trajectory.reading())
    say_skipped(opened)
    step(f"a trial of {_EPOCHS} epochs on at most {_FRAMES} frames")
    trial, reason = _tried(settings, opened, analysis)
    step.done()
    numbers = _numbers(settings, opened, trial, analysis)
    settings.printing.answer(numbers, "\n".join(_lines(settings, opened, numbers, trial, reason, analysis)))
    return 0


def _tried(
    settings: Any, opened: TrajectorySource, analysis: AnalysisConfig | None
) -> tuple[_Trial | None, str]:
    """The trial, or None and why there is none: some of the frames may be too few where all are enough."""
    options = settings.trajectory
    of_each = options.stride * math.ceil(_FRAMES / len(settings.trajectories))
    end = options.start + of_each
    some = replace(
        options,
        stop=end if options.stop is None else min(end, options.stop),
        weights=None,
        memory=None,
        store=None,
    )
    began = time.perf_counter()
    frames = some.load(settings.trajectories)
    reading = time.perf_counter() - began
    try:
        return _trained(settings, frames, reading, analysis), ""
    except InputError as error:
        if frames.n_frames == opened.n_frames:
            raise
        return None, str(error)


def _trained(settings: Any, frames: Trajectory, reading: float, analysis: AnalysisConfig | None) -> _Trial:
    reports: list[EpochReport] = []
    short = replace(settings.training, epochs=_EPOCHS, patience=None, kl_warmup=0, kl_schedule="warmup")
    with warnings.catch_warnings():
        # Three epochs have reached nothing yet.
        warnings.simplefilter("ignore", PolyvaeWarning)
        result = fit(frames, settings.model, short, seed=settings.seed, on_epoch=reports.append)
    if result.status == "interrupted":
        raise KeyboardInterrupt
    scoring = 0.0
    if analysis is not None:
        some = frames[result.split.test[:_SCORED]]
        # The first call compiles.
        for _ in range(2):
            began = time.perf_counter()
            log_likelihood(result.model, some, samples=analysis.samples)
            scoring = (time.perf_counter() - began) / some.n_frames
    return _Trial(
        result=result,
        n_frames=frames.n_frames,
        reading=reading,
        startup=result.startup_seconds,
        epoch=(reports[-1].seconds - reports[0].seconds) / (len(reports) - 1),
        scoring=scoring,
    )


def _numbers(
    settings: Any, opened: TrajectorySource, trial: _Trial | None, analysis: AnalysisConfig | None
) -> dict[str, Any]:
    n_frames, n_coordinates = opened.n_frames, opened.n_atoms * opened.dims
    numbers: dict[str, Any] = {
        "frames": n_frames,
        "segments": list(opened.segments),
        "atoms": opened.n_atoms,
        "dims": opened.dims,
        "frame_bytes": 4 * n_frames * n_coordinates,
        "memory_budget_bytes": memory_budget(settings.trajectory.memory),
        "output": settings.output,
        "trial_frames": None,
    }
    if trial is None:
        return numbers
    n_features = trial.result.model.representation.n_features
    arrays = jax.tree.leaves(eqx.filter(trial.result.model.vae.network, eqx.is_inexact_array))
    n_parameters = sum(array.size for array in arrays)
    share = n_frames / trial.n_frames
    vectors = round(4 * n_features * n_frames * (1 - settings.training.validation_fraction))
    held_out = share * len(trial.result.split.test)
    # Peak of this process, on Linux in kB, on macOS in bytes.
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    more = (numbers["frame_bytes"] + vectors) * (1 - 1 / share)
    seconds = {
        "reading": trial.reading * share,
        "startup": trial.startup,
        "training_at_most": trial.epoch * share * settings.training.epochs,
        "log_likelihood": trial.scoring * held_out,
    }
    return numbers | {
        "trial_frames": trial.n_frames,
        "features": n_features,
        "parameters": n_parameters,
        "vector_bytes": vectors,
        "memory_bytes": round(peak + min(more, 2 * numbers["memory_budget_bytes"])),
        "disk_bytes": _disk(opened, trial, n_parameters, analysis),
        "seconds_per_epoch": trial.epoch * share,
        "checkpoint_bytes": 4 * _STATES * n_parameters,
        "seconds": seconds | {"all": sum(seconds.values())},
    }


def _disk(opened: TrajectorySource, trial: _Trial, n_parameters: int, analysis: AnalysisConfig | None) -> int:
    """Bytes of the model, and of what the analyses leave."""
    n_latent = trial.result.model.latent_dim
    size = 4 * n_parameters + 100_000
    if analysis is None:
        return size
    # A line of the table has some 12 letters a number, the records 4 bytes; structures are kept as 4 bytes a number.
    latent = opened.n_frames * (2 * n_latent * (12 + 4) + 20)
    generated = 4 * analysis.generated * opened.n_atoms * opened.dims
    return size + latent + generated + _PAGE_BYTES


def _lines(
    settings: Any,
    opened: TrajectorySource,
    numbers: dict[str, Any],
    trial: _Trial | None,
    reason: str,
    analysis: AnalysisConfig | None,
) -> list[str]:
    rows: list[Sequence[str]] = [
        ("frames", f"{numbers['frames']} in {counted(len(opened.segments), 'simulation')}"),
        ("atoms", f"{numbers['atoms']} in {numbers['dims']} dimensions"),
    ]
    frames = f"frames {_size(numbers['frame_bytes'])}"
    if trial is None:
        rows += [
            ("memory", frames),
            ("time", f"not measured; training on some of the frames failed: {reason}"),
        ]
    else:
        seconds = numbers["seconds"]
        held = " and ".join([frames, f"training vectors {_size(numbers['vector_bytes'])}"])
        rows += [
            ("features", str(numbers["features"])),
            ("parameters", str(numbers["parameters"])),
            (
                "memory",
                f"about {_size(numbers['memory_bytes'])}: {held}, the rest libraries and compiled code",
            ),
            (
                "",
                f"more than {_size(numbers['memory_budget_bytes'])} of either would be kept in files (--memory)",
            ),
            (
                "disk",
                f"about {_size(numbers['disk_bytes'])} in {settings.output}, and {_size(numbers['checkpoint_bytes'])} "
                "more while training",
            ),
            ("time", f"about {_time(seconds['all'])}"),
            ("", f"reading {_time(seconds['reading'])}, start-up {_time(seconds['startup'])}"),
            (
                "",
                f"training {_time(seconds['training_at_most'])} at most, "
                f"{counted(settings.training.epochs, 'epoch')} of {numbers['seconds_per_epoch']:.2g} s",
            ),
        ]
        if analysis is not None:
            rows.append(("", f"log-likelihood of held-out frames {_time(seconds['log_likelihood'])}"))
            rows.append(("", "other analyses and figures come on top: half a minute for some dozen atoms"))
        measured = (
            f"{_EPOCHS} epochs on {counted(trial.n_frames, 'frame')}, taken in proportion to the frames"
        )
        rows.append(("measured", measured))
    width = max(len(name) for name, _ in rows)
    return [*(f"{name:<{width}}  {words}" for name, words in rows), "nothing was written"]


def _size(n_bytes: int) -> str:
    for unit, factor in (("GB", 1e9), ("MB", 1e6)):
        if n_bytes >= factor:
            return f"{n_bytes / factor:.3g} {unit}"
    return f"{n_bytes / 1e3:.3g} kB"


def _time(seconds: float) -> str:
    if seconds < 1:
        return "1 s" if seconds > 0.5 else "less than 1 s"
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
