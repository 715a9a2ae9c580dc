"""`polyvae inspect`: what trajectories hold, and what is wrong with them."""

import json
from dataclasses import dataclass, field

import tyro

from polyvae.cli.options import TrajectoryOptions, source_of
from polyvae.cli.parsing import parse
from polyvae.storage.run_folder import plain
from polyvae.trajectory import TrajectoryReport, inspect_trajectory


@dataclass(frozen=True, kw_only=True)
class InspectCommand:
    """What trajectories hold: frames, atoms, box, units, times, bonds; and what is wrong with them.

    Attributes:
        trajectories: trajectory files of one system.
        json: print JSON instead of a table.
        debug: show the traceback of an error.
        trajectory: how trajectories are read; `whole` and `on_bad_frame` have no meaning here, frames are looked at as
            they are.
    """

    trajectories: tyro.conf.Positional[tuple[str, ...]] = ()
    json: bool = False
    debug: bool = False
    trajectory: tyro.conf.OmitArgPrefixes[TrajectoryOptions] = field(default_factory=TrajectoryOptions)


def command(words: list[str]) -> int:
    """Run `polyvae inspect`."""
    settings = parse(InspectCommand, words, verb="inspect")
    options = settings.trajectory.reading()
    del options["whole"], options["on_bad_frame"]
    report = inspect_trajectory(source_of(settings.trajectories), **options)
    print(json.dumps(plain(report), indent=1, ensure_ascii=False) if settings.json else _table(report))
    return 0


def _table(report: TrajectoryReport) -> str:
    length, time = report.units.length, report.units.time
    rows = [("source", report.source), ("frames", str(report.n_frames))]
    if len(report.segments) > 1:
        rows.append(
            ("simulations", f"{len(report.segments)}, of {', '.join(map(str, report.segments[:8]))} frames")
        )
    rows += [("atoms", str(report.n_atoms)), ("dimensions", str(report.dims))]
    if report.n_residues is not None:
        rows.append(("topology", f"{report.n_residues} residues in {report.n_chains} chains"))
    step = "none" if report.time_step is None else f"{report.time_step:g} {time} between frames"
    rows += [("units", f"{report.units.name} ({length}, {time})"), ("time", step)]
    box = report.box
    if report.box_lengths is not None:
        box += " " + " x ".join(f"{side:.4g}" for side in report.box_lengths) + f" {length}"
    bonds = f"{report.n_bonds} ({report.bond_source})"
    if report.bond_range is not None:
        low, middle, high = report.bond_range
        bonds += f", {low:.3g} to {high:.3g} {length}, median {middle:.3g}"
    rows += [("box", box), ("bonds", bonds)]
    rows.append(("frames with NaN", str(report.n_nan_frames)))
    if report.n_unreadable_frames:
        rows.append(("unreadable frames", str(report.n_unreadable_frames)))
    rows.append(("split by the box", f"{report.broken_frames} frames"))
    rows.append(("size", f"{report.memory_mb:.1f} MB in memory, {report.file_mb:.1f} MB in files"))
    width = max(len(name) for name, _ in rows)
    lines = [f"{name:<{width}}  {value}" for name, value in rows]
    lines += [f"note: {finding.what}\n      remedy: {finding.remedy}" for finding in report.findings]
    return "\n".join(lines if report.findings else [*lines, "nothing to mend"])
