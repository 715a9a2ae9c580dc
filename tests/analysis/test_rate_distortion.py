"""The sweep over beta and latent size: known curve of a Gaussian, order of the rates, bad input."""

import numpy as np
import pytest

from polyvae.analysis import rate_distortion
from polyvae.analysis.rate_distortion import _gaussian_curve
from polyvae.errors import InputError
from polyvae.training import TrainConfig
from polyvae.trajectory import Trajectory
from polyvae.vae import ModelConfig

CONFIG = ModelConfig(latent_dim=2, hidden=(16,))
TRAINING = TrainConfig(epochs=15, batch_size=64, learning_rate=1e-2, patience=None, gap=0, kl_warmup=2)


@pytest.fixture(scope="module")
def sweep(chain):
    return rate_distortion(chain, CONFIG, TRAINING, betas=(0.3, 3.0), latent_dims=(1, 2), seeds=(0, 1))


def test_there_is_a_row_for_every_beta_size_and_seed(sweep):
    rows = list(zip(sweep.latent_dim.tolist(), sweep.beta.tolist(), sweep.seed.tolist(), strict=True))
    assert rows == [(d, b, s) for d in (1, 2) for b in (0.3, 3.0) for s in (0, 1)]
    assert len(sweep.status) == 8


def test_a_larger_beta_lowers_the_rate_and_raises_the_distortion(sweep):
    low, high = sweep.beta == 0.3, sweep.beta == 3.0
    assert (sweep.rate[low] > sweep.rate[high]).all()
    assert (sweep.distortion[low] < sweep.distortion[high]).all()


def test_the_curve_of_a_gaussian_is_that_of_water_filling():
    # Two independent features of variance 4 and 1: above the water level 1 only the first is coded.
    features = np.array([[2.0, 1.0], [2.0, -1.0], [-2.0, 1.0], [-2.0, -1.0]])
    rate, distortion = _gaussian_curve(features, np.full(4, 0.25))
    order = np.argsort(distortion)
    for level in (0.5, 2.0, 4.0):
        error = (min(level, 4.0) + min(level, 1.0)) / 2
        expected = 0.5 * np.log(4.0 / min(level, 4.0)) + 0.5 * np.log(1.0 / min(level, 1.0))
        # Linear interpolation between 400 levels.
        assert np.interp(error, distortion[order], rate[order]) == pytest.approx(expected, abs=1e-3)
    assert (np.diff(rate) <= 0).all()


def test_the_limit_stands_beside_each_model(sweep):
    limit = sweep.gaussian_rate_at_distortion
    assert limit.shape == (8,)
    assert (limit > 0).all()


@pytest.mark.parametrize("name", ["betas", "latent_dims", "seeds"])
def test_an_empty_sweep_is_refused(chain, name):
    with pytest.raises(InputError, match=f"`{name}` must hold at least one number"):
        rate_distortion(chain, CONFIG, TRAINING, **{name: ()})


def test_a_likelihood_without_orientation_is_refused(chain):
    with pytest.raises(InputError, match="depends on the decoder's orientation"):
        rate_distortion(chain, ModelConfig(likelihood="rotation"), TRAINING)


@pytest.mark.parametrize(
    ("sweep", "message"),
    [
        ({"betas": (1.0, -1.0)}, "`betas` must hold finite numbers of at least 0; got -1.0"),
        ({"latent_dims": (0,)}, "`latent_dims` must hold finite numbers of at least 1; got 0"),
        ({"seeds": (-2,)}, "`seeds` must hold finite numbers of at least 0; got -2"),
    ],
)
def test_a_number_that_cannot_be_swept_over_is_named(sweep, message):
    with pytest.raises(InputError, match=message):
        rate_distortion(Trajectory(positions=np.zeros((4, 3, 2), np.float32)), **sweep)
