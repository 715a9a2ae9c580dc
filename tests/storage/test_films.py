"""Films on disk: by suffix, whole or not at all."""

import shutil
import subprocess

import pytest

from polyvae.errors import InputError, MissingDependencyError
from polyvae.storage import save_film


class _Film:
    """Writes its writer and speed, or fails as ffmpeg does."""

    def __init__(self, *, fails: bool = False) -> None:
        self.fails = fails

    def save(self, filename, writer=None, fps=None, *, progress_callback=None) -> None:
        filename.write_text(f"{writer} {fps}")
        if self.fails:
            raise subprocess.CalledProcessError(187, "ffmpeg")


def test_suffix_chooses_the_writer(tmp_path, monkeypatch):
    monkeypatch.setattr(shutil, "which", lambda name: f"/usr/bin/{name}")
    assert save_film(_Film(), tmp_path / "a.gif").read_text() == "polyvae_gif 15"
    assert save_film(_Film(), tmp_path / "a.mp4", fps=30).read_text() == "ffmpeg 30"


def test_absent_ffmpeg_is_an_error_that_says_how_to_install_it(tmp_path, monkeypatch):
    monkeypatch.setattr(shutil, "which", lambda name: None)
    with pytest.raises(
        MissingDependencyError, match=r"ffmpeg.*apt install ffmpeg.*conda install.*\.gif is written"
    ):
        save_film(_Film(), tmp_path / "a.mp4")
    assert list(tmp_path.iterdir()) == []


def test_failing_ffmpeg_leaves_nothing_behind(tmp_path, monkeypatch):
    monkeypatch.setattr(shutil, "which", lambda name: name)
    with pytest.raises(InputError, match="ffmpeg ended with code 187"):
        save_film(_Film(fails=True), tmp_path / "a.mp4")
    assert list(tmp_path.iterdir()) == []


def test_a_film_is_replaced_only_where_that_is_asked_for(tmp_path):
    path = tmp_path / "a.gif"
    path.write_text("old")
    with pytest.raises(InputError, match="exists already"):
        save_film(_Film(), path)
    assert path.read_text() == "old"
    save_film(_Film(), path, overwrite=True)
    assert path.read_text() == "polyvae_gif 15"


@pytest.mark.parametrize(
    ("name", "fps", "message"),
    [("a.avi", 15, "written as .gif or .mp4; got .avi"), ("a.gif", 0, "`fps` must be")],
)
def test_other_suffixes_and_speeds_are_errors(tmp_path, name, fps, message):
    with pytest.raises(InputError, match=message):
        save_film(_Film(), tmp_path / name, fps=fps)


@pytest.mark.skipif(shutil.which("ffmpeg") is None, reason="needs the program ffmpeg")
def test_ffmpeg_writes_mp4(tmp_path):
    from matplotlib.animation import FuncAnimation
    from matplotlib.figure import Figure

    figure = Figure(figsize=(2, 2), dpi=50)
    save_film(FuncAnimation(figure, lambda number: [], frames=3, init_func=list), tmp_path / "a.mp4")
    # The name of the format stands at byte 4.
    assert (tmp_path / "a.mp4").read_bytes()[4:8] == b"ftyp"
