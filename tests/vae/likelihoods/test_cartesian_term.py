"""The term in space that training adds: its formula, rings, weights, and what it leaves alone."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from polyvae.vae.likelihoods import Blocks, Normal, VonMises, WithCartesianTerm

RING = [(step, (step + 1) % 6) for step in range(6)]
N_FRAMES = 12


def with_term(representation, weight: float = 1.0) -> WithCartesianTerm:
    stiff = Normal.of(representation.n_stiff, per_feature=True)
    return WithCartesianTerm(Blocks((stiff, VonMises.of(representation.n_torsions))), representation, weight)


@eqx.filter_jit
def features_of(representation, frames):
    return jax.vmap(representation)(frames)


@eqx.filter_jit
def agreement_of(likelihood, x, outputs, weights=None):
    return likelihood.agreement(x, outputs, weights)


@eqx.filter_jit
def built_by(likelihood, outputs):
    representation = likelihood.representation
    return jax.vmap(lambda row: representation.positions(likelihood.mean(row)))(outputs)


def outputs_near(x, representation, spread: float) -> jnp.ndarray:
    """Outputs whose mean conformations scatter around these vectors."""
    x = np.asarray(x) + spread * np.random.default_rng(5).normal(size=x.shape)
    stiff, torsions = x[:, : representation.n_stiff], x[:, representation.n_stiff :]
    pairs = np.stack([np.cos(torsions), np.sin(torsions)], axis=2).reshape(len(x), -1)
    return jnp.asarray(np.concatenate([stiff, pairs], axis=1), jnp.float32)


def least_squares(built, frames) -> np.ndarray:
    """Squared deviation after superposition by rotations alone, by singular values."""
    built, frames = (
        np.asarray(a, np.float64) - np.mean(np.asarray(a, np.float64), axis=1, keepdims=True)
        for a in (built, frames)
    )
    answer = []
    for one, two in zip(built, frames, strict=True):
        left, singular, right = np.linalg.svd(one.T @ two)
        singular[-1] *= np.sign(np.linalg.det(left @ right))
        answer.append(np.sum(one**2) + np.sum(two**2) - 2 * np.sum(singular))
    return np.array(answer)


def by_hand(square: np.ndarray, free: int, weights: np.ndarray) -> float:
    variance = np.average(square, weights=weights) / free
    return -0.5 * free * (np.log(2 * np.pi * variance) + 1)


def stiff_by_hand(likelihood, outputs) -> np.ndarray:
    """Log-density of the stiff coordinates of every mean conformation, relative to that of the data's mean."""
    representation = likelihood.representation
    n_lengths, n_stiff = representation.n_lengths, representation.n_stiff
    means = np.asarray(jax.vmap(likelihood.mean)(outputs), np.float64)
    is_stiff = np.asarray(representation.is_stiff)
    assert is_stiff[:n_lengths].all()
    squares = np.square(means[:, :n_stiff])[:, is_stiff[:n_stiff]].sum(axis=1)
    turns = means[:, n_stiff:] - np.asarray(representation.torsion_mean)
    turned = ((1 - np.cos(turns)) / np.asarray(representation.torsion_scale) ** 2)[:, is_stiff[n_stiff:]]
    return -0.5 * squares - turned.sum(axis=1)


@pytest.fixture(scope="module")
def chain(internal_of):
    representation, frames = internal_of((0, 1, 2, 2), 3)
    frames = frames[:N_FRAMES]
    x = features_of(representation, jnp.asarray(frames, jnp.float32))
    return with_term(representation), frames, x, outputs_near(x, representation, 0.3)


@pytest.fixture(scope="module")
def ring(internal_fitted_to):
    turns = np.arange(6) * np.pi / 3
    circle = np.stack([np.cos(turns), np.sin(turns)], axis=1)
    frames = circle[None] + 0.05 * np.random.default_rng(0).normal(size=(200, 6, 2))
    representation = internal_fitted_to(frames, RING)
    frames = frames[:N_FRAMES]
    return with_term(representation), frames, features_of(representation, jnp.asarray(frames, jnp.float32))


def test_the_term_is_a_normal_log_density_at_the_best_width(chain):
    likelihood, frames, x, outputs = chain
    square = least_squares(built_by(likelihood, outputs), frames)
    weights = np.arange(N_FRAMES, dtype=float)
    for given, meant in ((None, np.ones(N_FRAMES)), (jnp.asarray(weights, jnp.float32), weights)):
        expected = by_hand(square, 9, meant)
        expected += np.average(stiff_by_hand(likelihood, outputs), weights=meant)
        # Squares of 0.1 out of positions of 1 in single precision.
        np.testing.assert_allclose(agreement_of(likelihood, x, outputs, given), expected, rtol=1e-4)


