"""Files that appear whole or not at all.

`atomic_path` yields a temporary path in the folder of the target. Only when the block ends without an
exception is the file flushed to the disk and renamed, so that a crash, a full disk or Ctrl-C never leaves
half a file, and an old file stays as it was until the new one is complete.
"""

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from polyvae.errors import OutputError


@contextmanager
def atomic_path(path: str | os.PathLike[str], overwrite: bool = False) -> Iterator[Path]:
    """A temporary path beside `path` that becomes `path` when the block ends well.

    The temporary name keeps the suffix of the target, because many writers choose the format by it, and is
    pure ASCII. The new file has the permissions that an ordinarily created file has.

    Args:
        path: the file to write.
        overwrite: whether an existing file may be replaced.

    Yields:
        The path to write to.

    Raises:
        OutputError: if the folder is missing or not writable, the target exists and `overwrite` is False, the
            target is not a regular file (a folder, device, pipe or link), nothing was written, or the disk or
            the file-size limit ended the writing.
    """
    target = Path(path)
    _check_target(target, overwrite=overwrite)
    suffix = "".join(target.suffixes[-2:]) if target.suffix == ".gz" else target.suffix
    temporary = target.parent / f".polyvae-{secrets.token_hex(6)}{suffix if suffix.isascii() else ''}"
    try:
        yield temporary
        if not temporary.is_file():
            raise OutputError(f"{target}: nothing was written.")
        _flush(temporary)
        if not overwrite and target.exists():
            raise OutputError(f"{target} appeared while it was being written; the other file is kept.")
        os.replace(temporary, target)
        _flush_folder(target.parent)
    except OSError as error:
        raise OutputError(
            f"{target} cannot be written: {error.strerror or error}. Nothing was left behind. Free some "
            "space, raise the file-size limit (`ulimit -f`) or choose another folder."
        ) from error
    finally:
        temporary.unlink(missing_ok=True)


def _check_target(target: Path, *, overwrite: bool) -> None:
    folder = target.parent
    if not folder.is_dir():
        raise OutputError(f"{target}: the folder {folder} does not exist. Create it first.")
    if target.is_symlink() or (target.exists() and not target.is_file()):
        raise OutputError(f"{target} is not a regular file, so it is not replaced. Choose another path.")
    if target.exists() and not overwrite:
        raise OutputError(f"{target} exists already. Choose another path or pass overwrite=True.")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise OutputError(f"{target}: the folder {folder} is not writable. Choose another folder.")


def _flush(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _flush_folder(folder: Path) -> None:
    # The rename itself must survive a power cut; some network file systems refuse, which does no harm.
    try:
        _flush(folder)
    except OSError:
        return
