import ast
import dataclasses
from importlib import import_module
from pathlib import Path

import matplotlib as mpl
import matplotlib.pyplot as plt
import pytest

from polyvae import plots
from polyvae.plots.style import latent_name
from polyvae.preprocessing import align, fit_alignment


def test_png_holds_an_image_and_closes_the_figure(make_report):
    ax = plots.plot_reconstruction(make_report())
    image = plots.to_png(ax)
    assert image.startswith(b"\x89PNG\r\n\x1a\n")
    assert plt.get_fignums() == []


def test_png_of_one_figure_is_the_same_every_time(make_report, make_marginals):
    marginals = make_marginals()
    first, second = (plots.to_png(plots.figure_distance_marginals(marginals)) for _ in range(2))
    assert first == second


def test_settings_of_the_user_are_left_as_they_were(make_report):
    before = mpl.rcParams["font.size"], mpl.rcParams["axes.spines.top"]
    plots.plot_reconstruction(make_report())
    assert (mpl.rcParams["font.size"], mpl.rcParams["axes.spines.top"]) == before


def test_latent_dimensions_are_named_from_one():
    assert [latent_name(dimension) for dimension in (0, 9)] == ["z₁", "z₁₀"]


@pytest.mark.parametrize(
    "name", ["plot_learning_curves", "plot_latent_map", "plot_latent_trajectory", "plot_reconstruction"]
)
def test_given_axes_are_drawn_on_and_returned(name, make_history, make_latent, make_report):
    record = {"learn": make_history, "laten": make_latent, "recon": make_report}[name[5:10]]()
    _, ax = plt.subplots()
    assert getattr(plots, name)(record, ax=ax) is ax


def test_plots_never_show(monkeypatch, make_history, make_latent, make_marginals):
    monkeypatch.setattr(plt, "show", lambda *_, **__: pytest.fail("a plot must not show itself"))
    for drawing in (
        plots.figure_learning_curves(make_history()),
        plots.plot_latent_map(make_latent()),
        plots.plot_distance_errors(make_marginals()),
    ):
        assert plots.to_png(drawing)


# Structures side by side can be compared only when they are turned alike: that is drawing, and is not written twice.
_SUPERPOSITION = (fit_alignment, align)


def _is_record(item) -> bool:
    return dataclasses.is_dataclass(item) or (isinstance(item, type) and issubclass(item, Exception))


def test_plots_import_records_and_nothing_that_computes_but_superposition():
    room = Path(plots.__file__).parent
    for path in room.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.ImportFrom) or node.module is None:
                continue
            assert node.module.split(".")[0] in {
                "PIL",
                "collections",
                "contextlib",
                "matplotlib",
                "polyvae",
                "typing",
            }
            if node.module.startswith("polyvae") and not node.module.startswith("polyvae.plots"):
                found = [getattr(import_module(node.module), name.name) for name in node.names]
                assert all(_is_record(name) or name in _SUPERPOSITION for name in found), path.name
