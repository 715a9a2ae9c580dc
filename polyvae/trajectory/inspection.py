"""What trajectory files hold and what is wrong with them, found in one pass with one chunk in memory.

Unlike `load`, an inspection does not stop at NaN, at a truncated end or at lengths in a wrong unit: each becomes a
`Finding` that says what to do. Whether the frames are enough to train on is asked above this room, by watchers that see
the same chunks.
"""

import os
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Int

from polyvae._typing import Positions
from polyvae.errors import PolyvaeWarning
from polyvae.trajectory.file_findings import (
    Inspected,
    bond_findings,
    damage_findings,
    duplicate_findings,
    geometry_findings,
    sorted_findings,
)
from polyvae.trajectory.finding import LISTED, Finding, Remedies
from polyvae.trajectory.frame_checks import FrameChecks
from polyvae.trajectory.loading import open_source
from polyvae.trajectory.mdtraj_calls import quiet_stderr
from polyvae.trajectory.molecules import broken_bonds
from polyvae.trajectory.raw import RawFrames
from polyvae.trajectory.source import DEFAULT_CHUNK, TrajectorySource
from polyvae.trajectory.time_findings import time_findings
from polyvae.trajectory.topology import bond_length_ratio
from polyvae.units import Units


@runtime_checkable
class FrameWatcher(Protocol):
    """Sees every good frame of an inspection, in order."""

    def begin_simulation(self) -> None:
        """The next frame belongs to another simulation."""

    def add(self, positions: Positions, frames: Int[np.ndarray, " frames"]) -> None:
        """Frames without NaN, whole across the box where `load` makes them whole; `frames` are their numbers."""


@dataclass(frozen=True, kw_only=True)
class TrajectoryReport:
    """What a trajectory holds.

    Frames are numbered among the chosen ones, after start, stop and stride, from 0; at most 100 are listed. Findings
    name the file and the frame in it as well.

    Attributes:
        source: the files.
        n_frames: frames after start, stop and stride.
        n_file_frames: frames in the files.
        n_atoms: chosen atoms.
        dims: 2 or 3.
        n_chains: chains of the topology, or None without one.
        n_residues: residues of the topology, or None without one.
        segments: lengths of the joined simulations.
        units: names of the units.
        time_step: median time between frames, or None.
        uniform_times: whether all times within simulations are equally far apart, or None.
        stretches: lengths of the stretches of frames that are equally far apart in time; the first 100.
        box: "none", "cubic", "orthorhombic" or "triclinic".
        box_lengths: mean lengths of the box vectors, or None.
        nan_frames: frames that hold NaN or infinity.
        n_nan_frames: how many there are.
        unreadable_frames: frames that cannot be decoded, or lack the box that others have.
        n_unreadable_frames: how many there are.
        n_bonds: number of bonds.
        bond_source: where they come from, see `Trajectory`.
        bond_range: smallest, median (of a sample) and largest bond length, or None.
        distorted_frames: frames in which a bond is far longer or shorter than usual.
        n_distorted_frames: how many there are.
        broken_frames: number of frames in which the box splits a molecule.
        first_broken_frame: the first of them, or None.
        length_ratio: bond lengths over what the elements allow, about 1 if positions are in nm; None if unknown.
        missing_frames: frames of the file that are missing, as gaps in time show.
        backward_frames: number of frames that are earlier than the one before.
        duplicate_frames: number of frames equal to an earlier one.
        coincident_frames: number of frames in which two atoms lie on the same point.
        collinear_frames: number of frames in which all atoms lie on a line.
        memory_mb: memory of the loaded positions, MB.
        file_mb: size of the files, MB.
        findings: what to know or to mend: errors, then warnings, then notes.
    """

    source: str
    n_frames: int
    n_file_frames: int
    n_atoms: int
    dims: int
    n_chains: int | None
    n_residues: int | None
    segments: tuple[int, ...]
    units: Units
    time_step: float | None
    uniform_times: bool | None
    stretches: tuple[int, ...]
    box: str
    box_lengths: tuple[float, ...] | None
    nan_frames: tuple[int, ...]
    n_nan_frames: int
    unreadable_frames: tuple[int, ...]
    n_unreadable_frames: int
    n_bonds: int
    bond_source: str
    bond_range: tuple[float, float, float] | None
    distorted_frames: tuple[int, ...]
    n_distorted_frames: int
    broken_frames: int
    first_broken_frame: int | None
    length_ratio: float | None
    missing_frames: int
    backward_frames: int
    duplicate_frames: int
    coincident_frames: int
    collinear_frames: int
    memory_mb: float
    file_mb: float
    findings: tuple[Finding, ...]


