import dataclasses

import numpy as np
import pytest

from polyvae.analysis import LinearMaps
from polyvae.plots import figure_linear_maps


@pytest.fixture
def make_maps(rng):
    def make(dims: int = 2, frames: int = 50) -> LinearMaps:
        draw = lambda: rng.normal(size=(frames, dims)).astype(np.float32)  # noqa: E731
        return LinearMaps(
            latent=draw(),
            dimensions=(1, 3)[:dims],
            pca=draw(),
            tica=draw(),
            colors=np.linspace(-3.0, 3.0, frames, dtype=np.float32),
            color_label="torsion 0-1-2-3 (rad)",
            color_period=2 * np.pi,
            explained=np.array([0.5, 0.25])[:dims],
            timescales=np.array([12.0, np.nan])[:dims],
            correlation=np.ones((dims, 2)),
            lag_time=4,
            frame_time=0.5,
            unit="ps",
            frames=np.arange(frames),
            features=6,
            all_features=6,
        )

    return make


def test_maps_show_the_same_frames_in_the_same_colors(make_maps):
    maps = make_maps()
    latent, pca, tica, bar = figure_linear_maps(maps).axes
    for ax, values in ((latent, maps.latent), (pca, maps.pca), (tica, maps.tica)):
        (points,) = ax.collections
        np.testing.assert_array_equal(points.get_offsets(), values)
        np.testing.assert_allclose(points.get_array(), np.degrees(maps.colors))
        assert points.get_clim() == (-180.0, 180.0)
    assert latent.get_xlabel() == "latent z₂"
    assert pca.get_title("left") == "PCA: 50% + 25% of variance"
    assert tica.get_title("left") == "TICA: timescales 12, none ps"
    assert tica.get_xlabel() == "mode 1, lag 2 ps"
    assert bar.get_ylabel() == "torsion 0-1-2-3 (°)"


def test_one_dimension_is_drawn_against_the_observable(make_maps):
    maps = dataclasses.replace(make_maps(1), color_period=None, color_label="radius of gyration (nm)")
    latent = figure_linear_maps(maps).axes[0]
    np.testing.assert_array_equal(
        latent.collections[0].get_offsets(), np.stack([maps.latent[:, 0], maps.colors], axis=1)
    )
    assert latent.get_ylabel() == "radius of gyration (nm)"


def test_absent_tica_is_said_in_words(make_maps):
    ax = figure_linear_maps(dataclasses.replace(make_maps(), tica=None, timescales=None)).axes[2]
    assert not ax.collections
    assert "No two frames" in ax.texts[0].get_text()


def test_many_frames_are_thinned_visibly(make_maps):
    figure = figure_linear_maps(make_maps(frames=12_000))
    assert len(figure.axes[0].collections[0].get_offsets()) == 4000
    assert figure.axes[3].get_ylabel().endswith("every 3rd frame shown")
