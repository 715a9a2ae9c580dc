import jax.numpy as jnp
import numpy as np
import pytest

from polyvae.preprocessing.symmetric_eigen import entries_of, matrix_of, symmetric_eigen


@pytest.mark.parametrize("size", [2, 3])
def test_eigenvalues_and_vectors_agree_with_numpy(rng, size):
    matrices = rng.normal(size=(200, size, size)).astype(np.float32)
    matrices = (matrices + np.swapaxes(matrices, 1, 2)) / 2
    matrices[0] = 0
    matrices[1] = np.eye(size)
    values, vectors = symmetric_eigen(entries_of(jnp.asarray(matrices)))
    values, vectors = np.stack(values, axis=-1), np.asarray(matrix_of(vectors))
    np.testing.assert_allclose(np.sort(values, axis=1), np.linalg.eigvalsh(matrices), atol=3e-6)
    np.testing.assert_allclose(matrices @ vectors, vectors * values[:, None, :], atol=5e-6)
    np.testing.assert_allclose(np.linalg.det(vectors), 1, atol=5e-6)


def test_entries_and_matrix_undo_each_other(rng):
    matrices = jnp.asarray(rng.normal(size=(5, 3, 3)).astype(np.float32))
    np.testing.assert_array_equal(matrix_of(entries_of(matrices)), matrices)
