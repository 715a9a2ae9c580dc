"""What the encoder sees: plain vectors, angles on a circle, and what no rotation changes."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from polyvae.vae import InvariantInputs, ModelConfig, PeriodicInputs, PlainInputs, make_vae
from polyvae.vae.inputs import LARGEST_SEPARATION, inputs_for
from polyvae.vae.likelihoods import Blocks, Normal, RotationNormal, VonMises

N_ATOMS = 6
encode = eqx.filter_jit(lambda vae, x: vae.encode(x))
inputs_of = eqx.filter_jit(lambda inputs, x: inputs(x))


def basis(n_atoms: int = N_ATOMS) -> np.ndarray:
    """Orthonormal columns that turn modes into centered positions."""
    return np.linalg.svd(np.ones((1, n_atoms)))[2][1:].T


def chain(rng: np.random.Generator, dims: int, n_atoms: int = N_ATOMS) -> tuple[np.ndarray, np.ndarray]:
    """Centered positions of a random chain and the vector of its modes."""
    positions = np.cumsum(rng.normal(size=(n_atoms, dims)), axis=0)
    positions -= positions.mean(axis=0)
    return positions, (basis(n_atoms).T @ positions).reshape(-1)


def rotation(rng: np.random.Generator, dims: int) -> np.ndarray:
    if dims == 3:
        return Rotation.from_rotvec(rng.normal(size=3)).as_matrix()
    cosine, sine = np.cos(1.1), np.sin(1.1)
    return np.array([[cosine, -sine], [sine, cosine]])


def test_plain_inputs_are_the_vector(rng):
    x = jnp.asarray(rng.normal(size=(3, 4)), jnp.float32)
    inputs = PlainInputs(4)
    np.testing.assert_array_equal(inputs(x), x)
    assert inputs.n_inputs == 4


def test_angles_become_cosines_and_sines_of_their_multiples(x64, rng):
    inputs = PeriodicInputs(angles=(0, 2), others=(1,), harmonics=2)
    x = rng.normal(size=(5, 3))
    a, b = x[:, 0], x[:, 2]
    expected = [x[:, 1]]
    for multiple in (1, 2):
        expected += [np.cos(multiple * a), np.cos(multiple * b), np.sin(multiple * a), np.sin(multiple * b)]
    np.testing.assert_allclose(inputs(jnp.asarray(x)), np.stack(expected, axis=1), rtol=1e-12)
    np.testing.assert_allclose(inputs(jnp.asarray(x[0])), np.stack(expected, axis=1)[0], rtol=1e-12)
    assert inputs.n_inputs == 9


def test_the_posterior_of_an_angle_does_not_jump_at_half_a_turn(x64):
    vae = make_vae(VonMises.of(2), ModelConfig(hidden=(8,)), seed=0)
    ends = jnp.array([[np.pi - 1e-7, 0.3], [-np.pi + 1e-7, 0.3]])
    mean = encode(vae, ends).mean
    # The step across is 2e-7 long, and slopes are of order one.
    np.testing.assert_allclose(mean[0], mean[1], atol=1e-5)
    turned = encode(vae, ends + 2 * np.pi).mean
    np.testing.assert_allclose(turned, mean, atol=1e-10)
    assert np.abs(encode(vae, ends - 1.5).mean - mean)[0].max() > 1e-2


def test_inputs_suit_the_likelihood():
    plain = inputs_for(Normal.of(4))
    assert isinstance(plain, PlainInputs)
    assert plain.n_inputs == 4
    angles = inputs_for(Blocks((Normal.of(2), VonMises.of(3), Normal.of(1))), harmonics=2)
    assert isinstance(angles, PeriodicInputs)
    assert (angles.angles, angles.others, angles.harmonics) == ((2, 3, 4), (0, 1, 5), 2)
    invariant = inputs_for(RotationNormal.of(3 * (N_ATOMS - 1), 3))
    assert isinstance(invariant, InvariantInputs)
    assert (invariant.dims, invariant.atoms.shape) == (3, (N_ATOMS, N_ATOMS - 1))


@pytest.mark.parametrize("dims", [2, 3])
def test_invariant_inputs_are_pair_distances_and_signed_volumes(x64, rng, dims):
    positions, modes = chain(rng, dims)
    inputs = InvariantInputs.unscaled(basis(), dims)
    pairs = np.asarray(inputs.pairs)
    assert len(pairs) == N_ATOMS * (N_ATOMS - 1) // 2
    distances = np.linalg.norm(positions[pairs[:, 0]] - positions[pairs[:, 1]], axis=1)
    volumes = [
        np.linalg.det(np.diff(positions[first : first + dims + 1], axis=0)) for first in range(N_ATOMS - dims)
    ]
    np.testing.assert_allclose(
        inputs_of(inputs, jnp.asarray(modes)), [*distances, *volumes], rtol=1e-9, atol=1e-12
    )
    assert inputs.n_inputs == len(distances) + len(volumes)


@pytest.mark.parametrize("dims", [2, 3])
def test_rotations_leave_invariant_inputs_and_a_mirror_image_flips_the_volumes(x64, rng, dims):
    positions, modes = chain(rng, dims)
    inputs = jax.jit(InvariantInputs.unscaled(basis(), dims).__call__)
    turned = (basis().T @ (positions @ rotation(rng, dims).T)).reshape(-1)
    mirrored = (basis().T @ (positions * np.array([-1.0] + [1.0] * (dims - 1)))).reshape(-1)
    original = np.asarray(inputs(jnp.asarray(modes)))
    np.testing.assert_allclose(inputs(jnp.asarray(turned)), original, atol=1e-12 * np.abs(original).max())
    after = np.asarray(inputs(jnp.asarray(mirrored)))
    n_volumes = N_ATOMS - dims
    np.testing.assert_allclose(after[:-n_volumes], original[:-n_volumes], rtol=1e-10)
    np.testing.assert_allclose(after[-n_volumes:], -original[-n_volumes:], rtol=1e-10)
    assert np.abs(original[-n_volumes:]).min() > 1e-3


@pytest.mark.parametrize("dims", [2, 3])
def test_the_posterior_under_a_rotation_likelihood_does_not_change_with_orientation(x64, rng, dims):
    positions, modes = chain(rng, dims)
    config = ModelConfig(hidden=(8,), likelihood="rotation", posterior="full")
    vae = make_vae(RotationNormal.of(dims * (N_ATOMS - 1), dims), config, seed=0)
    turned = (basis().T @ (positions @ rotation(rng, dims).T)).reshape(-1)
    mirrored = (basis().T @ (positions * np.array([-1.0] + [1.0] * (dims - 1)))).reshape(-1)
    posterior = encode(vae, jnp.asarray(np.stack([modes, turned, mirrored])))
    np.testing.assert_allclose(posterior.mean[0], posterior.mean[1], rtol=1e-9)
    np.testing.assert_allclose(posterior.cholesky[0], posterior.cholesky[1], rtol=1e-9)
    assert np.abs(posterior.mean[0] - posterior.mean[2]).max() > 1e-3


def test_a_long_chain_takes_near_pairs_and_powers_of_two(rng):
    inputs = InvariantInputs.unscaled(basis(80), 3)
    separations = {second - first for first, second in inputs.pairs}
    assert separations == {*range(1, LARGEST_SEPARATION + 1), 32, 64}


def test_two_atoms_have_a_distance_and_no_volume(x64):
    inputs = InvariantInputs.unscaled(basis(2), 3)
    np.testing.assert_allclose(inputs(jnp.array([1.0, 2.0, 2.0])), [3.0 * np.sqrt(2.0)], rtol=1e-12)


def test_scaled_inputs_have_mean_zero_and_variance_one_over_the_data(x64, rng):
    vectors = jnp.asarray(np.stack([chain(rng, 3)[1] for _ in range(300)]))
    inputs = eqx.filter_jit(lambda inputs, x: inputs.scaled_to(x))(
        InvariantInputs.unscaled(basis(), 3), vectors
    )
    values = np.asarray(inputs_of(inputs, vectors))
    np.testing.assert_allclose(values.mean(axis=0), 0.0, atol=1e-10)
    np.testing.assert_allclose(values.std(axis=0), 1.0, rtol=1e-10)
    # One vector gives what it gives among many.
    np.testing.assert_allclose(inputs_of(inputs, vectors[7]), values[7], atol=1e-12)


def test_an_input_that_does_not_vary_stays_finite(x64, rng):
    positions = np.cumsum(rng.normal(size=(50, 3, 2)), axis=1)
    # The first bond keeps its length.
    step = positions[:, 1] - positions[:, 0]
    positions[:, 1] = positions[:, 0] + step / np.linalg.norm(step, axis=1, keepdims=True)
    vectors = np.einsum("am,fad->fmd", basis(3), positions).reshape(50, -1)
    values = np.asarray(
        InvariantInputs.unscaled(basis(3), 2).scaled_to(jnp.asarray(vectors))(jnp.asarray(vectors))
    )
    np.testing.assert_allclose(values[:, 0], 0.0, atol=1e-9)


@pytest.mark.parametrize("dims", [2, 3])
def test_gradients_are_finite_where_atoms_coincide_or_lie_on_a_line(dims):
    inputs = InvariantInputs.unscaled(basis(), dims)
    line = np.zeros((N_ATOMS, dims))
    line[:, 0] = np.arange(N_ATOMS)
    jacobian = jax.jit(jax.jacobian(inputs.__call__))
    for positions in (np.zeros((N_ATOMS, dims)), line):
        modes = jnp.asarray((basis().T @ positions).reshape(-1), jnp.float32)
        assert np.isfinite(jacobian(modes)).all()
