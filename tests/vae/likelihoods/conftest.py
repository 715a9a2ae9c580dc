"""Internal representations of small molecules, for the likelihoods of internal coordinates."""

import numpy as np
import pytest

from polyvae.features import InternalCoordinates, bond_tree, fit_cartesian, fit_internal
from polyvae.preprocessing import align, fit_alignment


def make_internal(positions: np.ndarray, bonds) -> InternalCoordinates:
    """The representation fitted to these frames."""
    positions = positions.astype(np.float32)
    alignment = fit_alignment(positions, method="procrustes")[0]
    canonical = np.asarray(align(alignment, positions))
    return fit_internal(
        bond_tree(np.asarray(bonds), positions.shape[1], positions=positions),
        fit_cartesian(alignment, lambda: [canonical]),
        np.asarray(alignment.reference),
        lambda: [canonical],
    )


def make_frames(n_frames: int, parents, dims: int, *, bend: float = 0.25, seed: int = 0) -> np.ndarray:
    """Bonds of about 1, each in a direction of its own that scatters; atom i + 1 hangs on `parents[i]`."""
    rng = np.random.default_rng(seed)
    directions = rng.normal(size=(len(parents), dims))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    directions = directions + bend * rng.normal(size=(n_frames, len(parents), dims))
    positions = np.zeros((n_frames, len(parents) + 1, dims))
    for step, parent in enumerate(parents):
        length = 1.0 + 0.08 * rng.normal(size=(n_frames, 1))
        unit = directions[:, step] / np.linalg.norm(directions[:, step], axis=1, keepdims=True)
        positions[:, step + 1] = positions[:, parent] + length * unit
    return positions


@pytest.fixture(scope="session")
def internal_of():
    """Makes a representation and its frames, from the parents of all atoms but the first."""

    def make(parents, dims, **settings):
        frames = make_frames(300, parents, dims, **settings)
        return make_internal(frames, [(step + 1, parent) for step, parent in enumerate(parents)]), frames

    return make


@pytest.fixture(scope="session")
def internal_fitted_to():
    """Makes a representation from frames and bonds."""
    return make_internal
