import numpy as np
import pytest

from polyvae.training import autocorrelation_time, shape_series
from polyvae.training.shape_series import ShapeSeries

BODY = np.array([[0.0, 0, 0], [1, 0.2, 0], [2, 0, 0.3], [3.5, 0.4, 0.1]])


def breathing(rng, n_frames, memory):
    """Shapes that grow and shrink as an AR(1) process, whose autocorrelation time is (1 + memory) / (1 - memory)."""
    size, sizes = 0.0, []
    for noise in rng.normal(size=n_frames):
        size = memory * size + np.sqrt(1 - memory**2) * noise
        sizes.append(size)
    return (BODY * (1 + 0.02 * np.array(sizes)[:, None, None])).astype(np.float32)


def series_of(positions, frames=None, chunk=500, joins=()):
    series = ShapeSeries()
    frames = np.arange(len(positions)) if frames is None else frames
    for start in range(0, len(positions), chunk):
        if start in joins:
            series.begin_simulation()
        series.add(positions[start : start + chunk], frames[start : start + chunk])
    return series


@pytest.mark.parametrize("memory", [0.0, 0.5, 0.9])
def test_the_time_is_that_of_an_autoregressive_process(rng, memory):
    positions = breathing(rng, 40_000, memory)
    report = series_of(positions).report(0.5)
    expected = (1 + memory) / (1 - memory)
    # Relative error sqrt(2 (2 * 5 + 1) / n) times the square root of the time (Sokal): 5 % at 19 frames.
    assert report.autocorrelation_time == pytest.approx(expected, rel=0.15)
    assert report.autocorrelation_times["radius of gyration"] == pytest.approx(expected, rel=0.15)
    assert report.effective_frames == pytest.approx(40_000 / report.autocorrelation_time)
    assert report.autocorrelation_ps == pytest.approx(0.5 * report.autocorrelation_time)
    assert report.autocorrelation_error == pytest.approx(
        expected * np.sqrt(2 * (10 * expected + 1) / 40_000), rel=0.3
    )
    assert report.is_resolved
    assert (report.used_frames, report.stride) == (40_000, 1)


def test_the_slowest_motion_counts_even_where_it_is_not_the_size(rng):
    # The ends move apart and back slowly while the size is noise.
    positions = breathing(rng, 6000, 0.0)
    slow = breathing(rng, 6000, 0.95)[:, 1, 0] - 1
    positions[:, 1, 1] += 20 * slow
    report = series_of(positions).report(None)
    assert report.autocorrelation_time > 15
    assert report.autocorrelation_times["distance of first and last atom"] < 3
    assert report.slowest.startswith("distance component")
    assert report.autocorrelation_ps is None


def test_no_lag_crosses_a_join_or_a_frame_that_is_left_out(rng):
    positions = breathing(rng, 3000, 0.9)
    assert series_of(positions).segments() == (3000,)
    assert series_of(positions, joins=(1000, 1500)).segments() == (1000, 500, 1500)
    kept = np.delete(np.arange(3000), [0, 700, 1500])
    assert series_of(positions[kept], frames=kept).segments() == (699, 799, 1499)


def test_memory_is_bounded_and_thinning_shows(monkeypatch):
    rng = np.random.default_rng(1)
    monkeypatch.setattr(shape_series, "_MOST_FRAMES", 2000)
    monkeypatch.setattr(shape_series, "_IN_A_ROW", 1500)
    positions = breathing(rng, 40_000, 0.98)
    slow = series_of(positions)
    assert slow._kept <= 2000
    report = slow.report(1.0)
    assert (report.stride, report.used_frames) == (32, 1250)
    # Some three strides are enough to be resolved.
    expected = autocorrelation_time(positions[:, 3, :1].astype(float))
    assert report.autocorrelation_time == pytest.approx(expected, rel=0.1)
    fast = series_of(breathing(rng, 40_000, 0.5)).report(1.0)
    assert (fast.stride, fast.used_frames) == (1, 1500)
    assert fast.autocorrelation_time == pytest.approx(3, rel=0.3)
    assert fast.effective_frames == pytest.approx(40_000 / fast.autocorrelation_time)


def test_a_drift_is_not_resolved():
    positions = (BODY * (1 + np.linspace(0, 0.5, 200)[:, None, None])).astype(np.float32)
    report = series_of(positions).report(None)
    assert not report.is_resolved
    assert report.effective_frames < 10
    assert report.most_effective_frames == pytest.approx(2 * report.effective_frames)


def test_frozen_frames_and_single_atoms_have_a_time_of_one_frame():
    for positions in (np.repeat(BODY[None], 50, axis=0), np.zeros((50, 1, 3))):
        report = series_of(positions.astype(np.float32)).report(None)
        assert report.autocorrelation_time == 1.0
    assert ShapeSeries().report(None) is None