def test_no_motion_of_the_data_changes_the_term(chain):
    likelihood, frames, x, outputs = chain
    rotation = np.linalg.qr(np.random.default_rng(1).normal(size=(3, 3)))[0]
    rotation[:, 0] *= np.linalg.det(rotation)
    moved = features_of(likelihood.representation, jnp.asarray(frames @ rotation.T + 2.0, jnp.float32))
    np.testing.assert_allclose(
        agreement_of(likelihood, moved, outputs), agreement_of(likelihood, x, outputs), rtol=1e-4
    )


def test_the_weight_multiplies_what_is_not_of_stiff_coordinates_and_zero_leaves_all_out(chain):
    likelihood, _, x, outputs = chain
    double = with_term(likelihood.representation, 2.0)
    stiff = stiff_by_hand(likelihood, outputs).mean()
    once = float(agreement_of(likelihood, x, outputs)) - stiff
    np.testing.assert_allclose(agreement_of(double, x, outputs), 2.0 * once + stiff, rtol=1e-4)
    assert likelihood.has_agreement
    assert not with_term(likelihood.representation, 0.0).has_agreement


def test_densities_means_and_draws_are_those_of_the_likelihood_inside(chain):
    likelihood, _, x, outputs = chain
    key = jax.random.key(0)
    assert (likelihood.n_values, likelihood.n_outputs) == (9, 7 + 2 * 2)
    np.testing.assert_array_equal(
        likelihood.log_prob(x[0], outputs[0]), likelihood.internal.log_prob(x[0], outputs[0])
    )
    np.testing.assert_array_equal(likelihood.mean(outputs[0]), likelihood.internal.mean(outputs[0]))
    np.testing.assert_array_equal(
        likelihood.sample(outputs[0], key), likelihood.internal.sample(outputs[0], key)
    )
    weights = jnp.ones(N_FRAMES)
    refitted = likelihood.refitted(x, outputs, weights)
    assert isinstance(refitted, WithCartesianTerm)
    inner = likelihood.internal.refitted(x, outputs, weights)
    for one, two in zip(jax.tree.leaves(refitted.internal), jax.tree.leaves(inner), strict=True):
        np.testing.assert_array_equal(one, two)
    assert not np.array_equal(jax.tree.leaves(inner)[0], jax.tree.leaves(likelihood.internal)[0])


@pytest.mark.parametrize("is_open", [False, True])
def test_bonds_that_close_rings_add_their_log_density(ring, is_open):
    likelihood, frames, x = ring
    representation = likelihood.representation
    # The frame whose ring closes best for all; or frames that are far from any.
    best = np.argmin([np.abs(representation.ring_closure(row)).max() for row in x])
    outputs = (
        outputs_near(x, representation, 2.0) if is_open else outputs_near(x[best][None], representation, 0.0)
    )
    outputs = jnp.broadcast_to(outputs, (N_FRAMES, outputs.shape[1]))
    built = np.asarray(built_by(likelihood, outputs), np.float64)
    (steps,) = representation.tree.ring_bonds
    first, second = (representation.tree.atoms[step] for step in steps)
    lengths = np.linalg.norm(built[:, first] - built[:, second], axis=1)
    mean, width = float(representation.ring_mean[0]), float(representation.ring_scale[0])
    spread_now = np.sqrt(np.mean((lengths - mean) ** 2))
    # Near the data their own width counts; a ring that is open is measured by how far it is.
    assert (spread_now > width) == is_open
    width = max(width, spread_now)
    closure = np.mean(-0.5 * ((lengths - mean) / width) ** 2 - np.log(width) - 0.5 * np.log(2 * np.pi))
    expected = by_hand(least_squares(built, frames), 9, np.ones(N_FRAMES)) + closure
    expected += stiff_by_hand(likelihood, outputs).mean()
    np.testing.assert_allclose(agreement_of(likelihood, x, outputs), expected, rtol=2e-4)


def test_gradients_close_an_open_ring(ring):
    likelihood, _, x = ring
    outputs = outputs_near(x, likelihood.representation, 2.0)

    @eqx.filter_jit
    def closure(outputs):
        representation = likelihood.representation
        built = jax.vmap(lambda row: representation.placed(likelihood.mean(row)))(outputs)
        return likelihood._closure(representation, built, None)

    slope = eqx.filter_jit(jax.grad(closure))(outputs)
    assert np.isfinite(slope).all()
    step = 0.02 * slope / jnp.linalg.norm(slope)
    assert closure(outputs + step) > closure(outputs)
