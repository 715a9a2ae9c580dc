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
