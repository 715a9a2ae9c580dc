"""Processes whose slow modes are known exactly."""

import numpy as np
import pytest
from scipy.signal import lfilter


def autoregressive(rng: np.random.Generator, n_frames: int, memory: float) -> np.ndarray:
    """x(t + 1) = memory x(t) + noise, variance one; the eigenvalue at lag k is memory ** k."""
    noise = np.sqrt(1 - memory**2) * rng.normal(size=n_frames)
    noise[0] = rng.normal()
    return lfilter([1.0], [1.0, -memory], noise)


def two_states(rng: np.random.Generator, n_frames: int, leave: float, back: float) -> np.ndarray:
    """A Markov chain of two states, started in equilibrium; its eigenvalue is 1 - leave - back."""
    uniform = rng.random(n_frames)
    states = np.empty(n_frames, int)
    states[0] = uniform[0] < leave / (leave + back)
    for frame in range(1, n_frames):
        moves = uniform[frame] < (leave, back)[states[frame - 1]]
        states[frame] = states[frame - 1] ^ moves
    return states


@pytest.fixture(scope="session")
def slow_and_fast() -> np.ndarray:
    """Two independent autoregressive processes, eigenvalues 0.95 and 0.5 a frame, mixed by a matrix and moved off."""
    rng = np.random.default_rng(11)
    clean = np.stack([autoregressive(rng, 20_000, memory) for memory in (0.95, 0.5)], axis=1)
    return clean @ np.array([[1.0, 0.4], [-0.7, 2.0]]) + np.array([5.0, -3.0])
