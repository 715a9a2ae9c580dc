"""`fit` from a trajectory to a model: reproducible, interruptible, resumable, never a broken model."""

import dataclasses
import os
import signal
import subprocess
import sys
from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

from polyvae.errors import InputError, PolyvaeWarning, TrainingError
from polyvae.preprocessing import Alignment
from polyvae.training import TrainConfig, fit, fit_ensemble
from polyvae.training.epoch import run_epoch
from polyvae.training.loop import _is_over
from polyvae.training.plan import plan_for
from polyvae.vae import ModelConfig, elbo_terms
from polyvae.vae.likelihoods import CorrelatedNormal, Normal


class MemoryStore:
    """A checkpoint store that keeps what it is given, as it is."""

    def __init__(self, every: int = 1):
        self.every = every
        self.kept = None
        self.saves = 0

    def save(self, arrays, metadata):
        self.kept = (arrays, metadata)
        self.saves += 1

    def load(self):
        return self.kept


def bits(result) -> list[bytes]:
    return [np.asarray(leaf).tobytes() for leaf in jax.tree.leaves(result.model)]


def first_weights(result) -> np.ndarray:
    return np.asarray(result.model.vae.network.encoder.weights[0])


def with_settings(config: TrainConfig, **changes) -> TrainConfig:
    return TrainConfig(**{**config.__dict__, **changes})


def test_the_loss_falls(short_fit):
    assert short_fit.status == "finished"
    assert len(short_fit.history) == 6
    log_likelihood = short_fit.history.train_log_likelihood
    assert log_likelihood[-1] > log_likelihood[0] + 1.0
    assert short_fit.history.validation_bound[-1] > short_fit.history.validation_bound[0]


def test_the_late_gain_is_what_the_last_fifth_of_the_epochs_added(short_fit):
    bound = np.concatenate([np.arange(8.0), [9.0, 8.5]])
    rising = dataclasses.replace(short_fit.history, sigma=bound, validation_bound=bound)
    assert rising.late_gain == 2.0
    assert rising.still_rising
    assert not dataclasses.replace(rising, validation_bound=bound / 4).still_rising
    falling = bound[::-1]
    assert dataclasses.replace(short_fit.history, sigma=bound, validation_bound=falling).late_gain == 0.0
    assert (
        dataclasses.replace(short_fit.history, sigma=bound[:3], validation_bound=bound[:3]).late_gain == 0.0
    )


def test_the_best_epoch_is_the_one_with_the_best_bound_after_warm_up(short_fit, train_config):
    bounds = short_fit.history.validation_bound
    warmed_up = train_config.kl_warmup - 1
    assert short_fit.best_epoch == 1 + warmed_up + int(np.argmax(bounds[warmed_up:]))


def test_the_same_seed_gives_the_same_bits_and_another_seed_others(
    chain, model_config, train_config, short_fit
):
    again = fit(chain, model_config, train_config, seed=4)
    assert bits(again) == bits(short_fit)
    np.testing.assert_array_equal(again.history.train_bound, short_fit.history.train_bound)
    other = fit(chain, model_config, train_config, seed=5)
    assert not np.array_equal(other.split.test, short_fit.split.test)
    assert not np.array_equal(first_weights(other), first_weights(short_fit))


def test_a_second_fit_of_the_same_shapes_compiles_no_epoch(
    chain, model_config, train_config, short_fit, monkeypatch
):
    def no_trace(*arguments, **settings):
        raise AssertionError("the epoch was traced again")

    monkeypatch.setattr("polyvae.training.step.objective_terms", no_trace)
    assert fit(chain, model_config, train_config, seed=4).status == "finished"


