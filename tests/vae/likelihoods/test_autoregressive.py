"""Atom after atom: the density integrates to one, its draws follow it, and no factor looks ahead."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.stats import t

from polyvae.vae.likelihoods import initial_autoregressive

BRANCHED = (0, 1, 1, 2, 2, 4, 4)


@eqx.filter_jit
def features_of(representation, frames):
    return jax.vmap(representation)(frames)


@eqx.filter_jit
def log_probs(likelihood, x, outputs):
    return jax.lax.map(lambda row: likelihood.log_prob(row, outputs), x, batch_size=4096)


@eqx.filter_jit
def draws(likelihood, outputs, keys):
    return jax.vmap(lambda key: likelihood.sample(outputs, key))(keys)


@eqx.filter_jit
def measured_again(representation, x):
    """The coordinates of the positions that vectors stand for."""
    return jax.vmap(lambda row: representation(representation.positions(row)))(x)


def make(representation, frames, *, seed: int = 1, gain: float = 6.0):
    """A likelihood whose factors depend strongly on what they see, and outputs."""
    examples = np.asarray(features_of(representation, jnp.asarray(frames, jnp.float32)))
    likelihood = initial_autoregressive(
        representation, examples, n_components=2, hidden=(8,), n_context=3, seed=seed
    )
    likelihood = eqx.tree_at(lambda tree: tree.weights[-1], likelihood, gain * likelihood.weights[-1])
    outputs = np.random.default_rng(seed).normal(size=likelihood.n_outputs)
    return likelihood, jnp.asarray(outputs, jnp.float32)


@pytest.fixture(scope="module")
def beads(internal_of):
    representation, frames = internal_of((0, 1), 2)
    likelihood, outputs = make(representation, frames)
    # A grid over two scaled lengths and a turn; beyond it lies nothing.
    stiff = np.linspace(-9.0, 9.0, 61)
    turns = np.arange(48) * 2 * np.pi / 48 - np.pi
    grid = np.stack(np.meshgrid(stiff, stiff, turns, indexing="ij"), axis=-1).reshape(-1, 3)
    volume = (stiff[1] - stiff[0]) ** 2 * 2 * np.pi / 48
    log_density = np.asarray(log_probs(likelihood, jnp.asarray(grid, jnp.float32), outputs), np.float64)
    return likelihood, outputs, log_density, volume


@pytest.fixture(scope="module")
def molecule(internal_of):
    representation, frames = internal_of(BRANCHED, 3)
    return *make(representation, frames), frames


def test_the_density_of_three_beads_in_the_plane_integrates_to_one(beads):
    _, _, log_density, volume = beads
    # The trapezoidal rule is exact to rounding for smooth functions that vanish at the ends.
    np.testing.assert_allclose(np.sum(np.exp(log_density)) * volume, 1.0, atol=2e-4)


def test_draws_have_the_entropy_of_the_density(beads):
    likelihood, outputs, log_density, volume = beads
    x = draws(likelihood, outputs, jax.random.split(jax.random.key(3), 20_000))
    values = np.asarray(log_probs(likelihood, x, outputs), np.float64)
    density = np.exp(log_density)
    expected = np.sum(density * log_density) * volume
    assert np.std(values) > 0.5
    # Four standard errors.
    assert abs(values.mean() - expected) < 4 * np.std(values) / np.sqrt(len(values))


def test_the_density_of_a_molecule_in_space_integrates_to_one(internal_of):
    representation, frames = internal_of((0, 1, 2), 3)
    likelihood, outputs = make(representation, frames, gain=2.0)
    rng = np.random.default_rng(0)
    # Importance sampling from wide normal lengths and angles, and torsions anywhere.
    stiff = 1.6 * rng.standard_t(5, size=(40_000, 5))
    log_proposal = np.sum(t.logpdf(stiff / 1.6, 5) - np.log(1.6), axis=1) - np.log(2 * np.pi)
    x = np.concatenate([stiff, rng.uniform(-np.pi, np.pi, size=(40_000, 1))], axis=1)
    ratio = np.exp(np.asarray(log_probs(likelihood, jnp.asarray(x, jnp.float32), outputs)) - log_proposal)
    error = ratio.std() / np.sqrt(len(ratio))
    assert error < 0.02
    assert abs(ratio.mean() - 1.0) < 4 * error


def circular(difference):
    return np.abs((np.asarray(difference) + np.pi) % (2 * np.pi) - np.pi)


def test_a_draw_says_what_is_measured_of_its_positions(molecule):
    likelihood, outputs, _ = molecule
    representation = likelihood.representation
    x = np.asarray(draws(likelihood, outputs, jax.random.split(jax.random.key(0), 300)))
    again = np.asarray(measured_again(representation, jnp.asarray(x)))
    n_stiff = representation.n_stiff
    # Some draws are nearly collinear somewhere: torsions there carry few digits.
    assert np.quantile(np.abs(x - again)[:, :n_stiff].max(axis=1), 0.95) < 1e-3
    assert np.quantile(circular(x - again)[:, n_stiff:].max(axis=1), 0.95) < 1e-3


def test_draws_beyond_a_straight_angle_say_what_is_measured_of_them(internal_fitted_to):
    # A chain so straight that a normal angle goes beyond pi half of the time.
    rng = np.random.default_rng(0)
    frames = np.cumsum(np.array([1.0, 0, 0]) + 0.2 * rng.normal(size=(300, 5, 3)), axis=1)
    representation = internal_fitted_to(frames, [(0, 1), (1, 2), (2, 3), (3, 4)])
    likelihood, outputs = make(representation, frames)
    x = np.asarray(draws(likelihood, outputs, jax.random.split(jax.random.key(0), 300)))
    n_lengths, n_stiff = representation.n_lengths, representation.n_stiff
    angles = (
        x[:, n_lengths:n_stiff] * np.asarray(representation.scale)[n_lengths:]
        + np.asarray(representation.mean)[n_lengths:]
    )
    assert angles.max() < np.pi + 1e-5
    assert np.quantile(angles, 0.8) > 2.9
    again = np.asarray(measured_again(representation, jnp.asarray(x)))
    assert np.quantile(circular(x - again)[:, n_stiff:].max(axis=1), 0.95) < 1e-3


def test_no_factor_depends_on_atoms_placed_later(molecule):
    likelihood, outputs, frames = molecule
    representation = likelihood.representation
    x = features_of(representation, jnp.asarray(frames[:4], jnp.float32))

    @jax.jit
    @jax.vmap
    def derivatives(row):
        def factors(row):
            return likelihood._log_factors(likelihood._numbers(row, outputs), *likelihood._by_step(row))

        return factors(row), jax.jacrev(factors)(row)

    factors, jacobian = derivatives(x)
    steps = np.concatenate([np.arange(7), np.arange(1, 7), np.arange(2, 7)])
    later = np.arange(7)[:, None] < steps[None, :]
    # The factors of the first three atoms have no torsion, so those of others are not in them.
    assert np.abs(np.asarray(jacobian)[:, later]).max() < 1e-4 * np.abs(jacobian).max()
    assert np.abs(np.asarray(jacobian)[:, ~later]).min(axis=0).max() > 1e-2
    np.testing.assert_allclose(factors.sum(axis=1), log_probs(likelihood, x, outputs), rtol=1e-4)


def test_one_vector_and_many_have_the_same_density(molecule):
    likelihood, outputs, frames = molecule
    x = features_of(likelihood.representation, jnp.asarray(frames[:4], jnp.float32))
    single = jax.jit(lambda row: likelihood.log_prob(row, outputs))
    np.testing.assert_allclose([single(row) for row in x], log_probs(likelihood, x, outputs), rtol=1e-5)


def test_the_mean_conformation_stays_within_the_data(molecule):
    likelihood, outputs, _ = molecule
    representation = likelihood.representation
    low = (representation.low - representation.mean) / representation.scale
    high = (representation.high - representation.mean) / representation.scale
    n_stiff = representation.n_stiff
    for factor in (0.0, 1.0, 1e3, -1e3):
        mean = likelihood.mean(factor * outputs)
        assert np.all(np.asarray(mean[:n_stiff]) >= np.asarray(low) - 1e-4)
        assert np.all(np.asarray(mean[:n_stiff]) <= np.asarray(high) + 1e-4)
    # Outputs of zero: the mean lengths of the data, the rest as in its mean positions.
    mean = np.asarray(likelihood.mean(0.0 * outputs))
    np.testing.assert_allclose(mean[: representation.n_lengths], 0.0, atol=1e-5)
    positions = representation.cartesian.positions(jnp.zeros(representation.cartesian.n_features))
    expected = np.asarray(representation(positions))
    assert circular(mean[n_stiff:] - expected[n_stiff:]).max() < 1e-4


def test_a_triatomic_molecule_has_a_density_and_draws(internal_of):
    representation, frames = internal_of((0, 1), 3)
    assert representation.n_torsions == 0
    likelihood, outputs = make(representation, frames)
    x = draws(likelihood, outputs, jax.random.split(jax.random.key(0), 5))
    assert x.shape == (5, 3)
    assert np.isfinite(log_probs(likelihood, x, outputs)).all()


def test_every_factor_sees_context_and_mean_conformation_and_trains_only_the_context(molecule):
    likelihood, outputs, frames = molecule
    x = features_of(likelihood.representation, jnp.asarray(frames[:1], jnp.float32))[0]
    slope = np.asarray(jax.jit(jax.grad(lambda numbers: likelihood.log_prob(x, numbers)))(outputs))
    assert not slope[: likelihood.n_mean].any()
    assert np.all(slope[likelihood.n_mean :] != 0)
    elsewhere = outputs.at[: likelihood.n_mean].add(0.5)
    change = likelihood._numbers(x, elsewhere) - likelihood._numbers(x, outputs)
    assert np.all(np.abs(np.asarray(change)).max(axis=1) > 1e-4)