def inspect_frames(
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
    watchers: Sequence[FrameWatcher] = (),
) -> tuple[TrajectoryReport, Inspected]:
    """What the files hold and what is wrong with them, and what findings of others are written with.

    Arguments are those of `load`; `watchers` see the good frames.

    Raises:
        InputError: only where no frame can be read at all: missing file, wrong topology, empty selection.
    """
    asked = {
        "top": top,
        "atoms": atoms,
        "start": start,
        "stop": stop,
        "stride": stride,
        "time_step": time_step,
        "units": units,
        "bonds": bonds,
        "whole": whole,
        "scale": scale,
        "chunk": chunk,
        "on_bad_frame": on_bad_frame,
    }
    with warnings.catch_warnings():
        # What opening warns of is among the findings.
        warnings.simplefilter("ignore", PolyvaeWarning)
        opened = open_source(source, strict=False, **{**asked, "on_bad_frame": "stop"})
    checks, ratio = FrameChecks(opened.bonds), None
    # As the frames are in the files; watchers see them whole.
    bare = replace(opened, imaging=None, atoms=opened.read)
    for span, first, raw in _quietly(bare.readable_chunks(chunk)):
        if first == 0 and span is not opened.spans[0]:
            checks.begin_simulation()
            for watcher in watchers:
                watcher.begin_simulation()
        if raw is None:
            checks.add_unreadable()
            continue
        finite = np.isfinite(raw.positions).all(axis=(1, 2))
        broken = _broken(opened, raw, finite)
        chosen = (
            raw if opened.imaging is None else replace(raw, positions=opened.imaging.sliced(raw.positions))
        )
        frames = checks.done + np.flatnonzero(finite)
        checks.add(chosen, finite, broken)
        if len(frames):
            ratio = (
                bond_length_ratio(chosen.positions[finite][0], opened.topology) if ratio is None else ratio
            )
            good = _whole(opened, raw, chosen, finite, broken) if watchers else chosen.positions
            for watcher in watchers:
                watcher.add(good, frames)
    inspected = Inspected(
        opened=opened,
        checks=checks,
        times=checks.times.report(stride),
        duplicates=checks.duplicates.found(),
        distorted=checks.bond_outliers.frames(),
        ratio=ratio,
        damaged=tuple(
            file for file in opened.files if file.damage and (stop is None or stop > file.n_frames)
        ),
        remedies=Remedies(files=_names(source), asked=_written(asked)),
        keeps_split=whole == "no",
        skips_bad=on_bad_frame == "skip",
    )
    return _report(inspected), inspected


def _quietly(chunks: Iterator[Any]) -> Iterator[Any]:
    """The same, without what C libraries say on standard error about damaged frames."""
    while True:
        with quiet_stderr():
            chunk = next(chunks, None)
        if chunk is None:
            return
        yield chunk


def _broken(opened: TrajectorySource, raw: RawFrames, finite: np.ndarray) -> np.ndarray:
    """Frames in which the box splits a molecule."""
    broken = np.zeros(len(raw), bool)
    bonds = opened.bonds if opened.imaging is None else opened.imaging.bonds
    if raw.box is not None and bonds is not None and finite.any():
        broken[finite] = broken_bonds(raw.positions[finite], raw.box[finite], bonds)
    return broken


def _whole(
    opened: TrajectorySource, raw: RawFrames, chosen: RawFrames, finite: np.ndarray, broken: np.ndarray
) -> Positions:
    """The good frames as `load` gives them."""
    imaging = opened.imaging
    if imaging is None or raw.box is None or (imaging.tree.n_molecules == 1 and not broken.any()):
        return chosen.positions if finite.all() else chosen.positions[finite]
    return imaging.apply(raw.positions[finite], raw.box[finite])


def _report(inspected: Inspected) -> TrajectoryReport:
    opened, checks, times = inspected.opened, inspected.checks, inspected.times
    kind, lengths = checks.box_shape()
    topology = opened.topology
    return TrajectoryReport(
        source=opened.source,
        n_frames=opened.n_frames,
        n_file_frames=sum(file.n_frames for file in opened.files),
        n_atoms=opened.n_atoms,
        dims=opened.dims,
        n_chains=None if topology is None else topology.n_chains,
        n_residues=None if topology is None else topology.n_residues,
        segments=opened.segments,
        units=opened.units,
        time_step=times.step,
        uniform_times=times.uniform,
        stretches=times.stretches,
        box=kind,
        box_lengths=lengths,
        nan_frames=tuple(checks.nan_frames[:LISTED]),
        n_nan_frames=len(checks.nan_frames),
        unreadable_frames=tuple(checks.unreadable[:LISTED]),
        n_unreadable_frames=len(checks.unreadable),
        n_bonds=0 if opened.bonds is None else len(opened.bonds),
        bond_source=opened.bond_source,
        bond_range=checks.bond_range(),
        distorted_frames=tuple(inspected.distorted[:LISTED]),
        n_distorted_frames=len(inspected.distorted),
        broken_frames=len(checks.broken_frames),
        first_broken_frame=checks.broken_frames[0] if checks.broken_frames else None,
        length_ratio=inspected.ratio,
        missing_frames=sum(missing for _, missing in times.gaps),
        backward_frames=len(times.backward),
        duplicate_frames=len(inspected.duplicates),
        coincident_frames=len(checks.coincident),
        collinear_frames=len(checks.collinear),
        memory_mb=opened.n_frames * opened.n_atoms * opened.dims * 4 / 1e6,
        file_mb=sum(Path(path).stat().st_size for path in opened.paths) / 1e6,
        findings=sorted_findings(
            [
                damage_findings(inspected),
                geometry_findings(inspected),
                bond_findings(inspected),
                time_findings(inspected),
                duplicate_findings(inspected),
            ]
        ),
    )


def _names(source: Any) -> tuple[str, ...] | None:
    """The files as the user named them."""
    if isinstance(source, str | os.PathLike):
        return (os.fspath(source),)
    if isinstance(source, Sequence) and all(isinstance(item, str | os.PathLike) for item in source):
        return tuple(os.fspath(item) for item in source)
    return None


_DEFAULTS = {
    "start": 0,
    "stride": 1,
    "scale": 1.0,
    "whole": "auto",
    "on_bad_frame": "stop",
    "chunk": DEFAULT_CHUNK,
}


def _written(asked: dict[str, Any]) -> dict[str, Any] | None:
    """What was asked for beyond the defaults as a command line has it; None where it cannot."""
    written = {}
    for name, value in asked.items():
        plain = value.name if isinstance(value, Units) else value
        plain = os.fspath(plain) if isinstance(plain, os.PathLike) else plain
        if plain is not None and not isinstance(plain, str | int | float):
            return None
        if plain is not None and plain != _DEFAULTS.get(name):
            written[name] = plain
    return written
