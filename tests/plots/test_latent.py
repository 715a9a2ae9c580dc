import dataclasses

import numpy as np
import pytest

from polyvae.plots import figure_latent_trajectory, plot_latent_map, plot_latent_trajectory, to_png
from polyvae.plots.latent import MOST_POINTS
from polyvae.units import REDUCED


def test_map_of_two_dimensions_counts_every_frame(make_latent):
    ax = plot_latent_map(make_latent(500, 2))
    assert ax.collections[0].get_array().sum() == 500
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("latent z₁", "latent z₂")


def test_map_of_many_dimensions_shows_the_two_of_largest_variance(make_latent):
    ax = plot_latent_map(make_latent(2000, 16))
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("latent z₁₅ of 16", "latent z₁₆ of 16")


def test_map_of_one_dimension_is_a_histogram_beside_the_prior(make_latent):
    ax = plot_latent_map(make_latent(400, 1))
    assert sum(bar.get_height() * bar.get_width() for bar in ax.patches) == pytest.approx(1.0)
    assert ax.lines[0].get_ydata().max() == pytest.approx(1 / np.sqrt(2 * np.pi), rel=1e-3)


def test_weighted_map_shows_the_weight_in_each_cell(make_latent, rng):
    weights = rng.exponential(size=600) * (np.arange(600) % 6 > 0)
    latent = make_latent(600, 2, weights=weights)
    ax = plot_latent_map(latent)
    cells = ax.collections[0].get_array()
    # Scaled to a mean of one over the 500 frames of a weight above zero.
    assert cells.sum() == pytest.approx(500)
    assert cells.min() > 0
    assert ax.collections[0].colorbar.ax.get_ylabel() == "weighted frames per cell"
    # A hundredth of the weight in the left half of the plane leaves as much of the cells there.
    left = latent.mean[:, 0] < 0
    tilted = np.where(left, 0.01 * weights, weights)
    cells = plot_latent_map(dataclasses.replace(latent, weights=tilted)).collections[0]
    share = cells.get_array()[cells.get_offsets()[:, 0] < -0.2].sum() / cells.get_array().sum()
    assert share < 0.02


def test_equal_weights_draw_the_map_without_weights(make_latent):
    latent = make_latent(600, 2)
    plain, weighted = (
        plot_latent_map(record).collections[0].get_array()
        for record in (latent, dataclasses.replace(latent, weights=np.full(600, 0.3)))
    )
    np.testing.assert_allclose(weighted, plain, rtol=1e-10)


def test_weighted_map_of_one_dimension_is_the_weighted_histogram(make_latent):
    latent = make_latent(400, 1)
    weights = np.where(latent.mean[:, 0] > 0, 1.0, 0.0)
    ax = plot_latent_map(dataclasses.replace(latent, weights=weights))
    assert sum(bar.get_height() * bar.get_width() for bar in ax.patches) == pytest.approx(1.0)
    assert min(bar.get_x() for bar in ax.patches) > 0


def test_weighted_points_grow_with_their_weight_and_keep_their_frame(make_latent):
    weights = np.tile([0.0, 1.0, 2.0], 20)
    cloud = plot_latent_map(make_latent(60, weights=weights)).collections[0]
    assert len(cloud.get_offsets()) == 40
    np.testing.assert_array_equal(cloud.get_array(), np.flatnonzero(weights))
    np.testing.assert_allclose(cloud.get_sizes()[1::2] / cloud.get_sizes()[::2], 2.0)


def test_weights_decide_which_dimensions_are_widest(make_latent):
    latent = make_latent(600, 3)
    inside = np.abs(latent.mean[:, 2]) < 0.05
    ax = plot_latent_map(dataclasses.replace(latent, weights=inside.astype(np.float64)))
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("latent z₁ of 3", "latent z₂ of 3")


@pytest.mark.parametrize("units", ["molecular", "reduced"])
def test_time_axis_names_its_unit(make_latent, units):
    latent = make_latent(units=REDUCED) if units == "reduced" else make_latent()
    assert plot_latent_trajectory(latent).get_xlabel() == f"time ({latent.units.time})"


def test_frames_are_counted_where_there_are_no_times(make_latent):
    ax = plot_latent_trajectory(make_latent(times=False))
    assert ax.get_xlabel() == "frame"
    assert ax.lines[0].get_xdata()[-1] == 499


def test_frames_are_counted_where_times_start_again(make_latent):
    latent = make_latent(100, segments=(60, 40))
    latent.times[60:] -= 60.0
    ax = plot_latent_trajectory(latent)
    assert ax.get_xlabel() == "frame, joins dotted"
    assert [line.get_xdata()[0] for line in ax.lines if line.get_linestyle() == ":"] == [60]


def test_no_line_crosses_a_join(make_latent):
    ax = plot_latent_trajectory(make_latent(100, segments=(60, 40)))
    assert sorted(len(line.get_xdata()) for line in ax.lines if line.get_linestyle() != ":") == [40, 60]


@pytest.mark.parametrize(("last", "unit"), [(1500.0, "ps"), (20_000.0, "ns"), (5e6, "µs")])
def test_times_are_given_in_a_readable_unit(make_latent, last, unit):
    latent = dataclasses.replace(make_latent(100), times=np.linspace(0.0, last, 100))
    ax = plot_latent_trajectory(latent)
    assert ax.get_xlabel() == f"time ({unit})"
    assert ax.lines[0].get_xdata()[-1] == pytest.approx(last / {"ps": 1, "ns": 1e3, "µs": 1e6}[unit])


def test_few_frames_are_points_coloured_by_time(make_latent):
    ax = plot_latent_map(make_latent(98))
    assert len(ax.collections[0].get_offsets()) == 98


def test_long_trajectories_are_thinned_and_say_so(make_latent):
    ax = plot_latent_trajectory(make_latent(3 * MOST_POINTS, 1))
    assert ax.get_xlabel() == "time (ns), every 3rd frame shown"
    assert sum(len(line.get_xdata()) for line in ax.lines) == MOST_POINTS


@pytest.mark.parametrize(("latent", "panels"), [(1, 1), (2, 2), (16, 4)])
def test_figure_has_a_panel_for_each_dimension_up_to_four(make_latent, latent, panels):
    figure = figure_latent_trajectory(make_latent(50, latent))
    assert len(figure.axes) == panels
    assert [ax.get_xlabel() for ax in figure.axes] == [""] * (panels - 1) + ["time (ps)"]


def test_one_frame_can_be_drawn(make_latent):
    latent = make_latent(1, 2)
    assert to_png(figure_latent_trajectory(latent))
    assert to_png(plot_latent_map(latent))
