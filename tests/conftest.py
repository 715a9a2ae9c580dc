"""Strict numerics for every test: no silent rank or dtype promotion, checked shapes, seeded keys."""

import atexit
import os
import shutil
import tempfile
from pathlib import Path

from jaxlib.version import __version_info__ as jaxlib_version

os.environ.setdefault("MPLBACKEND", "Agg")
os.environ.setdefault("JAX_PLATFORMS", "cpu")
# Most of the time of these tests is compilation; unoptimized code is as right. Processes that tests start inherit it.
os.environ.setdefault("JAX_DISABLE_MOST_OPTIMIZATIONS", "1")
# XLA's older way to write fused loops compiles them three times faster. A jaxlib that no longer has it would refuse to
# start, so newer ones than were tried go without.
if "XLA_FLAGS" not in os.environ and jaxlib_version < (0, 11):
    os.environ["XLA_FLAGS"] = "--xla_cpu_use_fusion_emitters=false"
# Workers and the processes that tests start compile many functions of the same shapes: each is compiled by the first.
if "JAX_COMPILATION_CACHE_DIR" not in os.environ:
    os.environ["JAX_COMPILATION_CACHE_DIR"] = tempfile.mkdtemp(prefix="polyvae-compiled-")
    # Most of them are single operations: of 1049 kept, 90 take half a second to compile.
    os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0"
    atexit.register(shutil.rmtree, os.environ["JAX_COMPILATION_CACHE_DIR"], ignore_errors=True)

from jaxtyping import install_import_hook

install_import_hook("polyvae", "beartype.beartype")

import jax
import numpy as np
import pytest

jax.config.update("jax_numpy_rank_promotion", "raise")
jax.config.update("jax_numpy_dtype_promotion", "strict")

_MOST_MAPS = 20_000


@pytest.fixture
def rng() -> np.random.Generator:
    """A seeded NumPy generator."""
    return np.random.default_rng(20240229)


@pytest.fixture
def key() -> jax.Array:
    """A seeded JAX key."""
    return jax.random.key(7)


@pytest.fixture
def x64():
    """Run one test in float64."""
    with jax.enable_x64(True):
        yield


@pytest.fixture(scope="module", autouse=True)
def compiled_code_is_forgotten():
    """Drop compiled functions before there are too many: each is mapped into memory, and Linux allows 65 530 maps."""
    yield
    maps = Path("/proc/self/maps")
    if maps.exists() and len(maps.read_bytes().splitlines()) > _MOST_MAPS:
        jax.clear_caches()
