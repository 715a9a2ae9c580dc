"""What every call into mdtraj needs: an ASCII path, silence, and a clear word where a library is missing."""

import importlib
import os
import sys
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from polyvae.errors import InputError, MissingDependencyError

OURS = (InputError, MissingDependencyError)
"""Errors that are worded already, unlike those of mdtraj's parsers, which raise even bare `Exception`."""

_HDF5 = ("tables", 'pip install "polyvae[hdf5]"')
_NETCDF = ("netCDF4", 'pip install "polyvae[netcdf]"')
_LIBRARIES = {
    ".h5": _HDF5,
    ".hdf5": _HDF5,
    ".lh5": _HDF5,
    ".nc": _NETCDF,
    ".ncdf": _NETCDF,
    ".netcdf": _NETCDF,
    ".gsd": ("gsd.hoomd", 'pip install "polyvae[gsd]"'),
    ".mol2": ("pandas", "pip install pandas"),
}


def require_library(path: Path, suffix: str) -> None:
    """Checks that the library that a format needs can be imported.

    Raises:
        MissingDependencyError: if it cannot; the message says how to install it.
    """
    if suffix not in _LIBRARIES or (_LIBRARIES[suffix] is _NETCDF and is_classic_netcdf(path)):
        return
    module, command = _LIBRARIES[suffix]
    try:
        importlib.import_module(module)
    except ImportError as error:
        raise MissingDependencyError(
            f"{path}: reading {suffix} files needs the library {module}, which is not installed. Install it "
            f'by `{command}`, or those of all formats by `pip install "polyvae[formats]"`.'
        ) from error


def is_classic_netcdf(path: Path) -> bool:
    """Whether a file is NetCDF 3, which SciPy reads as well, not NetCDF 4."""
    with path.open("rb") as file:
        return file.read(3) == b"CDF"


@contextmanager
def ascii_path(path: Path) -> Iterator[str]:
    """A pure ASCII path to an existing file: mdtraj's C readers refuse any other."""
    if str(path).isascii():
        yield str(path)
        return
    with tempfile.TemporaryDirectory(prefix="polyvae-") as folder:
        suffix = "".join(part for part in path.suffixes[-2:] if part.isascii())
        link = Path(folder) / f"file{suffix}"
        os.symlink(path.resolve(), link)
        yield str(link)


@contextmanager
def quiet_mdtraj() -> Iterator[None]:
    """No warnings from mdtraj about other libraries and odd records; wrap single calls, never a `yield`."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


@contextmanager
def quiet_stderr() -> Iterator[None]:
    """No words from C libraries on standard error; they pass Python by, as those of xdrfile on damaged frames do.

    Everything that the process writes there meanwhile is lost, so wrap single calls, and none in a thread.
    """
    sys.stderr.flush()
    try:
        kept = os.dup(2)
    except OSError:
        # There is no standard error.
        yield
        return
    try:
        with open(os.devnull, "wb") as nowhere:
            os.dup2(nowhere.fileno(), 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
