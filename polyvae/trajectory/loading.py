"""`load` and `open_trajectory`: what a user says about a trajectory, settled before a frame is read."""

import os
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import mdtraj
import numpy as np

from polyvae.errors import InputError
from polyvae.trajectory import topology as topologies
from polyvae.trajectory.bad_frames import no_good_frame, without_bad_frames
from polyvae.trajectory.bond_search import find_bonds
from polyvae.trajectory.budget import memory_budget
from polyvae.trajectory.frame_store import stored_trajectory
from polyvae.trajectory.frame_weights import weights_of_frames
from polyvae.trajectory.imaging import is_placeholder_box, plan_imaging
from polyvae.trajectory.memory import MemoryFile
from polyvae.trajectory.opening import open_files
from polyvae.trajectory.raw import FrameFile
from polyvae.trajectory.settled_bonds import bonds_to_follow, renumbered_bonds, settle_bonds
from polyvae.trajectory.source import DEFAULT_CHUNK, TrajectorySource
from polyvae.trajectory.trajectory import Trajectory
from polyvae.trajectory.wanted_frames import first_frames, has_times, spans_of
from polyvae.units import BY_NAME, MOLECULAR, REDUCED, Units


def load(
    source: Any,
    *,
    top: Any = None,
    atoms: Any = None,
    start: int = 0,
    stop: int | None = None,
    stride: int = 1,
    time_step: float | None = None,
    units: str | Units | None = None,
    bonds: Any = None,
    whole: str = "auto",
    scale: float = 1.0,
    chunk: int = DEFAULT_CHUNK,
    on_bad_frame: str = "stop",
    weights: Any = None,
    memory: str | int | float | None = None,
    store: str | os.PathLike[str] | None = None,
    workers: int = 1,
) -> Trajectory:
    """The frames of files, of arrays or of an mdtraj object, in memory where they fit.

    Frames that take more than `memory` are read once, piece by piece, into a folder on disk, as they come out of
    reading: float32, whole, the chosen atoms only. The trajectory's positions are then mapped from there.

    Args:
        source: a path, a list of paths (each is a segment of its own), an array of shape (frames, atoms, 2 or
            3), an mdtraj.Trajectory, or a `Trajectory` (taken as whole unless whole="yes"). Formats: all that
            mdtraj reads, .npz (keys positions, times, masses, bonds, box, weights, segments, units) and .npy.
        top: topology, for formats that carry none: a path or an mdtraj object.
        atoms: the atoms to take, in mdtraj's selection language or as zero-based indices; None for all.
        start: first frame to take, in each file.
        stop: frame to stop before, in each file; None for the end.
        stride: take every stride-th frame, in each file.
        time_step: time between the frames stored in a file, in ps; replaces the file's times. Formats such as
            DCD, PDB, NPY and xyz carry no time, and the frames have none unless this is given.
        units: "molecular" (nm, ps) or "reduced"; None for what an NPZ file says, else molecular. In reduced
            units the numbers of LAMMPS dumps and xyz files are taken as they stand, not as Å.
        bonds: atom pairs in the file's numbering, "sequence" (consecutive atoms of a chain), "none", or None:
            the topology's, or the sequence's where the chosen atoms have none among themselves.
        whole: "auto": molecules that the periodic box has split are put together, and molecules put next to
            the largest, wherever there is a box; "yes": the same, an error without a box; "no": frames as
            they are.
        scale: factor for positions and boxes, such as 0.1 for arrays in Å.
        chunk: frames read at a time.
        on_bad_frame: what to do about a frame that holds NaN or infinity or cannot be read: "stop", an error that names
            it; or "skip", leave it out, for which all frames are read once more on opening. The simulation is cut in
            two there, so that nothing takes the frames beside the gap for neighbors; `skipped` counts what was left
            out. A file that ends inside a frame is an error either way.
        weights: statistical weight of each frame taken (bad ones that are left out may be among them, or not), or
            of each frame stored: an array, or the path of an .npy
            file or of a text file with one number a line (# begins a comment). Replaces the weights of an NPZ file.
        memory: the most that positions may take in memory, in bytes or as text such as "2GB"; None for half of the
            machine's memory.
        store: folder for frames that take more, in `frames` there; kept, and when the same frames are asked for again
            read from there (a pass that was cut short goes on). None makes one that is removed with the trajectory,
            where Python's `tempfile` puts it (set TMPDIR to a disk with room).
        workers: processes that read several large files side by side into the store. A script that asks for more than
            one must start under `if __name__ == "__main__":`.

    Raises:
        InputError: if a file is missing, damaged within the wanted frames or does not fit the topology, a
            selection is empty, lengths look like Å taken for nm, or a frame holds NaN.
        MissingDependencyError: if the format needs a library that is not installed.
    """
    opened = open_trajectory(
        source,
        top=top,
        atoms=atoms,
        start=start,
        stop=stop,
        stride=stride,
        time_step=time_step,
        units=units,
        bonds=bonds,
        whole=whole,
        scale=scale,
        chunk=chunk,
        on_bad_frame=on_bad_frame,
    )
    return load_source(opened, weights=weights, memory=memory, store=store, workers=workers)


