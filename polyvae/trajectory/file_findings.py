"""What is wrong with trajectory files, in the words of findings: each with the frames and the remedy."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from polyvae.trajectory.finding import (
    Finding,
    Remedies,
    Severity,
    clean_stretch,
    counted,
    in_order,
    places,
)
from polyvae.trajectory.frame_checks import FrameChecks
from polyvae.trajectory.raw import FrameFile
from polyvae.trajectory.source import TrajectorySource
from polyvae.trajectory.time_checks import TimeReport
from polyvae.trajectory.topology import MISFIT
from polyvae.trajectory.wanted_frames import kind_of_damage


@dataclass(frozen=True, kw_only=True)
class Inspected:
    """An inspection before it is put into words.

    Attributes:
        opened: the frames that were looked at.
        checks: what each of them showed.
        times: what their times showed.
        duplicates: frames that equal an earlier one, and that one.
        distorted: frames with a distorted bond.
        ratio: bond lengths over what the elements allow, or None.
        damaged: files that are damaged within the wanted frames.
        remedies: writes arguments and commands.
        keeps_split: whether molecules are to be left as the box has split them.
        skips_bad: whether bad frames are to be left out.
    """

    opened: TrajectorySource
    checks: FrameChecks
    times: TimeReport
    duplicates: Sequence[tuple[int, int]]
    distorted: Sequence[int]
    ratio: float | None
    damaged: tuple[FrameFile, ...]
    remedies: Remedies
    keeps_split: bool
    skips_bad: bool

    def finding(
        self,
        code: str,
        severity: Severity,
        what: str,
        remedy: str,
        options: Mapping[str, Any] | None = None,
        frames: Sequence[int] = (),
        *,
        owner: str = "",
    ) -> Finding:
        """A finding about frames with these numbers; `options` and `owner` as for `Remedies.finding`."""
        listed = places(self.opened.spans, frames)
        return self.remedies.finding(code, severity, what, remedy, options, listed, len(frames), owner=owner)

    @property
    def has_wrong_units(self) -> bool:
        """Whether bonds are about ten times too long or too short."""
        return self.ratio is not None and (8 <= self.ratio <= 12 or 1 / 12 <= self.ratio <= 1 / 8)

    def share(self, frames: Sequence[int]) -> str:
        """How many of the chosen frames these are."""
        return f"{len(frames)} of {counted(self.opened.n_frames, 'frame')}"

    def stretch(self, bad: Sequence[int], cuts: Sequence[int] = ()) -> tuple[dict[str, int] | None, str]:
        """Options that take the longest stretch without these frames or cuts, and the words for them."""
        stretch = clean_stretch(self.opened.spans, bad, cuts)
        if stretch is None:
            return None, "take the frames on either side as files of their own"
        return stretch, f"take the longest stretch without: {self.remedies.argument(stretch)}"


def damage_findings(inspected: Inspected) -> Iterator[Finding]:
    """Ends that are cut off, frames with NaN, frames that cannot be read."""
    opened, checks = inspected.opened, inspected.checks
    end = min((file.n_frames for file in inspected.damaged), default=0)
    for file in inspected.damaged:
        kind = kind_of_damage(str(file.damage))
        yield inspected.finding(
            kind,
            "error",
            f"{kind}: {file.name}: {file.damage}",
            f"copy the file again, or read what is whole: stop={end}",
            {"stop": end},
        )
    for file in opened.files:
        if file.announced is not None and file.announced > file.n_frames and not file.damage:
            yield inspected.finding(
                "fewer-frames-than-announced",
                "warning",
                f"{file.name}: the header announces {counted(file.announced, 'frame')}, the file holds "
                f"{file.n_frames}",
                "the run or a copy was interrupted: copy the file again, or use the frames that are there",
                {},
            )
    stretch = clean_stretch(opened.spans, sorted({*checks.nan_frames, *checks.unreadable}))
    for code, frames, what in (
        ("nan-frames", checks.nan_frames, "NaN or infinity in {}"),
        ("unreadable-frames", checks.unreadable, "{} cannot be read"),
    ):
        if not frames:
            continue
        what = what.format(inspected.share(frames))
        if inspected.skips_bad:
            words = "nothing: they are left out, since that was asked for"
            yield inspected.finding(code, "note", what, words, {}, frames)
            continue
        words = "leave them out, which cuts the simulation in two there"
        if stretch:
            words += f"; or take the longest stretch without: {inspected.remedies.argument(stretch)}"
        yield inspected.finding(code, "error", what, words, {"on_bad_frame": "skip"}, frames)


def geometry_findings(inspected: Inspected) -> Iterator[Finding]:
    """Wrong units, atoms in another order, damaged positions, atoms on one point or on a line, water."""
    opened, checks, ratio = inspected.opened, inspected.checks, inspected.ratio
    if ratio is not None and inspected.has_wrong_units:
        factor = 0.1 if ratio > 1 else 10
        yield inspected.finding(
            "wrong-units",
            "error",
            f"bonds are {ratio:.3g} times too long: positions look like Å, not nm"
            if ratio > 1
            else f"bonds are {1 / ratio:.3g} times too short for nm",
            "convert the positions",
            {"scale": float(f"{opened.scale * factor:.6g}")},
        )
    elif ratio is not None and ratio > MISFIT:
        yield inspected.finding(
            "topology-mismatch",
            "warning",
            f"bonds are {ratio:.3g} times their usual length: the topology's atoms are in another order",
            "give the topology that the trajectory was written with (--top)",
        )
    if inspected.distorted:
        options, words = inspected.stretch(inspected.distorted)
        yield inspected.finding(
            "distorted-bonds",
            "warning" if opened.bond_source == "sequence" else "error",
            f"a bond is far longer or shorter than usual in {inspected.share(inspected.distorted)}: damaged data, or a "
            "molecule that is split while no box says so",
            f"write or copy the file again, or {words}",
            options,
            inspected.distorted,
        )
    coincident = sorted({*checks.coincident} - {*inspected.distorted})
    if coincident and checks.coincident_pair is not None:
        numbers = sorted(int(i if opened.atoms is None else opened.atoms[i]) for i in checks.coincident_pair)
        options, words = inspected.stretch(coincident)
        if 2 * len(coincident) > opened.n_frames:
            without = narrowed_selection(opened, f"not index {numbers[1]}")
            options = None if without is None else {"atoms": without}
            words = "leave one of them out (--atoms)"
        yield inspected.finding(
            "coincident-atoms",
            "warning",
            f"two atoms lie on one point in {inspected.share(coincident)}, such as atoms {numbers[0]} and {numbers[1]}",
            words,
            options,
            coincident,
        )
    if checks.collinear and opened.n_atoms > 2:
        options, words = inspected.stretch(checks.collinear)
        yield inspected.finding(
            "collinear-frames",
            "warning",
            f"all atoms lie on a line in {inspected.share(checks.collinear)}: "
            "alignment cannot tell their turn about it",
            f"choose more atoms (--atoms), or {words}",
            options,
            checks.collinear,
        )
    water = _water(opened)
    if water:
        yield inspected.finding(
            "solvent",
            "warning",
            f"{water} of {opened.n_atoms} atoms are water: a model would learn where the water is",
            "take the solute only",
            {"atoms": narrowed_selection(opened, "not water")},
        )
    if opened.n_atoms < 3:
        yield inspected.finding(
            "too-few-atoms",
            "error",
            f"there {'is' if opened.n_atoms == 1 else 'are'} only {counted(opened.n_atoms, 'atom')}",
            "choose more atoms (--atoms)",
        )


def bond_findings(inspected: Inspected) -> Iterator[Finding]:
    """Where bonds come from, and molecules that the box splits."""
    opened, checks = inspected.opened, inspected.checks
    has_bonds = opened.bonds is not None and len(opened.bonds) > 0
    if opened.has_box and not has_bonds and not inspected.keeps_split and opened.n_atoms > 1:
        yield inspected.finding(
            "box-without-bonds",
            "error",
            "there is a periodic box, but no bonds to tell whether it splits a molecule",
            "give a topology with bonds (--top), or take the frames as they are",
            {"whole": "no"},
        )
    if checks.broken_frames:
        yield inspected.finding(
            "split-molecules",
            "warning" if inspected.keeps_split else "note",
            f"the box splits a molecule in {inspected.share(checks.broken_frames)}",
            "put them together" if inspected.keeps_split else "nothing: they are put together by default",
            {"whole": "auto"},
            checks.broken_frames,
        )
    # Bonds that were looked for in a wrong unit say nothing.
    if (
        opened.bond_source == "sequence"
        and not inspected.remedies.asks("bonds")
        and not inspected.has_wrong_units
    ):
        yield inspected.finding(
            "assumed-bonds",
            "note",
            "no bonds are known; consecutive atoms of a chain are taken as bonded",
            "give a topology with bonds (--top), or bonds=... as atom pairs; or say that it is a chain",
            {"bonds": "sequence"},
        )
    if opened.bond_source == "distances" and not inspected.has_wrong_units:
        yield inspected.finding(
            "searched-bonds",
            "note",
            "the topology lacks bonds or does not fit; they were taken from distances in the first frame",
            "give a topology with bonds (--top), or bonds=... as atom pairs",
        )
    if checks.has_all_boxes and not opened.has_box:
        yield inspected.finding(
            "placeholder-box",
            "note",
            "the 2 nm box is the placeholder of a system without one and is ignored",
            "nothing",
            {},
        )


def duplicate_findings(inspected: Inspected) -> Iterator[Finding]:
    """Frames that equal an earlier one."""
    if not inspected.duplicates:
        return
    later = [frame for frame, _ in inspected.duplicates]
    twins = [places(inspected.opened.spans, [frame])[0] for frame in inspected.duplicates[0]]
    several = twins[0].file != twins[1].file
    first, second = (f"{twin.frame}{f' of {twin.file}' if several else ''}" for twin in twins)
    options, words = _without_duplicates(inspected, later)
    yield inspected.finding(
        "duplicate-frames",
        "warning",
        f"{inspected.share(later)} {'equals' if len(later) == 1 else 'equal'} an earlier one, "
        f"such as frames {first} and {second}: "
        "copies on both sides of the split make held-out figures too good",
        words,
        options,
        later,
    )


def _without_duplicates(inspected: Inspected, later: list[int]) -> tuple[dict[str, Any] | None, str]:
    """The options that leave copies out, and the words for them."""
    opened = inspected.opened
    repeats = round(opened.n_frames / (opened.n_frames - len(later)))
    kept = np.setdiff1d(np.arange(opened.n_frames), later)
    if repeats > 1 and np.all(np.diff(kept) == repeats):
        return {"stride": opened.spans[0].stride * repeats}, f"take one of {repeats}"
    begins = np.cumsum([0, *opened.segments[:-1]])[1:]
    if len(opened.files) > 1 and set(later) <= set(begins.tolist()):
        words = "files begin with the last frame of the one before: leave out their first frames"
        return {"start": opened.spans[0].start + 1}, words
    if len(opened.files) > 1:
        return None, "name each file once, and leave the overlap out of one of them"
    return inspected.stretch(later)


def narrowed_selection(opened: TrajectorySource, words: str) -> str | None:
    """The atoms chosen so far that these words choose as well; None where words cannot say so."""
    if opened.topology is None or (opened.selection is None and opened.atoms is not None):
        return None
    return words if opened.selection is None else f"({opened.selection}) and {words}"


def _water(opened: TrajectorySource) -> int:
    """Number of water atoms, where there are others and a selection can leave them out."""
    if opened.topology is None or narrowed_selection(opened, "not water") is None:
        return 0
    water = sum(atom.residue.is_water for atom in opened.topology.atoms)
    return water if water < opened.n_atoms else 0


def sorted_findings(findings: Sequence[Iterator[Finding]]) -> tuple[Finding, ...]:
    """All findings, errors first."""
    return in_order([finding for some in findings for finding in some])
