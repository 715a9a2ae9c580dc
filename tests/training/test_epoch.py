"""The compiled epoch: warm-up of the KL weight, choice of the best epoch, symmetries, one compilation."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from polyvae.training.epoch import EpochInputs, EpochPlan, initial_state, run_epoch, trainable
from polyvae.vae import ModelConfig, elbo_terms
from polyvae.vae.vae import initialize_vae

PLAN = EpochPlan(
    batch_size=10,
    steps=4,
    total_steps=40,
    warmup_steps=8,
    learning_rate=1e-3,
    schedule="constant",
    gradient_clip=100.0,
    beta=1.0,
)


@pytest.fixture(scope="module")
def vae():
    return initialize_vae(ModelConfig(hidden=(6,)), 3, seed=0)


@pytest.fixture(scope="module")
def inputs(vae):
    rng = np.random.default_rng(0)
    train, validation = (jnp.asarray(rng.normal(size=(n, 3)), jnp.float32) for n in (40, 20))
    images, static = jnp.stack([train, -train]), trainable(vae)[1]
    return EpochInputs(train=images, validation=validation, key=jax.random.key(0), static=static)


def test_no_epoch_is_best_before_the_kl_term_has_its_full_weight(vae, inputs):
    state = initial_state(vae, PLAN)
    best = []
    for _ in range(3):
        state, _ = run_epoch(inputs, state, PLAN)
        best.append(int(state.best_epoch))
    # Warm-up takes two epochs of four steps; the first bound that counts is that of the second epoch.
    assert best[0] == -1
    assert best[1] == 1
    assert int(state.epoch) == 3


def test_the_bound_kept_is_that_of_the_parameters_kept(vae, inputs):
    state = initial_state(vae, PLAN)
    bounds = []
    for _ in range(4):
        state, metrics = run_epoch(inputs, state, PLAN)
        bounds.append(float(metrics.validation.bound(PLAN.beta)))
    assert float(state.best_bound) == pytest.approx(max(bounds[1:]), abs=1e-6)
    assert int(state.best_epoch) == 1 + int(np.argmax(bounds[1:]))
    kept = eqx.combine(state.best_parameters, inputs.static)
    noise_key = jax.random.fold_in(inputs.key, 2**32 - 1)
    again = elbo_terms(kept, inputs.validation, noise_key).bound(PLAN.beta)
    assert float(again) == pytest.approx(float(state.best_bound), abs=1e-5)


def plan_of(**changes) -> EpochPlan:
    one_step = {"batch_size": 40, "steps": 1, "total_steps": 10, "warmup_steps": 0}
    return EpochPlan(**{**PLAN.__dict__, **one_step, **changes})


def moments(inputs, vae, plan) -> np.ndarray:
    """Adam's first moments after one step: a tenth of the gradient."""
    state, _ = run_epoch(inputs, initial_state(vae, plan), plan)
    leaves = [leaf for leaf in jax.tree.leaves(state.optimizer) if leaf.dtype == jnp.float32]
    return np.concatenate([np.asarray(leaf).ravel() for leaf in leaves])


def test_the_kl_weight_of_the_first_step_is_beta_over_the_warmup_steps(vae, inputs):
    # A warm-up of four steps at beta 0.8 starts as no warm-up at beta 0.2 does.
    ramped = moments(inputs, vae, plan_of(warmup_steps=4, beta=0.8))
    np.testing.assert_allclose(ramped, moments(inputs, vae, plan_of(beta=0.2)), atol=1e-6)
    assert np.abs(ramped - moments(inputs, vae, plan_of(beta=0.8))).max() > 1e-3


def test_the_first_adam_step_is_the_learning_rate_downhill(vae, inputs):
    plan = plan_of(beta=0.8)
    state, _ = run_epoch(inputs, initial_state(vae, plan), plan)
    change = np.asarray(state.parameters.encoder.weights[-1] - vae.encoder.weights[-1])
    # Adam's first step is the sign of the gradient times the learning rate, but for gradients near 1e-8.
    np.testing.assert_allclose(np.abs(change), 1e-3, rtol=1e-2)


def test_a_fixed_width_stays_as_it_is(inputs):
    vae = initialize_vae(ModelConfig(hidden=(6,), decoder_scale="fixed", sigma=0.25), 3, seed=0)
    inputs = eqx.tree_at(lambda tree: tree.static, inputs, trainable(vae)[1])
    state, metrics = run_epoch(inputs, initial_state(vae, PLAN), PLAN)
    assert float(metrics.sigma) == pytest.approx(0.25, rel=1e-6)
    assert float(state.parameters.log_sigma) == pytest.approx(np.log(0.25), rel=1e-6)


def test_frames_are_drawn_under_every_symmetry(vae, inputs):
    # One image is not finite: were it never drawn, the loss would stay finite.
    for image in (0, 1):
        poisoned = eqx.tree_at(lambda tree: tree.train, inputs, inputs.train.at[image].set(jnp.nan))
        _, metrics = run_epoch(poisoned, initial_state(vae, PLAN), PLAN)
        assert np.isnan(float(metrics.train.log_likelihood))


def test_inputs_survive_an_epoch_and_the_state_is_used_up(vae, inputs):
    state = initial_state(vae, PLAN)
    before = np.array(inputs.train)
    run_epoch(inputs, state, PLAN)
    np.testing.assert_array_equal(inputs.train, before)
    assert state.parameters.decoder.weights[0].is_deleted()
    assert not vae.decoder.weights[0].is_deleted()


def test_epochs_keys_and_equal_plans_share_one_compilation(vae, inputs, monkeypatch):
    plan = EpochPlan(**{**PLAN.__dict__, "total_steps": 41})
    traces = []

    def counted(*arguments):
        traces.append(1)
        return elbo_terms(*arguments)

    monkeypatch.setattr("polyvae.training.epoch.elbo_terms", counted)
    state, _ = run_epoch(inputs, initial_state(vae, plan), plan)
    # Python runs only while JAX traces: for the training step and for validation.
    first = len(traces)
    assert first >= 2
    state, _ = run_epoch(inputs, state, plan)
    other_run = eqx.tree_at(lambda tree: tree.key, inputs, jax.random.key(5))
    run_epoch(other_run, initial_state(vae, plan), EpochPlan(**plan.__dict__))
    assert len(traces) == first
