"""`fit_vae` on rows: objectives, weights, ensembles, and input that cannot be trained with."""

import dataclasses

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from polyvae.errors import InputError, PolyvaeWarning, TrainingError
from polyvae.training import TrainConfig, fit_vae, fit_vae_ensemble
from polyvae.training.epoch import run_epoch, run_epoch_of_members
from polyvae.training.fit_vae import _checked_config, fit_prior
from polyvae.training.rows import checked_rows, checked_weights
from polyvae.vae import ModelConfig, NormalMixture, elbo_terms, make_vae
from polyvae.vae.likelihoods import Blocks, Categorical, Normal

N_FEATURES = 5
SMALL = ModelConfig(hidden=(8,))
QUICK = TrainConfig(epochs=4, batch_size=40, learning_rate=5e-3, kl_warmup=1, patience=None)


def linear_rows(n_rows: int, seed: int = 0) -> np.ndarray:
    """Two hidden variables seen through a linear map, with noise."""
    rng = np.random.default_rng(seed)
    factor = np.random.default_rng(99).normal(size=(2, N_FEATURES))
    return (rng.normal(size=(n_rows, 2)) @ factor + 0.3 * rng.normal(size=(n_rows, N_FEATURES))).astype("f4")


def small_vae(seed: int = 0, config: ModelConfig = SMALL, likelihood=None):
    return make_vae(likelihood or Normal.of(N_FEATURES), config, seed=seed)


@pytest.fixture(scope="module")
def rows() -> np.ndarray:
    return linear_rows(400)


@pytest.fixture(scope="module")
def quick_fit(rows):
    return fit_vae(small_vae(), rows, QUICK, seed=3)


def leaves(result) -> list[np.ndarray]:
    return [np.asarray(leaf) for leaf in jax.tree.leaves(eqx.filter(result.vae, eqx.is_array))]


def test_training_raises_the_bound_and_records_it(rows, quick_fit):
    history = quick_fit.history
    assert quick_fit.status == "finished"
    assert (len(history), history.train_kl.shape, history.beta.shape) == (4, (4, 2), (4,))
    assert history.validation_bound[-1] > history.validation_bound[0]
    assert history.train_log_likelihood[-1] > history.train_log_likelihood[0] + 0.2
    expected = history.train_log_likelihood - history.train_kl.sum(axis=1)
    np.testing.assert_allclose(history.train_bound, expected, atol=1e-4)
    np.testing.assert_array_equal(history.beta, 1.0)
    # Warm-up is over with the first epoch.
    assert quick_fit.best_epoch == 1 + int(np.argmax(history.validation_bound))
    assert (quick_fit.seed, quick_fit.beta) == (3, 1.0)


def test_rows_are_trained_on_or_held_out(rows, quick_fit):
    assert len(quick_fit.validation) == 40
    np.testing.assert_array_equal(
        np.sort(np.concatenate([quick_fit.train, quick_fit.validation])), np.arange(400)
    )
    terms = elbo_terms(quick_fit.vae, jnp.asarray(rows[quick_fit.validation]), jax.random.key(1))
    # Another draw of z for 40 rows of 5 features.
    assert float(terms.bound()) == pytest.approx(quick_fit.history.validation_bound.max(), abs=1.5)


def test_the_same_seed_gives_the_same_bits_without_tracing_again(rows, quick_fit, monkeypatch):
    def no_trace(*arguments, **settings):
        raise AssertionError("the epoch was traced again")

    fit_vae(small_vae(), rows, QUICK, seed=3, weights=np.linspace(1.0, 2.0, 400))
    monkeypatch.setattr("polyvae.training.step.objective_terms", no_trace)
    again = fit_vae(small_vae(), rows, QUICK, seed=3)
    assert [leaf.tobytes() for leaf in leaves(again)] == [leaf.tobytes() for leaf in leaves(quick_fit)]
    # Neither does another beta, another seed or other weights.
    other = fit_vae(small_vae(1), rows, QUICK, seed=4, beta=0.5, weights=np.linspace(0.0, 2.0, 400))
    assert not np.array_equal(other.train, quick_fit.train)
    assert not np.array_equal(leaves(other)[0], leaves(quick_fit)[0])


