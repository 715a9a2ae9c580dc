"""The trajectories that ship with polyvae: in the wheel as `polyvae/data`, in a checkout as `data`."""

from pathlib import Path

from polyvae.errors import InputError

_PACKAGE = Path(__file__).resolve().parent.parent
_FOLDERS = (_PACKAGE / "data", _PACKAGE.parent / "data")


def bundled(name: str) -> Path:
    """The path of a file that ships with polyvae.

    Args:
        name: the file's name, such as "polymer_2d.npz".

    Raises:
        InputError: if there is no such file; the message lists those that exist.
    """
    available: list[str] = []
    for folder in _FOLDERS:
        path = folder / name
        if folder in path.parents and path.is_file():
            return path
        if folder.is_dir():
            available += [
                found.name for found in folder.iterdir() if found.is_file() and found.suffix in _SHOWN
            ]
    raise InputError(
        f"No file named {name!r} ships with polyvae. Available: "
        f"{', '.join(sorted(set(available))) or 'none'}."
    )


_SHOWN = {".npz", ".npy", ".xtc", ".dcd", ".pdb", ".h5", ".md", ".toml", ".json"}
