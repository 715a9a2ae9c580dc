"""The Cartesian representation: which directions it keeps, round trips, scaling and volume."""

from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from polyvae.errors import InputError
from polyvae.features import fit_cartesian
from polyvae.features.free_directions import free_directions
from polyvae.preprocessing import Alignment, align, fit_alignment


def chain(rng: np.random.Generator, n_frames: int, n_atoms: int, dims: int) -> np.ndarray:
    """A chain of about fixed shape that fluctuates, turns and drifts."""
    shape = np.cumsum(rng.normal(size=(n_atoms, dims)), axis=0)
    frames = shape + 0.2 * rng.normal(size=(n_frames, n_atoms, dims))
    turns = np.linalg.qr(rng.normal(size=(n_frames, dims, dims)))[0]
    turns[:, :, 0] *= np.sign(np.linalg.det(turns))[:, None]
    return np.einsum("nad,ncd->nac", frames, turns) + 5.0 * rng.normal(size=(n_frames, 1, dims))


@cache
def fitted(method: str, dims: int) -> tuple[Alignment, np.ndarray]:
    """An alignment of six atoms and the canonical frames behind it, in float64."""
    with jax.enable_x64(True):
        frames = chain(np.random.default_rng(5), 64, 6, dims)
        alignment, _ = fit_alignment(frames, method=method)
        return alignment, align(alignment, frames)


def represented(scaling: str = "isotropic", method: str = "procrustes", dims: int = 2) -> tuple:
    """A representation and its features, fitted in two chunks, as a streamed trajectory comes."""
    alignment, canonical = fitted(method, dims)
    representation = fit_cartesian(alignment, lambda: [canonical[:20], canonical[20:]], scaling=scaling)
    return representation, canonical, np.asarray(jax.jit(jax.vmap(representation))(jnp.asarray(canonical)))


def to(reference: np.ndarray, dtype: type = np.float32) -> Alignment:
    centered = reference - reference.mean(axis=0)
    n_atoms = len(reference)
    return Alignment(
        method="kabsch", weights=jnp.full(n_atoms, 1 / n_atoms, dtype), reference=jnp.asarray(centered, dtype)
    )


@pytest.mark.parametrize(("method", "dims"), [("procrustes", 3), ("kabsch", 2)])
def test_superposition_leaves_all_but_the_rigid_motions(method, dims):
    rows = free_directions(fitted(method, dims)[0], 6, dims).dense
    assert rows.shape == ({2: 2 * 6 - 3, 3: 3 * 6 - 6}[dims], 6 * dims)
    np.testing.assert_allclose(rows @ rows.T, np.eye(len(rows)), atol=1e-12)


@pytest.mark.parametrize(
    ("method", "dims", "removed"), [("none", 3, 0), ("center", 3, 1), ("principal_axes", 2, 1)]
)
def test_other_alignments_leave_all_but_the_translations_they_remove(method, dims, removed):
    assert len(free_directions(fitted(method, dims)[0], 6, dims)) == dims * (6 - removed)


def test_masses_enter_the_center_that_is_removed(rng):
    masses = rng.uniform(1.0, 20.0, size=6)
    alignment = Alignment(method="center", weights=jnp.asarray(masses / masses.sum(), jnp.float32))
    rows = free_directions(alignment, 6, 3).dense
    center_of_mass = np.kron(np.asarray(alignment.weights, np.float64), np.eye(3))
    np.testing.assert_allclose(rows @ center_of_mass.T, 0.0, atol=1e-14)


@pytest.mark.parametrize("axis", [(0.0, 0.0, 1.0), (1.0, 0.0, 0.0), (0.3, -0.5, 0.8)])
@pytest.mark.parametrize("noise", [0.0, 1e-8])
def test_a_collinear_reference_in_three_dimensions_constrains_two_rotations(rng, axis, noise):
    line = np.outer(np.arange(6.0), axis) + noise * rng.normal(size=(6, 3))
    assert len(free_directions(to(line), 6, 3)) == 3 * 6 - 5


