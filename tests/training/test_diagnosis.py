"""The diagnosis of linear VAEs, whose optimum is known, and of models that are broken on purpose."""

import dataclasses
import json

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from polyvae.errors import InputError
from polyvae.training.diagnosis import diagnose
from polyvae.training.verdict import MARGIN
from polyvae.vae import VAE, ModelConfig, NormalMixture, make_vae
from polyvae.vae.inputs import PlainInputs
from polyvae.vae.likelihoods import (
    Categorical,
    CorrelatedNormal,
    Likelihood,
    LowRankNormal,
    Normal,
    RotationNormal,
    StudentT,
    VonMises,
)
from polyvae.vae.posteriors import DiagonalNormal

EIGENVALUES = np.array([4.0, 2.0, 1.0, 0.3, 0.2, 0.1])
N_FRAMES, N_LATENT = 1000, 2


class LinearNetwork(eqx.Module):
    """Posterior mean `x @ encoder + shift` with fixed numbers after it, outputs `(z - shift) @ decoder + offset`."""

    encoder: jax.Array
    shift: jax.Array
    rest: jax.Array
    decoder: jax.Array
    offset: jax.Array

    def encode(self, x):
        mean = x @ self.encoder
        mean = mean + jnp.broadcast_to(self.shift, mean.shape)
        return jnp.concatenate(
            [mean, jnp.broadcast_to(self.rest, (*mean.shape[:-1], self.rest.size))], axis=-1
        )

    def decode(self, latent):
        outputs = (latent - jnp.broadcast_to(self.shift, latent.shape)) @ self.decoder
        return outputs + jnp.broadcast_to(self.offset, outputs.shape)


