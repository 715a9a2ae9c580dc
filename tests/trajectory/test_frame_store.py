"""Frames on disk are those in memory, whatever cut the pass short, and damage is found."""

import errno
import gc
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pytest

import polyvae as pv
from polyvae.errors import InputError
from polyvae.trajectory import bundled, frame_store, open_trajectory
from polyvae.trajectory.mapped import mapping_of, release, row_chunks

DIPEPTIDE = {"top": bundled("alanine_dipeptide.pdb")}


@pytest.fixture
def small_shards(monkeypatch):
    monkeypatch.setattr(frame_store, "_SHARD_BYTES", 20_000)


@pytest.fixture
def two_files(tmp_path, rng):
    paths = []
    for index, n_frames in enumerate((90, 130)):
        paths.append(tmp_path / f"run{index}.npz")
        positions = rng.normal(size=(n_frames, 12, 2)).astype(np.float32)
        np.savez(
            paths[-1],
            positions=positions,
            times=np.arange(n_frames) * 0.5,
            weights=rng.random(n_frames) + 0.1,
        )
    return paths


def same(one: pv.Trajectory, other: pv.Trajectory) -> bool:
    arrays = ("positions", "times", "box", "weights", "masses", "bonds")
    return one.segments == other.segments and all(
        np.array_equal(getattr(one, name), getattr(other, name))
        if getattr(one, name) is not None
        else getattr(other, name) is None
        for name in arrays
    )


def test_frames_beyond_the_budget_are_mapped_and_equal(tmp_path, two_files, small_shards):
    in_memory = pv.load(two_files)
    stored = pv.load(two_files, memory="10 kB", store=tmp_path / "store")
    assert mapping_of(in_memory.positions) is None
    assert mapping_of(stored.positions) is not None
    assert same(in_memory, stored)
    assert stored.source_hash == in_memory.source_hash
    assert mapping_of(pv.load(two_files, memory="1 MB").positions) is None


def test_molecules_are_whole_in_the_store(tmp_path, small_shards):
    path = bundled("alanine_dipeptide.xtc")
    options = {**DIPEPTIDE, "stop": 300, "stride": 3, "atoms": "not element H"}
    assert same(pv.load(path, **options), pv.load(path, **options, memory=1000, store=tmp_path / "store"))


def test_a_pass_that_was_cut_short_goes_on(tmp_path, two_files, small_shards, monkeypatch):
    store = tmp_path / "store"
    written = frame_store._write

    def dies(source, folder, shards, run):
        written(source, folder, shards, run[:1])
        raise KeyboardInterrupt

    monkeypatch.setattr(frame_store, "_write", dies)
    with pytest.raises(KeyboardInterrupt):
        pv.load(two_files, memory=1000, store=store)
    runs = []
    monkeypatch.setattr(
        frame_store,
        "_write",
        lambda source, folder, shards, run: (runs.append(run), written(source, folder, shards, run)),
    )
    assert same(pv.load(two_files, memory=1000, store=store), pv.load(two_files))
    assert runs
    assert 0 not in [index for run in runs for index in run]
    runs.clear()
    assert same(pv.load(two_files, memory=1000, store=store), pv.load(two_files))
    assert runs == []


def test_bytes_that_changed_are_read_again_and_a_torn_line_is_no_shard(tmp_path, two_files, small_shards):
    store = tmp_path / "store"
    pv.load(two_files, memory=1000, store=store)
    gc.collect()
    with (store / "frames" / "positions.f32").open("r+b") as file:
        file.seek(1000)
        file.write(b"\0" * 64)
    with (store / "frames" / "shards.jsonl").open("r+", encoding="utf-8") as file:
        text = file.read()
        file.seek(len(text) - 10)
        file.truncate()
    assert same(pv.load(two_files, memory=1000, store=store), pv.load(two_files))
    lines = (store / "frames" / "shards.jsonl").read_text(encoding="utf-8").splitlines()
    assert len(lines) == len(text.splitlines())


def test_another_selection_replaces_the_store(tmp_path, small_shards):
    store, path = tmp_path / "store", bundled("alanine_dipeptide.xtc")
    for atoms in (None, "name CA"):
        stored = pv.load(path, **DIPEPTIDE, stop=100, atoms=atoms, memory=100, store=store)
        assert same(stored, pv.load(path, **DIPEPTIDE, stop=100, atoms=atoms))


def test_files_are_read_side_by_side(tmp_path, small_shards):
    paths = [bundled("alanine_dipeptide.xtc")] * 2
    options = {**DIPEPTIDE, "stop": 60}
    stored = pv.load(paths, **options, memory=100, store=tmp_path / "store", workers=2)
    assert same(stored, pv.load(paths, **options))


