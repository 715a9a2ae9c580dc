"""A small chain in two dimensions and one short fit to it, shared by the tests of this room."""

import sys

import numpy as np
import pytest

from polyvae.training import Diagnosis, FitResult, TrainConfig, fit, fit_vae
from polyvae.trajectory import Trajectory
from polyvae.vae import ModelConfig

N_ATOMS = 5


def make_chain(n_frames: int, *, segments: tuple[int, ...] = (), seed: int = 0) -> Trajectory:
    """Beads on bonds of about unit length whose angles wander slowly, turning and drifting as a whole."""
    rng = np.random.default_rng(seed)
    angles = np.zeros((n_frames, N_ATOMS - 1))
    angles[0] = rng.normal(size=N_ATOMS - 1)
    for frame in range(1, n_frames):
        angles[frame] = 0.8 * angles[frame - 1] + 0.6 * rng.normal(size=N_ATOMS - 1)
    directions = np.cumsum(0.7 * angles, axis=1) + np.cumsum(0.3 * rng.normal(size=(n_frames, 1)), axis=0)
    lengths = 1.0 + 0.05 * rng.normal(size=angles.shape)
    bonds = lengths[:, :, None] * np.stack([np.cos(directions), np.sin(directions)], axis=2)
    positions = np.concatenate([np.zeros((n_frames, 1, 2)), np.cumsum(bonds, axis=1)], axis=1)
    return Trajectory(
        positions=(positions + 0.1 * np.cumsum(rng.normal(size=(n_frames, 1, 2)), axis=0)).astype(np.float32),
        bonds=np.stack([np.arange(N_ATOMS - 1), np.arange(1, N_ATOMS)], axis=1),
        segments=segments,
    )


@pytest.fixture(scope="session")
def chain() -> Trajectory:
    return make_chain(800)


@pytest.fixture(scope="session")
def model_config() -> ModelConfig:
    return ModelConfig(latent_dim=2, hidden=(16,))


@pytest.fixture(scope="session")
def train_config() -> TrainConfig:
    return TrainConfig(epochs=6, batch_size=32, learning_rate=5e-3, kl_warmup=2, patience=None)


@pytest.fixture(scope="session")
def short_fit(chain, model_config, train_config) -> FitResult:
    return fit(chain, model_config, train_config, seed=4)


@pytest.fixture
def no_diagnosis(monkeypatch) -> None:
    """Fits without their diagnosis, which compiles for seconds and has tests of its own."""
    # By module: the package's attributes of these names are the functions.
    for module in (sys.modules[fit.__module__], sys.modules[fit_vae.__module__]):
        monkeypatch.setattr(module, "diagnose", lambda *arguments, **settings: object.__new__(Diagnosis))
