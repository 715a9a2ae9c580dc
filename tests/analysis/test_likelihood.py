"""Log-likelihood of a linear model against its exact distribution, and the comparison with baselines."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

from polyvae.analysis import (
    GaussianChain,
    LogLikelihood,
    compare_likelihoods,
    latent_trajectory,
    log_likelihood,
)
from polyvae.errors import InputError
from polyvae.trajectory import Trajectory
from polyvae.units import REDUCED
from polyvae.vae import ModelConfig, make_vae
from polyvae.vae.likelihoods import Normal


@pytest.fixture(scope="module")
def drawn(linear_model) -> tuple[Trajectory, np.ndarray]:
    """Frames of the linear model's distribution and their exact log-density, nats per unit of length."""
    _, mean, covariance = linear_model
    exact = scipy.stats.multivariate_normal(mean, covariance)
    positions = exact.rvs(60, random_state=0).reshape(-1, 3, 2).astype(np.float32)
    return Trajectory(positions=positions, units=REDUCED), exact.logpdf(positions.reshape(-1, 6))


def test_the_estimate_reaches_the_exact_log_density_in_the_unit_of_length(linear_model, drawn):
    trajectory, exact = drawn
    estimate = log_likelihood(linear_model[0], trajectory, samples=1000, seed=0)
    # Posteriors 1.5 times too wide: weights of relative variance about 1.3, so 0.04 a frame.
    np.testing.assert_allclose(estimate.per_frame, exact, atol=0.2)
    assert float(estimate) == pytest.approx(exact.mean(), abs=0.03)


def test_the_estimate_grows_with_the_number_of_draws(linear_model, drawn):
    trajectory, exact = drawn
    values = [
        float(log_likelihood(linear_model[0], trajectory, samples=samples)) for samples in (1, 10, 1000)
    ]
    # At one draw the gap is the divergence of the posteriors, 2 ((1.5² - 1)/2 - log 1.5) = 0.44 nats.
    assert values[0] == pytest.approx(exact.mean() - 0.44, abs=0.35)
    assert values[0] < values[1] < values[2] + 0.02


def test_the_same_seed_gives_the_same_numbers(linear_model, drawn):
    one, again, other = (
        log_likelihood(linear_model[0], drawn[0], samples=10, seed=seed).per_frame for seed in (1, 1, 2)
    )
    np.testing.assert_array_equal(one, again)
    assert (one != other).any()


def test_the_record_is_a_number_and_an_array(drawn):
    record = LogLikelihood(per_frame=np.array([1.0, 2.0, 6.0]), samples=5)
    assert float(record) == record.value == 3.0
    np.testing.assert_array_equal(np.asarray(record), [1.0, 2.0, 6.0])
    assert record.standard_error == pytest.approx(scipy.stats.sem([1.0, 2.0, 6.0]))


def test_the_weighted_error_is_that_of_as_many_frames_as_the_weights_are_worth():
    values = np.array([1.0, 2.0, 6.0, 7.0])
    record = LogLikelihood(per_frame=values, samples=5, weights=np.array([1.0, 1.0, 3.0, 0.0]))
    # Mean (1 + 2 + 18) / 5, variance 4.96 around it, and 25 / 11 effective frames.
    assert float(record) == record.value == pytest.approx(4.2)
    assert record.effective_sample_size == pytest.approx(25 / 11)
    assert record.standard_error == pytest.approx(np.sqrt(4.96 / (25 / 11 - 1)))
    np.testing.assert_array_equal(np.asarray(record), values)
    equal = LogLikelihood(per_frame=values, samples=5, weights=np.full(4, 0.2))
    assert equal.standard_error == pytest.approx(scipy.stats.sem(values))


def test_the_weighted_error_is_the_scatter_of_the_weighted_mean(rng):
    # Standard normal numbers, with weights that do not depend on them.
    records = [
        LogLikelihood(per_frame=rng.normal(size=100), samples=1, weights=rng.exponential(size=100))
        for _ in range(2000)
    ]
    scatter = np.std([record.value for record in records])
    # The scatter itself is known to 1 / sqrt(2 * 2000) = 1.6 %.
    assert np.mean([record.standard_error for record in records]) == pytest.approx(scatter, rel=0.08)


def test_the_estimate_carries_the_weights_of_the_frames(linear_model, drawn, rng):
    weights = rng.exponential(size=60)
    plain = log_likelihood(linear_model[0], drawn[0], samples=10)
    record = log_likelihood(linear_model[0], drawn[0].replace(weights=weights), samples=10)
    np.testing.assert_array_equal(record.per_frame, plain.per_frame)
    assert plain.weights is None
    assert record.value == pytest.approx(np.average(plain.per_frame, weights=weights))


