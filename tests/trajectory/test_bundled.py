import pytest

from polyvae import InputError
from polyvae.trajectory import bundled


def test_an_existing_file_is_found(tmp_path, monkeypatch):
    import importlib

    module = importlib.import_module("polyvae.trajectory.bundled")
    (tmp_path / "walk.npz").touch()
    monkeypatch.setattr(module, "_FOLDERS", (tmp_path / "none", tmp_path))
    assert bundled("walk.npz") == tmp_path / "walk.npz"
    with pytest.raises(InputError, match=r"'other.npz' ships.*Available: walk.npz"):
        bundled("other.npz")
    with pytest.raises(InputError, match="ships"):
        bundled("../walk.npz")
