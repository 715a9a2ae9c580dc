"""Settings that several commands share, as dataclasses from which flags, TOML keys and help are generated."""

import os
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Literal

from polyvae.cli.usage import UsageError
from polyvae.cli.wording import in_flags, printable
from polyvae.errors import InputError, OutputError
from polyvae.storage import check_run_folder
from polyvae.trajectory import Trajectory, TrajectorySource, load, open_trajectory
from polyvae.trajectory.budget import memory_budget
from polyvae.trajectory.loading import check_numbers, load_source
from polyvae.vae import ConformationModel

_LOADING = frozenset({"weights", "memory", "store", "workers"})


@dataclass(frozen=True, kw_only=True)
class TrajectoryOptions:
    """How trajectories are read; the arguments of `polyvae.load`.

    Attributes:
        top: topology file, for formats that carry none.
        atoms: the atoms to take, in mdtraj's selection language, such as "name CA"; None for all.
        start: first frame to take, in each file.
        stop: frame to stop before, in each file; None for the end.
        stride: take every stride-th frame, in each file.
        time_step: time between the frames stored in a file, in ps; replaces the file's times. DCD, PDB, NPY
            and xyz carry no time.
        units: "molecular" (nm, ps) or "reduced"; None for what an NPZ file says, else molecular.
        bonds: "sequence" (consecutive atoms of a chain), "none", or None: the topology's, or the sequence's
            where the chosen atoms have none among themselves.
        whole: "auto" puts molecules together that the periodic box has split, wherever there is a box; "yes"
            does the same and fails without a box; "no" takes frames as they are.
        scale: factor for positions and boxes, such as 0.1 for arrays in Å.
        chunk: frames read at a time.
        on_bad_frame: "stop" makes an error of a frame that holds NaN or infinity or cannot be read; "skip" leaves such
            frames out, cuts the simulation in two there, and says how many there were.
        weights: file with the statistical weight of each frame: .npy, or text with one number a line.
        memory: the most that positions, and vectors while training, may take in memory, such as "2GB"; what takes
            more is kept in files. None for half of the machine's memory.
        store: folder for these files. Frames stay in it, so that an interrupted run need not read them again; None
            takes temporary ones.
        workers: processes that read several large files side by side into the store.
    """

    top: str | None = None
    atoms: str | None = None
    start: int = 0
    stop: int | None = None
    stride: int = 1
    time_step: float | None = None
    units: Literal["molecular", "reduced"] | None = None
    bonds: Literal["sequence", "none"] | None = None
    whole: Literal["auto", "yes", "no"] = "auto"
    scale: float = 1.0
    chunk: int = 1000
    on_bad_frame: Literal["stop", "skip"] = "stop"
    weights: str | None = None
    memory: str | None = None
    store: str | None = None
    workers: int = 1

    def __post_init__(self) -> None:
        check_numbers(self.start, self.stop, self.stride, self.time_step, self.scale, self.chunk)
        memory_budget(self.memory)
        if self.workers < 1:
            raise InputError(f"`workers` must be at least 1; got {self.workers}.")

    def load(self, paths: Sequence[str]) -> Trajectory:
        """The frames of these files."""
        trajectory = load(source_of(paths), **asdict(self))
        say_skipped(trajectory)
        return trajectory

    def open_for(self, model: ConformationModel, paths: Sequence[str]) -> TrajectorySource:
        """These files, opened, with the model's selection where it is needed and none was named.

        Raises:
            InputError: if they show another system than the model's.
        """
        options, selection = self.reading(), model.system.selection
        opened = open_trajectory(source_of(paths), **options)
        if self.atoms is None and selection is not None and opened.n_atoms != model.system.n_atoms:
            opened = open_trajectory(source_of(paths), **{**options, "atoms": selection})
        model.system.check(opened)
        say_skipped(opened)
        return opened

    def load_for(self, model: ConformationModel, paths: Sequence[str]) -> Trajectory:
        """The frames of `open_for`."""
        return load_source(
            self.open_for(model, paths),
            weights=self.weights,
            memory=self.memory,
            store=self.store,
            workers=self.workers,
        )

    def input_files(self, paths: Sequence[str]) -> list[str]:
        """All files that are read, the topology among them."""
        return [*paths, *(path for path in (self.top, self.weights) if path is not None)]

    def reading(self) -> dict[str, Any]:
        """The options of `polyvae.open_trajectory`: all but those that only `polyvae.load` takes."""
        return {name: value for name, value in asdict(self).items() if name not in _LOADING}


