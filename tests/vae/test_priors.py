"""Priors: densities that integrate to one, draws that follow them, divergences against quadrature."""

import sys
from functools import cache

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

from polyvae.errors import InputError, MissingDependencyError
from polyvae.vae import (
    AnisotropicNormal,
    DiagonalNormal,
    FlowPrior,
    FullNormal,
    ModelConfig,
    NormalMixture,
    SparsePrior,
    StandardNormal,
    VampPrior,
    make_vae,
)
from polyvae.vae.flows import spline_flow
from polyvae.vae.likelihoods import Normal

KINDS = ("normal", "anisotropic", "sparse", "mixture", "correlated mixture", "vamp", "flow")
SAMPLED = ("sparse", "mixture", "correlated mixture", "vamp")

# A grid that is dense around zero, where the sparse prior has a peak of width 0.05, and reaches to ±15. In the
# variable t the trapezoidal rule is exact to rounding for what is smooth and vanishes at the ends.
T = np.linspace(-6.4, 6.4, 257)
GRID, CELLS = 0.05 * np.sinh(T), 0.05 * np.cosh(T) * (T[1] - T[0])
POINTS = np.stack(np.meshgrid(GRID, GRID, indexing="ij"), axis=-1).reshape(-1, 2)
VOLUMES = np.outer(CELLS, CELLS).reshape(-1)


@cache
def fresh_flow():
    """A flow of float32 numbers, made once: flowjax takes seconds to make one."""
    pytest.importorskip("flowjax")
    with jax.enable_x64(False):
        return spline_flow(2, 6, seed=0)


def prior_of(kind: str):
    """A prior of two dimensions with numbers of no symmetry."""
    rng = np.random.default_rng(3)
    if kind == "anisotropic":
        return AnisotropicNormal((1.3, 0.4))
    if kind == "sparse":
        return SparsePrior(2)
    if kind == "flow":
        arrays, rest = eqx.partition(fresh_flow(), eqx.is_inexact_array)
        moved = jax.tree.map(
            lambda leaf: leaf + 0.1 * jnp.asarray(rng.normal(size=leaf.shape), leaf.dtype), arrays
        )
        return eqx.combine(moved, rest)
    if kind == "vamp":
        vae = make_vae(Normal.of(3), ModelConfig(hidden=(5,), prior="vamp", prior_components=4), seed=1)
        prior = eqx.tree_at(lambda tree: tree.logits, vae.prior, jnp.asarray(rng.normal(size=4)))
        return eqx.tree_at(lambda tree: tree.prior, vae, prior).latent_prior()
    if kind == "normal":
        return StandardNormal(2)
    mixture = NormalMixture.initialized(rng, 4, 2)
    mixture = eqx.tree_at(lambda tree: tree.logits, mixture, jnp.asarray(rng.normal(size=4)))
    if kind == "correlated mixture":
        factors = np.tril(0.3 * rng.normal(size=(4, 2, 2))) + 0.6 * np.eye(2)
        components = FullNormal(mean=mixture.components.mean, cholesky=jnp.asarray(factors))
        mixture = eqx.tree_at(lambda tree: tree.components, mixture, components)
    return mixture


@pytest.fixture(params=KINDS)
def prior(request, x64):
    return prior_of(request.param)


@pytest.fixture(params=SAMPLED)
def sampled_prior(request, x64):
    return prior_of(request.param)


@eqx.filter_jit
def log_densities(prior, points):
    return jax.vmap(prior.log_prob)(points.astype(jnp.float32) if isinstance(prior, FlowPrior) else points)


def densities(prior) -> np.ndarray:
    return np.exp(np.asarray(log_densities(prior, jnp.asarray(POINTS))))


