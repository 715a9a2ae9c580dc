"""`fit` from a trajectory to a model: reproducible, interruptible, resumable, never a broken model."""

import os
import signal
import subprocess
import sys

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

from polyvae.errors import InputError, PolyvaeWarning, TrainingError
from polyvae.preprocessing import Alignment
from polyvae.training import TrainConfig, fit
from polyvae.training.epoch import run_epoch
from polyvae.vae import ModelConfig, elbo_terms


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


def with_settings(config: TrainConfig, **changes) -> TrainConfig:
    return TrainConfig(**{**config.__dict__, **changes})


def test_the_loss_falls(short_fit):
    assert short_fit.status == "finished"
    assert len(short_fit.history) == 6
    log_likelihood = short_fit.history.train_log_likelihood
    assert log_likelihood[-1] > log_likelihood[0] + 1.0
    assert short_fit.history.validation_bound[-1] > short_fit.history.validation_bound[0]


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
    assert not np.array_equal(other.model.vae.encoder.weights[0], short_fit.model.vae.encoder.weights[0])


def test_a_second_fit_of_the_same_shapes_compiles_no_epoch(
    chain, model_config, train_config, short_fit, monkeypatch
):
    def no_trace(*arguments):
        raise AssertionError("the epoch was traced again")

    monkeypatch.setattr("polyvae.training.epoch.elbo_terms", no_trace)
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


def test_training_stops_when_patience_ends(chain, model_config, train_config, short_fit):
    # From the second epoch on no bound can be better: the learning rate is too small to change anything.
    config = with_settings(train_config, learning_rate=1e-12, kl_warmup=0, patience=2)
    result = fit(chain, model_config, config, seed=4)
    assert result.status == "early"
    assert len(result.history) == result.best_epoch + 2 < 6


def test_without_patience_training_goes_on_to_the_last_epoch(chain, model_config, train_config):
    config = with_settings(train_config, learning_rate=1e-12, kl_warmup=0, patience=None)
    result = fit(chain, model_config, config, seed=4)
    assert result.status == "finished"
    assert len(result.history) == 6


def test_an_absurd_learning_rate_never_gives_a_broken_model(chain, train_config):
    config = with_settings(train_config, learning_rate=1e30, gradient_clip=0.0, kl_warmup=0)
    isotropic = ModelConfig(hidden=(16,), residual="isotropic")
    with (
        pytest.warns(PolyvaeWarning, match=r"loss was not finite in epoch 1.*Lower `learning_rate`"),
        pytest.raises(TrainingError, match=r"no model. Lower `learning_rate` \(now 1e\+30\)"),
    ):
        fit(chain, isotropic, config, seed=4)


def test_after_a_late_divergence_the_best_model_before_is_kept(
    chain, model_config, train_config, short_fit, monkeypatch
):
    def breaks_in_epoch_five(inputs, state, plan):
        if int(state.epoch) == 4:
            broken = jax.tree.map(lambda leaf: leaf * jnp.nan, state.parameters)
            state = eqx.tree_at(lambda tree: tree.parameters, state, broken)
        return run_epoch(inputs, state, plan)

    # By module: the package's attribute of this name is the function.
    monkeypatch.setattr(sys.modules[fit.__module__], "run_epoch", breaks_in_epoch_five)
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
    for name in ("train_bound", "validation_bound", "sigma"):
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


def test_the_decoder_width_is_the_residual_root_mean_square(chain, short_fit):
    train = short_fit.model.features(chain.positions[short_fit.split.train])
    vae = short_fit.model.vae
    residual = train - vae.decode(vae.encode(train).sample(jax.random.key(0)))
    # Another draw of z for about 500 frames of 7 features: 2 % of sampling noise.
    assert float(jnp.exp(vae.log_sigma)) == pytest.approx(float(jnp.sqrt(jnp.mean(residual**2))), rel=0.06)
    covariance = np.asarray(vae.residual_cholesky @ vae.residual_cholesky.T, np.float64)
    assert np.linalg.eigvalsh(covariance).min() > 0
    assert np.trace(covariance) / len(covariance) == pytest.approx(
        float(jnp.exp(vae.log_sigma)) ** 2, rel=1e-4
    )


def test_a_learned_width_comes_to_the_residual_root_mean_square(chain, train_config):
    config = with_settings(train_config, epochs=40, learning_rate=2e-2)
    result = fit(chain, ModelConfig(hidden=(16,), residual="isotropic"), config, seed=4)
    vae = result.model.vae
    assert vae.residual_cholesky is None
    train = result.model.features(chain.positions[result.split.train])
    residual = train - vae.decode(vae.encode(train).sample(jax.random.key(0)))
    assert float(jnp.exp(vae.log_sigma)) == pytest.approx(float(jnp.sqrt(jnp.mean(residual**2))), rel=0.1)


def test_the_model_is_fitted_to_training_frames_alone(chain, short_fit):
    features = short_fit.model.features(chain.positions[short_fit.split.train])
    np.testing.assert_allclose(features.mean(axis=0), 0.0, atol=1e-4)
    assert float(features.var(axis=0).mean()) == pytest.approx(1.0, rel=1e-3)


def test_mirror_images_are_trained_on(chain, model_config, train_config):
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


def test_frame_weights_are_not_used_and_a_warning_says_so(chain, train_config):
    weighted = chain.replace(weights=np.ones(chain.n_frames))
    with (
        pytest.warns(PolyvaeWarning, match="training counts every frame alike"),
        pytest.raises(InputError, match="larger than"),
    ):
        fit(weighted, ModelConfig(latent_dim=50), train_config)


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