def test_another_system_and_too_few_draws_are_refused(linear_model, drawn):
    with pytest.raises(InputError, match="trained on 3 atoms"):
        log_likelihood(linear_model[0], Trajectory(positions=np.zeros((2, 4, 2), np.float32), units=REDUCED))
    with pytest.raises(InputError, match="`samples` must be at least 1"):
        log_likelihood(linear_model[0], drawn[0], samples=0)


@pytest.fixture(scope="module")
def comparison(fitted, chain):
    return compare_likelihoods(fitted, chain, samples=20, max_frames=50)


def test_the_comparison_uses_the_same_held_out_frames_for_every_model(comparison):
    parts = (comparison.model, comparison.gaussian, comparison.chain)
    assert [part.per_frame.shape for part in parts] == [(50,)] * 3
    assert all(np.isfinite(part.per_frame).all() for part in parts)
    assert comparison.rate > 0


def test_the_gaussian_of_the_comparison_is_scipys_in_the_unit_of_length(comparison, fitted, chain):
    split, representation = fitted.split, fitted.model.representation
    features = fitted.model.features(chain.positions)
    lengths = np.asarray(features, np.float64) * np.asarray(representation.scale, np.float64)
    mean, covariance = lengths[split.train].mean(axis=0), np.cov(lengths[split.train].T)
    test = split.test[np.unique(np.linspace(0, len(split.test) - 1, 50).astype(int))]
    expected = scipy.stats.multivariate_normal(mean, covariance).logpdf(lengths[test]).mean()
    # Shrinkage towards the shared width, chosen on the validation frames, moves it by less than this.
    assert comparison.gaussian.value == pytest.approx(expected, abs=0.3)


def test_the_comparison_weighs_the_frames_and_leaves_out_those_of_no_weight(fitted, chain, rng):
    split, weights = fitted.split, rng.exponential(size=chain.n_frames)
    # Exactly fifty test frames are left, as many as the comparison above has taken.
    weights[split.test[50:]] = 0.0
    record = compare_likelihoods(fitted, chain.replace(weights=weights), samples=20, max_frames=50)
    for part in (record.model, record.gaussian, record.chain):
        np.testing.assert_array_equal(part.weights, weights[split.test[:50]])
    kl = latent_trajectory(fitted.model, chain[split.test[:50]])
    each = np.sum((kl.mean**2 + kl.scale**2 - 1) / 2 - np.log(kl.scale), axis=1)
    assert record.rate == pytest.approx(np.average(each, weights=weights[split.test[:50]]), rel=1e-4)
    assert record.rate != pytest.approx(each.mean(), rel=1e-3)


def test_test_frames_without_any_weight_are_refused(fitted, chain):
    weights = np.ones(chain.n_frames)
    weights[fitted.split.test] = 0.0
    with pytest.raises(InputError, match="All .* test frames have weight zero"):
        compare_likelihoods(fitted, chain.replace(weights=weights))


def test_without_a_density_of_the_chain_the_comparison_goes_on(fitted, chain, monkeypatch):
    def refuse(*arguments, **options):
        raise InputError("no density")

    monkeypatch.setattr(GaussianChain, "fit", refuse)
    assert compare_likelihoods(fitted, chain, samples=20, max_frames=50).chain is None


def test_rows_of_a_vae_of_vectors_reach_their_exact_log_density(rng):
    # A collapsed VAE: the decoder's outputs are zero, so x is normal with its width, whatever the draws of z.
    vae = make_vae(Normal.of(3, sigma=2.0), ModelConfig(hidden=(4,)))
    arrays, rest = eqx.partition(vae.network, eqx.is_array)
    silent = eqx.combine(jax.tree.map(jnp.zeros_like, arrays), rest)
    vae = eqx.tree_at(lambda tree: tree.network, vae, silent)
    rows = 2.0 * rng.normal(size=(20, 3))
    estimate = log_likelihood(vae, rows, samples=5)
    np.testing.assert_allclose(
        estimate.per_frame, scipy.stats.norm.logpdf(rows, scale=2.0).sum(axis=1), rtol=1e-5
    )
    assert (estimate.samples, estimate.weights) == (5, None)


def test_vectors_and_conformations_are_not_taken_for_each_other(linear_model, drawn):
    vae = make_vae(Normal.of(3), ModelConfig(hidden=(4,)))
    with pytest.raises(InputError, match="A VAE scores vectors.*got a Trajectory"):
        log_likelihood(vae, drawn[0])
    with pytest.raises(InputError, match="A conformation model scores a Trajectory"):
        log_likelihood(linear_model[0], np.zeros((4, 3)))
    with pytest.raises(InputError, match=r"must have shape \(rows, 3\); got \(4, 2\)"):
        log_likelihood(vae, np.zeros((4, 2)))
    with pytest.raises(InputError, match=r"NaN or infinity in 1 row\(s\), first row 2"):
        log_likelihood(vae, np.where(np.arange(4)[:, None] == 2, np.nan, np.zeros((4, 3))))