def test_reports_come_after_every_epoch(rows, quick_fit, no_diagnosis):
    reports = []
    fit_vae(small_vae(), rows, QUICK, seed=3, on_epoch=reports.append)
    assert [report.epoch for report in reports] == [1, 2, 3, 4]
    bounds = [report.validation_bound for report in reports]
    np.testing.assert_array_equal(bounds, quick_fit.history.validation_bound)


def test_rows_of_weight_zero_have_no_part(rows, no_diagnosis):
    weights = np.where(np.arange(400) % 2 == 0, 1.0, 0.0)
    changed = np.where(weights[:, None] > 0, rows, 50.0).astype("f4")
    one, other = (fit_vae(small_vae(), each, QUICK, seed=3, weights=weights) for each in (rows, changed))
    np.testing.assert_allclose(one.history.validation_bound, other.history.validation_bound, atol=1e-4)
    for first, second in zip(leaves(one), leaves(other), strict=True):
        np.testing.assert_allclose(first, second, atol=1e-4)


def test_equal_weights_of_any_size_are_no_weights(rows, quick_fit, no_diagnosis):
    result = fit_vae(small_vae(), rows, QUICK, seed=3, weights=np.full(400, 7.0))
    for first, second in zip(leaves(result), leaves(quick_fit), strict=True):
        np.testing.assert_array_equal(first, second)


def test_validation_rows_may_be_given_apart(rows, no_diagnosis):
    result = fit_vae(small_vae(), rows[:360], QUICK, seed=3, validation=rows[360:])
    assert len(result.train) == 360
    assert len(result.validation) == 0
    assert np.isfinite(result.history.validation_bound).all()


@pytest.mark.parametrize(
    ("model", "training", "columns"),
    [
        ({"prior": "vamp", "posterior": "full"}, {"objective": "iwae", "importance_samples": 3}, 1),
        (
            {"prior": "sparse", "layer_norm": True, "network": "residual"},
            {"total_correlation": 2.0, "prior_matching": 5.0, "free_bits": 0.1, "kl_schedule": "cyclical"},
            2,
        ),
    ],
)
def test_objectives_priors_and_posteriors_train(rows, model, training, columns, no_diagnosis):
    vae = small_vae(config=ModelConfig(hidden=(8, 8), prior_components=4, **model))
    config = dataclasses.replace(QUICK, epochs=3, kl_cycles=2, **training)
    result = fit_vae(vae, rows, config, seed=3)
    assert result.status == "finished"
    assert result.history.train_bound[-1] > result.history.train_bound[0]
    assert result.history.train_kl.shape == (3, columns)
    assert all(np.isfinite(leaf).all() for leaf in leaves(result))


def test_a_rate_target_is_met_and_gives_the_weight_that_meets_it(rows):
    config = dataclasses.replace(QUICK, epochs=60, rate_target=3.0)
    result = fit_vae(small_vae(), rows, config, seed=3)
    rates = result.history.train_kl.sum(axis=1)
    # 540 steps; the weight moves by 1 % a step at most, less and less.
    assert rates[-10:].mean() == pytest.approx(3.0, rel=0.05)
    assert rates[result.best_epoch - 1] == pytest.approx(3.0, rel=0.03)
    assert result.history.beta[-1] > 1.0
    assert result.diagnosis.beta == pytest.approx(result.history.beta[result.best_epoch - 1])
    # By the ELBO, less ten times what the rate misses beyond two percent.
    row = result.history
    missed = np.maximum(np.abs(rates - 3.0) - 0.06, 0.0)
    expected = row.validation_log_likelihood - row.validation_kl.sum(axis=1) - 10.0 * missed
    np.testing.assert_allclose(row.validation_bound, expected, atol=1e-3)