def test_densities_integrate_to_one_and_draws_follow_them(prior):
    density = densities(prior)
    # The density of a flow jumps where its splines end; everything else is exact to rounding.
    exact = 5e-3 if isinstance(prior, FlowPrior) else 1e-8
    assert np.sum(VOLUMES * density) == pytest.approx(1.0, abs=exact)
    n = 20_000
    draws = np.asarray(eqx.filter_jit(lambda prior, key: prior.sample(key, n))(prior, jax.random.key(5)))
    assert draws.shape == (n, prior.latent_dim)
    for function in (
        lambda z: z[:, 0],
        lambda z: z[:, 1] ** 2,
        lambda z: z[:, 0] * z[:, 1],
        lambda z: np.cos(2 * z[:, 0] + z[:, 1]),
        lambda z: np.exp(-50.0 * z[:, 0] ** 2),
    ):
        values = function(draws)
        expected = np.sum(VOLUMES * density * function(POINTS))
        assert abs(values.mean() - expected) < 5 * values.std() / np.sqrt(n) + exact


def posteriors(n_rows: int = 1):
    """A diagonal and a full posterior, each with the same row `n_rows` times."""
    mean, factor = np.array([0.4, -0.9]), np.array([[0.3, 0.0], [0.25, 0.6]])

    def rows(array: np.ndarray):
        return jnp.broadcast_to(jnp.asarray(array), (n_rows, *array.shape))

    return (
        DiagonalNormal(mean=rows(mean), log_scale=rows(np.log(np.diagonal(factor)))),
        FullNormal(mean=rows(mean), cholesky=rows(factor)),
    )


def integral_of_divergence(posterior, log_prior: np.ndarray) -> float:
    mean = np.asarray(posterior.mean[0])
    if isinstance(posterior, DiagonalNormal):
        covariance = np.diag(np.asarray(posterior.scale[0]) ** 2)
    else:
        covariance = np.asarray(posterior.cholesky[0] @ posterior.cholesky[0].T)
    log_q = scipy.stats.multivariate_normal(mean, covariance).logpdf(POINTS)
    return float(np.sum(VOLUMES * np.exp(log_q) * (log_q - log_prior)))


@pytest.mark.parametrize("kind", ["normal", "anisotropic"])
def test_closed_divergences_equal_their_integrals(x64, kind):
    prior = prior_of(kind)
    log_prior = np.asarray(log_densities(prior, jnp.asarray(POINTS)))
    for posterior in posteriors():
        divergences = prior.kl(posterior, posterior.mean)
        assert divergences.shape == (1, 2)
        expected = integral_of_divergence(posterior, log_prior)
        assert float(jnp.sum(divergences)) == pytest.approx(expected, abs=1e-8)


def test_closed_divergences_of_an_anisotropic_prior_belong_to_their_dimensions(x64):
    # One dimension of the posterior equals the prior's, so that its part is zero.
    prior = AnisotropicNormal((1.3, 0.4))
    scales = jnp.array([[0.5, 0.4]])
    parts = prior.kl(DiagonalNormal(mean=jnp.zeros((1, 2)), log_scale=jnp.log(scales)), jnp.zeros((1, 2)))
    ratio = (0.5 / 1.3) ** 2
    np.testing.assert_allclose(parts[0], [0.5 * (ratio - 1.0 - np.log(ratio)), 0.0], atol=1e-12)


@eqx.filter_jit
def estimates(prior, posterior):
    return prior.kl(posterior, posterior.sample(jax.random.key(2)))


def test_estimated_divergences_are_unbiased(sampled_prior):
    log_prior = np.asarray(log_densities(sampled_prior, jnp.asarray(POINTS)))
    for posterior in posteriors(20_000):
        values = np.asarray(estimates(sampled_prior, posterior)).sum(axis=1)
        expected = integral_of_divergence(posterior, log_prior)
        assert abs(values.mean() - expected) < 5 * values.std() / np.sqrt(len(values))


