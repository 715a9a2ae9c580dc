import dataclasses

import numpy as np
import pytest

from polyvae.analysis import LatentPath, PathComparison
from polyvae.plots import figure_paths, plot_latent_paths, plot_path_density, plot_path_observable, to_png
from polyvae.trajectory import Trajectory
from polyvae.units import REDUCED


@pytest.fixture
def make_path(rng):
    def make(kind: str, *, latent: int = 2, dims: int = 2) -> LatentPath:
        points = np.linspace(np.zeros(latent), np.arange(1.0, latent + 1), 8)
        positions = rng.normal(size=(8, 5, dims)).astype(np.float32)
        return LatentPath(
            kind=kind,
            latent=points,
            trajectory=Trajectory(positions=positions, units=REDUCED),
            log_density=-np.arange(8.0),
            edge=-5.0,
            density="aggregate",
            violation=np.repeat([0.0, 1.0], 4),
            end_rmsd=(0.1, np.nan),
            values=np.ones((8, 1)),
            observables=("radius_of_gyration",),
            value_units=("σ",),
            trace=np.zeros(1),
            unit="σ",
        )

    return make


def test_the_plane_is_that_in_which_paths_reach_farthest(make_path, make_latent):
    ax = plot_latent_paths(make_path("string", latent=3), make_latent(latent=3))
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("latent z₂ of 3", "latent z₃ of 3")
    np.testing.assert_allclose(ax.lines[0].get_xdata(), np.linspace(0, 2, 8))
    ax = plot_latent_paths(make_path("string", latent=1))
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("share of the path", "latent z₁")


def test_crosses_mark_frames_of_broken_geometry(make_path):
    ax = plot_path_density(make_path("straight"))
    np.testing.assert_array_equal(ax.lines[1].get_ydata(), -np.arange(4.0, 8.0))
    labels = [text.get_text() for text in ax.get_legend().get_texts()]
    assert labels == ["straight", "99 % of the aggregate posterior lie above", "geometry not valid"]
    assert plot_path_observable(make_path("straight")).get_ylabel() == "radius of gyration (σ)"


@pytest.mark.parametrize("dims", [2, 3])
def test_figure_shows_both_kinds_side_by_side(make_path, make_latent, dims):
    both = PathComparison(straight=make_path("straight", dims=dims), string=make_path("string", dims=dims))
    figure = figure_paths(both, make_latent(weights=np.ones(500)))
    titles = [ax.get_title() or ax.get_title("left") for ax in figure.axes]
    assert next(title for title in titles if title.startswith("straight")) == "straight, 0%"
    assert sum(title.startswith("string") for title in titles) == 5
    assert to_png(figure)
    bare = dataclasses.replace(both.string, values=np.zeros((8, 0)), observables=(), value_units=())
    assert to_png(figure_paths(bare))
