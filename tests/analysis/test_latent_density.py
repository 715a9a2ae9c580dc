"""The density of the aggregate posterior against a sum by hand, its edge, and its weights."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import logsumexp
from scipy.stats import norm

from polyvae.analysis import aggregate_density, prior_density
from polyvae.errors import InputError
from polyvae.trajectory import Trajectory
from polyvae.units import REDUCED


@pytest.fixture(scope="module")
def data(unbounded_model) -> Trajectory:
    latent = np.random.default_rng(5).normal(size=(60, 2)).astype(np.float32)
    return Trajectory(positions=np.asarray(unbounded_model.decode(3.0 * latent)), units=REDUCED)


def test_the_density_is_the_mean_of_every_second_frames_posterior(unbounded_model, data):
    density = aggregate_density(unbounded_model, data)
    posterior = unbounded_model.encode(data.positions[::2])
    mean, scale = np.asarray(posterior.mean), density.broadening * np.asarray(posterior.scale)
    points = np.random.default_rng(0).normal(size=(5, 2)).astype(np.float32)
    by_frame = norm.logpdf(points[:, None], mean[None], scale[None]).sum(axis=2)
    expected = logsumexp(by_frame, axis=1) - np.log(30)
    np.testing.assert_allclose(density.log_probs(jnp.asarray(points)), expected, atol=1e-4)


def test_one_percent_of_what_it_holds_lies_below_the_edge(unbounded_model, data):
    many = data.replace(positions=np.tile(data.positions, (30, 1, 1)), segments=())
    density = aggregate_density(unbounded_model, many)
    draws = density.distribution.sample(jax.random.key(4), 4000)
    below = np.mean(density.log_probs(draws) < float(density.edge))
    # The edge rests on 900 draws: 1 % of them is 9, give or take 3.
    assert 0.001 < below < 0.025


def test_the_edge_of_the_standard_normal_is_that_of_its_ball(unbounded_model):
    density = prior_density(unbounded_model)
    # In two dimensions the density at the edge of the ball of 99 % is 1 % of that at the center; 10 000 draws
    # know its logarithm to about 0.1.
    assert float(density.edge) == pytest.approx(-np.log(2 * np.pi) + np.log(0.01), abs=0.35)


def test_narrow_posteriors_are_broadened_until_other_frames_are_likely(unbounded_model, data):
    import equinox as eqx

    shift = jnp.asarray([0.0, 0.0, -3.0, -3.0])
    narrow = eqx.tree_at(
        lambda model: model.vae.network.encoder.biases[0],
        unbounded_model,
        replace_fn=lambda bias: bias + shift,
    )
    assert aggregate_density(narrow, data).broadening > aggregate_density(unbounded_model, data).broadening


def test_a_frame_without_weight_is_as_good_as_absent_and_only_ratios_count(unbounded_model, data):
    weights = np.random.default_rng(1).uniform(0.5, 2.0, size=60)
    weights[7] = 0.0
    kept = np.flatnonzero(weights)
    points = jnp.asarray(np.random.default_rng(0).normal(size=(5, 2)), jnp.float32)
    first, second, third = (
        aggregate_density(unbounded_model, frames)
        for frames in (
            data.replace(weights=weights),
            data.replace(weights=8 * weights),
            data[kept].replace(weights=weights[kept]),
        )
    )
    for other in (second, third):
        # Sums of weights in float32.
        np.testing.assert_allclose(first.log_probs(points), other.log_probs(points), atol=1e-5)
        assert float(first.edge) == pytest.approx(float(other.edge), abs=1e-5)


def test_too_few_frames_are_refused(unbounded_model, data):
    with pytest.raises(InputError, match="at least 10 frames with a weight; got 9"):
        aggregate_density(unbounded_model, data[:9])
