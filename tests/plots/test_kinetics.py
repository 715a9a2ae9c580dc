import numpy as np
import pytest

from polyvae.analysis import (
    ChapmanKolmogorov,
    autocorrelation,
    compare_vamp_scores,
    implied_timescales,
)
from polyvae.plots import (
    figure_chapman_kolmogorov,
    plot_autocorrelation,
    plot_implied_timescales,
    plot_vamp_scores,
    to_png,
)
from polyvae.plots.kinetics import _with_error


@pytest.fixture
def walk(rng) -> np.ndarray:
    rows = rng.normal(size=(3000, 2))
    for frame in range(1, len(rows)):
        rows[frame] += np.array([0.95, 0.7]) * rows[frame - 1]
    return rows


def test_timescales_are_lines_with_the_unresolved_region_shaded(walk):
    scales = implied_timescales(walk, [1, 2, 5, 30])
    ax = plot_implied_timescales(scales)
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("lag time (frames)", "implied timescale (frames)")
    assert (ax.get_xscale(), ax.get_yscale()) == ("log", "log")
    np.testing.assert_array_equal(ax.lines[0].get_ydata(), scales.timescales[:, 0])
    words = [text.get_text() for text in ax.get_legend().get_texts()]
    assert words == ["mode 1", "mode 2", "faster than the lag time"]
    shaded = ax.collections[-1].get_paths()[0].vertices
    assert np.all(shaded[:, 1] <= shaded[:, 0] + 1e-9)
    assert to_png(ax).startswith(b"\x89PNG")


def test_one_lag_time_and_modes_without_a_timescale_can_be_drawn(rng):
    ax = plot_implied_timescales(implied_timescales(rng.normal(size=500), [3]))
    low, high = ax.get_xlim()
    assert low < 3 < high


def test_autocorrelation_starts_at_one_and_names_its_dimensions(walk):
    ax = plot_autocorrelation(autocorrelation(walk, 40))
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["z₁", "z₂"]
    assert ax.lines[0].get_ydata()[0] == pytest.approx(1)
    assert ax.get_xlabel() == "lag time (frames)"


@pytest.mark.parametrize(("score", "name"), [("vamp2", "VAMP-2"), ("vampe", "VAMP-E")])
def test_scores_stand_beside_floor_and_baselines(walk, score, name):
    comparison = compare_vamp_scores(walk, 4, features=walk @ np.ones((2, 3)) + walk[:, [0, 0, 1]], folds=3)
    ax = plot_vamp_scores(comparison, score=score)
    assert [label.get_text() for label in ax.get_yticklabels()] == ["latent", "PCA", "TICA"]
    assert ax.get_xlabel() == f"{name} on held-out frames, lag time 4 frames (1 to 3)"
    floors = [patch.get_x() + patch.get_width() / 2 for patch in ax.patches]
    np.testing.assert_allclose(floors, [getattr(entry, f"{score}_floor") for entry in comparison.scores])
    assert ax.texts[0].get_text().startswith(f"{getattr(comparison.latent, score):.2f}"[:3])


def test_numbers_have_as_many_decimals_as_their_error():
    assert _with_error(1.0029, 0.0013) == "1.003 ± 0.001"
    assert _with_error(1.66, 0.05) == "1.66 ± 0.05"
    assert _with_error(1.5, 0.0) == "1.500 ± <0.001"
    assert _with_error(1.99871, 3e-5) == "1.999 ± <0.001"


def test_the_chapman_kolmogorov_test_has_a_panel_for_each_pair_of_sets():
    shape = (4, 3, 3)
    values = np.linspace(0, 1, 36).reshape(shape)
    test = ChapmanKolmogorov(
        lag_times=np.arange(4) * 5,
        predicted=values,
        predicted_low=values - 0.01,
        predicted_high=values + 0.01,
        estimated=values,
        estimated_low=values - 0.02,
        estimated_high=values + 0.02,
        set_of=np.array([0, 1, 2]),
        frame_time=2.0,
        unit="ps",
    )
    figure = figure_chapman_kolmogorov(test)
    assert len(figure.axes) == 9
    assert figure.axes[5].get_title(loc="left") == "2 → 3"
    np.testing.assert_array_equal(figure.axes[5].lines[0].get_xdata(), [0, 10, 20, 30])
    np.testing.assert_array_equal(figure.axes[5].lines[0].get_ydata(), values[:, 1, 2])
    assert figure.get_supxlabel() == "time (ps)"
