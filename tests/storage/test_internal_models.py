"""Files of models of internal coordinates: the same bits come back, and damaged parts are refused."""

import json

import equinox as eqx
import jax
import numpy as np
import pytest

from polyvae.analysis import log_likelihood
from polyvae.errors import InputError
from polyvae.features import InternalCoordinates
from polyvae.storage import load_model, save
from polyvae.storage.model_files import _digest
from polyvae.training import TrainConfig
from polyvae.training.preparation import prepare
from polyvae.trajectory import Trajectory
from polyvae.vae import ModelConfig

SMALL = {"latent_dim": 2, "hidden": (8,), "representation": "internal", "prior": "normal"}
CONFIGS = {
    "autoregressive": ModelConfig(**SMALL, placement_hidden=(6, 6), placement_components=2),
    "factorized": ModelConfig(**SMALL, likelihood="factorized", cartesian_weight=0.5),
}


@pytest.fixture(scope="module")
def trajectory() -> Trajectory:
    """A ring of five beads with a tail, in the plane."""
    turns = np.arange(5) * 2 * np.pi / 5
    base = np.concatenate([np.stack([np.cos(turns), np.sin(turns)], axis=1), [[2.0, 0.0], [2.5, 1.0]]])
    rng = np.random.default_rng(2)
    return Trajectory(
        positions=(base[None] + 0.08 * rng.normal(size=(60, 7, 2))).astype(np.float32),
        bonds=np.array([(0, 1), (1, 2), (2, 3), (3, 4), (4, 0), (0, 5), (5, 6)]),
    )


@pytest.fixture(scope="module", params=list(CONFIGS))
def model(request, trajectory):
    """A model as `fit` returns it, but with weights that were not trained."""
    config = CONFIGS[request.param]
    prepared = prepare(trajectory, config, TrainConfig(gap=1), 0, None)
    return eqx.tree_at(lambda tree: tree.vae, prepared.model, prepared.untrained(config, 7))


def test_the_same_bits_come_back(model, trajectory, tmp_path):
    loaded = load_model(save(model, tmp_path / "internal"))
    assert jax.tree.structure(eqx.filter(loaded, eqx.is_array)) == jax.tree.structure(
        eqx.filter(model, eqx.is_array)
    )
    for one, two in zip(jax.tree.leaves(model), jax.tree.leaves(loaded), strict=True):
        np.testing.assert_array_equal(one, two)
    assert isinstance(loaded.representation, InternalCoordinates)
    assert loaded.representation.tree == model.representation.tree
    assert len(loaded.representation.tree.ring_bonds) == 1
    positions = trajectory.positions[:5]
    np.testing.assert_array_equal(loaded.encode(positions).mean, model.encode(positions).mean)
    latent = np.random.default_rng(0).normal(size=(5, 2)).astype(np.float32)
    np.testing.assert_array_equal(loaded.decode(latent), model.decode(latent))
    key = jax.random.key(1)
    np.testing.assert_array_equal(loaded.sample(latent, key), model.sample(latent, key))
    few = trajectory[:3]
    bounds = [log_likelihood(each, few, samples=8, seed=0).per_frame for each in (model, loaded)]
    np.testing.assert_array_equal(bounds[0], bounds[1])


def damaged(model, tmp_path, change) -> str:
    """The path of a model file whose internal parts were changed, its checksum made to fit."""
    path = save(model, tmp_path / "damaged")
    content = json.loads(path.read_text())
    change(content)
    content["sha256"] = _digest(content)
    path.write_text(json.dumps(content))
    return str(path)


def without_tree(content):
    del content["internal"]["tree"]


def without_all(content):
    content["internal"] = None


def with_an_atom_less(content):
    for name in ("atoms", "parents", "siblings"):
        content["internal"]["tree"][name].pop()


def with_an_unknown_part(content):
    content["internal"]["tree"]["color"] = [1]


def as_cartesian(content):
    content["config"] = {"latent_dim": 2, "hidden": [8]}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (without_tree, "damaged.json does not describe the internal coordinates of a model: 'tree'"),
        (without_all, "the settings say representation='internal'"),
        (with_an_atom_less, "the bond tree has 6 atoms, the model 7"),
        (with_an_unknown_part, "does not describe the internal coordinates.*color"),
        (as_cartesian, "the settings say representation='cartesian'"),
    ],
)
def test_damaged_parts_are_refused(model, tmp_path, change, message):
    with pytest.raises(InputError, match=message):
        load_model(damaged(model, tmp_path, change))


def test_a_tree_with_another_number_of_rings_does_not_fit_the_arrays(model, tmp_path):
    def change(content):
        content["internal"]["tree"]["ring_bonds"] = []

    with pytest.raises(InputError, match=r"ring_mean should be .* of shape \(0,\); found .* of shape \(1,\)"):
        load_model(damaged(model, tmp_path, change))