def assert_same(member, alone) -> None:
    assert (member.status, member.best_epoch) == (alone.status, alone.best_epoch)
    assert (member.seed, member.beta) == (alone.seed, alone.beta)
    for field in dataclasses.fields(alone.history):
        one, other = getattr(member.history, field.name), getattr(alone.history, field.name)
        np.testing.assert_allclose(one, other, rtol=1e-7, atol=1e-9)
    for first, second in zip(leaves(member), leaves(alone), strict=True):
        np.testing.assert_allclose(first, second, rtol=1e-6, atol=1e-8)


def test_members_come_out_as_alone_also_when_one_stops_before_another(x64, rows, no_diagnosis):
    config = dataclasses.replace(QUICK, epochs=12, patience=2, learning_rate=2e-2)
    validation = linear_rows(60, seed=8).astype(np.float64)
    betas, seeds = (1.0, 0.3, 4.0), (3, 5, 3)
    vaes = [small_vae(seed) for seed in (0, 1, 0)]
    members = fit_vae_ensemble(vaes, rows, config, betas=betas, seeds=seeds, validation=validation)
    alone = [
        fit_vae(vae, rows, config, beta=beta, seed=seed, validation=validation)
        for vae, beta, seed in zip(vaes, betas, seeds, strict=True)
    ]
    for member, single in zip(members, alone, strict=True):
        assert_same(member, single)
    # Otherwise the test would show nothing about stopping.
    assert len({len(member.history) for member in members}) > 1
    assert {member.status for member in members} >= {"early"}


def test_a_member_that_diverges_leaves_the_others_alone_and_nothing_is_traced_again(
    rows, monkeypatch, no_diagnosis
):
    def breaks_the_first_in_epoch_three(inputs, state, plan):
        if int(state.epoch[0]) == 2:
            broken = jax.tree.map(lambda leaf: leaf.at[0].set(jnp.nan), state.parameters)
            state = eqx.tree_at(lambda tree: tree.parameters, state, broken)
        return run_epoch_of_members(inputs, state, plan)

    vaes = [small_vae(0), small_vae(1)]
    expected = fit_vae_ensemble(vaes, rows, QUICK)[1]

    def no_trace(*arguments, **settings):
        raise AssertionError("the epoch was traced again")

    monkeypatch.setattr("polyvae.training.step.objective_terms", no_trace)
    monkeypatch.setattr("polyvae.training.loop.run_epoch_of_members", breaks_the_first_in_epoch_three)
    with pytest.warns(
        PolyvaeWarning, match="not finite in epoch 3; the model of the best epoch before is kept"
    ):
        broken, other = fit_vae_ensemble(vaes, rows, QUICK)
    assert (broken.status, len(broken.history)) == ("diverged", 2)
    assert all(np.isfinite(leaf).all() for leaf in leaves(broken))
    assert (other.status, len(other.history)) == ("finished", 4)
    for first, second in zip(leaves(other), leaves(expected), strict=True):
        np.testing.assert_array_equal(first, second)


class OwnNetwork(eqx.Module):
    """One linear map each way, and a leaf that is no array."""

    forward: jax.Array
    back: jax.Array
    last: object

    def encode(self, inputs):
        return self.last(inputs @ self.forward)

    def decode(self, latent):
        return self.last(latent @ self.back)


def test_networks_of_ones_own_are_trained_as_members(rows, rng, no_diagnosis):
    networks = [
        OwnNetwork(
            *(jnp.asarray(0.3 * rng.normal(size=shape), jnp.float32) for shape in ((5, 4), (2, 5))),
            jnp.arcsinh,
        )
        for _ in range(2)
    ]
    vaes = [make_vae(Normal.of(N_FEATURES), network=network) for network in networks]
    members = fit_vae_ensemble(vaes, rows, QUICK)
    assert all(isinstance(member.vae.network, OwnNetwork) for member in members)
    assert all(member.history.train_bound[-1] > member.history.train_bound[0] for member in members)


