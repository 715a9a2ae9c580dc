"""Laws that hold for every family of likelihoods, run through one dictionary of them."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from polyvae.vae.likelihoods import (
    Blocks,
    Categorical,
    CorrelatedNormal,
    LowRankNormal,
    Normal,
    PerFrameNormal,
    RotationNormal,
    StudentT,
    VonMises,
)

COVARIANCE = np.array([[1.0, 0.4, -0.2], [0.4, 0.6, 0.1], [-0.2, 0.1, 0.3]])


def _correlated(learn):
    return CorrelatedNormal.from_covariance(COVARIANCE, learn=learn)


def _low_rank(learn):
    log_scale = jnp.asarray([-0.5, 0.1, -0.2, 0.3])
    factor = jnp.asarray([[0.5, 0.1], [-0.4, 0.2], [0.3, 0.3], [0.1, -0.6]])
    return LowRankNormal(log_scale=log_scale, factor=factor, learn=learn)


def _blocks(learn):
    angles = VonMises.of(2, kappa=3.0, learn=learn)
    return Blocks((Normal.of(2, sigma=0.4, learn=learn), angles, Categorical(3)))


WITH_SHARED_NUMBERS = {
    "normal": lambda learn: Normal.of(3, sigma=0.7, learn=learn),
    "normal per feature": lambda learn: Normal(jnp.asarray([-0.4, 0.2, 0.6]), size=3, learn=learn),
    "correlated normal": _correlated,
    "low-rank normal": _low_rank,
    "student t": lambda learn: StudentT.of(3, sigma=0.7, degrees_of_freedom=4.0, learn=learn),
    "von Mises": lambda learn: VonMises(jnp.asarray([-1.0, 1.5]), size=2, learn=learn),
    "rotation normal 2-D": lambda learn: RotationNormal.of(6, 2, sigma=0.8, learn=learn),
    "rotation normal 3-D": lambda learn: RotationNormal.of(6, 3, sigma=0.8, learn=learn),
    "blocks": _blocks,
}
WITHOUT = {
    "per-frame normal": lambda: PerFrameNormal(3, per_feature=False),
    "per-frame normal per feature": lambda: PerFrameNormal(3, per_feature=True),
    "per-frame von Mises": lambda: VonMises.of(2, concentration="per-frame"),
    "categorical": lambda: Categorical(4),
}
REFITTED = ("normal", "normal per feature", "correlated normal", "von Mises", "blocks")
ALL = (*WITH_SHARED_NUMBERS, *WITHOUT)
# One number of frames for all laws, so that each function is compiled once for a family.
N_FRAMES = 3000


def make(name, learn=True):
    return WITH_SHARED_NUMBERS[name](learn) if name in WITH_SHARED_NUMBERS else WITHOUT[name]()


@eqx.filter_jit
def draw(likelihood, outputs, keys):
    return jax.vmap(likelihood.sample)(outputs, keys)


@eqx.filter_jit
def log_probs(likelihood, x, outputs):
    return jax.vmap(likelihood.log_prob)(x, outputs)


@eqx.filter_jit
def gradients(likelihood, x, outputs):
    """Gradients of each frame's log-density with respect to x, the outputs and the likelihood."""

    def log_prob(x, outputs, numbers):
        return eqx.combine(numbers, rest).log_prob(x, outputs)

    numbers, rest = eqx.partition(likelihood, eqx.is_inexact_array)
    return jax.vmap(jax.grad(log_prob, argnums=(0, 1, 2)), in_axes=(0, 0, None))(x, outputs, numbers)


@eqx.filter_jit
def refit(likelihood, x, outputs, weights):
    return likelihood.refitted(x, outputs, weights)


def frames(likelihood, *, one_latent_point=False):
    """Outputs of random frames, or N_FRAMES times the same ones, and one draw of each."""
    outputs = jax.random.normal(jax.random.key(1), (N_FRAMES, likelihood.n_outputs))
    if one_latent_point:
        outputs = jnp.broadcast_to(outputs[:1], outputs.shape)
    return outputs, draw(likelihood, outputs, jax.random.split(jax.random.key(2), N_FRAMES))


@pytest.mark.parametrize("name", ALL)
def test_shapes_and_float32_are_kept(name):
    likelihood = make(name)
    x, outputs = jnp.zeros(likelihood.n_values), jnp.zeros(likelihood.n_outputs)
    density = eqx.filter_eval_shape(likelihood.log_prob, x, outputs)
    mean = eqx.filter_eval_shape(likelihood.mean, outputs)
    sample = eqx.filter_eval_shape(likelihood.sample, outputs, jax.random.key(0))
    assert density.shape == ()
    assert mean.shape == sample.shape == (likelihood.n_values,)
    assert density.dtype == mean.dtype == sample.dtype == jnp.float32