def test_reports_count_epochs_and_agree_with_the_history(chain, model_config, train_config, short_fit):
    reports = []
    result = fit(chain, model_config, train_config, seed=4, on_epoch=reports.append)
    assert [report.epoch for report in reports] == list(range(1, 7))
    bounds = [report.validation_bound for report in reports]
    np.testing.assert_allclose(bounds, result.history.validation_bound, rtol=1e-12)
    assert reports[-1].best_epoch == result.best_epoch
    assert reports[-1].seconds_left == 0.0
    # Looking on changes nothing.
    assert bits(result) == bits(short_fit)


def test_training_stops_when_patience_ends(chain, model_config, train_config, short_fit, no_diagnosis):
    # From the second epoch on no bound can be better: the learning rate is too small to change anything.
    config = with_settings(train_config, learning_rate=1e-12, kl_warmup=0, patience=2)
    result = fit(chain, model_config, config, seed=4)
    assert result.status == "early"
    assert len(result.history) == result.best_epoch + 2 < 6


def test_without_patience_training_is_never_over(train_config):
    plan = plan_for(train_config, 100, analytic_scale=False)
    curves = [{}] * 1000
    assert not _is_over(curves, 0, plan)
    patient = dataclasses.replace(plan, patience=999)
    assert _is_over(curves, 0, patient)
    assert not _is_over(curves, 1, patient)
    # Nor before there is an epoch to compare with.
    assert not _is_over(curves, -1, patient)


def breaks_in(epoch: int):
    """`run_epoch` with parameters that are not finite in this epoch, counted from 1."""

    def broken(inputs, state, plan, shared=None):
        if int(state.epoch) == epoch - 1:
            nothing = jax.tree.map(lambda leaf: leaf * jnp.nan, state.parameters)
            state = eqx.tree_at(lambda tree: tree.parameters, state, nothing)
        return run_epoch(inputs, state, plan, shared)

    return broken


def test_a_loss_that_is_not_finite_from_the_start_gives_an_error_and_no_model(
    chain, model_config, train_config, short_fit, monkeypatch
):
    # In the first epoch after warm-up there is nothing to keep yet either.
    for epoch in (1, 2):
        monkeypatch.setattr("polyvae.training.loop.run_epoch", breaks_in(epoch))
        message = r"not finite before any epoch ended well.*no model. Lower `learning_rate` \(now 0.005\)"
        with pytest.raises(TrainingError, match=message):
            fit(chain, model_config, train_config, seed=4)


def test_after_a_late_divergence_the_best_model_before_is_kept(
    chain, model_config, train_config, short_fit, monkeypatch
):
    monkeypatch.setattr("polyvae.training.loop.run_epoch", breaks_in(5))
    with pytest.warns(
        PolyvaeWarning, match="not finite in epoch 5; the model of the best epoch before is kept"
    ):
        result = fit(chain, model_config, train_config, seed=4)
    assert result.status == "diverged"
    assert len(result.history) == 4
    assert 2 <= result.best_epoch <= 4
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(result.model.vae))


def test_an_interrupt_ends_training_after_the_epoch_and_keeps_the_state(chain, model_config, train_config):
    store = MemoryStore(every=100)

    def interrupt(report):
        if report.epoch == 3:
            os.kill(os.getpid(), signal.SIGINT)

    result = fit(chain, model_config, train_config, seed=4, on_epoch=interrupt, checkpoint=store)
    assert result.status == "interrupted"
    assert len(result.history) == 3
    assert len(store.kept[1]["curves"]) == 3
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(result.model.vae))


def test_a_resumed_run_ends_with_the_bits_of_an_uninterrupted_one(
    chain, model_config, train_config, short_fit
):
    store = MemoryStore(every=2)

    def interrupt(report):
        if report.epoch == 3:
            os.kill(os.getpid(), signal.SIGTERM)

    fit(chain, model_config, train_config, seed=4, on_epoch=interrupt, checkpoint=store)
    kept = {name: array.tobytes() for name, array in store.kept[0].items()}
    reader = MemoryStore(every=100)
    reader.kept = store.kept
    result = fit(chain, model_config, train_config, seed=4, checkpoint=reader, resume=True)
    assert bits(result) == bits(short_fit)
    assert result.status == "finished"
    for name in ("train_bound", "validation_bound", "train_kl", "sigma", "beta"):
        np.testing.assert_array_equal(getattr(result.history, name), getattr(short_fit.history, name))
    # What was kept is not changed by the run that went on from it.
    assert {name: array.tobytes() for name, array in store.kept[0].items()} == kept
    assert len(store.kept[1]["curves"]) == 3


