import os
import resource
import stat

import pytest

from polyvae import InputError
from polyvae.trajectory import atomic_path


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_the_file_appears_with_ordinary_permissions(tmp_path):
    with atomic_path(tmp_path / "a.json") as path:
        assert path.parent == tmp_path
        assert path.suffix == ".json"
        path.write_text("{}")
        assert not (tmp_path / "a.json").exists()
    assert (tmp_path / "a.json").read_text() == "{}"
    mask = os.umask(0)
    os.umask(mask)
    assert stat.S_IMODE((tmp_path / "a.json").stat().st_mode) == 0o666 & ~mask
    assert names(tmp_path) == ["a.json"]


def test_a_failure_leaves_the_old_file(tmp_path):
    target = tmp_path / "a.txt"
    target.write_text("old")

    def write_half():
        with atomic_path(target, overwrite=True) as path:
            path.write_text("half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_half()
    assert target.read_text() == "old"
    assert names(tmp_path) == ["a.txt"]


def test_overwriting_must_be_asked_for(tmp_path):
    target = tmp_path / "a.txt"
    target.write_text("old")
    with pytest.raises(InputError, match=r"a.txt exists already.*overwrite=True"), atomic_path(target):
        pass
    with atomic_path(target, overwrite=True) as path:
        path.write_text("new")
    assert target.read_text() == "new"


def test_only_regular_files_are_replaced(tmp_path):
    (tmp_path / "folder").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "elsewhere")
    os.mkfifo(tmp_path / "pipe")
    for name in ("folder", "link", "pipe"):
        with (
            pytest.raises(InputError, match="not a regular file"),
            atomic_path(tmp_path / name, overwrite=True),
        ):
            pass


def test_a_missing_folder_is_named(tmp_path):
    with (
        pytest.raises(InputError, match=r"folder .*none does not exist"),
        atomic_path(tmp_path / "none" / "a"),
    ):
        pass


def test_an_unwritable_folder_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "access", lambda *_: False)
    with pytest.raises(InputError, match="not writable"), atomic_path(tmp_path / "a"):
        pass


def test_nothing_written_is_an_error(tmp_path):
    with pytest.raises(InputError, match="nothing was written"), atomic_path(tmp_path / "a"):
        pass


def test_the_file_size_limit_leaves_nothing(tmp_path):
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))
    try:
        with pytest.raises(InputError, match="cannot be written"), atomic_path(tmp_path / "a") as path:
            path.write_bytes(bytes(5000))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert names(tmp_path) == []
