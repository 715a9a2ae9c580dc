"""The VAE: networks of all kinds, own noise for every frame, draws, and the linear-Gaussian model solved exactly."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from polyvae.errors import InputError
from polyvae.vae import (
    AnisotropicNormal,
    DiagonalNormal,
    FullNormal,
    ModelConfig,
    NormalMixture,
    SparsePrior,
    StandardNormal,
    VampPrior,
    elbo_terms,
    importance_weighted_bound,
    kl_from_standard_normal,
    make_vae,
)
from polyvae.vae.likelihoods import (
    CorrelatedNormal,
    LowRankNormal,
    Normal,
    PerFrameNormal,
    RotationNormal,
    StudentT,
)
from polyvae.vae.vae import LARGEST_COVARIANCE, check_network, check_vae_arguments, initial_likelihood

N_FEATURES, LATENT = 5, 2
SMALL = ModelConfig(hidden=(8,))


def small_vae(config: ModelConfig = SMALL, sigma: float = 1.0, seed: int = 0):
    return make_vae(Normal.of(N_FEATURES, sigma=sigma), config, seed=seed)


encode = eqx.filter_jit(lambda vae, features: vae.encode(features))
terms_of = eqx.filter_jit(elbo_terms)


@eqx.filter_jit
def bounds_of(vae, features, keys):
    """ELBO of each key, over all features."""
    return jax.lax.map(lambda key: elbo_terms(vae, features, key).bound(), keys)


@eqx.filter_jit
def importance_weighted(vae, features, key, samples):
    keys = jax.random.split(key, len(features))
    one = lambda item: importance_weighted_bound(vae, item[0], item[1], samples=samples)  # noqa: E731
    return jax.lax.map(one, (features, keys))


@pytest.mark.parametrize(
    ("posterior", "likelihood"), [("diagonal", "normal"), ("full", "normal"), ("full", "correlated")]
)
def test_the_elbo_of_the_exact_posterior_is_the_exact_log_likelihood(
    x64, key, linear_gaussian, posterior, likelihood
):
    vae, marginal = linear_gaussian(sigma=0.4, posterior=posterior, likelihood=likelihood)
    features = marginal.rvs(30, random_state=3)
    bounds = np.asarray(bounds_of(vae, jnp.asarray(features), jax.random.split(key, 400)))
    exact = marginal.logpdf(features).mean()
    # Only the draw of z is random; five standard errors.
    assert abs(bounds.mean() - exact) < 5 * bounds.std() / np.sqrt(len(bounds))


@pytest.mark.parametrize("posterior", ["diagonal", "full"])
@pytest.mark.parametrize("samples", [1, 50])
def test_with_the_exact_posterior_every_importance_weight_is_the_likelihood(
    x64, key, linear_gaussian, posterior, samples
):
    vae, marginal = linear_gaussian(sigma=0.4, posterior=posterior)
    features = marginal.rvs(20, random_state=3)
    values = importance_weighted(vae, jnp.asarray(features), key, samples)
    np.testing.assert_allclose(values, marginal.logpdf(features), rtol=1e-10)


def test_bounds_rise_from_elbo_over_iwae_to_the_exact_log_likelihood(x64, key, linear_gaussian):
    vae, marginal = linear_gaussian(sigma=0.4, widen=1.6)
    features = marginal.rvs(20, random_state=3)
    exact = marginal.logpdf(features).mean()
    elbo = float(bounds_of(vae, jnp.asarray(features), jax.random.split(key, 400)).mean())
    repeated = jnp.asarray(np.tile(features, (20, 1)))
    one, few, more = (
        float(importance_weighted(vae, repeated, key, samples).mean()) for samples in (1, 5, 50)
    )
    many = float(importance_weighted(vae, jnp.asarray(features), key, 5000).mean())
    # The gap of the ELBO is the divergence of the two posteriors: for widths 1.6 times too large
    gap = LATENT * ((1.6**2 - 1) / 2 - np.log(1.6))
    assert elbo == pytest.approx(exact - gap, abs=0.05)
    # A log-weight has standard deviation 1.6, of which 400 draws leave 0.08: three of these.
    assert one == pytest.approx(elbo, abs=0.25)
    assert one + 0.1 < few
    assert few + 0.05 < more < many + 0.02
    # Relative variance of the weights is about 1; 20 frames with 5000 draws each leave 0.003.
    assert many == pytest.approx(exact, abs=0.015)


def test_beta_weighs_the_divergence_alone(x64, key, linear_gaussian):
    vae, marginal = linear_gaussian(sigma=0.4)
    terms = terms_of(vae, jnp.asarray(marginal.rvs(10, random_state=0)), key)
    assert float(terms.bound(0.0)) == float(terms.log_likelihood)
    assert float(terms.bound(0.5) - terms.bound(1.5)) == pytest.approx(float(terms.kl.sum()), rel=1e-12)


def test_the_divergence_is_a_sum_over_latents_and_a_mean_over_frames(x64, key, linear_gaussian):
    vae, marginal = linear_gaussian(sigma=0.4)
    features = jnp.asarray(marginal.rvs(10, random_state=0))
    posterior = encode(vae, features)
    each = jax.jit(jax.vmap(kl_from_standard_normal))(posterior.mean, posterior.log_scale)
    terms = terms_of(vae, features, key)
    assert each.shape == (10, LATENT)
    np.testing.assert_allclose(terms.kl, each.mean(axis=0), rtol=1e-12)


def test_equal_frames_of_a_batch_get_noise_of_their_own(key):
    posterior = encode(small_vae(), jnp.ones((4, N_FEATURES)))
    draws = np.asarray(posterior.sample(key))
    np.testing.assert_array_equal(posterior.mean[0], posterior.mean[1])
    assert len(np.unique(draws[:, 0])) == len(np.unique(draws[:, 1])) == 4
    # Nor do the latents of one frame share theirs.
    noise = (draws - np.asarray(posterior.mean)) / np.asarray(posterior.scale)
    assert len(np.unique(noise)) == noise.size


def test_the_noise_depends_on_the_key_and_on_nothing_else():
    posterior = encode(small_vae(), jnp.ones((3, N_FEATURES)))
    one, again, other = (posterior.sample(jax.random.key(seed)) for seed in (1, 1, 2))
    np.testing.assert_array_equal(one, again)
    assert (one != other).all()


def test_draws_scatter_around_the_decoder_mean_with_its_covariance(rng):
    factor = np.tril(0.5 * rng.normal(size=(N_FEATURES, N_FEATURES))) + np.eye(N_FEATURES)
    expected = factor @ factor.T
    vae = make_vae(CorrelatedNormal.from_covariance(expected), SMALL, seed=0)
    latent = jnp.array([0.5, -1.0])
    keys = jax.random.split(jax.random.key(1), 40_000)
    draws = np.asarray(jax.jit(jax.vmap(lambda key: vae.sample(latent, key)))(keys), np.float64)
    # Standard errors of means and covariances are about 1/200 of the variances.
    np.testing.assert_allclose(draws.mean(axis=0), vae.decode(latent), atol=5 * np.sqrt(expected.max()) / 200)
    np.testing.assert_allclose(np.cov(draws.T), expected, atol=5 * 1.5 * expected.max() / 200)


def test_draws_with_a_shared_width_have_that_width():
    vae = small_vae(sigma=0.3)
    keys = jax.random.split(jax.random.key(1), 20_000)
    draws = np.asarray(jax.jit(jax.vmap(lambda key: vae.sample(jnp.zeros(2), key)))(keys))
    # Standard error of a width: 0.3 / sqrt(2 * 20 000).
    np.testing.assert_allclose(draws.std(axis=0), 0.3, atol=5 * 0.3 / 200)


@pytest.mark.parametrize(
    "settings", [{}, {"network": "residual"}, {"layer_norm": True}, {"posterior": "full", "hidden": (32,)}]
)
def test_a_fresh_vae_starts_near_the_prior_and_the_mean_of_the_data(rng, settings):
    vae = small_vae(ModelConfig(**{"hidden": (32, 32), **settings}))
    features = jnp.asarray(rng.normal(size=(500, N_FEATURES)), jnp.float32)
    posterior = encode(vae, features)
    assert 0.5 < float(posterior.scale.mean()) < 2.0
    assert float(jnp.mean(vae.decode(posterior.mean) ** 2)) < 0.5
    assert (vae.latent_dim, vae.n_features) == (LATENT, N_FEATURES)


def test_one_vector_gives_what_it_gives_in_a_batch(x64, rng):
    vae = small_vae(ModelConfig(hidden=(8,), posterior="full"))
    batch = jnp.asarray(rng.normal(size=(4, N_FEATURES)))
    one, many = encode(vae, batch[2]), encode(vae, batch)
    np.testing.assert_allclose(one.mean, many.mean[2], rtol=1e-12)
    np.testing.assert_allclose(one.cholesky, many.cholesky[2], rtol=1e-12)
    np.testing.assert_allclose(vae.decode(one.mean), vae.decode(many.mean)[2], rtol=1e-12)


def test_float64_holds_throughout_where_it_is_on(x64, key, rng):
    vae = small_vae(ModelConfig(hidden=(8,), layer_norm=True, prior="mixture"))
    terms = terms_of(vae, jnp.asarray(rng.normal(size=(3, N_FEATURES))), key)
    assert {leaf.dtype for leaf in jax.tree.leaves((vae, terms))} == {jnp.dtype("float64")}


def test_settings_choose_posterior_and_prior():
    kinds = {
        "normal": StandardNormal,
        "anisotropic": AnisotropicNormal,
        "sparse": SparsePrior,
        "mixture": NormalMixture,
        "vamp": VampPrior,
    }
    for prior, kind in kinds.items():
        vae = small_vae(ModelConfig(hidden=(8,), prior=prior, prior_components=3))
        assert isinstance(vae.prior, kind)
        draws = eqx.filter_eval_shape(lambda vae: vae.latent_prior().sample(jax.random.key(0), 4), vae)
        assert draws.shape == (4, LATENT)
    assert isinstance(encode(small_vae(), jnp.zeros(N_FEATURES)), DiagonalNormal)
    full = small_vae(ModelConfig(hidden=(8,), posterior="full"))
    assert isinstance(encode(full, jnp.zeros(N_FEATURES)), FullNormal)
    # A prior that is fitted afterwards is standard normal while networks are trained.
    later = small_vae(ModelConfig(hidden=(8,), prior="mixture", prior_training="after"))
    assert isinstance(later.prior, StandardNormal)


def test_settings_choose_the_likelihood():
    def chosen(n_features: int = 6, **settings):
        return initial_likelihood(ModelConfig(sigma=0.5, **settings), n_features, 3)

    shared, fixed, each = (chosen(decoder_scale=scale) for scale in ("learned", "fixed", "per-feature"))
    assert isinstance(shared, Normal)
    assert (shared.log_scale.shape, each.log_scale.shape) == ((), (6,))
    assert (shared.learn, fixed.learn, chosen(decoder_scale="analytic").learn) == (True, False, True)
    assert float(jnp.exp(shared.log_scale)) == pytest.approx(0.5)
    assert isinstance(chosen(decoder_scale="per-frame"), PerFrameNormal)
    assert isinstance(chosen(likelihood="student-t"), StudentT)
    rotation = chosen(likelihood="rotation")
    assert isinstance(rotation, RotationNormal)
    assert (rotation.modes, rotation.dims) == (2, 3)
    assert isinstance(chosen(likelihood="correlated"), CorrelatedNormal)
    long = chosen(LARGEST_COVARIANCE + 1, likelihood="correlated", residual_rank=4)
    assert isinstance(long, LowRankNormal)
    assert long.factor.shape == (LARGEST_COVARIANCE + 1, 4)


class Own(eqx.Module):
    """A network with one number to train, whose answers have chosen lengths."""

    numbers: int = eqx.field(static=True)
    n_outputs: int = eqx.field(static=True)
    value: jax.Array = eqx.field(default_factory=lambda: jnp.zeros(()))

    def encode(self, inputs):
        return jnp.broadcast_to(self.value, (*inputs.shape[:-1], self.numbers))

    def decode(self, latent):
        return jnp.broadcast_to(self.value, (*latent.shape[:-1], self.n_outputs))


def test_a_network_of_ones_own_needs_two_methods_only():
    network = Own(4, N_FEATURES)
    vae = make_vae(Normal.of(N_FEATURES), network=network)
    assert vae.network is network
    np.testing.assert_array_equal(vae.encode(jnp.ones((3, N_FEATURES))).scale, np.ones((3, 2)))
    assert np.isfinite(float(terms_of(vae, jnp.ones((3, N_FEATURES)), jax.random.key(0)).bound()))


class PlainClass:
    """Two methods and an array, but no pytree: training would not see the array."""

    def __init__(self, weights):
        self.weights = weights

    def encode(self, inputs):
        return jnp.zeros((*inputs.shape[:-1], 4), inputs.dtype)

    def decode(self, latent):
        return latent @ self.weights


class Module(eqx.Module):
    """The same as a module."""

    weights: object
    encode = PlainClass.encode
    decode = PlainClass.decode


def test_a_network_that_training_could_not_change_is_refused():
    weights = np.ones((LATENT, N_FEATURES), np.float32)
    with pytest.raises(InputError, match="a PlainClass is no pytree.*Subclass equinox.Module"):
        make_vae(Normal.of(N_FEATURES), network=PlainClass(jnp.asarray(weights)))
    with pytest.raises(InputError, match="a Module is no pytree, or one without floating-point arrays"):
        make_vae(Normal.of(N_FEATURES), network=Module(None))
    assert make_vae(Normal.of(N_FEATURES), network=Module(jnp.asarray(weights))).latent_dim == LATENT
    with pytest.raises(InputError, match="must be an object with the two methods.*got the class Module"):
        check_network(Module, N_FEATURES, 4, LATENT, N_FEATURES)


@pytest.mark.parametrize(
    ("likelihood", "config", "message"),
    [
        ("normal", None, r"`likelihood` must be an object such as .*Normal.of\(n_columns\); got 'normal'"),
        (Normal, None, "`likelihood` must be an object.*got the class Normal"),
        (Normal.of(2), {"latent_dim": 2}, "`config` must be a ModelConfig; got {'latent_dim': 2}"),
    ],
)
def test_arguments_of_another_kind_are_refused(likelihood, config, message):
    # Asked directly: under the tests' type checker `make_vae` would not get this far.
    with pytest.raises(InputError, match=message):
        check_vae_arguments(likelihood, config)


class EncodesOnly:
    def encode(self, inputs):
        return inputs


class OneByOne(Own):
    """Takes single vectors only."""

    def encode(self, inputs):
        if inputs.ndim != 1:
            raise ValueError("expected one vector")
        return super().encode(inputs)


class RowsOnly(Own):
    """Takes batches only."""

    def decode(self, latent):
        if latent.ndim != 2:
            raise ValueError("expected rows")
        return super().decode(latent)


@pytest.mark.parametrize(
    ("network", "message"),
    [
        (
            Own(3, N_FEATURES),
            r"`network.encode` must turn one vector of shape \(5,\) into \(4,\), the numbers of the posterior; got "
            r"\(3,\)",
        ),
        (
            Own(4, 2 * N_FEATURES),
            r"`network.decode` must turn one vector of shape \(2,\) into \(5,\), the outputs of the likelihood; got "
            r"\(10,\)",
        ),
        (OneByOne(4, N_FEATURES), r"`network.encode` failed on rows of shape \(3, 5\): expected one vector"),
        (RowsOnly(4, N_FEATURES), r"`network.decode` failed on one vector of shape \(2,\): expected rows"),
    ],
)
def test_networks_that_cannot_work_are_refused(network, message):
    with pytest.raises(InputError, match=message):
        make_vae(Normal.of(N_FEATURES), network=network)


def test_a_network_without_decoder_is_refused():
    # Asked directly: under the tests' type checker `make_vae` would not get this far.
    with pytest.raises(
        InputError,
        match=r"`network` must be an object with the two methods.*got an object of the class EncodesOnly",
    ):
        check_network(EncodesOnly(), N_FEATURES, 4, LATENT, N_FEATURES)


def test_a_full_posterior_needs_more_numbers_of_a_network():
    config = ModelConfig(posterior="full")
    with pytest.raises(InputError, match=r"into \(5,\), the numbers of the posterior; got \(4,\)"):
        make_vae(Normal.of(N_FEATURES), config, network=Own(4, N_FEATURES))
    assert make_vae(Normal.of(N_FEATURES), config, network=Own(5, N_FEATURES)).posterior == "full"