def test_a_crash_between_two_saves_goes_on_from_the_last_one(chain, model_config, train_config, short_fit):
    store = MemoryStore(every=2)

    def crash(report):
        if report.epoch == 5:
            raise RuntimeError("power cut")

    with pytest.raises(RuntimeError, match="power cut"):
        fit(chain, model_config, train_config, seed=4, on_epoch=crash, checkpoint=store)
    assert len(store.kept[1]["curves"]) == int(store.kept[0][".epoch"]) == 4
    result = fit(chain, model_config, train_config, seed=4, checkpoint=store, resume=True)
    assert bits(result) == bits(short_fit)


def test_resuming_a_finished_run_gives_its_result(chain, model_config, train_config, short_fit):
    store = MemoryStore()
    fit(chain, model_config, train_config, seed=4, checkpoint=store)
    assert bits(fit(chain, model_config, train_config, seed=4, checkpoint=store, resume=True)) == bits(
        short_fit
    )


def test_resuming_needs_a_checkpoint_of_the_same_run(chain, model_config, train_config):
    store = MemoryStore()
    store.kept = ({}, {"fingerprint": {"seed": 3}, "curves": []})
    with pytest.raises(InputError, match="`resume=True` needs a `checkpoint`"):
        fit(chain, model_config, train_config, seed=4, resume=True)
    with pytest.raises(InputError, match="Cannot resume: the checkpoint was made with"):
        fit(chain, model_config, train_config, seed=4, checkpoint=store, resume=True)


def test_resuming_from_an_empty_store_starts_anew(chain, model_config, train_config, short_fit):
    result = fit(chain, model_config, train_config, seed=4, checkpoint=MemoryStore(), resume=True)
    assert bits(result) == bits(short_fit)


def mean_square_residual(result, chain) -> float:
    train = result.model.features(chain.positions[result.split.train])
    vae = result.model.vae
    residual = train - vae.decode(vae.encode(train).sample(jax.random.key(0)))
    return float(jnp.mean(residual**2))


def test_the_mean_variance_of_the_noise_is_that_of_the_residuals(chain, short_fit):
    likelihood = short_fit.model.vae.likelihood
    assert isinstance(likelihood, CorrelatedNormal)
    covariance = np.asarray(likelihood.covariance, np.float64)
    assert np.linalg.eigvalsh(covariance).min() > 0
    # Another draw of z for about 500 frames of 7 features: 4 % of sampling noise.
    assert np.trace(covariance) / 7 == pytest.approx(mean_square_residual(short_fit, chain), rel=0.12)


@pytest.mark.parametrize("decoder_scale", ["learned", "analytic"])
def test_a_shared_width_is_the_residual_root_mean_square(chain, train_config, decoder_scale, no_diagnosis):
    config = ModelConfig(hidden=(16,), residual="isotropic", decoder_scale=decoder_scale)
    result = fit(chain, config, train_config, seed=4)
    likelihood = result.model.vae.likelihood
    assert isinstance(likelihood, Normal)
    width = float(jnp.exp(likelihood.log_scale))
    assert width**2 == pytest.approx(mean_square_residual(result, chain), rel=0.12)
    if decoder_scale == "analytic":
        # The width of the last batch of an epoch: 32 frames of 7 features, 5 % of noise.
        assert result.history.sigma[-1] == pytest.approx(width, rel=0.2)