def load_source(
    source: TrajectorySource,
    *,
    weights: Any = None,
    memory: str | int | float | None = None,
    store: str | os.PathLike[str] | None = None,
    workers: int = 1,
) -> Trajectory:
    """The frames of an opened source, in memory where they fit, else mapped from a folder; arguments as for `load`.

    Raises:
        InputError: as `load` does for frames.
    """
    if not isinstance(workers, int) or workers < 1:
        raise InputError(f"`workers` must be a whole number of at least 1; got {workers!r}.")
    # Before the frames are read, which may take long.
    chosen = None if weights is None else weights_of_frames(weights, source)
    trajectory = _frames_of(source, memory, store, workers)
    return trajectory if chosen is None else trajectory.replace(weights=chosen)


def _frames_of(
    source: TrajectorySource,
    memory: str | int | float | None,
    store: str | os.PathLike[str] | None,
    workers: int,
) -> Trajectory:
    if 4 * source.n_frames * source.n_atoms * source.dims <= memory_budget(memory):
        return source.load()
    if store is not None:
        return stored_trajectory(source, Path(store) / "frames", workers=workers)
    folder = Path(tempfile.mkdtemp(prefix="polyvae-frames-"))
    try:
        return stored_trajectory(source, folder, workers=workers, temporary=True)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise


def open_trajectory(
    source: Any,
    *,
    top: Any = None,
    atoms: Any = None,
    start: int = 0,
    stop: int | None = None,
    stride: int = 1,
    time_step: float | None = None,
    units: str | Units | None = None,
    bonds: Any = None,
    whole: str = "auto",
    scale: float = 1.0,
    chunk: int = DEFAULT_CHUNK,
    on_bad_frame: str = "stop",
) -> TrajectorySource:
    """The frames of files, of arrays or of an mdtraj object, to be read chunk by chunk.

    The arguments are those of `load`.

    Raises:
        InputError: as in `load`, apart from frames that hold NaN, which are met while reading.
        MissingDependencyError: if the format needs a library that is not installed.
    """
    return open_source(
        source,
        top=top,
        atoms=atoms,
        start=start,
        stop=stop,
        stride=stride,
        time_step=time_step,
        units=units,
        bonds=bonds,
        whole=whole,
        scale=scale,
        chunk=chunk,
        on_bad_frame=on_bad_frame,
        strict=True,
    )


def open_source(
    source: Any,
    *,
    top: Any,
    atoms: Any,
    start: int,
    stop: int | None,
    stride: int,
    time_step: float | None,
    units: str | Units | None,
    bonds: Any,
    whole: str,
    scale: float,
    chunk: int,
    on_bad_frame: str,
    strict: bool,
) -> TrajectorySource:
    """An opened source; if `strict`, damage and wrong units are errors."""
    check_numbers(start, stop, stride, time_step, scale, chunk)
    if on_bad_frame not in ("stop", "skip"):
        raise InputError(f'`on_bad_frame` must be "stop" or "skip"; got {on_bad_frame!r}.')
    topology = topologies.load_topology(top)
    wanted_units = _units(units)
    files = open_files(
        source, n_atoms=None if topology is None else topology.n_atoms, reduced=wanted_units is REDUCED
    )
    name = _name(files)
    topology = _settle_topology(files, topology, top, bonds, source)
    first_file = files[0]
    unit_names = {file.units for file in files if isinstance(file, MemoryFile) and file.units is not None}
    if len(unit_names) > 1:
        raise InputError(f"{name}: the files have different units; load them one by one.")
    settled_units = wanted_units or next(iter(unit_names), MOLECULAR)
    spans = spans_of(files, start, stop, stride, strict=strict)
    n_atoms = first_file.n_atoms
    index, words = topologies.select_atoms(atoms, topology, n_atoms, name)
    # What the first two frames of each piece show holds for all of them.
    begun = first_frames(spans, index, scale, tolerant=on_bad_frame == "skip" or not strict)
    if not begun and strict:
        raise InputError(no_good_frame(name, sum(map(len, spans))))
    if not begun:
        begun = first_frames(spans[:1], index, scale, tolerant=False)
    first = [frames[0] for frames in begun.values()]
    if strict and settled_units is MOLECULAR:
        for span, frame in zip(begun, first, strict=True):
            topologies.check_lengths(frame.positions[0], topology, span.file.name)

    found = find_bonds(topology, first[0])
    file_bonds, bond_source = settle_bonds(bonds, first_file, found, topology, index, n_atoms, name)
    followed = bonds_to_follow(file_bonds, bond_source, found[0], index)
    has_box = all(
        frame.box is not None and not is_placeholder_box(frame.positions, frame.box, followed, topology)
        for frame in first
    )
    # An inspection goes on without bonds to follow, and says so.
    untouched = (isinstance(source, Trajectory) and whole == "auto") or (not strict and len(followed) == 0)
    imaging = plan_imaging(
        "no" if untouched else whole,
        has_box=has_box,
        bonds=followed,
        atoms=index,
        n_atoms=n_atoms,
        topology=topology,
        name=name,
    )
    masses = first_file.masses if isinstance(first_file, MemoryFile) else None
    chosen_topology = topology
    chosen_bonds = file_bonds
    if index is not None:
        chosen_topology = None if topology is None else topology.subset(index.tolist())
        masses = None if masses is None else masses[index]
        chosen_bonds = renumbered_bonds(file_bonds, index, n_atoms)
    if masses is None:
        masses = topologies.masses_of(chosen_topology, name)
    opened = TrajectorySource(
        spans=spans,
        wanted=spans,
        atoms=index,
        topology=chosen_topology,
        masses=masses,
        bonds=None if bond_source == "none" else chosen_bonds,
        bond_source=bond_source,
        units=settled_units,
        selection=words if words is not None else getattr(first_file, "selection", None),
        source=name,
        scale=float(scale),
        time_step=time_step,
        has_times=all(has_times(frames) for frames in begun.values()),
        has_box=has_box,
        has_weights=all(frame.weights is not None for frame in first),
        imaging=imaging,
        chunk=chunk,
        paths=_paths(source),
        arrays=() if _paths(source) else (_array_of(source),),
    )
    if on_bad_frame == "skip":
        opened = without_bad_frames(opened)
    return opened


