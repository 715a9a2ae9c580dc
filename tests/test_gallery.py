"""The gallery shows every picture that is kept, and a checkout stays small."""

import importlib.util
import re
from pathlib import Path

import pytest

DOCS = Path(__file__).resolve().parent.parent / "docs"


@pytest.fixture(scope="module")
def maker():
    specification = importlib.util.spec_from_file_location("make_gallery", DOCS / "make_gallery.py")
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


def test_page_shows_the_pictures_that_the_script_makes(maker):
    shown = re.findall(r"!\[[^\]]+\]\(_static/gallery/([^)]+)\)", (DOCS / "gallery.md").read_text("utf-8"))
    made = [f"{name}-{figure}" for name, figures in maker.SHOWN.items() for figure in figures]
    assert sorted(shown) == sorted(made) == sorted(path.name for path in maker.GALLERY.iterdir())


def test_pictures_are_small(maker):
    sizes = {path: path.stat().st_size for path in maker.GALLERY.iterdir()}
    assert all(size <= maker.MOST_BYTES[path.suffix] for path, size in sizes.items())
    assert sum(sizes.values()) <= maker.MOST_TOGETHER


def test_every_example_is_in_the_gallery_or_has_no_figures(maker):
    examples = {path.stem for path in (DOCS.parent / "examples").glob("*.py")}
    # One takes minutes to compile, the other draws nothing.
    assert examples - set(maker.SHOWN) == {"molecule", "alanine_loop"}
