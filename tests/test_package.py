"""The package as a whole: cheap to import, every public name there."""

import subprocess
import sys

import pytest

import polyvae


def modules_after(statement: str) -> set[str]:
    """Top-level modules that a fresh interpreter has loaded after one statement."""
    code = f"{statement}; import sys; print(*{{name.partition('.')[0] for name in sys.modules}})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


def test_import_loads_neither_jax_nor_matplotlib_nor_mdtraj():
    loaded = modules_after("import polyvae; polyvae.__version__; dir(polyvae)")
    assert "polyvae" in loaded
    assert not loaded & {"jax", "jaxlib", "matplotlib", "mdtraj", "numpy", "optax", "equinox", "openmm"}


def test_loading_trajectories_needs_no_model_libraries():
    assert not modules_after("import polyvae; polyvae.load") & {"matplotlib", "optax"}


@pytest.mark.parametrize("name", polyvae.__all__)
def test_every_public_name_resolves(name):
    assert getattr(polyvae, name) is not None
    assert name in dir(polyvae)


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="module 'polyvae' has no attribute 'train'"):
        _ = polyvae.train


def test_the_version_is_three_numbers():
    assert [part.isdigit() for part in polyvae.__version__.split(".")] == [True] * 3
