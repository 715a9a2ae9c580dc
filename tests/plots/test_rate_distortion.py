import numpy as np
import pytest

from polyvae.analysis import RateDistortion
from polyvae.plots import plot_rate_distortion


@pytest.fixture
def sweep() -> RateDistortion:
    beta, latent_dim = np.repeat([0.1, 1.0, 0.1, 1.0], 2), np.repeat([2, 2, 4, 4], 2)
    rate = np.array([6.0, 6.2, 3.0, 3.2, 9.0, 9.2, 5.0, 5.2])
    return RateDistortion(
        beta=beta,
        latent_dim=latent_dim,
        seed=np.tile([0, 1], 4),
        rate=rate,
        distortion=np.exp(-rate / 4),
        elbo=-rate,
        active_units=latent_dim,
        status=("healthy",) * 8,
        gaussian_rate=np.linspace(20.0, 0.0, 50),
        gaussian_distortion=np.linspace(0.0, 1.0, 50),
    )


def test_there_is_one_curve_a_latent_size_beside_the_limit(sweep):
    ax = plot_rate_distortion(sweep)
    labels = [text.get_text() for text in ax.get_legend().get_texts()]
    assert labels == ["2 latent dimensions", "4 latent dimensions", "limit of a Gaussian"]
    assert ax.get_xlabel() == "rate (nats per frame)"


def test_points_are_means_over_seeds_in_the_order_of_the_rate(sweep):
    line = plot_rate_distortion(sweep).lines[0]
    np.testing.assert_allclose(line.get_xdata(), [3.1, 6.1])


def test_the_curve_of_the_limit_ends_near_the_largest_rate(sweep):
    assert plot_rate_distortion(sweep).lines[-1].get_xdata().max() <= 1.15 * 9.2


def test_betas_are_named_once(sweep):
    assert [text.get_text() for text in plot_rate_distortion(sweep).texts] == ["β 1", "β 0.1"]
