"""PCA, the Gaussian and the Gaussian chain, whose density on aligned frames must integrate to one."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

from polyvae.analysis import PCA, GaussianChain, GaussianModel, fit_baselines
from polyvae.errors import InputError
from polyvae.features.free_directions import free_directions
from polyvae.preprocessing import Alignment


def test_pca_equals_numpy_svd(x64, rng):
    features = rng.normal(size=(200, 5)) @ rng.normal(size=(5, 5)) + 3.0
    pca = PCA.fit(features, 2)
    centered = features - features.mean(axis=0)
    _, singular, rows = np.linalg.svd(centered, full_matrices=False)
    np.testing.assert_allclose(np.abs(np.asarray(pca.components) @ rows[:2].T), np.eye(2), atol=1e-10)
    np.testing.assert_allclose(pca.variances, singular[:2] ** 2 / 200, rtol=1e-10)
    np.testing.assert_allclose(pca.explained, singular[:2] ** 2 / np.sum(singular**2), rtol=1e-10)
    plane = rows[:2].T @ rows[:2]
    projected = pca.decode(pca.encode(jnp.asarray(features)))
    np.testing.assert_allclose(projected, centered @ plane + features.mean(axis=0), atol=1e-10)


def test_weighted_pca_has_the_eigenvalues_of_the_weighted_covariance(x64, rng):
    features, weights = rng.normal(size=(200, 5)) @ rng.normal(size=(5, 5)), rng.exponential(size=200)
    pca = PCA.fit(features, 2, weights=weights)
    variances, directions = np.linalg.eigh(np.cov(features.T, aweights=weights, ddof=0))
    np.testing.assert_allclose(pca.mean, np.average(features, axis=0, weights=weights), rtol=1e-10)
    np.testing.assert_allclose(pca.variances, variances[:2:-1], rtol=1e-10)
    np.testing.assert_allclose(
        np.abs(np.asarray(pca.components) @ directions[:, :2:-1]), np.eye(2), atol=1e-10
    )


def test_pca_with_all_components_loses_nothing(x64, rng):
    features = rng.normal(size=(50, 4))
    pca = PCA.fit(features, 4)
    np.testing.assert_allclose(pca.decode(pca.encode(jnp.asarray(features))), features, atol=1e-12)
    assert float(pca.explained.sum()) == pytest.approx(1.0)


def test_the_gaussian_equals_scipy_with_mean_and_covariance_of_the_data(x64, rng):
    factor = np.tril(rng.normal(size=(4, 4))) + 2 * np.eye(4)
    train, held_out = (rng.normal(size=(20_000, 4)) @ factor.T + 1.0 for _ in range(2))
    model = GaussianModel.fit(train, held_out)
    covariance = np.asarray(model.cholesky @ model.cholesky.T)
    # So many frames hardly need shrinkage.
    np.testing.assert_allclose(covariance, np.cov(train.T), atol=0.01 * np.trace(covariance) / 4)
    expected = scipy.stats.multivariate_normal(train.mean(axis=0), covariance).logpdf(held_out[:50])
    np.testing.assert_allclose(model.log_density(jnp.asarray(held_out[:50])), expected, rtol=1e-10)


def test_weights_give_the_gaussian_of_another_distribution(x64, rng):
    biased = 1.3 * rng.normal(size=(40_000, 3))
    target = np.array([0.5, 0.0, 0.0])
    # The ratio of a normal of width 1 around the target to the one drawn from.
    weights = np.exp(0.5 * np.sum((biased / 1.3) ** 2 - (biased - target) ** 2, axis=1))
    options = {"train_weights": weights[:20_000], "validation_weights": weights[20_000:]}
    model = GaussianModel.fit(biased[:20_000], biased[20_000:], **options)
    # With the weights 20 000 frames are worth 13 000: five standard errors of means and variances.
    np.testing.assert_allclose(model.mean, target, atol=5 / np.sqrt(13_000))
    np.testing.assert_allclose(model.cholesky @ model.cholesky.T, np.eye(3), atol=5 * np.sqrt(2 / 13_000))


def test_draws_of_the_gaussian_have_its_mean_and_covariance(rng):
    model = GaussianModel(mean=jnp.array([1.0, -2.0]), cholesky=jnp.array([[2.0, 0.0], [0.5, 0.3]]))
    draws = np.asarray(model.sample(40_000, jax.random.key(0)), np.float64)
    covariance = np.asarray(model.cholesky @ model.cholesky.T)
    # Five standard errors: widths and variances over 200.
    np.testing.assert_allclose(draws.mean(axis=0), model.mean, atol=5 * 2 / 200)
    np.testing.assert_allclose(np.cov(draws.T), covariance, atol=5 * 1.5 * 4 / 200)


def chain_frames(rng: np.random.Generator, n_frames: int, n_atoms: int, dims: int) -> np.ndarray:
    """Chains whose bond vectors are isotropic, normal and correlated between neighbours."""
    bonds = rng.normal(size=(n_frames, n_atoms - 1, dims))
    bonds[:, 1:] += 0.6 * bonds[:, :-1]
    return np.concatenate([np.zeros((n_frames, 1, dims)), np.cumsum(bonds, axis=1)], axis=1)


def aligned_case(linear_model, rng, n_atoms: int, dims: int):
    """A chain density for unequal weights and a reference of its own, frames, weights and reference."""
    weights = rng.uniform(0.5, 2.0, size=n_atoms)
    weights /= weights.sum()
    reference = chain_frames(rng, 1, n_atoms, dims)[0]
    reference = reference - weights @ reference
    alignment = Alignment(method="kabsch", weights=jnp.asarray(weights), reference=jnp.asarray(reference))
    frames = chain_frames(rng, 20_000, n_atoms, dims)
    frames -= np.einsum("a,fad->fd", weights, frames)[:, None]
    model = eqx.tree_at(lambda tree: tree.alignment, linear_model[0], alignment)
    return GaussianChain.fit(model, frames, frames), alignment, frames


def kabsch(frames: np.ndarray, alignment: Alignment) -> np.ndarray:
    """Frames turned onto the reference by NumPy's SVD."""
    weights, reference = np.asarray(alignment.weights), np.asarray(alignment.reference)
    left, _, right = np.linalg.svd(np.einsum("a,fai,aj->fij", weights, frames, reference))
    signs = np.ones((len(frames), frames.shape[2]))
    signs[:, -1] = np.sign(np.linalg.det(left) * np.linalg.det(right))
    turns = np.einsum("fij,fj,fjk->fki", left, signs, right)
    return np.einsum("fad,fcd->fac", frames, turns)


