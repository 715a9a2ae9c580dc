"""Models of the bundled systems before training, and frames that lie far apart: one in every basin."""

from functools import cache
from pathlib import Path

import equinox as eqx
import numpy as np
import pytest

import polyvae as pv
from polyvae.training.preparation import prepare

HERE = Path(__file__).resolve().parent

SETTINGS = {
    "alanine": ("alanine_dipeptide.xtc", {}),
    "alanine tanh": ("alanine_dipeptide.xtc", {"activation": "tanh"}),
    "alanine internal": ("alanine_dipeptide.xtc", {"representation": "internal"}),
    "alanine masses": (
        "alanine_dipeptide.xtc",
        {"alignment": "kabsch", "mass_weighted": True, "activation": "elu", "scaling": "per-feature"},
    ),
    "polymer 2d": ("polymer_2d.npz", {"activation": "relu"}),
    "polymer 3d": ("polymer_3d.npz", {"activation": "silu", "posterior": "full"}),
    "polymer 2d internal": ("polymer_2d.npz", {"representation": "internal"}),
    "axes": (
        "polymer_3d.npz",
        {"alignment": "principal_axes", "network": "residual", "layer_norm": True, "activation": "silu"},
    ),
    "axes 2d": ("polymer_2d.npz", {"alignment": "principal_axes"}),
    "rotation": ("polymer_3d.npz", {"likelihood": "rotation"}),
    "rotation 2d": ("polymer_2d.npz", {"likelihood": "rotation"}),
    "centered": ("polymer_3d.npz", {"alignment": "center", "activation": "elu"}),
    "as it is": ("polymer_3d.npz", {"alignment": "none", "activation": "tanh"}),
}


@cache
def _trajectory(name: str) -> pv.Trajectory:
    if name.startswith("alanine"):
        top = pv.bundled("alanine_dipeptide.pdb")
        return pv.load(pv.bundled(name), top=top, atoms="element != H", stride=40)
    return pv.load(pv.bundled(name), stride=40)


@cache
def _model(kind: str) -> pv.ConformationModel:
    name, settings = SETTINGS[kind]
    config = pv.ModelConfig(hidden=(7, 7), **settings).resolved()
    prepared = prepare(_trajectory(name), config, pv.TrainConfig(), 0, None)
    return eqx.tree_at(lambda model: model.vae, prepared.model, prepared.untrained(config, 0))


def apart(positions: np.ndarray, count: int) -> np.ndarray:
    """Frames of which each is the one whose pair distances differ most from those of the frames before it."""
    first, second = np.triu_indices(positions.shape[1], 1)
    shapes = np.linalg.norm(positions[:, first] - positions[:, second], axis=2)
    chosen, nearest = [0], np.linalg.norm(shapes - shapes[0], axis=1)
    while len(chosen) < count:
        chosen.append(int(nearest.argmax()))
        nearest = np.minimum(nearest, np.linalg.norm(shapes - shapes[chosen[-1]], axis=1))
    return positions[chosen].astype(np.float64)


@pytest.fixture(scope="session")
def model_of():
    """The model of a name in `SETTINGS`."""
    return _model


@pytest.fixture(scope="session")
def frames_of():
    """Eight frames that lie far apart, of the system of a name in `SETTINGS`."""
    return lambda kind: apart(_trajectory(SETTINGS[kind][0]).positions, 8)


@pytest.fixture
def turned(rng):
    """Frames to the same, each turned and moved by a motion of its own."""

    def move(positions: np.ndarray) -> np.ndarray:
        dims = positions.shape[2]
        rotations = np.linalg.qr(rng.normal(size=(len(positions), dims, dims)))[0]
        rotations[:, :, 0] *= np.linalg.det(rotations)[:, None]
        return positions @ rotations + 3.0 * rng.normal(size=(len(positions), 1, dims))

    return move


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items):
    """All kinds of models but two belong to the slow scientific checks."""
    for item in items:
        if item.path.parent != HERE:
            continue
        parameters = item.callspec.params if hasattr(item, "callspec") else {}
        if (
            parameters.get("kind", "alanine") not in ("alanine", "polymer 2d")
            or parameters.get("case") == "heavy"
        ):
            item.add_marker(pytest.mark.science)
