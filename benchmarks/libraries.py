"""Libraries of the extra `bench`, and what a table should name: their versions and the processor. Loads none itself."""

import platform
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from types import ModuleType

from polyvae.errors import MissingDependencyError


def optional(name: str) -> ModuleType:
    """A module of a library that only the comparisons need.

    Raises:
        MissingDependencyError: if it is not installed; the message names the extra that holds it.
    """
    try:
        return import_module(name)
    except ImportError as error:
        raise MissingDependencyError(
            f"This comparison needs {name.partition('.')[0]!r}. Install it with: pip install 'polyvae[bench]'"
        ) from error


def versions(*names: str) -> str:
    """Names and versions of installed distributions, on one line."""
    return ", ".join(f"{name} {version(name)}" for name in names)


def processor() -> str:
    """The processor's own name."""
    information = Path("/proc/cpuinfo")
    if information.exists():
        for line in information.read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()