@pytest.mark.parametrize(("n_atoms", "dims"), [(3, 2), (4, 2), (3, 3), (4, 3)])
def test_the_chain_density_integrates_to_one_over_the_aligned_frames(x64, linear_model, rng, n_atoms, dims):
    density, alignment, frames = aligned_case(linear_model, rng, n_atoms, dims)
    basis = free_directions(alignment, n_atoms, dims).dense
    aligned = kabsch(frames, alignment)
    coordinates = aligned.reshape(len(aligned), -1) @ basis.T
    # Frames that are aligned lie in the free directions.
    np.testing.assert_allclose(coordinates @ basis, aligned.reshape(len(aligned), -1), atol=1e-8)
    # Importance sampling from a wider Student t that fits the aligned frames.
    proposal = scipy.stats.multivariate_t(coordinates.mean(axis=0), 1.2 * np.cov(coordinates.T), df=5)
    points = proposal.rvs(60_000, random_state=1)
    trial = (points @ basis).reshape(-1, n_atoms, dims)
    # Each conformation counts once: where the identity is the best rotation, so that no two eigenvalues of the
    # (symmetric) covariance with the reference have a negative sum.
    covariance = np.einsum("a,fai,aj->fij", alignment.weights, trial, alignment.reference)
    eigenvalues = np.linalg.eigvalsh(0.5 * (covariance + covariance.transpose(0, 2, 1)))
    counts = eigenvalues[:, 0] + eigenvalues[:, 1] >= 0
    ratio = np.exp(np.asarray(density.log_density(jnp.asarray(trial))) - proposal.logpdf(points)) * counts
    error = ratio.std() / np.sqrt(len(ratio))
    assert error < 0.02
    # Five standard errors.
    assert abs(ratio.mean() - 1.0) < 5 * error


def test_the_chain_density_of_centered_frames_is_a_plain_normal(x64, linear_model, rng):
    frames = chain_frames(rng, 5000, 4, 3)
    frames -= frames.mean(axis=1, keepdims=True)
    alignment = Alignment(method="center", weights=jnp.full(4, 0.25))
    model = eqx.tree_at(lambda tree: tree.alignment, linear_model[0], alignment, is_leaf=lambda x: x is None)
    density = GaussianChain.fit(model, frames, frames)
    modes = np.asarray(density.directions)
    covariance = np.asarray(density.cholesky @ density.cholesky.T)
    np.testing.assert_allclose(modes @ modes.T, np.eye(3), atol=1e-10)
    expected = sum(
        scipy.stats.multivariate_normal(np.zeros(3), covariance).logpdf(frames[:20, :, axis] @ modes.T)
        for axis in range(3)
    )
    np.testing.assert_allclose(density.log_density(jnp.asarray(frames[:20])), expected, rtol=1e-10)


