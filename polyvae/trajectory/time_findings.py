"""What is wrong with the times of frames, in the words of findings."""

from collections.abc import Iterator, Sequence

from polyvae.trajectory.file_findings import Inspected
from polyvae.trajectory.finding import Finding, counted

_LAGS = "lag times, gaps of the split and kinetics count frames as if they were evenly spaced"


def time_findings(inspected: Inspected) -> Iterator[Finding]:
    """Missing and repeated frames, times that go backwards, other time steps, no times at all."""
    opened, times, unit = inspected.opened, inspected.times, inspected.opened.units.time
    if not opened.has_times and opened.time_step is None:
        yield inspected.finding(
            "no-times",
            "note",
            "the frames carry no time",
            f"where times matter give the time between the frames of the file in {unit} (here 1, as an example)",
            {"time_step": 1.0},
        )
    if times.step is None:
        return
    gaps, backward, changes = (
        [frame for frame, _ in kind] for kind in (times.gaps, times.backward, times.changes)
    )
    options, longest = inspected.stretch(
        (), sorted({*gaps, *backward, *changes, *times.repeated, *times.uneven})
    )

    def found(code: str, what: str, remedy: str, frames: Sequence[int]) -> Finding:
        return inspected.finding(code, "warning", what, remedy, options, frames)

    if times.gaps:
        missing = sum(missing for _, missing in times.gaps)
        yield found(
            "missing-frames",
            f"{counted(missing, 'frame')} of the file missing, before {counted(len(gaps), 'frame')}: {_LAGS}",
            longest,
            gaps,
        )
    if times.backward:
        again = sum(round(distance / times.step) + 1 for _, distance in times.backward if times.step > 0)
        yield found(
            "time-goes-backwards",
            f"time goes backwards {'once' if len(backward) == 1 else f'{len(backward)} times'}: a restart or "
            f"another run was appended, and about {counted(again, 'time')} {'occurs' if again == 1 else 'occur'} twice",
            f"{longest}; or split the file there and name both parts: nothing crosses a join",
            backward,
        )
    elif times.step < 0:
        yield found(
            "time-goes-backwards",
            f"time goes backwards by {-times.step:g} {unit} a frame throughout",
            "write the frames in order, or replace the times by time_step (--time-step)",
            (),
        )
    if times.repeated:
        yield found(
            "repeated-times",
            f"{inspected.share(times.repeated)} with the time of the one before: a restart wrote it again",
            longest,
            times.repeated,
        )
    if times.changes:
        steps = ", ".join(f"{step:g}" for _, step in times.changes[:4])
        yield found(
            "time-step-changes",
            f"the time step is {times.step:g} {unit}, but {steps} {unit} from the frames listed on: {_LAGS}",
            longest,
            changes,
        )
    if times.uneven:
        yield found(
            "uneven-times",
            f"{inspected.share(times.uneven)} at an uneven distance in time from the one before: {_LAGS}",
            f"{longest}; or, if the times are wrong, replace them by time_step (--time-step)",
            times.uneven,
        )
