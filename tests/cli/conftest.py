"""One small system, and one finished run of it, for all commands."""

from pathlib import Path

import numpy as np
import pytest

from polyvae.cli import main


def chain(n_frames: int = 200, n_beads: int = 4, dims: int = 2) -> np.ndarray:
    """Frames of a stiff chain whose bonds have lengths near one."""
    rng = np.random.default_rng(3)
    steps = rng.normal(size=(n_frames, n_beads, dims)) * 0.3
    steps[..., 0] += 1.0
    return np.cumsum(steps, axis=1).astype(np.float32)


@pytest.fixture(scope="session")
def data(tmp_path_factory) -> Path:
    """A chain in reduced units, in a file with a space and letters beyond ASCII in its path."""
    folder = tmp_path_factory.mktemp("dätä 1")
    positions = chain()
    np.savez(
        folder / "chäin 1.npz",
        positions=positions,
        times=5.0 * np.arange(len(positions)),
        bonds=np.array([[0, 1], [1, 2], [2, 3]]),
        units="reduced",
    )
    return folder / "chäin 1.npz"


@pytest.fixture(scope="session")
def small() -> list[str]:
    """Flags of a run that takes a moment."""
    return [
        *("--hidden", "8", "--epochs", "3", "--batch-size", "64", "--kl-warmup", "1"),
        *("--samples", "4", "--generated", "60", "--starts", "4"),
    ]


@pytest.fixture(scope="session")
def finished(data, small, tmp_path_factory) -> Path:
    """The folder of a finished run."""
    folder = tmp_path_factory.mktemp("runs") / "rün 1"
    assert main(["run", str(data), "-o", str(folder), *small, "--quiet"]) == 0
    return folder
