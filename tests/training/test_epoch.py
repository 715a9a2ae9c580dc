"""The compiled epoch: warm-up of the KL weight, choice of the best epoch, symmetries, weights, one compilation."""

import dataclasses

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from polyvae.training.epoch import run_epoch, run_epoch_of_members
from polyvae.training.plan import EpochPlan
from polyvae.training.shuffling import shuffled
from polyvae.training.step import EpochInputs, initial_state, shared_sigma, trainable, validation_terms
from polyvae.vae import ModelConfig, Objective, make_vae, objective_terms
from polyvae.vae.likelihoods import Normal, PerFrameNormal, StudentT

CONFIG = ModelConfig(hidden=(6,))
PLAN = EpochPlan(
    batch_size=10,
    steps=4,
    total_steps=40,
    warmup_steps=8,
    cycles=1,
    learning_rate=1e-3,
    schedule="constant",
    gradient_clip=100.0,
    objective=Objective(),
    rate_target=None,
    analytic_scale=False,
    patience=3,
)


def inputs_for(vae, *, weights=None, key: int = 0) -> EpochInputs:
    rng = np.random.default_rng(0)
    dtype = jnp.result_type(float)
    train, validation = (jnp.asarray(rng.normal(size=(n, 3)), dtype) for n in (40, 20))
    return EpochInputs(
        train=jnp.stack([train, -train]),
        train_weights=None if weights is None else jnp.asarray(weights, dtype),
        n_frames=40,
        validation=validation,
        validation_weights=jnp.ones(20),
        key=jax.random.key(key),
        static=trainable(vae)[1],
    )


@pytest.fixture(scope="module")
def vae():
    return make_vae(Normal.of(3), CONFIG, seed=0)


@pytest.fixture(scope="module")
def inputs(vae):
    return inputs_for(vae)


def test_no_epoch_is_best_before_the_kl_term_has_its_full_weight(vae, inputs):
    state = initial_state(vae, PLAN, 1.0)
    best = []
    for _ in range(3):
        state, _ = run_epoch(inputs, state, PLAN)
        best.append(int(state.best_epoch))
    # Warm-up takes two epochs of four steps; the first bound that counts is that of the second epoch.
    assert best[0] == -1
    assert best[1] == 1
    assert int(state.epoch) == 3


def test_the_bound_kept_is_that_of_the_parameters_kept(vae, inputs):
    state = initial_state(vae, PLAN, 0.6)
    bounds = []
    for _ in range(4):
        state, metrics = run_epoch(inputs, state, PLAN)
        assert float(metrics.beta) == pytest.approx(0.6, rel=1e-6)
        assert float(metrics.validation_bound) == pytest.approx(
            float(metrics.validation.bound(0.6)), rel=1e-5
        )
        assert float(metrics.train_bound) == pytest.approx(float(metrics.train.bound(0.6)), rel=1e-5)
        bounds.append(float(metrics.validation_bound))
    assert float(state.best_bound) == pytest.approx(max(bounds[1:]), abs=1e-6)
    assert int(state.best_epoch) == 1 + int(np.argmax(bounds[1:]))
    kept = eqx.combine(state.best_parameters, inputs.static)
    again = validation_terms(kept, inputs, PLAN, jnp.asarray(0.6)).bound(0.6)
    assert float(again) == pytest.approx(float(state.best_bound), abs=1e-5)


def one_step(**changes) -> EpochPlan:
    plan = dataclasses.replace(PLAN, batch_size=40, steps=1, total_steps=10, warmup_steps=0)
    return dataclasses.replace(plan, **changes)


# One compilation for all tests of the analytic width and of weights.
ANALYTIC = dataclasses.replace(
    one_step(), analytic_scale=True, objective=Objective(total_correlation=1.0, prior_matching=1.0)
)


def moments(inputs, vae, plan, beta: float) -> np.ndarray:
    """Adam's first moments after one step: a tenth of the gradient."""
    state, _ = run_epoch(inputs, initial_state(vae, plan, beta), plan)
    leaves = [leaf for leaf in jax.tree.leaves(state.optimizer) if leaf.dtype == jnp.float32]
    return np.concatenate([np.asarray(leaf).ravel() for leaf in leaves])


