"""Films as GIF or MP4, whole or not at all."""

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Protocol, runtime_checkable

from polyvae.errors import InputError, MissingDependencyError
from polyvae.trajectory import atomic_path

# Names among the writers of matplotlib; the first is that of `polyvae.plots.gif`, which a film has brought along.
_WRITERS = {".gif": "polyvae_gif", ".mp4": "ffmpeg"}


@runtime_checkable
class Film(Protocol):
    """What can be written: an animation of matplotlib, as `polyvae.plots.latent_film` returns."""

    def save(
        self,
        filename: Path,
        writer: str | None = None,
        fps: int | None = None,
        *,
        progress_callback: Callable[[int, int], object] | None = None,
    ) -> None:
        """Write to a file."""
        ...


def check_film(path: str | os.PathLike[str]) -> None:
    """Raise, before a film is drawn, where it could not be written.

    Args:
        path: the file to write.

    Raises:
        InputError: if the suffix is neither .gif nor .mp4.
        MissingDependencyError: for .mp4 where the program ffmpeg is not found.
    """
    suffix = Path(path).suffix.lower()
    if suffix not in _WRITERS:
        raise InputError(
            f"{path}: films are written as {' or '.join(_WRITERS)}; got {suffix or 'no suffix'}."
        )
    if suffix == ".mp4" and shutil.which("ffmpeg") is None:
        raise MissingDependencyError(
            f"{path}: MP4 needs the program ffmpeg, and none is on the PATH. Install it with `apt install ffmpeg`, "
            "`conda install -c conda-forge ffmpeg` or `brew install ffmpeg`; a .gif is written without it."
        )


def save_film(
    film: Film,
    path: str | os.PathLike[str],
    *,
    fps: int = 15,
    overwrite: bool = False,
    on_picture: Callable[[int, int], object] | None = None,
) -> Path:
    """Write a film: .gif, which plays anywhere, or .mp4 by the program ffmpeg, which is smaller.

    Args:
        film: what `polyvae.plots.latent_film` returned.
        path: the file to write.
        fps: pictures a second; a GIF counts in hundredths of a second.
        overwrite: whether an existing file may be replaced.
        on_picture: called with the number of each picture, from 0, and that of all.

    Returns:
        The path.

    Raises:
        InputError: if the suffix is another, `fps` is out of range, or the file exists or cannot be written.
        MissingDependencyError: for .mp4 where ffmpeg is not found.
    """
    target = Path(path)
    check_film(target)
    if not 1 <= fps <= 50:
        raise InputError(f"`fps` must be from 1 to 50; got {fps}.")
    with atomic_path(target, overwrite=overwrite) as temporary:
        try:
            film.save(
                temporary, writer=_WRITERS[target.suffix.lower()], fps=fps, progress_callback=on_picture
            )
        except subprocess.CalledProcessError as error:
            raise InputError(
                f"{target}: ffmpeg ended with code {error.returncode}. It must be "
                "built with H.264 (libx264), and the disk must have room; a .gif is written without it."
            ) from error
    return target
