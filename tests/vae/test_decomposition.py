"""Aggregate posterior, total correlation and distance from the prior against mixtures and normals in closed form."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

from polyvae.vae import DiagonalNormal, FullNormal, log_aggregate, prior_mismatch, total_correlation


def mixture(rng, n_rows: int, dims: int = 2) -> DiagonalNormal:
    mean, log_scale = rng.normal(size=(2, n_rows, dims))
    return DiagonalNormal(mean=jnp.asarray(mean), log_scale=jnp.asarray(0.3 * log_scale - 0.5))


aggregate = jax.jit(log_aggregate)
correlation = jax.jit(total_correlation, static_argnums=2)


def densities_by_row(posterior: DiagonalNormal, points: np.ndarray) -> np.ndarray:
    """Density of each marginal of each row at each point, shape (points, rows, latent)."""
    mean, scale = np.asarray(posterior.mean)[None], np.asarray(posterior.scale)[None]
    return scipy.stats.norm.pdf(points[:, None, :], mean, scale)


def test_the_aggregate_is_the_mixture_of_the_posteriors(x64, rng):
    posterior, points = mixture(rng, 7), rng.normal(size=(5, 2))
    weights = rng.uniform(0.1, 2.0, size=7)
    each = densities_by_row(posterior, points)
    for given, shares in ((None, np.full(7, 1 / 7)), (jnp.asarray(weights), weights / weights.sum())):
        joint, marginals = aggregate(posterior, jnp.asarray(points), given)
        np.testing.assert_allclose(joint, np.log(each.prod(axis=2) @ shares), rtol=1e-10)
        expected = np.log(np.einsum("prd,r->pd", each, shares))
        np.testing.assert_allclose(marginals, expected, rtol=1e-10)


@pytest.mark.parametrize("kind", ["diagonal", "full"])
def test_the_total_correlation_of_a_normal_aggregate_is_that_of_its_correlations(x64, kind):
    # Means of covariance A and posteriors of covariance B make an aggregate of covariance A + B.
    n, own = 512, np.array([[0.25, 0.15], [0.15, 0.25]]) if kind == "full" else 0.25 * np.eye(2)
    spread = np.array([[0.75, 0.5], [0.5, 0.75]])
    # Evenly spread means: their own sampling error would be the largest one.
    uniform = (0.5 + np.arange(n)[:, None] * np.array([0.7548776662, 0.5698402910])) % 1.0
    mean = scipy.stats.norm.ppf(uniform) @ np.linalg.cholesky(spread).T
    if kind == "full":
        cholesky = np.broadcast_to(np.linalg.cholesky(own), (n, 2, 2))
        posterior = FullNormal(mean=jnp.asarray(mean), cholesky=jnp.asarray(cholesky))
    else:
        posterior = DiagonalNormal(mean=jnp.asarray(mean), log_scale=jnp.full((n, 2), np.log(0.5)))
    values = [float(correlation(posterior, posterior.sample(jax.random.key(seed)), n)) for seed in range(4)]
    expected = -0.5 * np.log(1 - (spread + own)[0, 1] ** 2)
    # The log-ratio has standard deviation 0.65, most of it from the means: 4 * 512 draws leave 0.01.
    assert np.mean(values) == pytest.approx(expected, abs=0.04)


def test_one_latent_dimension_has_no_total_correlation(x64, rng):
    posterior = mixture(rng, 6, dims=1)
    latent = posterior.sample(jax.random.key(0))
    assert float(correlation(posterior, latent, 1000)) == pytest.approx(0.0, abs=1e-12)


def test_a_batch_stands_for_the_other_frames_of_the_data(x64, rng):
    posterior, n_frames = mixture(rng, 5), 40
    latent, weights = np.asarray(posterior.sample(jax.random.key(0))), rng.uniform(0.1, 2.0, size=5)
    each = densities_by_row(posterior, latent)
    for given, ones in ((None, np.ones(5)), (jnp.asarray(weights), weights)):
        shares = (n_frames - 1) / n_frames / 4 * np.broadcast_to(ones, (5, 5)).copy()
        np.fill_diagonal(shares, ones / n_frames)
        joint = np.log(np.sum(shares * each.prod(axis=2), axis=1))
        marginals = np.log(np.einsum("pr,prd->pd", shares, each)).sum(axis=1)
        expected = np.mean(ones * (joint - marginals))
        value = correlation(posterior, jnp.asarray(latent), n_frames, given)
        assert float(value) == pytest.approx(expected, rel=1e-10)


def test_with_all_frames_in_the_batch_the_total_correlation_is_that_of_the_aggregate(x64, rng):
    posterior = mixture(rng, 9)
    latent = posterior.sample(jax.random.key(0))
    joint, marginals = aggregate(posterior, latent)
    expected = float(jnp.mean(joint - jnp.sum(marginals, axis=1)))
    assert float(correlation(posterior, latent, 9)) == pytest.approx(expected, rel=1e-12)


def mean_kernel(dims: int, mean: float, variance: float) -> float:
    """Expected kernel of two points whose difference is normal in one dimension."""
    gap = np.linspace(-40.0, 40.0, 80_001)
    kernel = np.mean(
        [c / (c + gap**2) for c in 2.0 * dims * np.array([0.1, 0.2, 0.5, 1.0, 2.0, 5.0])], axis=0
    )
    return float(np.sum(scipy.stats.norm.pdf(gap, mean, np.sqrt(variance)) * kernel) * (gap[1] - gap[0]))


def mismatches(rng, shift: float, *, weights: np.ndarray | None = None) -> np.ndarray:
    """The estimate for 600 batches of 40 draws, standard normal but for a shift, against 30 of the prior."""
    latent = jnp.asarray(rng.normal(size=(600, 40, 1)) + shift)
    draws = jnp.asarray(rng.normal(size=(600, 30, 1)))
    if weights is None:
        return np.asarray(jax.jit(jax.vmap(prior_mismatch))(latent, draws))
    return np.asarray(jax.jit(jax.vmap(prior_mismatch))(latent, draws, jnp.asarray(weights)))


@pytest.mark.parametrize("shift", [0.0, 0.7])
def test_the_mismatch_is_an_unbiased_estimate_of_the_squared_discrepancy(x64, rng, shift):
    values = mismatches(rng, shift)
    expected = 2.0 * mean_kernel(1, 0.0, 2.0) - 2.0 * mean_kernel(1, shift, 2.0)
    assert abs(values.mean() - expected) < 5 * values.std() / np.sqrt(len(values))
    assert (expected > 0.01) == (shift > 0)


def test_random_weights_of_mean_one_leave_the_mismatch_unbiased(x64, rng):
    # Two thirds of the frames count nothing: some batches hold hardly any weight.
    values = mismatches(rng, 0.7, weights=rng.choice([0.0, 0.0, 3.0], size=(600, 40)))
    expected = 2.0 * mean_kernel(1, 0.0, 2.0) - 2.0 * mean_kernel(1, 0.7, 2.0)
    assert abs(values.mean() - expected) < 5 * values.std() / np.sqrt(len(values))


def test_draws_of_the_prior_have_no_mismatch_and_other_ones_do(x64, rng):
    latent = rng.normal(size=(4, 400, 3))
    near, wide, narrow, shifted = (
        latent * np.array([1.0, 1.5, 0.5, 1.0])[:, None, None] + np.array([0.0, 0.0, 0.0, 0.5])[:, None, None]
    )
    draws = jnp.asarray(rng.normal(size=(400, 3)))
    mismatch = jax.jit(prior_mismatch)
    far = [float(mismatch(jnp.asarray(rows), draws)) for rows in (near, wide, narrow, shifted)]
    # Under equality the estimate scatters by about 2/400.
    assert abs(far[0]) < 0.01
    assert min(far[1:]) > 0.01


@pytest.mark.parametrize("measure", ["mismatch", "total correlation"])
def test_batches_without_weight_and_of_one_frame_are_finite_with_finite_gradients(rng, measure):
    draws = jnp.asarray(rng.normal(size=(4, 2)), jnp.float32)

    def value(mean: jax.Array, weights: jax.Array) -> jax.Array:
        posterior = DiagonalNormal(mean=mean, log_scale=jnp.zeros_like(mean))
        if measure == "mismatch":
            return prior_mismatch(posterior.sample(jax.random.key(0)), draws, weights)
        return total_correlation(posterior, posterior.sample(jax.random.key(0)), 50, weights)

    of = jax.jit(jax.value_and_grad(value))
    for weights in ([0.0, 0.0, 0.0], [0.0, 3.0, 0.0], [1.0]):
        mean = jnp.asarray(rng.normal(size=(len(weights), 2)), jnp.float32)
        number, gradient = of(mean, jnp.asarray(weights))
        assert np.isfinite(number)
        assert np.isfinite(gradient).all()
        if measure == "total correlation" and not any(weights):
            assert abs(float(number)) < 1e-15