def test_the_model_is_fitted_to_training_frames_alone(chain, short_fit):
    features = short_fit.model.features(chain.positions[short_fit.split.train])
    np.testing.assert_allclose(features.mean(axis=0), 0.0, atol=1e-4)
    assert float(features.var(axis=0).mean()) == pytest.approx(1.0, rel=1e-3)


def test_mirror_images_are_trained_on(chain, model_config, train_config, no_diagnosis):
    config = with_settings(train_config, augmentation=("mirror", "reversal"))
    result = fit(chain, model_config, config, seed=4)
    assert result.status == "finished"
    assert len(result.split.train) < chain.n_frames


def test_settings_that_do_not_suit_the_data_are_refused(chain, train_config):
    with pytest.raises(InputError, match="`latent_dim`=8 is larger than the 7 free coordinates"):
        fit(chain, ModelConfig(latent_dim=8, hidden=(4,)), train_config)
    with pytest.raises(InputError, match="`mass_weighted` needs masses"):
        fit(chain, ModelConfig(hidden=(4,), mass_weighted=True), train_config)
    with pytest.raises(InputError, match="at least 10 frames"):
        fit(chain[:9], ModelConfig(hidden=(4,)), train_config)


def test_weights_that_leave_no_frame_to_train_or_to_validate_on_are_refused(chain, train_config, short_fit):
    for name, part in (("training", short_fit.split.train), ("validation", short_fit.split.validation)):
        weights = np.ones(chain.n_frames)
        weights[part] = 0.0
        with pytest.raises(InputError, match=f"all {name} frames have weight zero"):
            fit(chain.replace(weights=weights), ModelConfig(hidden=(16,)), train_config, seed=4)


class OwnNetwork(eqx.Module):
    """One linear map each way, and a leaf that is no array."""

    forward: jax.Array
    back: jax.Array
    last: Callable

    def encode(self, inputs):
        return self.last(inputs @ self.forward)

    def decode(self, latent):
        return self.last(latent @ self.back)


def test_a_network_of_ones_own_is_trained(chain, model_config, train_config, rng, no_diagnosis):
    draws = (jnp.asarray(0.3 * rng.normal(size=shape), jnp.float32) for shape in ((7, 4), (2, 7)))
    network = OwnNetwork(*draws, last=jnp.sinh)
    result = fit(chain, model_config, train_config, seed=4, network=network)
    assert result.status == "finished"
    trained = result.model.vae.network
    assert isinstance(trained, OwnNetwork)
    assert (trained.forward != network.forward).all()
    assert result.history.train_bound[-1] > result.history.train_bound[0]
    with pytest.raises(
        InputError, match=r"`network.decode` must turn one vector of shape \(2,\) into \(7,\)"
    ):
        wrong = OwnNetwork(network.forward, network.back[:, :6], last=jnp.sinh)
        fit(chain, model_config, train_config, seed=4, network=wrong)


def test_a_rotation_likelihood_gives_a_latent_that_does_not_change_with_orientation(
    chain, train_config, no_diagnosis
):
    config = ModelConfig(hidden=(16,), likelihood="rotation")
    result = fit(chain, config, with_settings(train_config, epochs=3), seed=4)
    model, frames = result.model, chain.positions[:50]
    turn = np.array([[0.6, -0.8], [0.8, 0.6]], np.float32)
    features, turned = (
        np.asarray(model.features(rows)).reshape(50, -1, 2) for rows in (frames, frames @ turn.T)
    )
    np.testing.assert_allclose(turned, features @ turn.T, atol=1e-4)
    one, other = model.encode(frames), model.encode(frames @ turn.T)
    np.testing.assert_allclose(one.mean, other.mean, atol=1e-4)
    mirrored = model.encode(frames * np.array([1.0, -1.0], np.float32))
    assert np.abs(one.mean - mirrored.mean).max() > 1e-2
    # The answer of the decoder is turned onto the frame.
    back = np.asarray(model.reconstruct(frames @ turn.T))
    np.testing.assert_allclose(back, np.asarray(model.reconstruct(frames)) @ turn.T, atol=1e-3)


