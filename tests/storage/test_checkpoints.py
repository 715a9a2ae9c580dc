"""Checkpoints: training goes on to the same bits; what is damaged or from another run is refused."""

import os
import signal

import jax
import numpy as np
import pytest
import safetensors.numpy

from polyvae.errors import InputError
from polyvae.storage import Checkpoint
from polyvae.training import TrainConfig, fit
from polyvae.vae import ModelConfig

_MODEL = ModelConfig(hidden=(8,))
_TRAINING = TrainConfig(epochs=7, batch_size=16, kl_warmup=2)


@pytest.fixture(scope="module")
def positions():
    rng = np.random.default_rng(1)
    return np.cumsum(rng.normal(size=(80, 4, 2)), axis=1).astype(np.float32)


def _interrupt_after(epoch):
    def on_epoch(report):
        if report.epoch == epoch:
            os.kill(os.getpid(), signal.SIGINT)

    return on_epoch


def test_an_interrupted_fit_goes_on_to_the_same_bits(positions, tmp_path):
    whole = fit(positions, _MODEL, _TRAINING, seed=3)
    checkpoint = Checkpoint(tmp_path / "checkpoint ü.safetensors", every=100)
    first = fit(positions, _MODEL, _TRAINING, seed=3, checkpoint=checkpoint, on_epoch=_interrupt_after(3))
    assert (first.status, len(first.history)) == ("interrupted", 3)
    second = fit(positions, _MODEL, _TRAINING, seed=3, checkpoint=checkpoint, resume=True)
    assert (second.status, len(second.history), second.best_epoch) == ("finished", 7, whole.best_epoch)
    for mine, theirs in zip(jax.tree.leaves(second.model), jax.tree.leaves(whole.model), strict=True):
        np.testing.assert_array_equal(mine, theirs)
    np.testing.assert_array_equal(second.history.validation_bound, whole.history.validation_bound)


def test_resuming_without_a_file_starts_anew(positions, tmp_path):
    checkpoint = Checkpoint(tmp_path / "c.safetensors")
    assert checkpoint.load() is None
    result = fit(
        positions, _MODEL, _TRAINING, seed=3, checkpoint=checkpoint, resume=True, on_epoch=_interrupt_after(2)
    )
    assert len(result.history) == 2


@pytest.mark.parametrize(
    ("model", "training", "seed", "named"),
    [
        (ModelConfig(hidden=(9,)), _TRAINING, 3, "hidden"),
        (_MODEL, TrainConfig(epochs=8, batch_size=16, kl_warmup=2), 3, "epochs"),
        (_MODEL, _TRAINING, 4, "seed"),
    ],
)
def test_other_settings_are_refused(positions, tmp_path, model, training, seed, named):
    checkpoint = Checkpoint(tmp_path / "c.safetensors")
    fit(positions, _MODEL, _TRAINING, seed=3, checkpoint=checkpoint, on_epoch=_interrupt_after(1))
    with pytest.raises(InputError, match=f"Cannot resume: the checkpoint was made with {named}="):
        fit(positions, model, training, seed=seed, checkpoint=checkpoint, resume=True)


def test_arrays_and_metadata_round_trip(tmp_path):
    checkpoint = Checkpoint(tmp_path / "c.safetensors")
    arrays = {"a": np.arange(6, dtype=np.float32).reshape(2, 3).T, "n": np.asarray(3, np.int32)}
    checkpoint.save(arrays, {"curves": [[1.5, [0.1, float("inf")]]], "name": "ü"})
    loaded = checkpoint.load()
    assert loaded is not None
    np.testing.assert_array_equal(loaded[0]["a"], arrays["a"])
    assert (loaded[0]["n"].shape, loaded[0]["n"].dtype) == ((), np.int32)
    assert loaded[1] == {"curves": [[1.5, [0.1, float("inf")]]], "name": "ü"}
    checkpoint.remove()
    assert checkpoint.load() is None


def test_any_damaged_byte_is_refused(tmp_path):
    checkpoint = Checkpoint(tmp_path / "c.safetensors")
    checkpoint.save({"a": np.zeros(4, np.float32)}, {"curves": [1.0]})
    good = (tmp_path / "c.safetensors").read_bytes()
    for place in range(len(good)):
        data = bytearray(good)
        data[place] ^= 1
        (tmp_path / "c.safetensors").write_bytes(data)
        try:
            arrays, metadata = checkpoint.load()
        except InputError:
            continue
        # Padding of the header carries nothing.
        assert metadata == {"curves": [1.0]}
        np.testing.assert_array_equal(arrays["a"], np.zeros(4, np.float32))
    (tmp_path / "c.safetensors").write_bytes(good[:-3])
    with pytest.raises(InputError, match=r"c\.safetensors cannot be read.*Delete it to start anew"):
        checkpoint.load()
    (tmp_path / "c.safetensors").write_bytes(good[:-1] + b"\x01")
    with pytest.raises(InputError, match="damaged: its content does not match its SHA-256"):
        checkpoint.load()


def test_other_files_and_newer_versions_are_refused(tmp_path):
    path = tmp_path / "c.safetensors"
    safetensors.numpy.save_file({"a": np.zeros(2)}, path)
    with pytest.raises(InputError, match="is not a checkpoint of polyvae"):
        Checkpoint(path).load()
    safetensors.numpy.save_file({"a": np.zeros(2)}, path, metadata={"polyvae_checkpoint": "2"})
    with pytest.raises(InputError, match="format version 2, newer than 1"):
        Checkpoint(path).load()
    with pytest.raises(InputError, match="`every` must be at least 1; got 0"):
        Checkpoint(path, every=0)
