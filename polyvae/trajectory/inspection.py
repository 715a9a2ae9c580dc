"""What a trajectory holds and what is wrong with it, found in one pass with one chunk in memory.

Unlike `load`, an inspection does not stop at NaN, at a truncated end or at lengths in a wrong unit: each
becomes a `Finding` that says what to do.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from polyvae.trajectory.frame_checks import FrameChecks
from polyvae.trajectory.loading import open_source
from polyvae.trajectory.source import DEFAULT_CHUNK, TrajectorySource
from polyvae.trajectory.topology import MISFIT, bond_length_ratio
from polyvae.units import Units


@dataclass(frozen=True, kw_only=True)
class Finding:
    """Something to know or to mend: what it is, and the argument or flag that mends it."""

    what: str
    remedy: str


@dataclass(frozen=True, kw_only=True)
class TrajectoryReport:
    """What a trajectory holds.

    Attributes:
        source: the files.
        n_frames: frames after start, stop and stride.
        n_atoms: chosen atoms.
        dims: 2 or 3.
        n_chains: chains of the topology, or None without one.
        n_residues: residues of the topology, or None without one.
        segments: lengths of the joined simulations.
        units: names of the units.
        time_step: median time between frames, or None.
        uniform_times: whether all times within segments are equally far apart, or None.
        box: "none", "cubic", "orthorhombic" or "triclinic".
        box_lengths: mean lengths of the box vectors, or None.
        nan_frames: frames that hold NaN or infinity, counted in the chosen frames from 0; at most 100 are
            listed.
        n_nan_frames: how many there are.
        unreadable_frames: frames that cannot be decoded, or lack the box that others have, counted and listed alike.
        n_unreadable_frames: how many there are.
        n_bonds: number of bonds.
        bond_source: where they come from, see `Trajectory`.
        bond_range: smallest, median (of a sample) and largest bond length, or None.
        broken_frames: frames in which the box splits a molecule.
        first_broken_frame: the first of them, or None.
        length_ratio: bond lengths over what the elements allow, about 1 if positions are in nm; None if
            unknown.
        duplicate_frames: frames equal to the one before.
        coincident_frames: frames in which two atoms lie on the same point.
        collinear_frames: frames in which all atoms lie on a line.
        memory_mb: memory of the loaded positions, MB.
        file_mb: size of the files, MB.
        findings: what to know or to mend.
    """

    source: str
    n_frames: int
    n_atoms: int
    dims: int
    n_chains: int | None
    n_residues: int | None
    segments: tuple[int, ...]
    units: Units
    time_step: float | None
    uniform_times: bool | None
    box: str
    box_lengths: tuple[float, ...] | None
    nan_frames: tuple[int, ...]
    n_nan_frames: int
    unreadable_frames: tuple[int, ...]
    n_unreadable_frames: int
    n_bonds: int
    bond_source: str
    bond_range: tuple[float, float, float] | None
    broken_frames: int
    first_broken_frame: int | None
    length_ratio: float | None
    duplicate_frames: int
    coincident_frames: int
    collinear_frames: int
    memory_mb: float
    file_mb: float
    findings: tuple[Finding, ...]


def inspect_trajectory(
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
    scale: float = 1.0,
    chunk: int = DEFAULT_CHUNK,
) -> TrajectoryReport:
    """What the trajectory holds and what is wrong with it; arguments as in `load`.

    Raises:
        InputError: only where no frame can be read at all: missing file, wrong topology, empty selection.
    """
    opened, damages = open_source(
        source,
        top=top,
        atoms=atoms,
        start=start,
        stop=stop,
        stride=stride,
        time_step=time_step,
        units=units,
        bonds=bonds,
        whole="no",
        scale=scale,
        chunk=chunk,
        on_bad_frame="stop",
        strict=False,
    )
    checks = FrameChecks(opened.bonds)
    ratio = None
    for span, first, raw in opened.readable_chunks(chunk):
        if first == 0 and span is not opened.spans[0]:
            checks.begin_simulation()
        if raw is None:
            checks.add_unreadable()
            continue
        checks.add(raw)
        if ratio is None:
            finite = np.flatnonzero(np.isfinite(raw.positions).all(axis=(1, 2)))
            if len(finite):
                ratio = bond_length_ratio(raw.positions[finite[0]], opened.topology)
    kind, lengths = checks.box_shape()
    time_between, uniform = checks.time_step()
    topology = opened.topology
    return TrajectoryReport(
        source=opened.source,
        n_frames=opened.n_frames,
        n_atoms=opened.n_atoms,
        dims=opened.dims,
        n_chains=None if topology is None else topology.n_chains,
        n_residues=None if topology is None else topology.n_residues,
        segments=opened.segments,
        units=opened.units,
        time_step=time_between,
        uniform_times=uniform,
        box=kind,
        box_lengths=lengths,
        nan_frames=tuple(checks.nan_frames[:100]),
        n_nan_frames=len(checks.nan_frames),
        unreadable_frames=tuple(checks.unreadable[:100]),
        n_unreadable_frames=len(checks.unreadable),
        n_bonds=0 if opened.bonds is None else len(opened.bonds),
        bond_source=opened.bond_source,
        bond_range=checks.bond_range(),
        broken_frames=len(checks.broken_frames),
        first_broken_frame=checks.broken_frames[0] if checks.broken_frames else None,
        length_ratio=ratio,
        duplicate_frames=checks.duplicates,
        coincident_frames=checks.coincident,
        collinear_frames=checks.collinear,
        memory_mb=opened.n_frames * opened.n_atoms * opened.dims * 4 / 1e6,
        file_mb=sum(Path(path).stat().st_size for path in opened.paths) / 1e6,
        findings=tuple(_findings(opened, checks, ratio, uniform, damages)),
    )


def _findings(
    opened: TrajectorySource,
    checks: FrameChecks,
    ratio: float | None,
    uniform: bool | None,
    damages: tuple[str, ...],
) -> list[Finding]:
    found = [
        Finding(
            what=f"truncated: {damage}",
            remedy="copy the file again, or read what is whole with `stop` (--stop), counted in frames of the file",
        )
        for damage in damages
    ]
    add = lambda what, remedy: found.append(Finding(what=what, remedy=remedy))  # noqa: E731
    if checks.nan_frames:
        first = checks.nan_frames[0]
        add(
            f"{len(checks.nan_frames)} frames hold NaN or infinity, first at {first}",
            (
                f"cut them away: stop={opened.spans[0].frames[first]} (--stop)"
                if len(opened.spans) == 1
                else "cut them away with start and stop (--start, --stop), file by file"
            )
            + ', or leave them out: on_bad_frame="skip" (--on-bad-frame skip)',
        )
    if checks.unreadable:
        add(
            f"{len(checks.unreadable)} frames cannot be read, first {checks.unreadable[0]}",
            'leave them out: on_bad_frame="skip" (--on-bad-frame skip)',
        )
    if ratio is not None and 8 <= ratio <= 12:
        add(f"bonds are {ratio:.3g} times too long: positions look like Å, not nm", "scale=0.1 (--scale 0.1)")
    elif ratio is not None and 1 / 12 <= ratio <= 1 / 8:
        add(f"bonds are {1 / ratio:.3g} times too short for nm", "scale=10 (--scale 10)")
    elif ratio is not None and ratio > MISFIT:
        add(
            f"bonds are {ratio:.3g} times their usual length: the topology's atoms are in another order",
            "give the topology that the trajectory was written with (--top)",
        )
    if checks.broken_frames:
        add(
            f"the box splits molecules in {len(checks.broken_frames)} frames, first in "
            f"{checks.broken_frames[0]}",
            'load repairs them: whole="auto" (--whole auto, the default)',
        )
    if opened.bond_source == "sequence":
        add(
            "no bonds are known; consecutive atoms of a chain are taken as bonded",
            "give a topology with bonds (--top), or bonds=... as atom pairs",
        )
    if opened.bond_source == "distances":
        add(
            "the topology lacks bonds or does not fit; they were taken from distances in the first frame",
            "give a topology with bonds (--top), or bonds=... as atom pairs",
        )
    if checks.has_all_boxes and not opened.has_box:
        add("the 2 nm box is the placeholder of a system without one and is ignored", "nothing to do")
    if uniform is False:
        add(
            "times are not equally spaced within a simulation",
            "time_step (--time-step), or load the parts apart",
        )
    if not opened.has_times and opened.time_step is None:
        add("the frames carry no time", "time_step (--time-step) in ps, where times matter")
    if checks.duplicates:
        add(
            f"{checks.duplicates} frames equal the one before",
            "stride (--stride), or leave out the restart's overlap",
        )
    if checks.coincident:
        add(f"two atoms coincide in {checks.coincident} frames", "leave these atoms out: atoms (--atoms)")
    if checks.collinear and opened.n_atoms > 2:
        add(
            f"all atoms lie on a line in {checks.collinear} frames",
            "alignment cannot tell their rotation; choose more atoms (--atoms)",
        )
    if opened.n_frames == 1:
        add("there is only one frame", "a model cannot be trained on it")
    if opened.n_atoms < 3:
        add(f"there are only {opened.n_atoms} atoms", "choose more atoms (--atoms)")
    return found
