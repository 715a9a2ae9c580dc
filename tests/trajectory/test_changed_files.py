"""A file that changes or vanishes after it was opened is an error that names it, and never other numbers."""

import os

import numpy as np
import pytest

from polyvae.errors import InputError
from polyvae.trajectory import frame_store, load, open_trajectory
from polyvae.trajectory.loading import load_source

SUFFIXES = (".xtc", ".dcd", ".npy", ".npz", ".pdb", ".h5", ".nc")
CHANGED = r"frames\.\w+ changed after it was opened"
GONE = r"frames\.\w+ could be opened but is gone now"


@pytest.fixture(params=SUFFIXES)
def path(request, peptide, tmp_path):
    """23 frames in one of the formats."""
    target = tmp_path / f"frames{request.param}"
    if request.param == ".h5":
        pytest.importorskip("tables")
    if request.param == ".npy":
        np.save(target, peptide.xyz)
    elif request.param == ".npz":
        np.savez(target, positions=peptide.xyz)
    else:
        peptide.save(str(target))
    return target


@pytest.fixture
def source(path, peptide_pdb):
    return open_trajectory(path, top=peptide_pdb, chunk=5)


def halve(path):
    os.truncate(path, path.stat().st_size // 2)


def touch(path):
    # As another file of the same size would be.
    status = path.stat()
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns + 1))


def vanish(path):
    path.unlink()


CHANGES = [(halve, CHANGED), (touch, CHANGED), (vanish, GONE)]


@pytest.mark.parametrize(("change", "message"), CHANGES)
def test_before_the_first_frame_is_read(source, path, change, message):
    change(path)
    with pytest.raises(InputError, match=message):
        source.load()
    with pytest.raises(InputError, match=message):
        next(source.chunks(5))


@pytest.mark.parametrize(("change", "message"), CHANGES)
def test_between_two_chunks(source, path, change, message):
    chunks = source.chunks(5)
    assert next(chunks).n_frames == 5
    change(path)
    with pytest.raises(InputError, match=message):
        next(chunks)


@pytest.mark.parametrize(("change", "message"), CHANGES)
def test_before_and_while_frames_are_stored(source, path, tmp_path, monkeypatch, change, message):
    monkeypatch.setattr(frame_store, "_SHARD_BYTES", 2000)
    begun = frame_store._begun

    def begun_then_changed(*arguments):
        answer = begun(*arguments)
        change(path)
        return answer

    monkeypatch.setattr(frame_store, "_begun", begun_then_changed)
    with pytest.raises(InputError, match=message):
        load_source(source, memory=100, store=tmp_path / "store")
    shards = tmp_path / "store" / "frames" / "shards.jsonl"
    assert not shards.exists()
    monkeypatch.undo()
    with pytest.raises(InputError, match=message):
        load_source(source, memory=100, store=tmp_path / "other")


def test_after_the_last_frame(source, path):
    chunks = source.chunks(23)
    next(chunks)
    touch(path)
    with pytest.raises(InputError, match=CHANGED):
        next(chunks)
    with pytest.raises(InputError, match=CHANGED):
        source.source_hash  # noqa: B018


def test_a_changed_file_is_no_bad_frame(source, path):
    halve(path)
    with pytest.raises(InputError, match=CHANGED):
        list(source.readable_chunks(5))


def test_a_file_that_is_not_touched_is_read_twice(source):
    np.testing.assert_array_equal(source.load().positions, source.load().positions)


def test_a_store_is_replaced_when_its_source_has_changed(peptide, tmp_path):
    path = tmp_path / "frames.npy"
    options = {"memory": 100, "store": tmp_path / "store"}
    np.save(path, peptide.xyz)
    load(path, **options)
    np.save(path, 2 * peptide.xyz)
    np.testing.assert_array_equal(load(path, **options).positions, 2 * peptide.xyz)