def check_numbers(start: Any, stop: Any, stride: Any, time_step: Any, scale: Any, chunk: Any) -> None:
    """Raise an `InputError` where a number by which frames are chosen is out of range; arguments as for `load`."""
    for key, value, least in (
        ("start", start, 0),
        ("stop", stop, 1),
        ("stride", stride, 1),
        ("chunk", chunk, 1),
    ):
        if value is None and key == "stop":
            continue
        if not isinstance(value, int | np.integer) or isinstance(value, bool) or value < least:
            raise InputError(f"`{key}` must be a whole number of at least {least}; got {value!r}.")
    for key, value in (("time_step", time_step), ("scale", scale)):
        if value is not None and not (np.isfinite(value) and value > 0):
            raise InputError(f"`{key}` must be a positive number; got {value!r}.")


def _units(units: str | Units | None) -> Units | None:
    if units is None or isinstance(units, Units):
        return units
    if units not in BY_NAME:
        raise InputError(f"`units` must be one of {', '.join(BY_NAME)}; got {units!r}.")
    return BY_NAME[units]


def _name(files: tuple[FrameFile, ...]) -> str:
    if len(files) == 1:
        return files[0].name
    return f"{files[0].name} and {len(files) - 1} more"


def _paths(source: Any) -> tuple[Path, ...]:
    if isinstance(source, str | os.PathLike):
        return (Path(source),)
    if isinstance(source, Sequence):
        return tuple(Path(item) for item in source)
    return ()


def _array_of(source: Any) -> np.ndarray:
    if isinstance(source, Trajectory):
        return source.positions
    return np.asarray(source.xyz if isinstance(source, mdtraj.Trajectory) else source)


def _settle_topology(
    files: tuple[FrameFile, ...], topology: mdtraj.Topology | None, top: Any, bonds: Any, source: Any
) -> mdtraj.Topology | None:
    n_atoms = files[0].n_atoms
    for file in files:
        if file.n_frames == 0:
            ending = f" ({file.damage})" if file.damage else ""
            raise InputError(f"{file.name} holds zero frames{ending}.")
        if topology is not None and file.n_atoms != topology.n_atoms:
            where = top if isinstance(top, str | os.PathLike) else "the topology"
            raise InputError(
                f"{file.name} has {file.n_atoms} atoms but {where} has {topology.n_atoms}. Give the "
                "topology that the trajectory was written with, with or without solvent as there."
            )
        if file.n_atoms != n_atoms or file.dims != files[0].dims:
            difference = topologies.first_difference(files[0].topology, file.topology)
            raise InputError(
                f"{file.name} has {file.n_atoms} atoms in {file.dims}-D but {files[0].name} has {n_atoms} "
                f"in {files[0].dims}-D{'' if difference is None else f'; {difference}'}. "
                "Files loaded together must hold the same atoms."
            )
        difference = topologies.first_difference(files[0].topology, file.topology)
        if topology is None and difference is not None:
            raise InputError(
                f"{file.name} and {files[0].name} hold different atoms: {difference}. Files loaded together must hold "
                "the same atoms in the same order; where they do under other names, give the topology of all of them "
                "by top=... (--top)."
            )
    if topology is None:
        topology = topologies.with_standard_bonds(files[0].topology)
    if topology is None and bonds is None and not all(isinstance(file, MemoryFile) for file in files):
        raise InputError(
            f"{files[0].name}: this format carries no topology; give top=... (--top), such as the PDB, GRO, PSF or "
            "PRMTOP file "
            'of the system. For a chain of beads without one give bonds="sequence".'
        )
    return topology