def test_a_temporary_store_goes_with_the_trajectory(two_files, tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    (tmp_path / "temporary").mkdir()
    stored = pv.load(two_files, memory=1000)
    part = stored[10:20].positions
    assert len(list((tmp_path / "temporary").iterdir())) == 1
    del stored
    gc.collect()
    assert list((tmp_path / "temporary").iterdir()) == []
    assert np.isfinite(part).all()


def test_nothing_is_left_of_a_store_that_failed(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    (tmp_path / "temporary").mkdir()
    positions = np.zeros((200, 5, 3), np.float32)
    positions[17, 2] = np.nan
    np.save(tmp_path / "run.npy", positions)
    with pytest.raises(InputError, match="frame 17 holds NaN"):
        pv.load(tmp_path / "run.npy", memory=1000)
    assert list((tmp_path / "temporary").iterdir()) == []


def test_a_folder_with_other_things_is_left_alone(tmp_path, two_files):
    (tmp_path / "mine" / "frames").mkdir(parents=True)
    (tmp_path / "mine" / "frames" / "thesis.txt").write_text("all of it", encoding="utf-8")
    with pytest.raises(InputError, match="not empty and holds no frames of polyvae"):
        pv.load(two_files, memory=1000, store=tmp_path / "mine")
    assert (tmp_path / "mine" / "frames" / "thesis.txt").read_text(encoding="utf-8") == "all of it"


def test_a_full_disk_is_named_before_anything_is_written(tmp_path, two_files, monkeypatch):
    monkeypatch.setattr(frame_store.shutil, "disk_usage", lambda _: type("Usage", (), {"free": 10})())
    with pytest.raises(InputError, match=r"need 0\.0 GB of disk.*Name a folder on another disk"):
        pv.load(two_files, memory=1000, store=tmp_path / "store")
    assert not (tmp_path / "store").exists()


def test_a_disk_that_fills_up_is_named_and_a_second_try_goes_on(tmp_path, two_files, monkeypatch):
    monkeypatch.setattr(frame_store, "_SHARD_BYTES", 2000)
    store = tmp_path / "store"
    opened, written = Path.open, []

    class Filling:
        """A file on a disk with room for two shards and a half."""

        def __init__(self, file):
            self._file = file

        def write(self, content):
            if sum(written) + len(content) > 5000:
                self._file.write(content[: 5000 - sum(written)])
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            written.append(len(content))
            return self._file.write(content)

        def __getattr__(self, name):
            return getattr(self._file, name)

        def __enter__(self):
            return self

        def __exit__(self, *error):
            self._file.close()

    def open_filling(path, mode="r", **options):
        file = opened(path, mode, **options)
        return Filling(file) if path.name == "positions.f32" and mode == "r+b" else file

    monkeypatch.setattr(Path, "open", open_filling)
    with pytest.raises(
        InputError, match=r"cannot be kept in .*frames: No space left.*`store`.*next try goes on"
    ):
        pv.load(two_files, memory=1000, store=store)
    monkeypatch.setattr(Path, "open", opened)
    listed = [
        json.loads(line)["shard"]
        for line in (store / "frames" / "shards.jsonl").read_text(encoding="utf-8").splitlines()
    ]
    assert listed == [0, 1]
    runs = []
    write = frame_store._write
    monkeypatch.setattr(
        frame_store,
        "_write",
        lambda source, folder, shards, run: (runs.extend(run), write(source, folder, shards, run)),
    )
    assert same(pv.load(two_files, memory=1000, store=store), pv.load(two_files))
    assert runs == list(range(2, 12))


def test_the_file_size_limit_is_named_and_lists_no_shard(tmp_path, two_files):
    code = (
        "import resource, signal, sys\n"
        "import polyvae as pv\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (5000, 5000))\n"
        "try:\n"
        "    pv.load(sys.argv[2:], memory=1000, store=sys.argv[1])\n"
        "except pv.InputError as error:\n"
        "    print(error)\n"
    )
    words = [sys.executable, "-c", code, str(tmp_path / "store"), *map(str, two_files)]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    assert "cannot be kept in" in done.stdout
    assert "File too large" in done.stdout
    assert "`ulimit -f`" in done.stdout
    assert not (tmp_path / "store" / "frames" / "shards.jsonl").exists()
    assert same(pv.load(two_files, memory=1000, store=tmp_path / "store"), pv.load(two_files))


def test_a_folder_that_cannot_be_made_is_named(tmp_path, two_files):
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match=r"cannot be kept in .*file.frames: Not a directory"):
        pv.load(two_files, memory=1000, store=tmp_path / "file")


def test_a_file_of_the_store_that_was_deleted_is_written_again(tmp_path, two_files, small_shards):
    pv.load(two_files, memory=1000, store=tmp_path / "store")
    gc.collect()
    (tmp_path / "store" / "frames" / "times.f64").unlink()
    assert same(pv.load(two_files, memory=1000, store=tmp_path / "store"), pv.load(two_files))


@pytest.mark.parametrize("workers", [0, -1])
def test_workers_are_counted(two_files, workers):
    with pytest.raises(InputError, match="`workers` must be a whole number"):
        pv.load(two_files, workers=workers)


def test_only_one_chunk_is_resident(tmp_path, two_files):
    stored = pv.load(two_files, memory=1000, store=tmp_path / "store")
    chunks = list(row_chunks(stored.positions, 50, np.arange(0, 220, 2)))
    assert [len(chunk) for chunk in chunks] == [50, 50, 10]
    np.testing.assert_array_equal(np.concatenate(chunks), pv.load(two_files).positions[::2])
    release(stored.positions)
    np.testing.assert_array_equal(stored.positions[3], pv.load(two_files).positions[3])


def test_a_source_is_loaded_chunk_by_chunk(two_files):
    source = open_trajectory(two_files, chunk=7)
    assert same(source.load(), pv.load(two_files))
    assert Path(source.paths[0]) == two_files[0]