def assert_same_model(one, other, tolerance: float = 2e-3) -> None:
    """Equal learning curves and parameters, but for rounding that training has carried on."""
    np.testing.assert_allclose(one.history.validation_bound, other.history.validation_bound, atol=tolerance)
    assert (one.best_epoch, one.status, one.seed) == (other.best_epoch, other.status, other.seed)
    for first, second in zip(*(jax.tree.leaves(result.model.vae) for result in (one, other)), strict=True):
        np.testing.assert_allclose(first, second, atol=tolerance)


def test_members_of_an_ensemble_come_out_as_they_would_alone(chain, model_config, train_config, short_fit):
    members = fit_ensemble(
        chain, model_config, train_config, seeds=(4, 4, 5), betas=(1.0, 0.3, 1.0), split_seed=4
    )
    assert_same_model(members[0], short_fit)
    loose = fit(chain, dataclasses.replace(model_config, beta=0.3), train_config, seed=4)
    assert_same_model(members[1], loose)
    assert members[1].model.config.beta == 0.3
    assert members[2].seed == 5
    np.testing.assert_array_equal(members[2].split.train, short_fit.split.train)
    assert np.abs(first_weights(members[2]) - first_weights(short_fit)).max() > 0.01


def test_ensembles_need_seeds_and_as_many_betas(chain, model_config, train_config):
    with pytest.raises(InputError, match=r"`seeds` must hold at least one number, none negative; got \[\]"):
        fit_ensemble(chain, model_config, train_config, seeds=())
    with pytest.raises(InputError, match=r"none negative; got \[1, -2\]"):
        fit_ensemble(chain, model_config, train_config, seeds=(1, -2))
    with pytest.raises(InputError, match=r"`betas` needs one number for each of the 2 `seeds`; got 1"):
        fit_ensemble(chain, model_config, train_config, seeds=(1, 2), betas=(1.0,))


def test_the_result_names_its_versions_and_times(short_fit):
    assert short_fit.versions["jax"] == jax.__version__
    assert short_fit.seconds > 0
    assert short_fit.startup_seconds > 0
    assert isinstance(short_fit.model.alignment, Alignment)


@pytest.mark.science
def test_on_gaussian_data_the_bound_reaches_probabilistic_pca(rng):
    n_frames, n_atoms = 4000, 4
    factor = np.linalg.qr(rng.normal(size=(8, 8)))[0] * np.array([2.0, 1.3, *[0.4] * 6])
    positions = (rng.normal(size=(n_frames, 8)) @ factor.T).reshape(n_frames, n_atoms, 2).astype(np.float32)
    config = ModelConfig(hidden=(32,), alignment="none", scaling="none", residual="isotropic")
    training = TrainConfig(epochs=150, batch_size=64, learning_rate=3e-3, patience=None, gap=0)
    result = fit(positions, config, training, seed=0)
    features = np.asarray(result.model.features(positions[result.split.test]), np.float64)
    covariance = factor @ factor.T
    center = np.asarray(result.model.representation.mean, np.float64)
    exact = scipy.stats.multivariate_normal(-center, covariance).logpdf(features).mean()
    terms = elbo_terms(result.model.vae, jnp.asarray(features, jnp.float32), jax.random.key(1))
    # Training is stochastic and finite: within 3 % of a nat per feature below, and never above but by sampling noise.
    assert exact - 0.25 < float(terms.bound()) < exact + 0.1


def test_settings_in_the_wrong_place_are_named():
    # In a process of its own: here the type checker of the tests would object first.
    code = "import numpy, polyvae as pv; pv.fit(numpy.zeros((20, 3, 2), 'f4'), pv.TrainConfig(epochs=1))"
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert answer.returncode == 1
    assert "`model_config` must be a ModelConfig; got a TrainConfig" in answer.stderr
