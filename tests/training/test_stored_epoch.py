"""Vectors in a file train to the same bits as vectors in memory."""

import errno
import gc
import os
import tempfile

import jax
import numpy as np
import pytest

import polyvae as pv
from polyvae.errors import InputError
from polyvae.training import epoch, stored_vectors
from polyvae.training.stored_vectors import StoredVectors, vector_pieces, vectors_at
from polyvae.trajectory import bundled

QUICK = pv.TrainConfig(epochs=2, batch_size=32)


@pytest.fixture(scope="module")
def chain():
    return pv.load(bundled("polymer_2d.npz"))[:600]


def leaves(result) -> list[np.ndarray]:
    return [np.asarray(leaf) for leaf in jax.tree.leaves(result.model) if hasattr(leaf, "shape")]


def assert_same_bits(one, other):
    for mine, theirs in zip(leaves(one), leaves(other), strict=True):
        np.testing.assert_array_equal(mine, theirs)
    np.testing.assert_array_equal(one.history.validation_bound, other.history.validation_bound)
    np.testing.assert_array_equal(one.history.train_kl, other.history.train_kl)
    assert one.diagnosis.rate == other.diagnosis.rate


@pytest.mark.parametrize(
    ("model", "training"),
    [
        ({}, {"augmentation": ("mirror",)}),
        ({"decoder_scale": "analytic"}, {"rate_target": 2.0}),
        # Both compile for half a minute.
        pytest.param(
            {"prior": "mixture", "prior_training": "after", "prior_components": 4},
            {},
            marks=pytest.mark.science,
        ),
        pytest.param(
            {"representation": "internal", "prior": "vamp", "prior_components": 4},
            {},
            marks=pytest.mark.science,
        ),
    ],
)
def test_the_same_seed_gives_the_same_bits_either_way(chain, monkeypatch, model, training):
    # Blocks of a few steps, the last one not full.
    monkeypatch.setattr(epoch, "_BLOCK_BYTES", 32 * 24 * 4 * 5)
    config = pv.ModelConfig(hidden=(16,), **model)
    quick = pv.TrainConfig(epochs=2, batch_size=32, **training)
    in_memory = pv.fit(chain, config, quick, seed=1)
    assert_same_bits(in_memory, pv.fit(chain, config, quick, seed=1, memory="1 kB"))


def test_weights_of_frames_are_the_same_either_way(chain, rng):
    weighted = chain.replace(weights=np.where(rng.random(600) < 0.2, 0.0, rng.random(600)))
    config = pv.ModelConfig(hidden=(16,))
    assert_same_bits(
        pv.fit(weighted, config, QUICK, seed=1), pv.fit(weighted, config, QUICK, seed=1, memory="1 kB")
    )


def test_a_mapped_trajectory_trains_to_the_same_bits(chain, tmp_path):
    np.savez(tmp_path / "run.npz", positions=chain.positions)
    config = pv.ModelConfig(hidden=(16,))
    source = pv.open_trajectory(tmp_path / "run.npz")
    stored = pv.fit(source, config, QUICK, seed=1, memory="1 kB", store=tmp_path / "store")
    assert_same_bits(pv.fit(source, config, QUICK, seed=1), stored)
    del stored
    gc.collect()
    # Frames stay for the next time, vectors do not.
    assert [path.name for path in (tmp_path / "store").iterdir()] == ["frames"]


def test_a_run_in_files_resumes_to_the_same_bits(chain, tmp_path):
    config, quick = pv.ModelConfig(hidden=(16,)), pv.TrainConfig(epochs=3, batch_size=32)
    whole = pv.fit(chain, config, quick, seed=1)

    def stop(report):
        if report.epoch == 2:
            raise RuntimeError("power cut")

    checkpoint = pv.Checkpoint(tmp_path / "state.safetensors", every=1)
    with pytest.raises(RuntimeError, match="power cut"):
        pv.fit(chain, config, quick, seed=1, memory=1000, checkpoint=checkpoint, on_epoch=stop)
    resumed = pv.fit(chain, config, quick, seed=1, memory=1000, checkpoint=checkpoint, resume=True)
    assert_same_bits(whole, resumed)


def test_stored_vectors_are_those_that_were_written(tmp_path, rng):
    vectors = rng.normal(size=(2, 50, 3)).astype(np.float32)
    stored = StoredVectors.written(
        [[image[start : start + 20] for start in (0, 20, 40)] for image in vectors],
        (2, 50, 3),
        np.float32,
        tmp_path,
    )
    images, rows = rng.integers(2, size=(4, 5)), rng.integers(50, size=(4, 5))
    np.testing.assert_array_equal(stored.rows(images, rows), vectors[images, rows])
    np.testing.assert_array_equal(vectors_at(stored, images, rows), vectors[images, rows])
    for image in (0, 1):
        np.testing.assert_array_equal(np.concatenate(list(vector_pieces(stored, image, 7))), vectors[image])
    del stored
    gc.collect()
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_is_named_and_nothing_left(tmp_path, monkeypatch, chain):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(stored_vectors.shutil, "disk_usage", lambda _: type("Usage", (), {"free": 10})())
    with pytest.raises(InputError, match=r"vectors of the training frames need.*raise `memory`"):
        pv.fit(chain, pv.ModelConfig(hidden=(16,)), QUICK, memory=1000)
    assert list(tmp_path.iterdir()) == []


def test_a_disk_that_fills_up_is_named_and_nothing_left(tmp_path):
    def pieces():
        yield np.zeros((10, 3), np.float32)
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with pytest.raises(InputError, match=r"vectors .* cannot be kept in .*No space left on device.*`store`"):
        StoredVectors.written([pieces()], (1, 20, 3), np.float32, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_rows_are_the_same_without_positioned_reads(tmp_path, rng, monkeypatch):
    vectors = rng.normal(size=(2, 50, 3)).astype(np.float32)
    monkeypatch.delattr(stored_vectors.os, "preadv")
    stored = StoredVectors.written([[image] for image in vectors], (2, 50, 3), np.float32, tmp_path)
    images, rows = rng.integers(2, size=300), rng.integers(50, size=300)
    np.testing.assert_array_equal(stored.rows(images, rows), vectors[images, rows])
