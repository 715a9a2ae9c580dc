"""Generated conformations: draws of the model's distribution, noise included."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from polyvae.analysis import generate
from polyvae.analysis.generation import _check_model
from polyvae.errors import InputError
from polyvae.vae import ModelConfig, make_vae
from polyvae.vae.likelihoods import Normal


def test_draws_of_a_linear_model_have_its_exact_mean_and_covariance(linear_model):
    model, mean, covariance = linear_model
    draws = generate(model, 40_000, seed=3).positions.reshape(40_000, 6).astype(np.float64)
    largest = np.diag(covariance).max()
    # Five standard errors: widths and variances over 200.
    np.testing.assert_allclose(draws.mean(axis=0), mean, atol=5 * np.sqrt(largest) / 200)
    np.testing.assert_allclose(np.cov(draws.T), covariance, atol=5 * 1.5 * largest / 200)


def test_draws_are_wider_than_the_decoder_means(linear_model):
    model, _, _ = linear_model
    means = np.asarray(model.decode(jax.random.normal(jax.random.key(0), (5000, 2)))).reshape(5000, 6)
    draws = generate(model, 5000, seed=0).positions.reshape(5000, 6)
    # Noise of width 0.5 in features of scale 2: one squared unit of length more in each of six directions.
    assert draws.var(axis=0).sum() - means.var(axis=0).sum() == pytest.approx(6.0, rel=0.1)


def test_the_seed_decides(linear_model):
    one, again, other = (generate(linear_model[0], 20, seed=seed).positions for seed in (1, 1, 2))
    np.testing.assert_array_equal(one, again)
    assert (one != other).all()


def test_generated_conformations_are_a_trajectory_of_the_same_system(fitted, chain):
    generated = generate(fitted.model, 30, seed=0)
    assert generated.positions.shape == (30, 5, 2)
    assert generated.positions.dtype == np.float32
    assert generated.units == chain.units
    assert generated.times is None
    assert generated.source == "generated"
    np.testing.assert_array_equal(generated.bonds, chain.bonds)
    np.testing.assert_allclose(generated.positions.mean(axis=1), 0.0, atol=1e-5)


def test_less_than_one_conformation_is_refused(linear_model):
    with pytest.raises(InputError, match="`n` must be at least 1; got 0"):
        generate(linear_model[0], 0)


def test_overlaps_are_drawn_anew(linear_model):
    model = linear_model[0]
    # The closest pair of the data lies at the median of the generated ones: about half of the frames overlap.
    draws = generate(model, 2000, seed=4).positions
    closest = np.min(
        [np.linalg.norm(draws[:, a] - draws[:, b], axis=1) for a, b in ((0, 1), (0, 2), (1, 2))], axis=0
    )
    bound = float(np.median(closest))
    geometry = eqx.tree_at(
        lambda tree: tree.closest_nonbonded, model.geometry, jnp.asarray(bound, jnp.float32)
    )
    geometry = eqx.tree_at(lambda tree: tree.bonds, geometry, jnp.zeros((0, 2), jnp.int32))
    bounded = eqx.tree_at(lambda tree: tree.geometry, model, geometry)
    whole = generate(bounded, 500, seed=4, reject_overlaps=True)
    assert whole.n_frames == 500
    assert whole.source == "generated without overlaps"
    pairs = ((0, 1), (0, 2), (1, 2))
    assert (
        min(np.linalg.norm(whole.positions[:, a] - whole.positions[:, b], axis=1).min() for a, b in pairs)
        >= bound
    )
    far = eqx.tree_at(lambda tree: tree.closest_nonbonded, geometry, jnp.asarray(1e6, jnp.float32))
    with pytest.raises(
        InputError, match=r"10 of 10 conformations still hold two atoms closer .* after 60 draws"
    ):
        generate(eqx.tree_at(lambda tree: tree.geometry, model, far), 10, reject_overlaps=True)


def test_a_vae_of_vectors_is_told_how_to_draw():
    # Asked directly: under the tests' type checker `generate` would not get this far.
    vae = make_vae(Normal.of(3), ModelConfig(hidden=(4,)))
    with pytest.raises(InputError, match="`model` is a VAE of vectors.*jax.vmap"):
        _check_model(vae)
    with pytest.raises(InputError, match="`model` must be a ConformationModel.*type int"):
        _check_model(3)
