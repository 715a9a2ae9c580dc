"""The autocorrelation time behind the split, against the one a process is made with."""

import numpy as np
import pytest
from scipy.signal import lfilter

from polyvae.training import correlation_time
from polyvae.trajectory import Trajectory


def walks(time: float, segments: tuple[int, ...], seed: int = 0) -> Trajectory:
    """Two beads whose distance is an autoregressive process of an integrated autocorrelation time 1 + 2ρ/(1 - ρ)."""
    rho = (time - 1) / (time + 1)
    rng = np.random.default_rng(seed)
    parts = [lfilter([1.0], [1.0, -rho], rng.normal(size=length + 5000))[5000:] for length in segments]
    positions = np.zeros((sum(segments), 2, 3), np.float32)
    positions[:, 1, 0] = 20.0 + np.concatenate(parts) * np.sqrt(1 - rho**2)
    return Trajectory(positions=positions, segments=segments)


@pytest.mark.parametrize("time", [2.0, 8.0, 30.0, 300.0])
@pytest.mark.parametrize("segments", [(400_000,), (150_000, 50_000, 200_000)])
def test_some_frames_of_a_long_trajectory_tell_its_time(monkeypatch, time, segments):
    monkeypatch.setattr(correlation_time, "_CORRELATED_FRAMES", 40_000)
    trajectory = walks(time, segments)
    seen = []
    shapes = correlation_time._shapes

    def watched(positions):
        seen.append(len(positions))
        return shapes(positions)

    monkeypatch.setattr(correlation_time, "_shapes", watched)
    assert correlation_time.correlation_time(trajectory) == pytest.approx(time, rel=0.2)
    assert sum(seen) <= 80_010


def test_a_short_trajectory_is_looked_at_as_a_whole(monkeypatch):
    trajectory = walks(10.0, (30_000,))
    whole = correlation_time.correlation_time(trajectory)
    monkeypatch.setattr(correlation_time, "_CORRELATED_FRAMES", 30_000)
    assert correlation_time.correlation_time(trajectory) == whole
    assert whole == pytest.approx(10.0, rel=0.2)