@pytest.mark.parametrize("name", ALL)
def test_a_compiled_batch_equals_a_single_vector(name, x64):
    likelihood = make(name)
    outputs, x = frames(likelihood)
    single = likelihood.log_prob(x[5], outputs[5])
    # The same operations in another order: a few roundings of float64.
    assert float(log_probs(likelihood, x, outputs)[5]) == pytest.approx(float(single), rel=1e-12, abs=1e-12)


@pytest.mark.parametrize("name", ALL)
def test_gradients_equal_finite_differences(name, x64, rng):
    likelihood = make(name)
    outputs, x = frames(likelihood)
    numbers, rest = eqx.partition(likelihood, eqx.is_inexact_array)
    point = (x, outputs, numbers)
    way = jax.tree.map(lambda leaf: jnp.asarray(rng.normal(size=leaf.shape)), point)

    def at(step):
        x, outputs, numbers = jax.tree.map(lambda a, b: a + step * b, point, way)
        return np.asarray(log_probs(eqx.combine(numbers, rest), x, outputs))

    difference = (at(1e-6) - at(-1e-6)) / 2e-6
    by_x, by_outputs, by_numbers = gradients(likelihood, x, outputs)
    slope = np.sum(by_x * way[0], axis=1) + np.sum(by_outputs * way[1], axis=1)
    for gradient, change in zip(jax.tree.leaves(by_numbers), jax.tree.leaves(way[2]), strict=True):
        slope = slope + np.tensordot(gradient, change, axes=change.ndim)
    # Rounding of 1e-13 at most over 2e-6; truncation is less, but for pairs of angles' outputs shorter than 1e-3.
    np.testing.assert_allclose(slope, difference, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", ALL)
def test_draws_follow_the_density(name, x64):
    """The mean of the gradient of log p with respect to parameters is zero over draws from p."""
    likelihood = make(name)
    outputs, x = frames(likelihood, one_latent_point=True)
    by_x, by_outputs, by_numbers = gradients(likelihood, x, outputs)
    scores = [by_outputs, *jax.tree.leaves(by_numbers)]
    if "categorical" not in name and "blocks" not in name:
        scores.append(by_x)  # by Gauss's theorem, for densities on the whole space or circle
    for score in scores:
        score = np.asarray(score).reshape(N_FRAMES, -1)
        standard_error = score.std(axis=0) / np.sqrt(N_FRAMES)
        # Five standard errors; the small number is for scores that are zero up to rounding.
        assert np.all(np.abs(score.mean(axis=0)) < 5 * standard_error + 1e-12)


@pytest.mark.parametrize(
    "name", ["normal", "correlated normal", "low-rank normal", "student t", "categorical"]
)
def test_the_mean_is_the_mean_of_draws(name, x64):
    likelihood = make(name)
    outputs, x = frames(likelihood, one_latent_point=True)
    x = np.asarray(x)
    standard_error = x.std(axis=0) / np.sqrt(N_FRAMES)
    assert np.all(np.abs(x.mean(axis=0) - likelihood.mean(outputs[0])) < 5 * standard_error)


@pytest.mark.parametrize("name", ALL)
def test_no_gradient_is_nan_where_outputs_are_zero_or_large(name):
    likelihood = make(name)
    scale = jnp.asarray([0.0, 1e-20, 1.0, 30.0])
    outputs = scale[:, None] * jax.random.normal(jax.random.key(7), (4, likelihood.n_outputs))
    x = jax.random.normal(jax.random.key(8), (4, likelihood.n_values))
    x = jnp.concatenate([x, jnp.zeros_like(x), jax.vmap(likelihood.mean)(outputs)])
    for leaf in jax.tree.leaves(gradients(likelihood, x, jnp.concatenate([outputs] * 3))):
        assert np.all(np.isfinite(leaf))


@pytest.mark.parametrize("name", WITH_SHARED_NUMBERS)
def test_shared_numbers_are_trained_unless_they_are_fixed(name, x64):
    fixed = make(name, learn=False)
    outputs, x = frames(make(name))
    leaves = jax.tree.leaves(gradients(make(name), x, outputs)[2])
    assert leaves
    assert all(np.any(leaf != 0) for leaf in leaves)
    assert all(np.all(leaf == 0) for leaf in jax.tree.leaves(gradients(fixed, x, outputs)[2]))
    assert eqx.tree_equal(fixed.refitted(x, outputs, jnp.ones(N_FRAMES)), fixed)


@pytest.mark.parametrize("name", REFITTED)
def test_a_refit_is_where_the_weighted_log_likelihood_is_stationary(name, x64, rng):
    likelihood = make(name)
    outputs, x = frames(likelihood)
    outputs = 0.8 * outputs
    weights = rng.uniform(0.1, 2.0, N_FRAMES)
    fitted = refit(likelihood, x, outputs, jnp.asarray(weights))
    assert not eqx.tree_equal(fitted, likelihood)
    for leaf in jax.tree.leaves(gradients(fitted, x, outputs)[2]):
        size = np.tensordot(weights, np.abs(leaf), axes=1)
        # The sum cancels to rounding, amplified by the condition of the covariance (below 100).
        assert np.all(np.abs(np.tensordot(weights, np.asarray(leaf), axes=1)) <= 1e-10 * size)


@pytest.mark.parametrize("name", REFITTED)
def test_a_frame_of_weight_two_counts_like_two_frames(name, x64):
    likelihood = make(name)
    outputs, x = frames(likelihood)
    weights = jnp.ones(N_FRAMES).at[:3].set(2.0).at[-3:].set(0.0)
    weighted = refit(likelihood, x, outputs, 5.0 * weights)
    x, outputs = x.at[-3:].set(x[:3]), outputs.at[-3:].set(outputs[:3])
    repeated = refit(likelihood, x, outputs, jnp.ones(N_FRAMES))
    for a, b in zip(jax.tree.leaves(weighted), jax.tree.leaves(repeated), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-10, atol=1e-10)  # the same sums in another order


@pytest.mark.parametrize("name", [name for name in ALL if name not in REFITTED])
def test_families_without_a_closed_form_stay_as_they_are(name):
    likelihood = make(name)
    x, outputs = jnp.ones((5, likelihood.n_values)), jnp.ones((5, likelihood.n_outputs))
    assert likelihood.refitted(x, outputs, jnp.ones(5)) is likelihood


def _grid(reach, points, dims):
    """Points and cell volume of a grid; the trapezoidal rule is exact to rounding for densities that vanish there."""
    line = jnp.linspace(-reach, reach, points)
    mesh = jnp.stack(jnp.meshgrid(*[line] * dims, indexing="ij"), axis=-1).reshape(-1, dims)
    return mesh, float(line[1] - line[0]) ** dims


def _circle(points):
    return jnp.linspace(-jnp.pi, jnp.pi, points, endpoint=False)[:, None], 2 * np.pi / points


NORMALIZED = {
    "normal": (lambda: Normal.of(2, sigma=0.8), lambda: _grid(9.0, 121, 2)),
    "per-frame normal": (lambda: PerFrameNormal(2, per_feature=True), lambda: _grid(12.0, 161, 2)),
    "correlated normal": (
        lambda: CorrelatedNormal.from_covariance(COVARIANCE[:2, :2]),
        lambda: _grid(9.0, 121, 2),
    ),
    "low-rank normal": (
        lambda: LowRankNormal(log_scale=jnp.asarray([-0.5, 0.1]), factor=jnp.asarray([[0.5], [-0.4]])),
        lambda: _grid(9.0, 121, 2),
    ),
    "von Mises": (lambda: VonMises.of(1, kappa=5.0), lambda: _circle(80)),
    "per-frame von Mises": (lambda: VonMises.of(1, concentration="per-frame"), lambda: _circle(80)),
    "rotation normal 2-D": (lambda: RotationNormal.of(2, 2, sigma=0.6), lambda: _grid(7.0, 101, 2)),
    "rotation normal 3-D": (lambda: RotationNormal.of(3, 3), lambda: _grid(10.0, 33, 3)),
    "categorical": (lambda: Categorical(4), lambda: (jnp.eye(4), 1.0)),
}


@pytest.mark.parametrize("name", NORMALIZED)
def test_densities_integrate_to_one(name, x64):
    likelihood, (points, cell) = NORMALIZED[name][0](), NORMALIZED[name][1]()
    one = jax.random.normal(jax.random.key(9), (likelihood.n_outputs,))
    outputs = jnp.broadcast_to(one[None, :], (len(points), likelihood.n_outputs))
    total = cell * float(jnp.sum(jnp.exp(log_probs(likelihood, points, outputs))))
    # The tails beyond the grids are below 1e-10; so is the quadrature over rotations.
    assert total == pytest.approx(1.0, abs=1e-9)
