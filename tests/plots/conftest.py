"""Small result records, made by hand, and figures closed after every test."""

import matplotlib.pyplot as plt
import numpy as np
import pytest

from polyvae.analysis import (
    DistanceMarginals,
    LatentTrajectory,
    OptimizedConformations,
    ReconstructionReport,
)
from polyvae.training import History
from polyvae.units import MOLECULAR, REDUCED


@pytest.fixture(autouse=True)
def _closed_figures():
    yield
    plt.close("all")


@pytest.fixture
def make_history():
    def make(epochs: int = 30, latent: int = 2) -> History:
        steps = np.arange(1, epochs + 1, dtype=np.float64)
        likelihood = -20.0 - 500.0 * np.exp(-steps)
        validation = likelihood - 0.01 * (steps - 10) ** 2
        kl = np.ones((epochs, latent)) * np.linspace(0.1, 1.0, latent)
        return History(
            train_log_likelihood=likelihood,
            train_kl=kl,
            validation_log_likelihood=validation,
            validation_kl=kl,
            train_bound=likelihood - kl.sum(axis=1),
            validation_bound=validation - kl.sum(axis=1),
            sigma=1.0 / steps,
            beta=np.ones(epochs),
        )

    return make


@pytest.fixture
def make_latent(rng):
    def make(
        frames=500, latent=2, *, times=True, segments=None, units=MOLECULAR, weights=None
    ) -> LatentTrajectory:
        mean = rng.normal(size=(frames, latent)) * np.linspace(0.5, 1.0, latent)
        return LatentTrajectory(
            mean=mean,
            scale=np.full_like(mean, 0.1),
            times=np.arange(frames, dtype=np.float64) if times else None,
            segments=segments or (frames,),
            units=units,
            source="test",
            weights=weights,
        )

    return make


@pytest.fixture
def make_marginals():
    def make(atoms: int = 5, *, pairs: np.ndarray | None = None, unit: str = "nm") -> DistanceMarginals:
        pairs = np.stack(np.triu_indices(atoms, 1), axis=1) if pairs is None else pairs
        n, bins = len(pairs), 8
        return DistanceMarginals(
            pairs=pairs,
            edges=np.tile(np.linspace(0.0, 1.0, bins + 1), (n, 1)),
            reference_density=np.ones((n, bins)),
            ensemble_density=np.tile(np.linspace(0.5, 1.5, bins), (n, 1)),
            spread=np.ones(n),
            w1=np.linspace(0.2, 0.1, n),
            js=np.full(n, 0.01),
            floor_w1=np.linspace(0.01, 0.02, n),
            floor_js=np.full(n, 0.001),
            unit=unit,
        )

    return make


@pytest.fixture
def make_report(rng):
    def make(frames: int = 100, unit: str = "nm") -> ReconstructionReport:
        draw = lambda mean: np.abs(rng.normal(mean, 0.1 * mean, frames))  # noqa: E731
        return ReconstructionReport(
            rmsd=draw(0.1),
            pca_rmsd=draw(0.2),
            mean_rmsd=draw(0.3),
            train_rmsd=draw(0.1),
            pca_explained=0.7,
            unit=unit,
        )

    return make


@pytest.fixture
def make_optimized(rng):
    def make(valid: int = 3, *, dims: int = 2, atoms: int = 6, starts: int = 4) -> OptimizedConformations:
        steps = 11
        trace = 2.0 - 0.1 * np.tile(np.arange(steps), (starts, 1)) + 0.01 * np.arange(starts)[:, None]
        violation = np.ones((starts, steps))
        violation[:valid, 4:] = 0.0
        return OptimizedConformations(
            positions=rng.normal(size=(valid, atoms, dims)).astype(np.float32),
            latent=np.zeros((valid, 2)),
            radius_of_gyration=trace[:valid, -1],
            start=np.arange(valid),
            n_starts=starts,
            trace=trace,
            violation_trace=violation,
            data_minimum=1.2,
            trajectory=None,
            unit=REDUCED.length,
        )

    return make


def chain(atoms: int) -> np.ndarray:
    return np.stack([np.arange(atoms - 1), np.arange(1, atoms)], axis=1)


@pytest.fixture
def make_chain():
    return chain
