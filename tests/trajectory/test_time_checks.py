import numpy as np
import pytest

from polyvae.trajectory import inspect_frames, load
from polyvae.trajectory.time_checks import TimeChecks

STEP = 2.0


def report_of(times, rng, **options):
    positions = rng.normal(size=(len(times), 4, 3))
    trajectory = load(positions, bonds="sequence").replace(times=np.asarray(times, float))
    return inspect_frames(trajectory, **options)[0]


def timed(report):
    names = {
        "missing-frames",
        "time-goes-backwards",
        "repeated-times",
        "time-step-changes",
        "uneven-times",
        "no-times",
    }
    return [finding for finding in report.findings if finding.code in names]


def frames_of(finding):
    return [place.frame for place in finding.frames]


def test_even_times_are_fine(rng):
    report = report_of(1000 + STEP * np.arange(50), rng, chunk=7)
    assert (report.time_step, report.uniform_times, report.stretches, timed(report)) == (
        STEP,
        True,
        (50,),
        [],
    )


def test_missing_frames_are_counted_at_their_gaps(rng):
    times = np.delete(STEP * np.arange(60), [10, 11, 12, 40])
    report = report_of(times, rng, chunk=6)
    assert (report.missing_frames, report.uniform_times, report.stretches) == (4, False, (10, 27, 19))
    (found,) = timed(report)
    assert (found.code, found.severity, frames_of(found)) == ("missing-frames", "warning", [10, 37])
    assert "4 frames of the file missing, before 2 frames" in found.what
    assert found.options == {"start": 10, "stop": 37}
    assert timed(report_of(times, rng, **found.options)) == []


def test_missing_frames_are_those_of_the_file_under_a_stride(rng):
    times = np.delete(STEP * np.arange(120), [31, 32])
    (found,) = timed(report_of(times, rng, stride=5))
    assert "2 frames of the file missing, before 1 frame" in found.what
    assert frames_of(found) == [35]


def test_a_restart_shows_where_time_goes_back_and_how_much_is_there_twice(rng):
    times = STEP * np.concatenate([np.arange(30), np.arange(25, 60)])
    report = report_of(times, rng, chunk=11)
    assert report.backward_frames == 1
    (found,) = timed(report)
    assert (found.code, frames_of(found)) == ("time-goes-backwards", [30])
    assert "goes backwards once" in found.what
    assert "about 5 times occur twice" in found.what
    assert found.options == {"start": 30}
    assert timed(report_of(times, rng, **found.options)) == []


def test_a_trajectory_in_reverse_is_noticed(rng):
    report = report_of(STEP * np.arange(20)[::-1], rng)
    (found,) = timed(report)
    assert (found.code, report.time_step) == ("time-goes-backwards", -STEP)
    assert "by 2 ps a frame throughout" in found.what


def test_a_frame_with_the_time_of_the_one_before_is_a_repeat(rng):
    (found,) = timed(report_of(STEP * np.sort([*range(40), 12]), rng))
    assert (found.code, frames_of(found)) == ("repeated-times", [13])


def test_another_time_step_is_not_a_row_of_gaps(rng):
    times = np.concatenate([np.arange(40.0), 39 + 5.0 * np.arange(1, 21)])
    (found,) = timed(report_of(times, rng, chunk=13))
    assert (found.code, frames_of(found)) == ("time-step-changes", [40])
    assert "is 1 ps, but 5 ps from" in found.what
    assert found.options == {"stop": 40}


def test_uneven_times_are_named(rng):
    times = STEP * np.arange(30)
    times[9] += 0.7
    (found,) = timed(report_of(times, rng))
    assert (found.code, frames_of(found)) == ("uneven-times", [9, 10])
    assert timed(report_of(times, rng, time_step=STEP)) == []


def test_joins_are_no_gaps(rng):
    trajectory = load(rng.normal(size=(40, 4, 3)), bonds="sequence")
    times = STEP * np.concatenate([np.arange(15), 100 + np.arange(25)])
    report = inspect_frames(trajectory.replace(times=times, segments=(15, 25)), chunk=6)[0]
    assert (report.uniform_times, report.stretches, timed(report)) == (True, (15, 25), [])


@pytest.mark.parametrize("step", [0.002, 0.1, 20.0])
def test_single_precision_is_no_unevenness(rng, step):
    times = (step * np.arange(2000)).astype(np.float32).astype(float)
    checks = TimeChecks()
    for start in range(0, 2000, 300):
        checks.add(times[start : start + 300], len(times[start : start + 300]))
    report = checks.report()
    assert report.uniform
    assert report.step == pytest.approx(step, rel=1e-3)


def test_what_is_kept_does_not_grow_with_even_frames():
    checks = TimeChecks()
    for start in range(0, 100_000, 1000):
        checks.add(np.arange(start, start + 1000.0), 1000)
    assert len(checks._runs) == 1
    assert checks.report().step == 1.0


def test_a_frame_that_cannot_be_read_is_no_gap():
    checks = TimeChecks()
    checks.add(np.arange(5.0), 5)
    checks.skip()
    checks.add(np.arange(6.0, 12.0), 6)
    assert (checks.report().uniform, checks.report().gaps) == (True, ())