def linear_vae(
    likelihood: Likelihood,
    *,
    encoder=0.0,
    scale=1.0,
    decoder=0.0,
    shift=0.0,
    offset=0.0,
    n_latent=N_LATENT,
    **config,
) -> VAE:
    """A linear VAE; what is not given is collapsed: encoder and decoder zero, the width of the posterior one."""
    config = ModelConfig(latent_dim=n_latent, **config)
    numbers = np.zeros(n_latent * (n_latent - 1) // 2 if config.posterior == "full" else 0)
    shapes = {
        "encoder": (encoder, (likelihood.n_values, n_latent)),
        "shift": (shift, (n_latent,)),
        "rest": (
            np.concatenate([np.log(np.broadcast_to(scale, n_latent)), numbers]),
            (n_latent + len(numbers),),
        ),
        "decoder": (decoder, (n_latent, likelihood.n_outputs)),
        "offset": (offset, (likelihood.n_outputs,)),
    }
    dtype = jnp.result_type(float)
    network = LinearNetwork(
        **{name: jnp.asarray(np.broadcast_to(*item), dtype) for name, item in shapes.items()}
    )
    return make_vae(likelihood, config, network=network, inputs=PlainInputs(likelihood.n_values))


def optimal_vae(variance: float, *, beta: float = 1.0, **changes) -> VAE:
    """The optimum of the linear VAE with this noise and this beta: probabilistic PCA with the noise beta sigma²."""
    kept = EIGENVALUES[:N_LATENT]
    decoder = np.eye(N_LATENT, len(EIGENVALUES)) * np.sqrt(np.maximum(kept - beta * variance, 0.0))[:, None]
    scale = np.where(kept > beta * variance, np.sqrt(beta * variance / kept), 1.0)
    parts = {"encoder": decoder.T / kept[None, :], "scale": scale, "decoder": decoder} | changes
    return linear_vae(noise(variance), **parts)


def noise(variance: float) -> Normal:
    return Normal.of(len(EIGENVALUES), sigma=variance**0.5, learn=False)


@pytest.fixture(scope="module")
def features() -> np.ndarray:
    """Normal rows whose mean is zero and whose covariance is the diagonal of the eigenvalues, exactly."""
    rows = np.random.default_rng(5).normal(size=(N_FRAMES, len(EIGENVALUES)))
    rows -= rows.mean(axis=0)
    white = rows @ np.linalg.inv(np.linalg.cholesky(rows.T @ rows / N_FRAMES)).T
    return white * np.sqrt(EIGENVALUES)


def test_the_optimum_of_a_linear_vae_shows_its_closed_forms(features, key):
    variance, kept = 0.25, EIGENVALUES[:N_LATENT]
    found = diagnose(optimal_vae(variance), features, key=key)
    rates = 0.5 * np.log(kept / variance)
    # Means over frames whose first two moments are exact: only float32 differs.
    np.testing.assert_allclose(found.kl_per_dimension, rates, rtol=1e-4)
    np.testing.assert_allclose(found.rate, rates.sum(), rtol=1e-4)
    np.testing.assert_allclose(found.activity, 1.0 - variance / kept, rtol=1e-4)
    np.testing.assert_allclose(found.encoder_sd, np.sqrt(variance / kept), rtol=1e-4)
    np.testing.assert_allclose(found.aggregate_sd, 1.0, rtol=1e-4)
    np.testing.assert_allclose(found.encoder_mean, 0.0, atol=1e-5)
    assert (found.active_units, found.used_units, found.n_frames) == (2, 2, N_FRAMES)
    # The bound is tight: the evidence of probabilistic PCA, to the noise of four draws a frame (sd about 0.02).
    log_determinant = np.log(kept).sum() + 4 * np.log(variance)
    trace = N_LATENT + EIGENVALUES[N_LATENT:].sum() / variance
    evidence = -0.5 * (len(EIGENVALUES) * np.log(2 * np.pi) + log_determinant + trace)
    assert abs(found.elbo - evidence) < 0.1
    # q(z) is the standard normal; the two bounds differ by what one frame of a thousand does to its own mixture.
    assert found.aggregate_kl_lower < 0.02
    assert 0.0 < found.aggregate_kl < 0.06
    assert found.mutual_information == pytest.approx(found.rate - found.aggregate_kl)
    assert found.mutual_information < rates.sum() < found.mutual_information_upper
    assert found.mutual_information_ceiling == pytest.approx(np.log(N_FRAMES))
    assert not found.saturated
    assert abs(found.total_correlation) < 0.05
    assert np.all(found.prior_distance < 3 * found.prior_distance_floor)
    # What a swap costs: the covariance of x and W z, over sigma².
    used = kept / variance - 1.0
    assert np.all(np.abs(found.used_by_decoder - used) < 4 * found.used_by_decoder_error)
    assert abs(found.information_used - used.sum()) < 4 * found.information_used_error
    # The third eigenvalue is left; draws of z add a little to it by chance.
    assert found.untapped_signal == pytest.approx(1.0 / variance, rel=0.02)
    assert found.noise_variance == pytest.approx(variance)
    assert found.largest_eigenvalue == pytest.approx(4.0)
    assert (found.directions_above_noise, found.linear_rate) == (4, pytest.approx(rates.sum()))
    assert (found.status, found.cause, found.remedy) == ("healthy", "none", "")
    assert found.sentence.startswith(
        f"Healthy: {rates.sum():.2f} nats per frame in 2 active of 2 latent dimensions"
    )


def test_beta_widens_the_noise_of_a_linear_vae(features, key, x64):
    found = diagnose(optimal_vae(0.2, beta=3.0), features, beta=3.0, key=key)
    expected = 0.5 * np.sum(np.log(EIGENVALUES[:2] / (3.0 * 0.2)))
    # Exact in float64, since the features' second moments are.
    assert found.rate == pytest.approx(expected, rel=1e-9)
    assert found.linear_rate == pytest.approx(expected, rel=1e-9)
    assert found.directions_above_noise == 3


@pytest.mark.parametrize(
    ("variance", "beta", "cause", "remedy"),
    [
        # The largest eigenvalue is 4: at beta = 1 it is below the noise of 5 and above that of 0.5.
        (5.0, 1.0, "noise too wide", "Lower `sigma` below 2"),
        (0.5, 1.0, "training stuck", "`rate_target` or `free_bits`"),
        (0.5, 20.0, "beta too large", "Lower `beta`"),
    ],
)
def test_the_cause_of_collapse_is_found(features, key, variance, beta, cause, remedy):
    found = diagnose(linear_vae(noise(variance)), features, beta=beta, key=key)
    assert (found.status, found.cause) == ("collapsed", cause)
    assert remedy in found.remedy
    assert found.remedy in found.sentence
    assert found.untapped_signal == pytest.approx(4.0 / variance, rel=1e-4)
    assert found.untapped_scatter == pytest.approx(EIGENVALUES.mean() / variance, rel=1e-4)
    # The signature of collapse, and nothing in it that could warn: q(z) matches the prior perfectly.
    np.testing.assert_allclose(found.encoder_mean, 0.0, atol=0.01)
    np.testing.assert_allclose(found.encoder_sd, 1.0, atol=0.01)
    np.testing.assert_allclose([found.rate, found.mutual_information, found.aggregate_kl], 0.0, atol=1e-5)
    assert np.all(found.prior_distance < 3 * found.prior_distance_floor)
    assert (found.active_units, found.used_units, found.information_used) == (0, 0, 0.0)


def test_dead_dimensions_of_a_linear_optimum_are_spare(features, key):
    # Noise of 3 lets one direction through, at two latent dimensions.
    found = diagnose(optimal_vae(3.0), features, key=key)
    assert (found.status, found.cause) == ("partly collapsed", "spare dimensions")
    assert (found.active_units, found.used_units) == (1, 1)
    assert "`latent_dim=1`" in found.remedy
    # The second eigenvalue is left, and more of the first: the mean of z says sigma² / eigenvalue less than all, and
    # four draws of it leave a quarter of their scatter.
    left = [2.0 / 3.0, 3.0 / 4.0 + (1.0 - 3.0 / 4.0) / 4.0]
    assert found.untapped_signal == pytest.approx(max(left), rel=0.03)


def test_a_decoder_that_ignores_an_informative_encoder_is_found(features, key):
    found = diagnose(optimal_vae(0.2, decoder=0.0), features, key=key)
    assert (found.status, found.cause) == ("latent ignored", "decoder does not listen")
    assert found.mutual_information > 2.0
    assert found.active_units == 2
    assert (found.information_used, found.used_units) == (0.0, 0)
    np.testing.assert_array_equal(found.used_by_decoder, 0.0)


def test_a_shifted_aggregate_posterior_is_a_mismatch(features, key):
    found = diagnose(optimal_vae(0.2, shift=[0.0, 1.5]), features, key=key)
    assert (found.status, found.cause) == ("mismatched", "prior does not fit")
    assert "`prior='mixture', prior_training='after'`" in found.remedy
    # W1 of a shift is the shift, its KL divergence half its square.
    floor = found.prior_distance_floor
    np.testing.assert_allclose(found.prior_distance, [0.0, 1.5], atol=3 * floor.max())
    assert found.aggregate_kl_lower < 1.125 < found.aggregate_kl + 3 * found.aggregate_kl_error
    assert found.aggregate_kl_lower > 1.0
    np.testing.assert_allclose(found.encoder_mean, [0.0, 1.5], atol=1e-4)


def test_correlated_dimensions_are_a_mismatch_that_no_marginal_shows(features, key):
    # Both dimensions say the same: each is a standard normal, their correlation is 0.98.
    encoder = np.zeros((6, 2))
    encoder[0] = np.sqrt(0.98 / EIGENVALUES[0])
    found = diagnose(optimal_vae(0.2, encoder=encoder, scale=np.sqrt(0.02)), features, key=key)
    divergence = -0.5 * np.log(1.0 - 0.98**2)
    assert found.status == "mismatched"
    assert np.all(found.prior_distance < 3 * found.prior_distance_floor)
    # A thousand frames resolve it to about 0.05 (standard error, and the frame's part in its own mixture).
    assert found.aggregate_kl_lower - 0.1 < divergence < found.aggregate_kl + 0.1
    assert found.total_correlation == pytest.approx(divergence, abs=0.15)


def test_noise_fitted_afterwards_is_not_asked_for_causes(features, key):
    fitted = CorrelatedNormal.from_covariance(np.diag(EIGENVALUES))
    alone = diagnose(linear_vae(fitted), features, key=key)
    assert (alone.status, alone.cause) == ("collapsed", "decoder suffices")
    assert "`rate_target`" in alone.remedy
    assert alone.untapped_signal == pytest.approx(1.0, rel=1e-3)
    assert alone.untapped_scatter == pytest.approx(1.0, rel=1e-3)
    assert alone.noise_variance == pytest.approx(EIGENVALUES.mean(), rel=1e-5)
    trained = diagnose(linear_vae(fitted), features, key=key, trained_likelihood=noise(0.5))
    assert (trained.cause, trained.noise_variance) == ("training stuck", pytest.approx(0.5))
    assert trained.log_likelihood == alone.log_likelihood


def test_low_rank_noise_takes_up_its_directions(features, key):
    found = diagnose(linear_vae(LowRankNormal.from_moment(np.diag(EIGENVALUES), 2)), features, key=key)
    assert found.untapped_signal == pytest.approx(1.0, rel=1e-3)
    assert found.noise_variance == pytest.approx(EIGENVALUES.mean(), rel=1e-5)


def _turned(rng: np.random.Generator, n: int) -> np.ndarray:
    angle = rng.uniform(0.0, 2 * np.pi, n)
    return np.stack([np.cos(angle), -np.sin(angle), np.sin(angle), np.cos(angle)], axis=1).reshape(n, 2, 2)


SHAPE = np.array([[2.0, 0.0], [-1.0, 1.0], [0.0, -1.5]])
CLASSES = np.array([0.5, 0.3, 0.2])
FAMILIES = {
    "categorical": (Categorical(3), np.log(CLASSES), lambda rng, n: np.eye(3)[rng.choice(3, n, p=CLASSES)]),
    "von Mises": (
        VonMises.of(2, kappa=3.0),
        np.array([1.0, 0.0, 0.0, 1.0]),
        lambda rng, n: rng.vonmises([0.0, np.pi / 2], 3.0, size=(n, 2)),
    ),
    "Student": (StudentT.of(3, degrees_of_freedom=5.0), 0.0, lambda rng, n: rng.standard_t(5.0, size=(n, 3))),
    "rotation": (
        RotationNormal.of(6, 2, sigma=0.3),
        SHAPE.ravel(),
        lambda rng, n: (SHAPE @ _turned(rng, n) + 0.3 * rng.normal(size=(n, 3, 2))).reshape(n, 6),
    ),
}


@pytest.mark.parametrize("family", FAMILIES)
def test_a_likelihood_that_describes_the_frames_leaves_the_latent_nothing(family, rng, key):
    likelihood, offset, draw = FAMILIES[family]
    vae = linear_vae(likelihood, offset=offset, n_latent=1)
    found = diagnose(vae, draw(rng, N_FRAMES), key=key)
    # Scores have the covariance of the curvature: eigenvalues are one on average (sd 0.03 for so many frames), and the
    # largest is at most the Marchenko-Pastur edge, to its fluctuation.
    assert found.untapped_scatter == pytest.approx(1.0, abs=0.1)
    assert found.untapped_signal < MARGIN * found.untapped_floor
    assert (found.status, found.cause) == ("collapsed", "decoder suffices")
    assert found.noise_variance is None
    assert found.linear_rate is None


def test_one_direction_stands_out_of_many_features(rng, key):
    # More than 128 features take the randomized search; the answer is that of a full decomposition.
    rows = rng.normal(size=(400, 150))
    rows[:, 0] *= 4.0
    found = diagnose(linear_vae(Normal.of(150), n_latent=1), rows, key=key)
    exact = np.linalg.eigvalsh(np.cov(rows.T, bias=True))[-1]
    assert found.untapped_signal == pytest.approx(exact, rel=1e-4)
    assert found.largest_eigenvalue == pytest.approx(exact, rel=1e-5)
    assert found.untapped_floor == pytest.approx((1 + np.sqrt(150 / 400)) ** 2)


def test_frames_of_weight_zero_do_not_count(features, key):
    vae = optimal_vae(0.2)
    padded = np.concatenate([np.full((3, 6), 1e6), features, np.full((2, 6), -1e6)])
    weights = np.pad(np.ones(N_FRAMES), (3, 2))
    alone, among = diagnose(vae, features, key=key), diagnose(vae, padded, weights=weights, key=key)
    for field in dataclasses.fields(alone):
        np.testing.assert_array_equal(getattr(among, field.name), getattr(alone, field.name))


def test_integer_weights_are_repeats(features, rng, key):
    vae = optimal_vae(0.2, shift=[0.0, 0.5])
    times = rng.integers(1, 4, size=N_FRAMES)
    weighted = diagnose(vae, features, weights=7.0 * times, key=key)
    repeated = diagnose(vae, np.repeat(features, times, axis=0), max_frames=10_000, key=key)
    exact = (
        "rate", "kl_per_dimension", "activity", "encoder_mean", "encoder_sd", "aggregate_sd", "largest_eigenvalue",
        "linear_rate",
    )  # fmt: skip
    for name in exact:
        np.testing.assert_allclose(getattr(weighted, name), getattr(repeated, name), rtol=1e-4, atol=1e-5)
    # Drawn numbers agree to their errors; with repeats, which are not independent, these are up to 1.5 times larger.
    error = 6 * weighted.information_used_error
    assert weighted.information_used == pytest.approx(repeated.information_used, abs=error)
    assert weighted.log_likelihood == pytest.approx(repeated.log_likelihood, abs=0.1)
    assert weighted.mutual_information == pytest.approx(repeated.mutual_information, abs=0.1)
    assert weighted.mutual_information_ceiling < np.log(N_FRAMES)
    assert weighted.untapped_floor > repeated.untapped_floor


def test_a_full_posterior_without_correlations_equals_a_diagonal_one(features, key):
    diagonal = diagnose(optimal_vae(0.2), features, key=key)
    full = diagnose(optimal_vae(0.2, posterior="full"), features, key=key)
    # The same noise in other arithmetic.
    for name in (
        "rate",
        "log_likelihood",
        "mutual_information",
        "mutual_information_upper",
        "total_correlation",
    ):
        assert getattr(full, name) == pytest.approx(getattr(diagonal, name), abs=1e-3)


def test_the_rate_is_that_of_the_actual_prior(features, key):
    # A mixture of one component at the place of q(z) fits it, though the standard normal does not.
    prior = NormalMixture(
        logits=jnp.zeros(1),
        components=DiagonalNormal(mean=jnp.asarray([[0.0, 1.5]]), log_scale=jnp.zeros((1, 2))),
    )
    vae = eqx.tree_at(lambda tree: tree.prior, optimal_vae(0.2, shift=[0.0, 1.5]), prior)
    found = diagnose(vae, features, key=key)
    rates = 0.5 * np.log(EIGENVALUES[:2] / 0.2)
    # An estimate from four draws a frame, sd sqrt(2 / 2) / sqrt(4000).
    assert found.rate == pytest.approx(rates.sum(), abs=0.08)
    np.testing.assert_allclose(found.kl_per_dimension, [rates[0], rates[1] + 0.5 * 1.5**2], rtol=1e-4)
    assert found.status == "healthy"
    far = eqx.tree_at(lambda tree: tree.prior.components.mean, vae, jnp.asarray([[0.0, -1.5]]))
    assert "`prior_components`" in diagnose(far, features, key=key).remedy


def test_sharp_posteriors_saturate_the_mutual_information(features, key):
    vae = optimal_vae(0.2, scale=1e-4)
    found = diagnose(vae, features, key=key)
    assert found.saturated
    assert "at least" in found.sentence
    # Every draw names its frame: log n, to the noise of the difference of two means.
    assert found.mutual_information == pytest.approx(np.log(N_FRAMES), abs=0.15)
    assert found.mutual_information_upper > found.rate


def test_many_frames_are_thinned_out_evenly(features, key):
    found = diagnose(optimal_vae(0.2), features, key=key, max_frames=500)
    rows = np.linspace(0, N_FRAMES - 1, 500).round().astype(int)
    assert found.n_frames == 500
    expected = np.mean(features[rows][:, 0]) * np.sqrt(EIGENVALUES[0] - 0.2) / EIGENVALUES[0]
    assert found.encoder_mean[0] == pytest.approx(expected, abs=1e-5)


def test_the_record_holds_plain_numbers_and_repeats_itself(features, key):
    vae = optimal_vae(0.2)
    first, second = diagnose(vae, features, key=key), diagnose(vae, jnp.asarray(features), key=key)
    for field in dataclasses.fields(first):
        value = getattr(first, field.name)
        if isinstance(value, np.ndarray):
            assert value.shape == (N_LATENT,)
            assert value.dtype == np.float64
        else:
            json.dumps(value)
        np.testing.assert_array_equal(value, getattr(second, field.name))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"features": np.zeros((4, 5))}, r"`features` must have shape \(frames, 6\); got \(4, 5\)"),
        ({"beta": -1.0}, "`beta` must not be negative; got -1.0"),
        ({"max_frames": 1}, "`max_frames` must be at least 2; got 1"),
        ({"weights": np.ones(3)}, r"`weights` must hold 4 finite numbers, none negative; got shape \(3,\)"),
        ({"weights": np.array([1.0, 1.0, -1.0, 1.0])}, "none negative"),
        ({"weights": np.array([1.0, 1.0, np.inf, 1.0])}, "finite"),
        ({"weights": np.array([0.0, 0.0, 1.0, 0.0])}, "at least two frames of positive weight; got 1"),
    ],
)
def test_unfit_arguments_are_named(key, changes, message):
    arguments = {"features": np.zeros((4, 6)), "key": key} | changes
    with pytest.raises(InputError, match=message):
        diagnose(optimal_vae(0.2), **arguments)
