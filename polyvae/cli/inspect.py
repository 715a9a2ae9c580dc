"""`polyvae inspect`: what trajectories hold, and what is wrong with them before anyone trains."""

import textwrap
from collections.abc import Iterator
from dataclasses import dataclass, field

import tyro

from polyvae.cli.options import TrajectoryOptions, source_of
from polyvae.cli.parsing import parse
from polyvae.cli.printing import Printing
from polyvae.training import InspectionReport, SamplingReport, inspect_trajectory
from polyvae.trajectory import Finding
from polyvae.trajectory.finding import counted, frame_list

FOUND_ERRORS = 3
"""Exit code where training would stop, or learn what is wrong."""
_WIDTH = 100


@dataclass(frozen=True, kw_only=True)
class InspectCommand:
    """What trajectories hold: frames, atoms, time step, box, chains, memory; and what is wrong with them.

    Reads the files once, a chunk at a time. Each finding comes with the frames, a remedy and, where there is one, the
    command that applies it. The exit code is 0, or 3 if there is an error: training would stop, or learn what is wrong.

    Attributes:
        trajectories: trajectory files of one system.
        printing: what is printed.
        trajectory: how trajectories are read. `whole` and `on_bad_frame` do not change what is looked at; what they
            would mend becomes a note.
    """

    trajectories: tyro.conf.Positional[tuple[str, ...]] = ()
    printing: tyro.conf.OmitArgPrefixes[Printing] = field(default_factory=Printing)
    trajectory: tyro.conf.OmitArgPrefixes[TrajectoryOptions] = field(default_factory=TrajectoryOptions)


def command(words: list[str]) -> int:
    """Run `polyvae inspect`."""
    settings = parse(InspectCommand, words, verb="inspect")
    report = inspect_trajectory(source_of(settings.trajectories), **settings.trajectory.reading())
    settings.printing.answer(vars(report), "\n".join([*_table(report), "", *_findings(report)]))
    return FOUND_ERRORS if report.count("error") else 0


def _table(report: InspectionReport) -> list[str]:
    rows = list(_rows(report))
    width = max(len(name) for name, _ in rows)
    return [f"{name:<{width}}  {value}" for name, value in rows]


def _rows(report: InspectionReport) -> Iterator[tuple[str, str]]:
    length, time = report.units.length, report.units.time
    yield "source", report.source
    chosen = "" if report.n_frames == report.n_file_frames else f", chosen of {report.n_file_frames}"
    yield "frames", f"{report.n_frames}{chosen}"
    if len(report.segments) > 1:
        yield "simulations", f"{len(report.segments)}, of {_some(report.segments)} frames"
    of = ""
    if report.n_residues is not None and report.n_chains is not None:
        of = f", {counted(report.n_residues, 'residue')} in {counted(report.n_chains, 'chain')}"
    yield "atoms", f"{report.n_atoms} in {report.dims} dimensions{of}"
    yield "units", f"{report.units.name} ({length}, {time})"
    yield "time step", "no times" if report.time_step is None else f"{report.time_step:g} {time}"
    if len(report.stretches) > len(report.segments):
        yield "even times", f"{len(report.stretches)} stretches, of {_some(report.stretches)} frames"
    box = report.box
    if report.box_lengths is not None:
        box += " " + " x ".join(f"{side:.4g}" for side in report.box_lengths) + f" {length}"
    yield "box", box
    bonds = f"{report.n_bonds} ({report.bond_source})"
    if report.bond_range is not None:
        low, middle, high = report.bond_range
        bonds += f", {low:.3g} to {high:.3g} {length}, median {middle:.3g}"
    yield "bonds", bonds
    if report.sampling is not None:
        yield from _sampling_rows(report.sampling, time)
    yield "files", f"{_size(report.file_mb)}"
    yield (
        "memory",
        f"{_size(report.memory_mb)} of positions; `polyvae run` takes about {_size(report.run_memory_mb)}",
    )


def _sampling_rows(sampling: SamplingReport, time: str) -> Iterator[tuple[str, str]]:
    duration = "" if sampling.autocorrelation_ps is None else f" = {sampling.autocorrelation_ps:.3g} {time}"
    thinned = f"; from every {sampling.stride}th frame" if sampling.stride > 1 else ""
    yield (
        "autocorrelation",
        f"{sampling.autocorrelation_time:.3g} ± {sampling.autocorrelation_error:.2g} frames{duration} "
        f"({sampling.slowest}{thinned})",
    )
    at_most = "" if sampling.is_resolved else "at most "
    rounded = float(f"{sampling.effective_frames:.3g}")
    yield "independent", f"{at_most}about {rounded:.10g} frames"


def _some(numbers: tuple[int, ...]) -> str:
    return ", ".join(map(str, numbers[:8])) + (", ..." if len(numbers) > 8 else "")


def _size(megabytes: float) -> str:
    return f"{megabytes / 1000:.1f} GB" if megabytes >= 1000 else f"{megabytes:.3g} MB"


def _findings(report: InspectionReport) -> Iterator[str]:
    for finding in report.findings:
        yield from _finding(finding)
        yield ""
    counts = [(report.count(severity), severity) for severity in ("error", "warning", "note")]
    told = ", ".join(counted(number, severity) for number, severity in counts if number)
    if not report.count("error") and not report.count("warning"):
        yield "nothing to mend" + (f" ({told})" if told else "")
        return
    yield told
    if report.command is not None and any(f.options for f in report.findings if f.severity != "note"):
        yield f"all remedies at once: {report.command}"


def _finding(finding: Finding) -> Iterator[str]:
    yield from _wrapped(finding.severity, f"{finding.what} [{finding.code}]")
    if finding.frames:
        numbers = (
            f"{'frame' if finding.n_frames == 1 else 'frames'} {frame_list(finding.frames, finding.n_frames)}"
        )
        yield from _wrapped("", f"{numbers}, numbered as in the file from 0")
    yield from _wrapped("", f"remedy: {finding.remedy}")
    if finding.argument:
        yield from _wrapped("", f"Python: {finding.argument}")
    if finding.command is not None:
        # Not wrapped, so that it can be copied.
        yield f"{'':9}$ {finding.command}"


def _wrapped(head: str, text: str) -> list[str]:
    return textwrap.wrap(
        text,
        _WIDTH,
        initial_indent=f"{head:<9}",
        subsequent_indent=f"{'':9}",
        break_long_words=False,
        break_on_hyphens=False,
    )
