"""What a trajectory holds, what is wrong with it, and whether there is enough of it to train on.

The files are inspected by `polyvae.trajectory`; watchers look at the same chunks for principal axes and for the
autocorrelation of the shape. All of it is one pass with one chunk in memory.
"""

from collections.abc import Iterator
from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from polyvae.errors import InputError
from polyvae.preprocessing.axis_watch import AxisWatch
from polyvae.training.config import TrainConfig
from polyvae.training.run_memory import run_memory_mb
from polyvae.training.shape_series import SamplingReport, ShapeSeries
from polyvae.training.splitting import Split, blocked_split
from polyvae.trajectory import Finding, TrajectoryReport, inspect_frames
from polyvae.trajectory.file_findings import Inspected, narrowed_selection
from polyvae.trajectory.finding import FEWEST, LISTED, combined_options, counted, in_order
from polyvae.trajectory.source import DEFAULT_CHUNK
from polyvae.units import Units

FEWEST_INDEPENDENT = 100
"""Independent frames below which held-out figures, a tenth of the data each, say little."""
_SMALLER = ("backbone", "name CA", "element != H")
"""Selections that have fewer atoms, to be tried where there are too many coordinates."""


@dataclass(frozen=True, kw_only=True)
class InspectionReport(TrajectoryReport):
    """What a trajectory holds, and whether it is enough: the record of the files with what watchers saw.

    Attributes:
        degenerate_frames: frames in which two principal moments nearly coincide; at most 100 are listed.
        n_degenerate_frames: how many there are.
        flipped_frames: frames whose principal axes are those of the frame before in another order or direction.
        n_flipped_frames: how many there are.
        n_coordinates: coordinates of a frame that are left when its place and its turn do not count.
        sampling: autocorrelation time and effective number of frames; None without a good frame.
        run_memory_mb: estimate of the peak memory of `polyvae run`, MB.
        command: `polyvae run` with the remedies of all errors and warnings; None where there is no file.
    """

    degenerate_frames: tuple[int, ...]
    n_degenerate_frames: int
    flipped_frames: tuple[int, ...]
    n_flipped_frames: int
    n_coordinates: int
    sampling: SamplingReport | None
    run_memory_mb: float
    command: str | None

    def count(self, severity: str) -> int:
        """Number of findings of this severity."""
        return sum(finding.severity == severity for finding in self.findings)


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
    whole: str = "auto",
    scale: float = 1.0,
    chunk: int = DEFAULT_CHUNK,
    on_bad_frame: str = "stop",
) -> InspectionReport:
    """What the trajectory holds, what is wrong with it, and whether it is enough to train on; arguments as in `load`.

    `whole` and `on_bad_frame` change no frame that is looked at; they say what `load` would be told, so that what it
    would mend is a note.

    Raises:
        InputError: only where no frame can be read at all: missing file, wrong topology, empty selection.
    """
    axes, series = AxisWatch(), ShapeSeries()
    report, inspected = inspect_frames(
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
        watchers=(axes, series),
    )
    sampling = series.report(report.time_step)
    dims = report.dims
    n_coordinates = max(0, dims * report.n_atoms - dims * (dims + 1) // 2)
    findings = in_order(
        [
            *report.findings,
            *_amount_findings(inspected, series.n_frames, sampling, n_coordinates),
            *_axis_findings(inspected, axes),
        ]
    )
    known = {field.name: getattr(report, field.name) for field in fields(report)}
    return InspectionReport(
        **{**known, "findings": findings},
        degenerate_frames=tuple(axes.degenerate[:LISTED]),
        n_degenerate_frames=len(axes.degenerate),
        flipped_frames=tuple(axes.flips[:LISTED]),
        n_flipped_frames=len(axes.flips),
        n_coordinates=n_coordinates,
        sampling=sampling,
        run_memory_mb=run_memory_mb(report.n_frames, report.n_atoms, dims),
        command=inspected.remedies.command(combined_options(findings)),
    )


def _amount_findings(
    inspected: Inspected, n_frames: int, sampling: SamplingReport | None, n_coordinates: int
) -> Iterator[Finding]:
    """Too few frames, too few independent ones, too many coordinates, blocks too short for their gap."""
    if n_frames < FEWEST or sampling is None:
        stride = inspected.opened.spans[0].stride
        yield inspected.finding(
            "too-few-frames",
            "error",
            f"{'there is' if n_frames == 1 else 'there are'} only {counted(n_frames, 'good frame')}: training needs "
            f"{FEWEST}, to hold some out",
            "take every frame" if stride > 1 else "simulate longer, or name more files of the same system",
            {"stride": 1} if stride > 1 else None,
        )
        return
    independent = sampling.most_effective_frames
    about = f"about {sampling.effective_frames:.3g} independent frames"
    about += "" if sampling.is_resolved else " or fewer"
    if independent < FEWEST_INDEPENDENT:
        yield inspected.finding(
            "few-independent-frames",
            "warning",
            f"{counted(n_frames, 'frame')} are worth {about}: held-out figures come from a tenth of them, and below "
            f"{FEWEST_INDEPENDENT} they are chance",
            "simulate longer, or name more files of the same system; meanwhile train a smaller network",
            {"hidden": (64, 64)},
            owner="ModelConfig",
        )
    if independent < n_coordinates:
        atoms = _fewer_atoms(inspected, independent)
        yield inspected.finding(
            "more-coordinates-than-frames",
            "warning",
            f"{n_coordinates} coordinates, but {about}: correlations among the coordinates cannot be told from chance",
            "choose fewer atoms" if atoms else "choose fewer atoms (--atoms), or simulate longer",
            None if atoms is None else {"atoms": atoms},
        )
    gap = int(np.ceil(sampling.autocorrelation_time))
    split = _split(inspected, sampling, TrainConfig().blocks)
    if split is None or split.gap * sampling.most_effective_frames < n_frames:
        blocks = _blocks_with_room(inspected, sampling, gap)
        yield inspected.finding(
            "gap-cut-short",
            "warning",
            f"blocks of the split have no room for a gap of the autocorrelation time, {counted(gap, 'frame')}: "
            "held-out frames resemble training frames",
            "simulate longer, or name more files"
            if blocks is None
            else f"cut the frames into {blocks} longer blocks",
            None if blocks is None else {"blocks": blocks},
            owner="TrainConfig",
        )


def _split(inspected: Inspected, sampling: SamplingReport, blocks: int) -> Split | None:
    """The split that training would make; None where a part would be empty."""
    config = TrainConfig()
    try:
        return blocked_split(
            inspected.opened.segments,
            validation_fraction=config.validation_fraction,
            test_fraction=config.test_fraction,
            blocks=blocks,
            gap=int(np.ceil(sampling.autocorrelation_time)),
            correlation_time=sampling.autocorrelation_time,
            seed=0,
        )
    except InputError:
        return None


def _blocks_with_room(inspected: Inspected, sampling: SamplingReport, gap: int) -> int | None:
    """The most blocks between which the whole gap has room; None if fewer than four."""
    for blocks in range(TrainConfig().blocks - 1, 3, -1):
        split = _split(inspected, sampling, blocks)
        if split is not None and split.gap >= gap:
            return blocks
    return None


def _fewer_atoms(inspected: Inspected, n_independent: float) -> str | None:
    """A selection of fewer atoms, the largest with no more coordinates than independent frames, or the smallest."""
    opened = inspected.opened
    if opened.topology is None:
        return None
    sizes = {words: len(opened.topology.select(words)) for words in _SMALLER}
    sizes = {words: size for words, size in sizes.items() if 3 <= size < opened.n_atoms}
    if not sizes:
        return None
    fitting = {words: size for words, size in sizes.items() if 3 * size - 6 <= n_independent}
    words = (
        max(fitting, key=lambda name: fitting[name]) if fitting else min(sizes, key=lambda name: sizes[name])
    )
    return narrowed_selection(opened, words)


def _axis_findings(inspected: Inspected, axes: AxisWatch) -> Iterator[Finding]:
    """Principal axes that are undetermined, or jump."""
    for code, frames, what in (
        (
            "degenerate-axes",
            axes.degenerate,
            "two principal moments nearly coincide in {}: their axes turn freely",
        ),
        ("axis-flips", axes.flips, "principal axes flip or swap in {} from the one before"),
    ):
        if frames:
            yield inspected.finding(
                code,
                "note",
                what.format(inspected.share(frames)),
                "nothing to do: the default alignment does not use principal axes; do not choose them",
                frames=frames,
            )