def test_ensembles_of_different_shapes_or_counts_are_refused(rows):
    vae = small_vae()
    with pytest.raises(InputError, match="`vaes` must hold at least one VAE"):
        fit_vae_ensemble([], rows, QUICK)
    with pytest.raises(InputError, match="`vaes` must all have the same settings"):
        fit_vae_ensemble([vae, small_vae(config=ModelConfig(hidden=(9,)))], rows, QUICK)
    with pytest.raises(InputError, match="`vaes` must all have the same settings"):
        fit_vae_ensemble([vae, small_vae(likelihood=Normal.of(N_FEATURES, learn=False))], rows, QUICK)
    with pytest.raises(InputError, match="`betas` needs one number for each of the 2 VAEs; got 1"):
        fit_vae_ensemble([vae, vae], rows, QUICK, betas=[1.0])
    with pytest.raises(InputError, match="`seeds` needs one number for each of the 2 VAEs; got 3"):
        fit_vae_ensemble([vae, vae], rows, QUICK, seeds=[1, 2, 3])
    with pytest.raises(InputError, match="`seeds` must not be negative; got -2"):
        fit_vae_ensemble([vae, vae], rows, QUICK, seeds=[1, -2])
    with pytest.raises(InputError, match="`split_seed` must not be negative; got -1"):
        fit_vae_ensemble([vae, vae], rows, QUICK, split_seed=-1)
    with pytest.raises(InputError, match="`betas` must be finite and not negative; got -1"):
        fit_vae_ensemble([vae, vae], rows, QUICK, betas=[1.0, -1.0])


def test_rows_that_cannot_be_trained_on_are_refused(rows):
    vae = small_vae()
    with pytest.raises(InputError, match=r"`vectors` must have shape \(rows, 5\); got \(400, 4\)"):
        fit_vae(vae, rows[:, :4], QUICK)
    # Asked directly: under the tests' type checker `fit_vae` would not get this far.
    with pytest.raises(InputError, match=r"`validation` must have shape \(rows, 5\); got \(400, 4\)"):
        checked_rows("validation", rows[:, :4], vae)
    with pytest.raises(InputError, match="`vectors` needs at least two rows; got 1"):
        fit_vae(vae, rows[:1], QUICK)
    broken = rows.copy()
    broken[7, 2], broken[9, 0] = np.nan, np.inf
    with pytest.raises(InputError, match=r"`vectors` hold NaN or infinity in 2 row\(s\), first row 7"):
        fit_vae(vae, broken, QUICK)
    with pytest.raises(InputError, match=r"`validation` hold NaN or infinity in 2 row\(s\), first row 7"):
        fit_vae(vae, rows, QUICK, validation=broken)
    with pytest.raises(InputError, match="`batch_size`=40 is larger than the 39 rows to train on"):
        fit_vae(vae, rows[:43], QUICK)
    wide = small_vae(config=ModelConfig(hidden=(8,), latent_dim=6))
    with pytest.raises(InputError, match="`latent_dim`=6 is larger than the 5 features"):
        fit_vae(wide, rows, QUICK)
    with pytest.raises(InputError, match="`beta` must be finite and not negative; got nan"):
        fit_vae(vae, rows, QUICK, beta=float("nan"))
    with pytest.raises(InputError, match="`seed` must not be negative; got -1"):
        fit_vae(vae, rows, QUICK, seed=-1)


