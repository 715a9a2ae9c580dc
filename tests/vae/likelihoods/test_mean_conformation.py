"""Stiff coordinates: which ones they are, and that the mean conformation keeps them whatever positions are decoded."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.stats import circmean, circstd

from polyvae.features.bond_tree import bond_tree
from polyvae.features.building import build
from polyvae.vae.likelihoods.mean_conformation import mean_conformation, n_mean_outputs

# A chain of four atoms that ends in three, which turn freely together as those of a methyl group.
BONDS = [(0, 1), (1, 2), (2, 3), (3, 4), (3, 5), (3, 6)]
N_FRAMES = 400


@pytest.fixture(scope="module")
def methyl(internal_fitted_to):
    """The representation, and the torsions and angles that the frames were built from."""
    rng = np.random.default_rng(3)
    tree = bond_tree(np.array(BONDS), 7, positions=rng.normal(size=(1, 7, 3)))
    assert tree.atoms == tuple(range(7))
    lengths = 0.1 + 0.002 * rng.normal(size=(N_FRAMES, 6))
    angles = 1.9 + 0.05 * rng.normal(size=(N_FRAMES, 5))
    spin = rng.uniform(-np.pi, np.pi, N_FRAMES)
    flat = np.pi + 0.1 * rng.normal(size=N_FRAMES)
    siblings = np.array([2.0, -2.0]) * np.pi / 3 + 0.08 * rng.normal(size=(N_FRAMES, 2))
    torsions = np.column_stack([flat, spin, siblings])
    frames = jax.jit(jax.vmap(lambda *values: build(tree, *values)))(
        *(jnp.asarray(values, jnp.float32) for values in (lengths, angles, torsions))
    )
    return internal_fitted_to(np.asarray(frames, np.float64), BONDS), torsions


def test_means_and_widths_of_torsions_are_circular_and_tell_stiff_ones(methyl):
    representation, torsions = methyl
    deviation = np.asarray(representation.torsion_mean) - circmean(torsions, axis=0)
    # The mean of one that turns freely is arbitrary.
    np.testing.assert_allclose(np.cos(deviation[[0, 2, 3]]), 1.0, atol=1e-5)
    scale = np.asarray(representation.torsion_scale)
    np.testing.assert_allclose(scale, circstd(torsions, axis=0), rtol=2e-3)
    assert representation.is_stiff.tolist() == 11 * [True] + [True, False, True, True]


def test_whatever_positions_are_decoded_stiff_coordinates_stay(methyl):
    representation, _ = methyl
    n_positions, n_stiff = representation.cartesian.n_features, representation.n_stiff
    rng = np.random.default_rng(0)
    outputs = np.zeros((20, n_mean_outputs(representation)))
    outputs[:, :n_positions] = 3.0 * rng.normal(size=(20, n_positions))
    means = np.asarray(
        jax.jit(jax.vmap(lambda row: mean_conformation(representation, row)))(
            jnp.asarray(outputs, jnp.float32)
        )
    )
    np.testing.assert_allclose(means[:, :n_stiff], 0.0, atol=1e-4)
    turns = means[:, n_stiff:] - np.asarray(representation.torsion_mean)
    np.testing.assert_allclose(np.cos(turns[:, [0, 2, 3]]), 1.0, atol=1e-5)
    assert np.std(means[:, n_stiff + 1]) > 0.5


def test_corrections_of_stiff_torsions_count_in_their_width(methyl):
    representation, _ = methyl
    outputs = jnp.zeros(n_mean_outputs(representation)).at[-1].set(2.0)
    turn = mean_conformation(representation, outputs)[-1] - representation.torsion_mean[-1]
    np.testing.assert_allclose(turn, 2.0 * representation.torsion_scale[-1], rtol=1e-4)


def test_turn_angles_of_chains_in_the_plane_are_never_stiff(internal_fitted_to):
    rng = np.random.default_rng(1)
    headings = np.cumsum(0.02 * rng.normal(size=(50, 5)), axis=1)
    steps = np.stack([np.cos(headings), np.sin(headings)], axis=2)
    frames = np.concatenate([np.zeros((50, 1, 2)), np.cumsum(steps, axis=1)], axis=1)
    representation = internal_fitted_to(frames, [(bead, bead + 1) for bead in range(5)])
    assert representation.torsion_scale.max() < 0.1
    assert representation.is_stiff.tolist() == 5 * [True] + 4 * [False]
