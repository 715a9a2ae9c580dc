"""What the encoder sees of internal coordinates: no motion changes it, a mirror image does."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from polyvae.features import bond_tree, fit_cartesian, fit_internal
from polyvae.preprocessing import align, fit_alignment
from polyvae.vae.inputs import MOST_DISTANCES, InternalInputs

N_FRAMES, N_ATOMS = 100, 6


def fitted(dims: int):
    rng = np.random.default_rng(dims)
    steps = np.array([0.3, 0.8, 0.5])[:dims] * np.where(np.arange(N_ATOMS - 1) % 2, 1, -1)[:, None]
    steps[:, 0] = 0.8
    if dims == 3:
        steps[:, 2] *= np.array([1, 1, -1, -1, 1])
    bonds = steps + 0.15 * rng.normal(size=(N_FRAMES, N_ATOMS - 1, dims))
    positions = np.concatenate([np.zeros((N_FRAMES, 1, dims)), np.cumsum(bonds, axis=1)], axis=1)
    positions = positions.astype(np.float32)
    alignment = fit_alignment(positions, method="procrustes")[0]
    canonical = np.asarray(align(alignment, positions))
    tree = bond_tree(np.stack([np.arange(5), np.arange(1, 6)], axis=1), N_ATOMS, positions=positions)
    representation = fit_internal(
        tree,
        fit_cartesian(alignment, lambda: [canonical]),
        np.asarray(alignment.reference),
        lambda: [canonical],
    )
    inputs = InternalInputs.fitted(representation, vectors(representation, positions))
    return positions, representation, inputs


@eqx.filter_jit
def _vectors(representation, frames):
    return jax.vmap(representation)(frames)


def vectors(representation, frames):
    return _vectors(representation, jnp.asarray(frames, jnp.float32))


@pytest.fixture(scope="module", params=[2, 3], ids=["2-D", "3-D"])
def system(request):
    positions, representation, inputs = fitted(request.param)
    seen = eqx.filter_jit(lambda frames: inputs(jax.vmap(representation)(frames)))
    return (
        positions,
        representation,
        inputs,
        lambda frames: np.asarray(seen(jnp.asarray(frames, jnp.float32))),
    )


def test_inputs_are_scaled_and_counted(system):
    positions, representation, inputs, seen = system
    dims = positions.shape[2]
    values = seen(positions)
    n_pairs = N_ATOMS * (N_ATOMS - 1) // 2
    expected = representation.n_stiff + 2 * representation.n_torsions + n_pairs + N_ATOMS * dims
    assert inputs.n_inputs == values.shape[1] == expected
    # Means and widths of 100 numbers in single precision.
    np.testing.assert_allclose(values.mean(axis=0), 0, atol=1e-3)
    np.testing.assert_allclose(values.std(axis=0), 1, rtol=1e-3)


def test_no_rotation_or_translation_changes_the_inputs(system):
    positions, _, _, seen = system
    dims = positions.shape[2]
    rng = np.random.default_rng(0)
    rotations = np.linalg.qr(rng.normal(size=(N_FRAMES, dims, dims)))[0]
    rotations[:, :, 0] *= np.linalg.det(rotations)[:, None]
    moved = np.einsum("fai,fji->faj", positions, rotations) + rng.normal(size=(N_FRAMES, 1, dims))
    # Widths of 0.05 seen in single precision of positions of 5.
    np.testing.assert_allclose(seen(moved), seen(positions), atol=2e-3)


def test_a_mirror_image_changes_them(system):
    positions, _, _, seen = system
    mirror = positions * np.array([-1.0, 1.0, 1.0])[: positions.shape[2]]
    difference = np.abs(seen(mirror) - seen(positions)).max(axis=1)
    assert difference.min() > 1.0


def test_one_vector_gives_the_row_of_a_batch(system):
    positions, representation, inputs, seen = system
    one = inputs(vectors(representation, positions[:1])[0])
    np.testing.assert_allclose(one, seen(positions[:1])[0], atol=1e-4)


def test_nothing_of_the_map_is_trained():
    positions, representation, inputs = fitted(2)
    x = vectors(representation, positions[:3])
    slopes = eqx.filter_jit(eqx.filter_grad(lambda inputs: jnp.sum(inputs(x) ** 2)))(inputs)
    assert all(not np.any(leaf) for leaf in jax.tree.leaves(slopes))


def test_long_chains_take_some_distances_only():
    n_atoms = 60
    rng = np.random.default_rng(0)
    positions = np.cumsum(rng.normal(size=(20, n_atoms, 2)), axis=1).astype(np.float32)
    alignment = fit_alignment(positions, method="procrustes")[0]
    canonical = np.asarray(align(alignment, positions))
    chain = np.stack([np.arange(n_atoms - 1), np.arange(1, n_atoms)], axis=1)
    representation = fit_internal(
        bond_tree(chain, n_atoms, positions=positions),
        fit_cartesian(alignment, lambda: [canonical]),
        np.asarray(alignment.reference),
        lambda: [canonical],
    )
    inputs = InternalInputs.fitted(representation, vectors(representation, positions))
    assert len(inputs.pairs) == MOST_DISTANCES
    assert inputs.pairs[0] == (0, 1)
    assert inputs.pairs[-1] == (n_atoms - 2, n_atoms - 1)