def test_the_kl_weight_of_the_first_step_is_beta_over_the_warmup_steps(vae, inputs):
    # A warm-up of four steps at beta 0.8 starts as no warm-up at beta 0.2 does.
    ramped = moments(inputs, vae, one_step(warmup_steps=4), 0.8)
    np.testing.assert_allclose(ramped, moments(inputs, vae, one_step(), 0.2), atol=1e-6)
    assert np.abs(ramped - moments(inputs, vae, one_step(), 0.8)).max() > 1e-3


def test_the_first_adam_step_is_the_learning_rate_downhill_and_ten_times_that_for_widths(vae, inputs):
    state, _ = run_epoch(inputs, initial_state(vae, one_step(), 0.8), one_step())
    change = np.asarray(state.parameters.network.encoder.weights[-1] - vae.network.encoder.weights[-1])
    # Adam's first step is the sign of the gradient times the learning rate, but for gradients near 1e-8.
    np.testing.assert_allclose(np.abs(change), 1e-3, rtol=1e-2)
    width = float(state.parameters.likelihood.log_scale - vae.likelihood.log_scale)
    assert abs(width) == pytest.approx(1e-2, rel=1e-2)


def test_a_fixed_width_stays_as_it_is():
    vae = make_vae(Normal.of(3, sigma=0.25, learn=False), CONFIG, seed=0)
    state, metrics = run_epoch(inputs_for(vae), initial_state(vae, PLAN, 1.0), PLAN)
    assert float(metrics.sigma) == pytest.approx(0.25, rel=1e-6)
    assert float(state.parameters.likelihood.log_scale) == pytest.approx(np.log(0.25), rel=1e-6)


def test_an_analytic_width_is_the_residual_root_mean_square_of_the_step(vae):
    weights = np.random.default_rng(1).uniform(0.0, 2.0, size=40)
    inputs = inputs_for(vae, weights=weights)
    state, metrics = run_epoch(inputs, initial_state(vae, ANALYTIC, 1.0), ANALYTIC)
    # The frames in the order and under the symmetries of the epoch, and its noise.
    order_key, image_key, noise_key = (
        jax.random.fold_in(jax.random.fold_in(inputs.key, 0), stream) for stream in range(3)
    )
    rows = shuffled(order_key, 40, jnp.arange(40, dtype=jnp.int32))
    batch = inputs.train[jax.random.randint(jax.random.fold_in(image_key, 0), (40,), 0, 2), rows]
    latent = vae.encode(batch).sample(jax.random.fold_in(noise_key, 0))
    square = np.mean(np.asarray(batch - vae.decode(latent), np.float64) ** 2, axis=1)
    expected = np.sqrt(np.average(square, weights=weights[rows]))
    assert float(jnp.exp(state.parameters.likelihood.log_scale)) == pytest.approx(expected, rel=1e-6)
    assert float(metrics.sigma) == pytest.approx(expected, rel=1e-6)


def test_a_batch_without_weight_leaves_an_analytic_width_as_it_is(vae):
    inputs = inputs_for(vae, weights=np.zeros(40))
    state, _ = run_epoch(inputs, initial_state(vae, ANALYTIC, 1.0), ANALYTIC)
    assert float(state.parameters.likelihood.log_scale) == float(vae.likelihood.log_scale)
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(state.parameters))


def test_frames_of_weight_zero_have_no_part_in_a_step(vae):
    one = inputs_for(vae, weights=np.where(np.arange(40) < 8, 5.0, 0.0))
    other = eqx.tree_at(lambda tree: tree.train, one, one.train.at[:, 8:].add(7.0))
    states = [run_epoch(each, initial_state(vae, ANALYTIC, 1.0), ANALYTIC)[0] for each in (one, other)]
    for first, second in zip(*(jax.tree.leaves(state.parameters) for state in states), strict=True):
        assert np.isfinite(first).all()
        np.testing.assert_allclose(first, second, atol=1e-6)


def test_frames_are_drawn_under_every_symmetry(vae, inputs):
    # One image is not finite: were it never drawn, the loss would stay finite.
    for image in (0, 1):
        poisoned = eqx.tree_at(lambda tree: tree.train, inputs, inputs.train.at[image].set(jnp.nan))
        _, metrics = run_epoch(poisoned, initial_state(vae, PLAN, 1.0), PLAN)
        assert np.isnan(float(metrics.train.log_likelihood))


