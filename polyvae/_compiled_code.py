"""Compiled code is kept in the user's cache folder, so that the next process need not compile it again."""

import os
import stat
import warnings
from pathlib import Path
from typing import Any

import jax
import platformdirs
from jax.experimental.compilation_cache import compilation_cache

from polyvae.errors import PolyvaeWarning

MOST_BYTES = 2**30


def keep_compiled_code() -> None:
    """Let JAX keep what it compiles in a folder of this user, of at most 1 GiB.

    A user's own choice goes first: `JAX_COMPILATION_CACHE_DIR` names another folder, and
    `JAX_ENABLE_COMPILATION_CACHE=false` keeps nothing. Whoever can write to the folder can have code run by its reader:
    one that others may write to is left alone, with a warning.
    """
    # JAX makes these attributes when it starts.
    settings: Any = jax.config
    if settings.jax_compilation_cache_dir is not None or not settings.jax_enable_compilation_cache:
        return
    folder = platformdirs.user_cache_path("polyvae", appauthor=False) / "compiled"
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        is_private = _is_private(folder)
    except OSError:
        # A home that cannot be written to, as on some clusters: everything works, and compiles anew.
        return
    if not is_private:
        warnings.warn(
            f"Compiled code is not kept: others can write to {folder}. Make it yours (chmod 700), or name another "
            "folder with JAX_COMPILATION_CACHE_DIR.",
            PolyvaeWarning,
            stacklevel=2,
        )
        return
    jax.config.update("jax_compilation_cache_max_size", MOST_BYTES)
    # The many small functions too: together they take a second.
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
    jax.config.update("jax_compilation_cache_dir", str(folder))
    # JAX looks for the folder when it first compiles; what came before may have been compiled without one.
    compilation_cache.reset_cache()


def _is_private(folder: Path) -> bool:
    """Whether nobody else can write to the folder. Windows keeps the home of a user to that user."""
    if not hasattr(os, "getuid"):
        return True
    status = folder.stat()
    return status.st_uid == os.getuid() and not status.st_mode & (stat.S_IWGRP | stat.S_IWOTH)
