"""Compiled code outlives the process, in a folder that is the user's own."""

import os
import stat
import subprocess
import sys
from pathlib import Path

import jax
import platformdirs
import pytest
from jax.experimental.compilation_cache import compilation_cache

from polyvae._compiled_code import MOST_BYTES, keep_compiled_code
from polyvae.errors import PolyvaeWarning

SETTINGS = (
    "jax_compilation_cache_dir",
    "jax_compilation_cache_max_size",
    "jax_persistent_cache_min_compile_time_secs",
    "jax_enable_compilation_cache",
)
# Functions taken from the folder, functions that were not there, and the bound.
FIT = """
import jax, polyvae as pv
counts = {"/jax/compilation_cache/cache_hits": 0, "/jax/compilation_cache/cache_misses": 0}
def count(event, **_):
    if event in counts:
        counts[event] += 1
jax.monitoring.register_event_listener(count)
trajectory = pv.load(pv.bundled("polymer_2d.npz"), stop=200)
result = pv.fit(trajectory, pv.ModelConfig(latent_dim=1, hidden=(4,)), pv.TrainConfig(epochs=1))
print(*counts.values(), float(result.history.validation_bound[-1]).hex())
"""


@pytest.fixture
def cache_home(tmp_path, monkeypatch):
    """A user who has chosen nothing, and whose cache folder is elsewhere."""
    before = {name: getattr(jax.config, name) for name in SETTINGS}
    jax.config.update("jax_compilation_cache_dir", None)
    monkeypatch.setattr(platformdirs, "user_cache_path", lambda *_, **__: tmp_path / "cache")
    yield tmp_path / "cache"
    for name, value in before.items():
        jax.config.update(name, value)
    compilation_cache.reset_cache()


def test_the_second_process_compiles_nothing_of_the_first_and_gives_the_same_bits(tmp_path):
    environment = {name: value for name, value in os.environ.items() if not name.startswith("JAX_")}
    environment |= {"XDG_CACHE_HOME": str(tmp_path), "HOME": str(tmp_path), "JAX_PLATFORMS": "cpu"}

    def fit() -> list[str]:
        command = [sys.executable, "-c", FIT]
        return subprocess.run(
            command, env=environment, capture_output=True, text=True, check=True
        ).stdout.split()

    hits, _, bound = fit()
    (folder,) = tmp_path.glob("**/compiled")
    kept = [path.name for path in folder.glob("*-cache")]
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert int(hits) == 0
    assert any("run_steps" in name for name in kept)
    hits, _, again = fit()
    assert int(hits) == len(kept)
    assert again == bound


def test_the_folder_is_private_and_bounded(cache_home):
    keep_compiled_code()
    assert jax.config.jax_compilation_cache_dir == str(cache_home / "compiled")
    assert stat.S_IMODE((cache_home / "compiled").stat().st_mode) == 0o700
    assert jax.config.jax_compilation_cache_max_size == MOST_BYTES


def test_a_folder_that_others_can_write_to_is_left_alone(cache_home):
    (cache_home / "compiled").mkdir(parents=True)
    (cache_home / "compiled").chmod(0o777)
    with pytest.warns(PolyvaeWarning, match=r"others can write to .*compiled.*chmod 700"):
        keep_compiled_code()
    assert jax.config.jax_compilation_cache_dir is None


def test_the_choice_of_the_user_goes_first(cache_home, tmp_path):
    jax.config.update("jax_enable_compilation_cache", False)
    keep_compiled_code()
    assert jax.config.jax_compilation_cache_dir is None
    jax.config.update("jax_enable_compilation_cache", True)
    jax.config.update("jax_compilation_cache_dir", str(tmp_path / "mine"))
    keep_compiled_code()
    assert jax.config.jax_compilation_cache_dir == str(tmp_path / "mine")
    assert not cache_home.exists()


def test_without_a_home_to_write_to_nothing_is_kept(cache_home, monkeypatch):
    def refuse(*_, **__):
        raise PermissionError

    monkeypatch.setattr(Path, "mkdir", refuse)
    keep_compiled_code()
    assert jax.config.jax_compilation_cache_dir is None
