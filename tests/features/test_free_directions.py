"""The reflections stand for an orthonormal basis of what alignment leaves, without its matrix."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from polyvae.features.free_directions import FreeDirections, free_directions
from polyvae.preprocessing import Alignment


def alignment(method: str, n_atoms: int, dims: int, rng) -> Alignment:
    weights = rng.uniform(1.0, 16.0, n_atoms)
    reference = rng.normal(size=(n_atoms, dims)) if method in ("kabsch", "procrustes") else None
    return Alignment(
        method=method,
        weights=jnp.asarray(weights / weights.sum()),
        reference=None if reference is None else jnp.asarray(reference),
    )


@pytest.mark.parametrize("method", ["kabsch", "center", "principal_axes", "none"])
@pytest.mark.parametrize("dims", [2, 3])
def test_projection_and_lifting_are_products_with_orthonormal_rows(x64, rng, method, dims):
    directions = free_directions(alignment(method, 7, dims, rng), 7, dims)
    rows = directions.dense
    assert rows.shape == (len(directions), 7 * dims)
    np.testing.assert_allclose(rows @ rows.T, np.eye(len(rows)), atol=1e-13)
    vectors, coordinates = rng.normal(size=(5, 7 * dims)), rng.normal(size=(5, len(rows)))
    np.testing.assert_allclose(directions.project(vectors), vectors @ rows.T, atol=1e-13)
    np.testing.assert_allclose(directions.lift(coordinates), coordinates @ rows, atol=1e-13)
    # On the device as in NumPy, one vector as many.
    arrays = jax.tree.map(jnp.asarray, directions)
    np.testing.assert_allclose(
        jax.jit(arrays.project.__func__)(arrays, vectors[0]), vectors[0] @ rows.T, atol=1e-13
    )
    np.testing.assert_allclose(arrays.lift(jnp.asarray(coordinates)), coordinates @ rows, atol=1e-13)
    np.testing.assert_allclose(arrays.dense, rows, atol=1e-13)
    whole = np.concatenate([directions.removed, rows])
    np.testing.assert_allclose(whole @ whole.T, np.eye(7 * dims), atol=1e-13)


def test_what_alignment_removes_has_no_coordinate(rng):
    chosen = alignment("kabsch", 9, 3, rng)
    directions = free_directions(chosen, 9, 3)
    weights, reference = np.asarray(chosen.weights), np.asarray(chosen.reference)
    for axis in np.eye(3):
        moved = weights[:, None] * axis
        turned = weights[:, None] * np.cross(axis, reference)
        for removed in (moved, turned):
            assert (
                np.abs(directions.project(removed.reshape(-1).astype(float))).max()
                < 1e-6 * np.abs(removed).max()
            )


def test_the_modes_of_centered_positions_turn_with_the_frame(rng):
    directions = free_directions(alignment("center", 6, 3, rng), 6, 3)
    rows = directions.dense.reshape(5, 3, 6, 3)
    modes = rows[:, 0, :, 0]
    np.testing.assert_allclose(rows, np.einsum("ma,ij->miaj", modes, np.eye(3)), atol=1e-13)


def test_a_large_system_needs_no_matrix():
    n = 30_000
    directions = free_directions(alignment("kabsch", n // 3, 3, np.random.default_rng(0)), n // 3, 3)
    assert isinstance(directions, FreeDirections)
    assert len(directions) == n - 6
    vector = np.random.default_rng(1).normal(size=n)
    coordinates = directions.project(vector)
    lifted = directions.lift(coordinates)
    np.testing.assert_allclose(directions.project(lifted), coordinates, atol=1e-12)
    assert np.sum(coordinates**2) == pytest.approx(np.sum(lifted**2))
    assert np.sum((vector - lifted) ** 2) < 100