def test_inputs_survive_an_epoch_and_the_state_is_used_up(vae, inputs):
    state = initial_state(vae, PLAN, 1.0)
    before = np.array(inputs.train)
    run_epoch(inputs, state, PLAN)
    np.testing.assert_array_equal(inputs.train, before)
    assert state.parameters.network.decoder.weights[0].is_deleted()
    assert not vae.network.decoder.weights[0].is_deleted()


@pytest.fixture
def traces(monkeypatch):
    """Python runs only while JAX traces: for the training step and for validation."""
    counted = []

    def counting(*arguments, **settings):
        counted.append(1)
        return objective_terms(*arguments, **settings)

    monkeypatch.setattr("polyvae.training.step.objective_terms", counting)
    return counted


def test_epochs_keys_and_equal_plans_share_one_compilation(vae, inputs, traces):
    plan = dataclasses.replace(PLAN, total_steps=41)
    state, _ = run_epoch(inputs, initial_state(vae, plan, 1.0), plan)
    first = len(traces)
    assert first >= 2
    state, _ = run_epoch(inputs, state, plan)
    other_run = eqx.tree_at(lambda tree: tree.key, inputs, jax.random.key(5))
    run_epoch(other_run, initial_state(vae, plan, 0.3), dataclasses.replace(plan))
    assert len(traces) == first


def stacked(states):
    return jax.tree.map(lambda *leaves: jnp.stack(leaves), *states)


def test_members_share_one_compilation_and_go_the_way_they_go_alone(vae, inputs, traces):
    vaes = [vae, make_vae(Normal.of(3), CONFIG, seed=1)]
    betas, keys = (1.0, 0.2), [jax.random.key(3), jax.random.key(4)]
    together = eqx.tree_at(lambda tree: tree.key, inputs, jnp.stack(keys))
    state = stacked([initial_state(each, PLAN, beta) for each, beta in zip(vaes, betas, strict=True)])
    state, _ = run_epoch_of_members(together, state, PLAN)
    first = len(traces)
    state, metrics = run_epoch_of_members(together, state, PLAN)
    assert len(traces) == first >= 2
    for member in range(2):
        alone = initial_state(vaes[member], PLAN, betas[member])
        own = eqx.tree_at(lambda tree: tree.key, inputs, keys[member])
        for _ in range(2):
            alone, own_metrics = run_epoch(own, alone, PLAN)
        mine = jax.tree.map(lambda leaf, member=member: leaf[member], (state, metrics))
        for one, other in zip(jax.tree.leaves(mine), jax.tree.leaves((alone, own_metrics)), strict=True):
            # Sums in another order: a few roundings of float32 in eight steps.
            np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-5)


def test_the_shared_width_is_that_of_families_that_have_one():
    def sigma_of(likelihood) -> float:
        return float(shared_sigma(make_vae(likelihood, CONFIG, seed=0)))

    assert sigma_of(Normal.of(3, sigma=0.3)) == pytest.approx(0.3, rel=1e-6)
    assert sigma_of(Normal.of(3, sigma=0.3, per_feature=True)) == pytest.approx(0.3, rel=1e-6)
    assert sigma_of(StudentT.of(3, sigma=0.2)) == pytest.approx(0.2, rel=1e-6)
    assert np.isnan(sigma_of(PerFrameNormal(3, per_feature=False)))


def test_no_epoch_after_the_end_of_patience_is_best(vae, inputs):
    for waited, is_best in ((PLAN.patience - 1, True), (PLAN.patience, False)):
        state = initial_state(vae, PLAN, 1.0)
        # The best epoch was the first, and any bound is better.
        numbers = (jnp.int32(0), jnp.int32(waited + 1), jnp.float32(-1e9))
        state = eqx.tree_at(lambda tree: (tree.best_epoch, tree.epoch, tree.best_bound), state, numbers)
        state, metrics = run_epoch(inputs, state, PLAN)
        assert int(state.best_epoch) == (waited + 1 if is_best else 0)
        assert float(state.best_bound) == (float(metrics.validation_bound) if is_best else -1e9)