def test_draws_of_the_chain_reproduce_the_mean_square_distances(x64, linear_model, rng):
    density, _, frames = aligned_case(linear_model, rng, 4, 3)
    draws = np.asarray(density.sample(20_000, jax.random.key(1)))
    pairs = np.stack(np.triu_indices(4, 1), axis=1)
    ours, theirs = (
        np.mean(np.sum((part[:, pairs[:, 0]] - part[:, pairs[:, 1]]) ** 2, axis=2), axis=0)
        for part in (draws, frames)
    )
    # Standard error of either mean: sqrt(2/3 / 20 000) = 0.6 %; five times that, for both.
    np.testing.assert_allclose(ours, theirs, rtol=0.04)


def test_the_weighted_chain_has_the_weighted_covariance_of_the_modes(x64, linear_model, rng):
    frames = chain_frames(rng, 4000, 4, 3)
    frames -= frames.mean(axis=1, keepdims=True)
    weights = np.exp(-0.5 * frames[:, 0, 0] ** 2)
    alignment = Alignment(method="center", weights=jnp.full(4, 0.25))
    model = eqx.tree_at(lambda tree: tree.alignment, linear_model[0], alignment, is_leaf=lambda x: x is None)
    density = GaussianChain.fit(model, frames, frames, train_weights=weights, validation_weights=weights)
    modes = np.einsum("ma,fad->mfd", density.directions, frames)
    expected = np.einsum("f,mfd,nfd->mn", weights, modes, modes) / (3 * weights.sum())
    covariance = np.asarray(density.cholesky @ density.cholesky.T)
    # The least shrinkage that is tried is 1e-4 of the way to the mean variance.
    np.testing.assert_allclose(covariance, expected, atol=2e-4 * np.trace(expected))
    assert not np.allclose(covariance, GaussianChain.fit(model, frames, frames).cholesky, atol=1e-2)


@pytest.mark.parametrize("method", ["none", "principal_axes"])
def test_the_chain_has_no_density_on_other_alignments(linear_model, method):
    alignment = Alignment(method=method, weights=jnp.full(3, 1 / 3))
    model = eqx.tree_at(lambda tree: tree.alignment, linear_model[0], alignment)
    frames = np.zeros((5, 3, 2), np.float32)
    with pytest.raises(InputError, match=f"no density on frames aligned by '{method}'"):
        GaussianChain.fit(model, frames, frames)


def test_the_chain_has_no_density_around_a_collinear_reference_in_three_dimensions(linear_model, rng):
    line = jnp.asarray(np.outer([-1.0, 0.0, 1.0], [0.0, 0.6, 0.8]), jnp.float32)
    alignment = Alignment(method="kabsch", weights=jnp.full(3, 1 / 3), reference=line)
    model = eqx.tree_at(lambda tree: tree.alignment, linear_model[0], alignment)
    frames = rng.normal(size=(50, 3, 3)).astype(np.float32)
    with pytest.raises(InputError, match="collinear reference"):
        GaussianChain.fit(model, frames, frames)


def test_the_baselines_of_a_fit_use_the_weights_of_the_trajectory(fitted, chain, rng):
    split, weights = fitted.split, rng.exponential(size=chain.n_frames)
    baselines = fit_baselines(fitted, chain.replace(weights=weights))
    features = np.asarray(fitted.model.features(chain.positions[split.train]))
    expected = np.average(features, axis=0, weights=weights[split.train])
    # Features are float32.
    np.testing.assert_allclose(baselines.gaussian.mean, expected, atol=1e-5)
    plain = fit_baselines(fitted, chain)
    assert np.abs(np.asarray(plain.gaussian.mean) - expected).max() > 1e-3
    assert np.abs(np.asarray(plain.chain.cholesky - baselines.chain.cholesky)).max() > 1e-3


@pytest.mark.parametrize("part", ["train", "validation"])
def test_a_part_without_any_weight_has_no_baselines(fitted, chain, part):
    weights = np.ones(chain.n_frames)
    weights[getattr(fitted.split, part)] = 0.0
    with pytest.raises(InputError, match=f"All .* {part}.* frames have weight zero"):
        fit_baselines(fitted, chain.replace(weights=weights))