def test_a_collinear_reference_in_two_dimensions_constrains_the_rotation():
    assert len(free_directions(to(np.outer(np.arange(5.0), [1.0, 0.0])), 5, 2)) == 2 * 5 - 3


@pytest.mark.parametrize("dims", [2, 3])
def test_two_atoms_keep_their_distance_alone(rng, dims):
    alignment = to(np.stack([np.zeros(dims), np.full(dims, 1.5)]))
    length = rng.normal(1.5, 0.1, size=200)
    canonical = (length[:, None, None] * np.asarray(alignment.reference)).astype(np.float32)
    representation = fit_cartesian(alignment, lambda: [canonical])
    assert representation.n_features == 1
    features = np.asarray(jax.jit(jax.vmap(representation))(jnp.asarray(canonical)))[:, 0]
    # One feature of unit variance: the distance up to sign, shift and scale.
    assert abs(np.corrcoef(features, length)[0, 1]) > 1 - 1e-5


@pytest.mark.parametrize(
    ("method", "dims"),
    [("procrustes", 3), ("kabsch", 2), ("principal_axes", 2), ("center", 3), ("none", 3)],
)
def test_canonical_frames_survive_the_round_trip(x64, method, dims):
    representation, canonical, features = represented(method=method, dims=dims)
    back = jax.jit(jax.vmap(representation.positions))(jnp.asarray(features))
    # Superposition is exact to about 1e-8 of the molecule's size, from the iteration for the rotation.
    np.testing.assert_allclose(back, canonical, atol=1e-7)


def test_features_keep_squared_distances_of_canonical_frames_in_units_of_the_scale(x64):
    representation, canonical, features = represented(dims=3)
    in_space = np.sum((canonical[0] - canonical[1]) ** 2)
    scale = float(representation.scale[0])
    assert np.sum((features[0] - features[1]) ** 2) * scale**2 == pytest.approx(in_space, rel=1e-7)


@pytest.mark.parametrize("scaling", ["isotropic", "per-feature", "none"])
def test_features_have_zero_mean(x64, scaling):
    _, _, features = represented(scaling)
    np.testing.assert_allclose(features.mean(axis=0), 0.0, atol=1e-10)


def test_isotropic_scaling_divides_by_one_number_and_gives_unit_mean_variance(x64):
    representation, _, features = represented("isotropic")
    assert len(np.unique(np.asarray(representation.scale))) == 1
    assert features.var(axis=0).mean() == pytest.approx(1.0, rel=1e-9)


def test_scaling_per_feature_gives_unit_variances(x64):
    _, _, features = represented("per-feature")
    np.testing.assert_allclose(features.var(axis=0), 1.0, rtol=1e-9)


def test_scaling_none_keeps_the_unit_of_length(x64):
    representation, _, _ = represented("none")
    np.testing.assert_array_equal(representation.scale, 1.0)
    assert float(representation.log_volume) == 0.0


@pytest.mark.parametrize("scaling", ["isotropic", "per-feature"])
def test_log_volume_is_the_change_of_variables(x64, scaling):
    representation, _, _ = represented(scaling)
    # Features as a function of orthonormal coordinates of the free directions.
    jacobian = jax.jacobian(lambda y: representation((y @ representation.basis).reshape(6, 2)))
    sign, log_determinant = np.linalg.slogdet(jacobian(jnp.zeros(representation.n_features)))
    assert sign == 1.0
    assert float(representation.log_volume) == pytest.approx(log_determinant, rel=1e-12)


def test_statistics_do_not_suffer_far_from_the_origin(rng):
    frames = rng.normal(size=(300, 5, 3))
    alignment = Alignment(method="none", weights=jnp.full(5, 0.2))
    near = fit_cartesian(alignment, lambda: [frames])
    far = fit_cartesian(alignment, lambda: [frames + 1e4])
    np.testing.assert_allclose(far.scale, near.scale, rtol=1e-5)


UNALIGNED = Alignment(method="none", weights=jnp.full(3, 1 / 3))


