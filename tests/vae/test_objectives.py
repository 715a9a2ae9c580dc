"""Objectives: gradients, weights, batches, and the importance-weighted bound against plain estimates."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from polyvae.vae import (
    ElboTerms,
    ModelConfig,
    Objective,
    elbo_terms,
    make_vae,
    objective_terms,
    prior_mismatch,
    total_correlation,
)
from polyvae.vae.likelihoods import CorrelatedNormal, Normal, PerFrameNormal

N_FEATURES = 4
PENALIZED = Objective(total_correlation=2.0, prior_matching=3.0)
OBJECTIVES = {
    "elbo": Objective(),
    "penalized": PENALIZED,
    "iwae": Objective(kind="iwae", importance_samples=3),
    "penalized iwae": Objective(kind="iwae", importance_samples=3, total_correlation=2.0, prior_matching=3.0),
}


def features_of(n_rows: int) -> jax.Array:
    return jnp.asarray(np.random.default_rng(0).normal(size=(n_rows, N_FEATURES)))


def vae_of(prior: str = "normal", posterior: str = "diagonal", likelihood=None, **settings):
    likelihood = likelihood or Normal.of(N_FEATURES, sigma=0.7)
    config = ModelConfig(
        hidden=(5,), activation="tanh", prior=prior, posterior=posterior, prior_components=3, **settings
    )
    return make_vae(likelihood, config, seed=3)


def value_of(vae, features, key, objective, *, beta=0.7, weights=None):
    terms = objective_terms(vae, features, key, objective, beta=beta, weights=weights, n_frames=50)
    return terms.bound(beta, free_bits=objective.free_bits)


def directional(function, parameters, direction) -> tuple[float, float]:
    """Directional derivative by differentiation, and by central differences."""
    of = jax.jit(jax.value_and_grad(function))
    _, gradient = of(parameters)
    products = jax.tree.map(lambda g, d: jnp.sum(g * d), gradient, direction)
    ends = [
        float(of(jax.tree.map(lambda p, d, step=step: p + step * d, parameters, direction))[0])
        for step in (1e-6, -1e-6)
    ]
    return float(sum(jax.tree.leaves(products))), (ends[0] - ends[1]) / 2e-6


@eqx.filter_jit
def terms_of(vae, features, weights, key, objective):
    return objective_terms(vae, features, key, objective, beta=0.7, weights=weights)


def random_like(parameters, seed: int = 1):
    rng = np.random.default_rng(seed)
    return jax.tree.map(lambda leaf: jnp.asarray(rng.normal(size=leaf.shape)), parameters)


@pytest.mark.parametrize(
    ("prior", "posterior", "objective"),
    [
        ("normal", "diagonal", Objective(free_bits=0.3)),
        ("normal", "full", PENALIZED),
        ("anisotropic", "full", Objective()),
        ("sparse", "diagonal", PENALIZED),
        ("sparse", "full", Objective()),
        ("mixture", "diagonal", PENALIZED),
        ("vamp", "full", Objective()),
    ],
)
def test_gradients_equal_finite_differences(x64, key, prior, posterior, objective):
    vae = vae_of(prior, posterior)
    features, weights = features_of(5), jnp.array([0.5, 2.0, 0.0, 1.5, 1.0])
    parameters, static = eqx.partition(vae, eqx.is_inexact_array)
    exact, numeric = directional(
        lambda p: value_of(eqx.combine(p, static), features, key, objective, weights=weights),
        parameters,
        random_like(parameters),
    )
    assert exact == pytest.approx(numeric, rel=1e-5)


@pytest.mark.parametrize("likelihood", ["correlated", "per-frame"])
def test_gradients_of_other_widths_equal_finite_differences(x64, key, rng, likelihood):
    factor = np.tril(0.3 * rng.normal(size=(N_FEATURES, N_FEATURES))) + np.eye(N_FEATURES)
    noise = {
        "correlated": CorrelatedNormal.from_covariance(factor @ factor.T),
        "per-frame": PerFrameNormal(N_FEATURES, per_feature=False),
    }[likelihood]
    parameters, static = eqx.partition(vae_of(likelihood=noise), eqx.is_inexact_array)
    exact, numeric = directional(
        lambda p: value_of(eqx.combine(p, static), features_of(5), key, Objective()),
        parameters,
        random_like(parameters),
    )
    assert exact == pytest.approx(numeric, rel=1e-5)


@pytest.mark.parametrize(("prior", "posterior"), [("normal", "diagonal"), ("vamp", "full")])
def test_iwae_gradients_of_all_but_the_encoder_equal_finite_differences(x64, key, prior, posterior):
    vae, objective = vae_of(prior, posterior), OBJECTIVES["iwae"]
    # The encoder's gradient is another estimate of the same mean; see below.
    others = jax.tree.map(eqx.is_inexact_array, vae)
    others = eqx.tree_at(lambda tree: tree.network.encoder, others, replace_fn=lambda _: False)
    parameters, static = eqx.partition(vae, others)
    exact, numeric = directional(
        lambda p: value_of(eqx.combine(p, static), features_of(5), key, objective),
        parameters,
        random_like(parameters),
    )
    assert exact == pytest.approx(numeric, rel=1e-5)


def plain_importance_weighted(vae, features, key, samples, beta, weights):
    """The bound as it is written, all gradients left to differentiation."""
    posterior = jax.tree.map(lambda leaf: jnp.repeat(leaf, samples, axis=0), vae.encode(features))
    latent = posterior.sample(key)
    repeated = jnp.repeat(features, samples, axis=0)
    log_likelihood = jax.vmap(vae.log_likelihood)(repeated, vae.outputs(latent))
    log_prior = jax.vmap(vae.latent_prior().log_prob)(latent)
    log_weights = (log_likelihood + beta * (log_prior - posterior.log_prob(latent))).reshape(-1, samples)
    return jnp.mean(weights * (jax.nn.logsumexp(log_weights, axis=1) - jnp.log(float(samples))))


def flat(tree) -> jax.Array:
    return jnp.concatenate([leaf.reshape(-1) for leaf in jax.tree.leaves(tree)])


def gradients(function, parameters, n_keys: int) -> np.ndarray:
    """The gradient for each of some keys, one row a key."""
    one = lambda key: flat(jax.grad(function)(parameters, key))  # noqa: E731
    return np.asarray(jax.jit(jax.vmap(one))(jax.random.split(jax.random.key(9), n_keys)))


@pytest.mark.parametrize(("posterior", "beta"), [("diagonal", 1.0), ("full", 0.4)])
def test_the_doubly_reparametrized_gradient_has_the_plain_mean_and_less_variance(
    x64, linear_gaussian, posterior, beta
):
    vae, marginal = linear_gaussian(sigma=0.8, widen=1.3, posterior=posterior)
    features, weights = jnp.asarray(marginal.rvs(3, random_state=1)), jnp.array([0.5, 2.0, 0.5])
    parameters, static = eqx.partition(vae, eqx.is_inexact_array)
    objective = Objective(kind="iwae", importance_samples=6)

    def ours(parameters, key):
        vae = eqx.combine(parameters, static)
        return objective_terms(vae, features, key, objective, beta=beta, weights=weights).bound(beta)

    def plain(parameters, key):
        vae = eqx.combine(parameters, static)
        # The draws are those of `objective_terms`.
        return plain_importance_weighted(vae, features, jax.random.split(key)[0], 6, beta, weights)

    assert float(ours(parameters, jax.random.key(9))) == pytest.approx(
        float(plain(parameters, jax.random.key(9))), rel=1e-12
    )
    n_keys = 1000
    one, other = (gradients(function, parameters, n_keys) for function in (ours, plain))
    # Leaves come in the order encoder, decoder, likelihood.
    n_encoder = parameters.network.to_numbers.size + parameters.network.numbers.size
    np.testing.assert_allclose(one[:, n_encoder:], other[:, n_encoder:], rtol=1e-8, atol=1e-10)
    difference = (one - other)[:, :n_encoder]
    error = difference.std(axis=0) / np.sqrt(n_keys)
    # About forty numbers: five standard errors each.
    assert (np.abs(difference.mean(axis=0)) < 5 * error).all()
    if beta == 1.0:
        assert one[:, :n_encoder].var(axis=0).sum() < 0.5 * other[:, :n_encoder].var(axis=0).sum()


def test_with_one_draw_the_iwae_gradient_is_that_of_the_elbo_on_average(x64, linear_gaussian):
    vae, marginal = linear_gaussian(sigma=0.8, widen=1.3)
    features = jnp.asarray(marginal.rvs(3, random_state=1))
    parameters, static = eqx.partition(vae, eqx.is_inexact_array)

    def of(objective):
        def value(parameters, key):
            terms = objective_terms(eqx.combine(parameters, static), features, key, objective, beta=0.4)
            return terms.bound(0.4)

        return gradients(value, parameters, 1000)

    difference = of(Objective(kind="iwae", importance_samples=1)) - of(Objective())
    error = difference.std(axis=0) / np.sqrt(len(difference))
    assert (np.abs(difference.mean(axis=0)) <= 5 * error + 1e-10).all()


def test_the_terms_of_iwae_are_those_of_the_elbo_and_the_rest_is_extra(x64, key):
    vae, features = vae_of(), features_of(5)
    terms, elbo = (terms_of(vae, features, None, key, OBJECTIVES[name]) for name in ("iwae", "elbo"))
    np.testing.assert_allclose(terms.kl, elbo.kl, rtol=1e-10)
    plain = eqx.filter_jit(plain_importance_weighted)
    bound = plain(vae, features, jax.random.split(key)[0], 3, 0.7, jnp.ones(5))
    expected = bound - (terms.log_likelihood - 0.7 * jnp.sum(terms.kl))
    assert float(terms.extra) == pytest.approx(float(expected), rel=1e-10)


def test_the_elbo_objective_is_the_elbo(x64, key):
    vae, features = vae_of(), features_of(5)
    ours = terms_of(vae, features, None, key, Objective())
    expected = eqx.filter_jit(elbo_terms)(vae, features, jax.random.split(key)[0])
    np.testing.assert_allclose(ours.log_likelihood, expected.log_likelihood, rtol=1e-12)
    np.testing.assert_allclose(ours.kl, expected.kl, rtol=1e-12)
    assert float(ours.extra) == 0.0


@eqx.filter_jit
def penalties(vae, posterior, latent, draws, n_frames, weights):
    correlation = total_correlation(posterior, latent, n_frames, weights)
    return -2.0 * correlation - 3.0 * prior_mismatch(latent, draws, weights)


def test_penalties_are_extra_terms_with_their_sign_and_weight(x64, key):
    vae, features, weights = vae_of(), features_of(5), jnp.array([0.5, 2.0, 0.0, 1.5, 1.0])
    elbo_key, extra_key = jax.random.split(key)
    posterior = vae.encode(features)
    latent, draws = posterior.sample(elbo_key), vae.prior.sample(extra_key, 5)
    terms = terms_of(vae, features, weights, key, PENALIZED)
    # Without a count the batch is all there is.
    expected = penalties(vae, posterior, latent, draws, 5, weights)
    assert float(terms.extra) == pytest.approx(float(expected), rel=1e-12)
    many = eqx.filter_jit(objective_terms)(vae, features, key, PENALIZED, weights=weights, n_frames=50)
    expected = penalties(vae, posterior, latent, draws, 50, weights)
    assert float(many.extra) == pytest.approx(float(expected), rel=1e-12)


def test_penalties_of_many_frames_are_those_of_some_spread_over_them(x64, key, monkeypatch):
    monkeypatch.setattr("polyvae.vae.objectives.MOST_COMPARED", 3)
    vae, features, weights = vae_of(), features_of(7), jnp.arange(7.0) / 3.0
    elbo_key, extra_key = jax.random.split(key)
    terms = eqx.filter_jit(objective_terms)(vae, features, key, PENALIZED, weights=weights)
    posterior = vae.encode(features)
    latent, rows = posterior.sample(elbo_key)[::3], jnp.array([0, 3, 6])
    some = jax.tree.map(lambda leaf: leaf[rows], posterior)
    expected = penalties(vae, some, latent, vae.prior.sample(extra_key, 3), 7, weights[rows])
    assert float(terms.extra) == pytest.approx(float(expected), rel=1e-12)
    elbo = eqx.filter_jit(elbo_terms)(vae, features, elbo_key, weights=weights)
    assert float(terms.log_likelihood) == pytest.approx(float(elbo.log_likelihood), rel=1e-12)


def test_free_bits_cost_nothing_below_their_number():
    terms = ElboTerms(log_likelihood=jnp.asarray(-3.0), kl=jnp.array([0.2, 1.0]), extra=jnp.asarray(0.25))
    assert float(terms.bound()) == pytest.approx(-3.95)
    assert float(terms.bound(0.5)) == pytest.approx(-3.35)
    assert float(terms.bound(0.5, free_bits=0.6)) == pytest.approx(-3.0 - 0.5 * 1.6 + 0.25)
    gradient = jax.grad(
        lambda kl: ElboTerms(log_likelihood=kl[0] * 0, kl=kl, extra=kl[0] * 0).bound(free_bits=0.6)
    )
    np.testing.assert_allclose(gradient(terms.kl), [0.0, -1.0])


def test_compiled_and_eager_values_agree(x64, key):
    vae, features, objective = vae_of("mixture"), features_of(5), OBJECTIVES["penalized iwae"]
    weights = jnp.array([0.5, 2.0, 0.0, 1.5, 1.0])
    eager = value_of(vae, features, key, objective, weights=weights)
    compiled = eqx.filter_jit(value_of)(vae, features, key, objective, weights=weights)
    assert float(compiled) == pytest.approx(float(eager), rel=1e-12)


def without_noise(vae):
    """The VAE with posterior widths of exp(-25), so that a draw is the mean."""
    last = lambda tree: tree.network.encoder.weights[-1]  # noqa: E731
    vae = eqx.tree_at(last, vae, last(vae).at[:, vae.latent_dim : 2 * vae.latent_dim].set(0.0))
    bias = lambda tree: tree.network.encoder.biases[-1]  # noqa: E731
    return eqx.tree_at(bias, vae, bias(vae).at[vae.latent_dim : 2 * vae.latent_dim].set(-25.0))


def test_a_batch_is_the_weighted_mean_of_batches_of_one(x64, key):
    vae, features, weights = without_noise(vae_of()), features_of(5), np.array([0.5, 2.0, 0.0, 1.5, 1.0])
    one = jnp.ones(1)
    singles = [terms_of(vae, features[row : row + 1], one, key, Objective()) for row in range(5)]
    for given in (np.ones(5), weights):
        batch = terms_of(vae, features, jnp.asarray(given), key, Objective())
        for name in ("log_likelihood", "kl"):
            values = np.stack([np.asarray(getattr(terms, name)) for terms in singles])
            # Widths of 1e-11 are all that is left of the noise.
            np.testing.assert_allclose(getattr(batch, name), np.tensordot(given / 5, values, 1), rtol=1e-8)


def test_integer_weights_are_repeated_rows(x64, key):
    vae, features, counts = without_noise(vae_of()), features_of(5), np.array([2, 0, 1, 1, 1])
    repeated = terms_of(vae, features[jnp.repeat(jnp.arange(5), counts)], None, key, Objective())
    weighted = terms_of(vae, features, jnp.asarray(counts, jnp.float64), key, Objective())
    for name in ("log_likelihood", "kl"):
        np.testing.assert_allclose(getattr(weighted, name), getattr(repeated, name), rtol=1e-8)


def test_the_iwae_bound_is_the_weighted_mean_of_exact_log_likelihoods(x64, key, linear_gaussian):
    # Under the exact posterior every importance weight is p(x), whatever the draws.
    vae, marginal = linear_gaussian(sigma=0.8)
    rows, weights = marginal.rvs(5, random_state=1), np.array([0.5, 2.0, 0.0, 1.5, 1.0])
    terms = objective_terms(vae, jnp.asarray(rows), key, OBJECTIVES["iwae"], weights=jnp.asarray(weights))
    expected = np.mean(weights * marginal.logpdf(rows))
    assert float(terms.bound()) == pytest.approx(expected, rel=1e-10)


def test_frames_of_weight_zero_do_not_matter(x64, key):
    objective = "penalized iwae"
    vae, features, weights = vae_of("vamp"), features_of(5), jnp.array([0.5, 2.0, 0.0, 1.5, 1.0])
    value = eqx.filter_jit(eqx.filter_value_and_grad(value_of))
    one = value(vae, features, key, OBJECTIVES[objective], weights=weights)
    other = value(vae, features.at[2].set(7.0), key, OBJECTIVES[objective], weights=weights)
    for first, second in zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True):
        np.testing.assert_allclose(first, second, rtol=1e-9, atol=1e-12)


def test_without_weights_all_frames_count_alike(x64, key):
    vae, features = vae_of(), features_of(5)
    for objective in (OBJECTIVES["penalized"], OBJECTIVES["iwae"]):
        plain, ones = (terms_of(vae, features, weights, key, objective) for weights in (None, jnp.ones(5)))
        assert float(plain.bound(0.7)) == pytest.approx(float(ones.bound(0.7)), rel=1e-12)