def test_weights_that_cannot_be_used_are_refused(rows, quick_fit):
    vae, ones = small_vae(), np.ones(400)
    with pytest.raises(
        InputError, match=r"`weights` must have shape \(400,\), one number a row; got \(399,\)"
    ):
        # Asked directly, as above.
        checked_weights(ones[1:], 400)
    for value in (-1.0, np.nan, np.inf):
        bad = np.where(np.arange(400) == 7, value, ones)
        with pytest.raises(InputError, match=f"finite and not negative; got {value} for row 7. Leave"):
            fit_vae(vae, rows, QUICK, weights=bad)
    with pytest.raises(InputError, match="got -1.0 for row 0 and 399 more"):
        fit_vae(vae, rows, QUICK, weights=-ones)
    for count in (0, 1):
        few = np.where(np.arange(400) < count, 1.0, 0.0)
        with pytest.raises(
            InputError, match=f"above zero for {count} of 400 rows; at least 3 rows must count"
        ):
            fit_vae(vae, rows, QUICK, weights=few)
    # Weights alone are enough, but the split leaves one part without.
    without = ones.copy()
    without[quick_fit.train] = 0.0
    with pytest.raises(InputError, match=r"0 of the training rows have a weight above zero.*Another `seed`"):
        fit_vae(vae, rows, QUICK, seed=3, weights=without)
    without = ones.copy()
    without[quick_fit.validation[1:]] = 0.0
    with pytest.raises(
        InputError, match="1 of the validation rows have a weight above zero; at least 2 must"
    ):
        fit_vae(vae, rows, QUICK, seed=3, weights=without)


def test_rows_that_are_not_one_hot_are_refused_also_within_a_longer_vector(no_diagnosis):
    classes = np.eye(3, dtype="f4")[np.random.default_rng(0).integers(3, size=60)]
    bad = classes.copy()
    bad[4] = 1.0
    with pytest.raises(InputError, match="`vectors` must hold one-hot rows.*row 4 has the sum 3"):
        fit_vae(small_vae(likelihood=Categorical(3)), bad, QUICK)
    mixed = make_vae(Blocks((Normal.of(2), Categorical(3))), SMALL, seed=0)
    numbers = np.random.default_rng(1).normal(size=(60, 2)).astype("f4")
    with pytest.raises(InputError, match="`validation` must hold one-hot rows.*row 4 has the sum 3"):
        fit_vae(mixed, np.hstack([numbers, classes]), QUICK, validation=np.hstack([numbers, bad]))
    result = fit_vae(mixed, np.hstack([numbers, classes]), dataclasses.replace(QUICK, epochs=2), seed=0)
    assert np.isfinite(result.history.validation_bound).all()


def test_the_default_batch_gives_way_to_few_rows(no_diagnosis):
    result = fit_vae(small_vae(), linear_rows(100), TrainConfig(epochs=1), seed=0)
    assert (len(result.train), result.status) == (90, "finished")


def test_a_fit_is_told_where_it_missed_its_rate_target(rows):
    config = dataclasses.replace(QUICK, rate_target=12.0)
    result = fit_vae(small_vae(), rows, config, seed=3)
    assert result.diagnosis.cause == "rate target missed"
    reached = result.history.train_kl[result.best_epoch - 1].sum()
    assert f"training ended at {reached:.3g} of 12 nats" in result.diagnosis.sentence.replace(
        "Training", "training"
    )


def test_a_beta_that_stays_is_reported_as_it_was_given(rows):
    result = fit_vae(small_vae(), rows, QUICK, beta=0.1, seed=3)
    assert result.diagnosis.beta == result.beta == 0.1


def test_settings_in_the_wrong_place_are_refused():
    # Asked directly: under the tests' type checker `fit_vae` would not get this far.
    with pytest.raises(
        InputError, match="`train_config` must be a TrainConfig; got an object of type ModelConfig"
    ):
        _checked_config(small_vae(), SMALL)
    with pytest.raises(InputError, match="`train_config` must be a TrainConfig; got the class TrainConfig"):
        _checked_config(small_vae(), TrainConfig)
    with pytest.raises(
        InputError, match="`vae` must be a VAE, such as make_vae.*got an object of type Normal"
    ):
        _checked_config(Normal.of(2), None)