@dataclass(frozen=True, kw_only=True)
class AnalysisConfig:
    """How much of each analysis a run does.

    Attributes:
        generated: conformations to generate.
        samples: draws of the importance-weighted bound for each held-out frame.
        starts: starts of the radius-of-gyration minimization; None takes 100, and fewer above 300 atoms, since
            the work grows with the square of their number.
        compact: whether compact structures are looked for at all.
    """

    generated: int = 10_000
    samples: int = 1000
    starts: int | None = None
    compact: bool = True

    def __post_init__(self) -> None:
        for name in ("generated", "samples", "starts"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise InputError(f"`{name}` must be at least 1; got {value}.")

    def starts_for(self, n_atoms: int) -> int:
        """Starts for a system of this size."""
        if self.starts is not None:
            return self.starts
        return max(8, min(100, round(100 * (300 / n_atoms) ** 2)))


def say_skipped(trajectory: Trajectory | TrajectorySource) -> None:
    """Lines about the bad frames that were left out, file by file; whatever else is quiet."""
    for skipped in trajectory.skipped:
        print(printable(str(skipped)), file=sys.stderr, flush=True)


def source_of(paths: Sequence[str]) -> str | list[str]:
    """What `polyvae.load` takes for one or many files.

    Raises:
        UsageError: if there is none.
    """
    if not paths:
        raise UsageError("Name at least one trajectory file.")
    return paths[0] if len(paths) == 1 else list(paths)


def of_ensemble(options: TrajectoryOptions, path: str) -> Trajectory:
    """The frames of an ensemble, whose flags have a prefix of their own; errors name them so."""
    try:
        return options.load([path])
    except InputError as error:
        flags = {item.name: f"--ensemble.{item.name.replace('_', '-')}" for item in fields(options)}
        hint = "How the ensemble is read has flags of its own: --ensemble.top, --ensemble.atoms and so on."
        raise type(error)(f"{in_flags(str(error), flags, kept=[path])} {hint}") from error


def check_output(path: Path, suffixes: Sequence[str], *, overwrite: bool, name: str = "output") -> None:
    """Raise at once where the output file could not be written after long work.

    Args:
        path: the file to write.
        suffixes: those that are allowed.
        overwrite: whether an existing file may be replaced.
        name: the setting that the path comes from.

    Raises:
        UsageError: if the suffix is none of them, or the file exists and may not be replaced.
        OutputError: if the folder does not exist or cannot be written to.
    """
    if path.suffix.lower() not in suffixes:
        raise UsageError(
            f"{path}: `{name}` must end in {' or '.join(suffixes)}; got {path.suffix or 'no suffix'}."
        )
    if path.exists() and not overwrite:
        raise UsageError(f"{path} exists already. Choose another `{name}` or pass --overwrite.")
    if not path.parent.is_dir():
        raise OutputError(f"{path}: the folder {path.parent} does not exist. Create it first.")
    if not os.access(path.parent, os.W_OK | os.X_OK):
        raise OutputError(f"{path}: the folder {path.parent} is not writable. Choose another `{name}`.")


def check_folder(folder: Path, *, overwrite: bool, resume: bool) -> dict[str, Any] | None:
    """The manifest of the run that lies in an output folder, or None.

    Raises:
        UsageError: if the folder may not be used so; the message says what to pass instead.
        OutputError: if it, or the folder that it will be made in, cannot be written to.
    """
    try:
        manifest = check_run_folder(folder, overwrite=overwrite, resume=resume)
    except OutputError:
        raise
    except InputError as error:
        raise UsageError(str(error)) from error
    nearest = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    if not nearest.is_dir():
        raise OutputError(
            f"The output folder {folder} cannot be made: {nearest} is a file. Choose another `output`."
        )
    if not os.access(nearest, os.W_OK | os.X_OK):
        what = "is not writable" if nearest == folder else f"cannot be made: {nearest} is not writable"
        raise OutputError(f"The output folder {folder} {what}. Choose another `output`.")
    return manifest


def check_counts(**counts: int) -> None:
    """Raise a `UsageError` for a number of things to make that is below one.

    Args:
        counts: the numbers, by the names of their settings.
    """
    for name, number in counts.items():
        if number < 1:
            raise UsageError(f"`{name}` must be at least 1; got {number}.")