@pytest.mark.parametrize("scaling", ["isotropic", "per-feature"])
def test_weights_make_the_weighted_mean_and_variance(x64, rng, scaling):
    frames, weights = rng.normal(size=(60, 3, 2)) * [1.0, 3.0] + 2.0, rng.exponential(size=60)
    chunks = lambda: [frames[:25], frames[25:]]  # noqa: E731
    representation = fit_cartesian(UNALIGNED, chunks, scaling=scaling, weights=weights)
    values = frames.reshape(60, -1)
    variance = np.diag(np.cov(values.T, aweights=weights, ddof=0))
    scale = np.sqrt(variance if scaling == "per-feature" else np.full(6, variance.mean()))
    np.testing.assert_allclose(representation.mean, np.average(values, axis=0, weights=weights), rtol=1e-12)
    np.testing.assert_allclose(representation.scale, scale, rtol=1e-12)


def test_weights_obey_their_laws(x64, rng):
    frames, counts = rng.normal(size=(30, 3, 2)), rng.integers(1, 4, size=30)

    def fit(frames: np.ndarray, weights: np.ndarray | None) -> np.ndarray:
        representation = fit_cartesian(UNALIGNED, lambda: [frames], weights=weights)
        return np.concatenate([representation.mean, representation.scale])

    weighted = fit(frames, counts)
    np.testing.assert_allclose(fit(np.repeat(frames, counts, axis=0), None), weighted, rtol=1e-12)
    np.testing.assert_allclose(fit(frames, 1e-9 * counts), weighted, rtol=1e-12)
    np.testing.assert_allclose(fit(frames, np.full(30, 0.2)), fit(frames, None), rtol=1e-12)
    # Not even a first frame that has gone far away.
    more = np.concatenate([1e9 * frames[:1], frames, frames[:1]])
    np.testing.assert_allclose(fit(more, np.r_[0.0, counts, 0.0]), weighted, rtol=1e-12)
    assert np.abs(fit(frames, None) - weighted).max() > 0.01


def test_frames_that_alone_have_weight_must_vary(rng):
    frames = rng.normal(size=(20, 3, 2))
    frames[5:9] = frames[5]
    weights = np.zeros(20)
    weights[5:9] = 1.0
    with pytest.raises(InputError, match="All 4 frames have the same conformation"):
        fit_cartesian(UNALIGNED, lambda: [frames], weights=weights)


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        (np.ones(19), "`weights` hold 19 numbers, but there are at least 20 frames"),
        (np.ones(21), "`weights` hold 21 numbers, but there are 20 frames"),
        (np.zeros(20), "`weights` are zero for all 20 frames"),
        (-np.ones(20), "`weights` must be finite and not negative; got -1.0 for frame 0"),
    ],
)
def test_weights_that_do_not_fit_the_frames_are_refused(rng, weights, message):
    frames = rng.normal(size=(20, 3, 2))
    with pytest.raises(InputError, match=message):
        fit_cartesian(UNALIGNED, lambda: [frames[:12], frames[12:]], weights=weights)


def test_a_single_atom_has_no_shape():
    with pytest.raises(InputError, match=r"1 atom.* at least two atoms"):
        fit_cartesian(to(np.zeros((1, 3))), lambda: [np.zeros((20, 1, 3), np.float32)])


def test_frames_that_only_move_rigidly_leave_nothing_to_learn(rng):
    angles = rng.uniform(0.0, 2 * np.pi, size=25)
    turns = np.array([[np.cos(angles), -np.sin(angles)], [np.sin(angles), np.cos(angles)]])
    frames = np.einsum("ad,cdn->nac", rng.normal(size=(6, 2)), turns).astype(np.float32)
    alignment, _ = fit_alignment(frames)
    with pytest.raises(InputError, match="All 25 frames have the same conformation"):
        fit_cartesian(alignment, lambda: [align(alignment, frames)])


def test_no_frames_are_an_error():
    with pytest.raises(InputError, match="No frames"):
        fit_cartesian(to(np.eye(3)), list)