def test_the_sparse_divergence_of_a_diagonal_posterior_comes_by_dimension(x64):
    prior, (diagonal, full) = SparsePrior(2), posteriors(20_000)
    latent = diagonal.sample(jax.random.key(2))
    values = np.asarray(prior.kl(diagonal, latent))
    assert values.shape == (20_000, 2)
    assert prior.kl(full, latent).shape == (20_000, 1)
    line = SparsePrior(1)
    log_prior = np.asarray(log_densities(line, jnp.asarray(GRID[:, None])))
    for dimension, (mean, scale) in enumerate([(0.4, 0.3), (-0.9, 0.6)]):
        log_q = scipy.stats.norm.logpdf(GRID, mean, scale)
        expected = np.sum(CELLS * np.exp(log_q) * (log_q - log_prior))
        column = values[:, dimension]
        assert abs(column.mean() - expected) < 5 * column.std() / np.sqrt(len(column))


def test_a_mixture_of_one_component_is_that_component(x64, rng):
    for components in (posterior for posterior in posteriors()):
        mixture = NormalMixture(logits=jnp.array([0.7]), components=components)
        point = jnp.asarray(rng.normal(size=2))
        expected = float(components.log_prob(point[None, :])[0])
        assert float(mixture.log_prob(point)) == pytest.approx(expected, rel=1e-12)


def test_a_vamp_prior_is_the_mixture_of_its_pseudo_inputs_posteriors(x64, rng):
    vae = make_vae(Normal.of(3), ModelConfig(hidden=(5,), prior="vamp", prior_components=4), seed=1)
    vae = eqx.tree_at(lambda tree: tree.prior.logits, vae, jnp.asarray(rng.normal(size=4)))
    shares = np.exp(vae.prior.logits) / np.exp(vae.prior.logits).sum()
    components = vae.encode(vae.prior.pseudo_inputs)
    point = rng.normal(size=2)
    expected = sum(
        share * scipy.stats.norm.pdf(point, mean, scale).prod()
        for share, mean, scale in zip(shares, components.mean, components.scale, strict=True)
    )
    assert float(vae.latent_prior().log_prob(jnp.asarray(point))) == pytest.approx(np.log(expected), rel=1e-9)
    assert vae.prior.latent_dim == 2


def test_a_vamp_prior_starts_from_examples_where_there_are_some(rng):
    examples = rng.normal(size=(50, 3)).astype(np.float32)
    config = ModelConfig(hidden=(5,), prior="vamp", prior_components=4)
    vae = make_vae(Normal.of(3), config, examples=examples, seed=1)
    rows = {row.tobytes() for row in examples}
    assert all(np.asarray(row).tobytes() in rows for row in vae.prior.pseudo_inputs)


def test_a_vamp_prior_without_its_encoder_is_an_error():
    prior = VampPrior(logits=jnp.zeros(2), pseudo_inputs=jnp.zeros((2, 3)), size=1)
    with pytest.raises(InputError, match=r"VampPrior needs the encoder: use `vae.latent_prior\(\)`"):
        prior.log_prob(jnp.zeros(1))
    with pytest.raises(InputError, match=r"VampPrior needs the encoder: use `vae.latent_prior\(\)`"):
        prior.sample(jax.random.key(0), 3)


def test_a_fresh_flow_is_close_to_the_standard_normal():
    points = np.random.default_rng(0).normal(size=(500, 2)).astype(np.float32)
    gap = scipy.stats.norm.logpdf(points).sum(axis=1) - np.asarray(log_densities(fresh_flow(), points))
    # Four layers of bends of about a percent.
    assert np.abs(gap).max() < 0.2


def test_a_flow_of_one_dimension_works():
    pytest.importorskip("flowjax")
    points = np.linspace(-6.0, 6.0, 601, dtype=np.float32)[:, None]
    density = np.exp(np.asarray(log_densities(spline_flow(1, 4, seed=0), points)))
    assert np.sum(density) * 0.02 == pytest.approx(1.0, abs=5e-3)


def test_a_flow_without_flowjax_names_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "flowjax.bijections", None)
    with pytest.raises(MissingDependencyError, match=r"needs flowjax.*pip install 'polyvae\[flows\]'"):
        spline_flow(2, 4, seed=0)
