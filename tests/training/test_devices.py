"""Several devices share each batch, and the loss is that of one."""

import json
import os
import subprocess
import sys

import jax
import numpy as np
import pytest

from polyvae.errors import InputError
from polyvae.training import TrainConfig, fit, fit_ensemble
from polyvae.trajectory import Trajectory
from polyvae.vae import ModelConfig

_SCRIPT = """
import json, sys
import jax, numpy as np
from polyvae.training import TrainConfig, fit
from polyvae.trajectory import Trajectory
from polyvae.vae import ModelConfig

assert len(jax.devices()) == 4
rng = np.random.default_rng(0)
positions = rng.normal(size=(900, 5, 3)).astype(np.float32).cumsum(axis=0) * 0.02 + np.arange(15.0).reshape(5, 3) ** 1.5
frames = Trajectory(positions=positions.astype(np.float32), weights=rng.uniform(0.5, 1.5, 900))
found = {}
for name, devices, settings in (
    ("plain", 1, {}),
    ("plain", 4, {}),
    ("file", 4, {"memory": 1000, "store": sys.argv[1]}),
    ("correlation", 1, {}),
    ("correlation", 2, {}),
):
    result = fit(
        frames,
        ModelConfig(hidden=(32,), decoder_scale="analytic" if name == "correlation" else "learned"),
        TrainConfig(
            epochs=4, batch_size=64, kl_warmup=1, devices=devices,
            total_correlation=0.5 if name == "correlation" else 0.0,
        ),
        **settings,
    )
    leaves = [leaf for leaf in jax.tree.leaves(result.model) if isinstance(leaf, jax.Array)]
    found[f"{name} {devices}"] = {
        "curve": result.history.train_bound.tolist(),
        "validation": result.history.validation_bound.tolist(),
        "placed": max(len(leaf.sharding.device_set) for leaf in leaves),
        "means": np.asarray(result.model.encode(frames.positions[:50]).mean).tolist(),
    }
print(json.dumps(found))
"""


@pytest.fixture(scope="module")
def curves(tmp_path_factory):
    """Fits in a process of four devices: JAX counts devices once, when it starts."""
    environment = os.environ | {
        "XLA_FLAGS": os.environ.get("XLA_FLAGS", "") + " --xla_force_host_platform_device_count=4",
        "JAX_PLATFORMS": "cpu",
    }
    output = subprocess.run(
        [sys.executable, "-c", _SCRIPT, str(tmp_path_factory.mktemp("store"))],
        env=environment,
        capture_output=True,
        text=True,
    )
    assert output.returncode == 0, output.stderr[-3000:]
    return json.loads(output.stdout.splitlines()[-1])


@pytest.mark.parametrize(
    ("one", "many"), [("plain 1", "plain 4"), ("plain 1", "file 4"), ("correlation 1", "correlation 2")]
)
def test_the_loss_curve_is_that_of_one_device_to_rounding(curves, one, many):
    for name in ("curve", "validation"):
        np.testing.assert_allclose(curves[many][name], curves[one][name], rtol=2e-4)
    np.testing.assert_allclose(curves[many]["means"], curves[one]["means"], atol=5e-3)


def test_vectors_from_a_file_give_the_same_bits_on_the_same_devices(curves):
    assert curves["file 4"]["curve"] == curves["plain 4"]["curve"]


def test_a_trained_model_lies_on_one_device(curves):
    assert {found["placed"] for found in curves.values()} == {1}


def test_more_devices_than_there_are_is_refused():
    frames = Trajectory(positions=np.random.default_rng(0).normal(size=(200, 4, 3)).astype(np.float32))
    n_devices = len(jax.devices())
    config = TrainConfig(epochs=1, batch_size=4 * (n_devices + 1), devices=n_devices + 1)
    with pytest.raises(InputError, match=rf"`devices`={n_devices + 1}, but JAX has {n_devices}"):
        fit(frames, ModelConfig(hidden=(8,)), config)


def test_batches_that_cannot_be_shared_are_refused():
    with pytest.raises(InputError, match="`batch_size` must be a multiple of `devices`; got 10 and 4"):
        TrainConfig(batch_size=10, devices=4)
    frames = Trajectory(positions=np.random.default_rng(0).normal(size=(40, 4, 3)).astype(np.float32))
    with pytest.raises(InputError, match="leave no frame for each of `devices`=64"):
        fit(frames, ModelConfig(hidden=(8,)), TrainConfig(epochs=1, batch_size=64, devices=64))
    with pytest.raises(InputError, match="is for one model"):
        fit_ensemble(
            frames, ModelConfig(hidden=(8,)), TrainConfig(epochs=1, batch_size=4, devices=2), seeds=(0, 1)
        )