def test_a_few_rows_are_enough(no_diagnosis):
    config = dataclasses.replace(QUICK, batch_size=2, epochs=2)
    result = fit_vae(small_vae(), linear_rows(8), config, seed=0)
    assert (len(result.train), len(result.validation)) == (6, 2)
    assert result.status == "finished"


def test_a_loss_that_is_never_finite_gives_an_error_and_no_model(rows):
    # Squares of these are beyond float32.
    far = pytest.warns(
        PolyvaeWarning, match="Columns 0, 1, 2, 3, 4 of `vectors` lie far from mean 0 and standard"
    )
    with (
        far,
        pytest.raises(
            TrainingError, match=r"`learning_rate` \(now 0.005\).*or scale the columns of `vectors` to mean 0"
        ),
    ):
        fit_vae(small_vae(), 1e25 * rows, QUICK, seed=3)
    far = pytest.warns(PolyvaeWarning, match="far from mean 0")
    with far, pytest.raises(TrainingError, match="not finite before any epoch ended well"):
        fit_vae_ensemble([small_vae(0), small_vae(1)], 1e25 * rows, QUICK)


def test_after_a_late_divergence_the_best_model_before_is_kept(rows, monkeypatch):
    def breaks_in_epoch_three(inputs, state, plan, shared=None):
        if int(state.epoch) == 2:
            broken = jax.tree.map(lambda leaf: leaf * jnp.nan, state.parameters)
            state = eqx.tree_at(lambda tree: tree.parameters, state, broken)
        return run_epoch(inputs, state, plan, shared)

    monkeypatch.setattr("polyvae.training.loop.run_epoch", breaks_in_epoch_three)
    with pytest.warns(
        PolyvaeWarning, match="not finite in epoch 3; the model of the best epoch before is kept"
    ):
        result = fit_vae(small_vae(), rows, QUICK, seed=3)
    assert (result.status, len(result.history), result.best_epoch) == ("diverged", 2, 2)
    assert all(np.isfinite(leaf).all() for leaf in leaves(result))


def test_an_analytic_width_follows_the_residuals(rows, no_diagnosis):
    learned, analytic = (
        fit_vae(
            small_vae(likelihood=Normal.of(N_FEATURES, sigma=20.0)), rows, QUICK, seed=3, analytic_scale=scale
        )
        for scale in (False, True)
    )
    # From the first step on, where the gradient has 36 steps of 0.05 to come down.
    assert analytic.history.sigma[0] < 2.0 < learned.history.sigma[0]
    residual = rows - np.asarray(analytic.vae.decode(analytic.vae.encode(jnp.asarray(rows)).mean))
    assert (
        0.8 * np.sqrt(np.mean(residual**2)) < analytic.history.sigma[-1] < 1.6 * np.sqrt(np.mean(residual**2))
    )


def test_a_prior_is_fitted_afterwards_and_nothing_else_changes(rows, quick_fit, monkeypatch):
    monkeypatch.setattr("polyvae.training.prior_fitting._STEPS", 300)
    # The number of latent dimensions is that of the VAE.
    config = ModelConfig(latent_dim=7, prior="mixture", prior_components=3)
    fitted = fit_prior(quick_fit.vae, rows, config, seed=1)
    assert isinstance(fitted.prior, NormalMixture)
    assert fitted.prior.latent_dim == 2
    for one, other in zip(
        jax.tree.leaves((fitted.network, fitted.likelihood)),
        jax.tree.leaves((quick_fit.vae.network, quick_fit.vae.likelihood)),
        strict=True,
    ):
        np.testing.assert_array_equal(one, other)
    with pytest.raises(
        InputError, match="`prior='sparse'` has nothing to fit; choose 'mixture', 'vamp' or 'flow'"
    ):
        fit_prior(quick_fit.vae, rows, ModelConfig(prior="sparse"))
