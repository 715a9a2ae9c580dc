"""`ConformationModel`: invariant encoding, equivariant reconstruction, one frame as many, and its transformations."""

import equinox as eqx
import jax
import jax.numpy as jnp
import mdtraj
import numpy as np
import pytest

from polyvae.errors import InputError
from polyvae.features import fit_cartesian, fit_geometry_bounds
from polyvae.preprocessing import align, fit_alignment
from polyvae.trajectory import Trajectory
from polyvae.units import REDUCED
from polyvae.vae import ConformationModel, ModelConfig, SystemInfo, make_vae
from polyvae.vae.likelihoods import Normal


def make_model(dims: int) -> tuple[ConformationModel, np.ndarray]:
    rng = np.random.default_rng(dims)
    shape = np.cumsum(rng.normal(size=(6, dims)), axis=0)
    frames = (shape + 0.3 * rng.normal(size=(700, 6, dims))).astype(np.float32)
    config = ModelConfig(hidden=(16,))
    alignment, _ = fit_alignment(frames)
    representation = fit_cartesian(alignment, lambda: [align(alignment, frames)])
    model = ConformationModel(
        alignment=alignment,
        representation=representation,
        vae=make_vae(Normal.of(representation.n_features), config, seed=0),
        geometry=fit_geometry_bounds(frames, None),
        config=config,
        system=SystemInfo.of(Trajectory(positions=frames)),
    )
    return model, frames


@pytest.fixture(scope="module", params=[2, 3])
def both(request):
    """A model with fresh weights and its frames, in two and in three dimensions."""
    return make_model(request.param)


@pytest.fixture(scope="module")
def flat():
    return make_model(2)


def moved(frames: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The frames turned and shifted, the rotation and the shift."""
    rng = np.random.default_rng(1)
    dims = frames.shape[-1]
    turn, _ = np.linalg.qr(rng.normal(size=(dims, dims)))
    turn[:, 0] *= np.sign(np.linalg.det(turn))
    shift = rng.normal(size=dims)
    return (frames @ turn.T + shift).astype(np.float32), turn, shift


def test_encoding_does_not_change_under_rigid_motion(both):
    model, frames = both
    one, other = model.encode(frames), model.encode(moved(frames)[0])
    # float32 rounding of positions of size 5.
    np.testing.assert_allclose(one.mean, other.mean, atol=5e-5)
    np.testing.assert_allclose(one.log_scale, other.log_scale, atol=5e-5)


def test_reconstruction_moves_with_the_frame(both):
    model, frames = both
    turned, turn, shift = moved(frames)
    expected = np.asarray(model.reconstruct(frames)) @ turn.T + shift
    np.testing.assert_allclose(model.reconstruct(turned), expected, atol=1e-4)


def test_reconstruction_lies_on_its_frame(both):
    model, frames = both
    back = np.asarray(model.reconstruct(frames[:5]))
    np.testing.assert_allclose(back.mean(axis=1), frames[:5].mean(axis=1), atol=1e-5)
    centered = back - back.mean(axis=1, keepdims=True)
    assert (np.einsum("fad,fad->f", centered, frames[:5] - frames[:5].mean(axis=1, keepdims=True)) > 0).all()


def test_a_mirror_image_is_another_conformation(both):
    model, frames = both
    mirrored = frames * np.array([-1.0] + [1.0] * (frames.shape[2] - 1), np.float32)
    assert np.abs(model.encode(mirrored).mean - model.encode(frames).mean).max() > 0.05


def test_one_frame_gives_what_it_gives_among_many(flat):
    model, frames = flat
    many, one = model.encode(frames), model.encode(frames[123])
    np.testing.assert_allclose(one.mean, many.mean[123], atol=1e-5)
    np.testing.assert_allclose(model.features(frames[123]), model.features(frames)[123], atol=1e-5)
    np.testing.assert_allclose(model.decode(one.mean), model.decode(many.mean)[123], atol=1e-5)
    np.testing.assert_allclose(model.reconstruct(frames[123]), model.reconstruct(frames)[123], atol=1e-5)


def test_shapes_are_those_of_frames_features_and_latents(flat):
    model, frames = flat
    assert model.latent_dim == 2
    # More frames than one block, and no multiple of it.
    assert model.features(frames).shape == (700, 9)
    assert model.encode(frames).mean.shape == (700, 2)
    assert model.decode(jnp.zeros((700, 2))).shape == (700, 6, 2)
    assert model.sample(jnp.zeros((700, 2)), jax.random.key(0)).shape == (700, 6, 2)


def test_decoded_frames_are_canonical(flat):
    model, frames = flat
    decoded = model.decode(model.encode(frames[:20]).mean)
    np.testing.assert_allclose(decoded, jax.vmap(model.alignment)(decoded), atol=1e-5)


def test_encoding_works_inside_jit_grad_and_vmap(flat):
    model, frames = flat
    outside = model.encode(frames[:4]).mean
    batch = jnp.asarray(frames[:4])
    mean = lambda frame: model.encode(frame).mean  # noqa: E731
    np.testing.assert_allclose(jax.jit(jax.vmap(mean))(batch), outside, atol=1e-5)
    jacobian = jax.jit(jax.jacobian(mean))(batch[0])
    assert jacobian.shape == (2, 6, 2)
    # No force on the whole: the coordinate does not change under translation.
    np.testing.assert_allclose(jacobian.sum(axis=1), 0.0, atol=1e-5)


def test_the_gradient_of_the_latent_equals_finite_differences(flat):
    model, frames = flat
    frame, direction = frames[7], np.random.default_rng(0).normal(size=(6, 2)).astype(np.float32)
    gradient = jax.grad(lambda frame: model.encode(frame).mean[0])(jnp.asarray(frame))
    step = 5e-3
    ends = model.encode(np.stack([frame + step * direction, frame - step * direction])).mean[:, 0]
    # float32: 1e-6 / 1e-2 of rounding, and the step's own error.
    assert float(jnp.sum(gradient * direction)) == pytest.approx(
        float(ends[0] - ends[1]) / (2 * step), abs=2e-3
    )


@pytest.mark.parametrize("kind", ["coincident", "collinear"])
def test_gradients_are_finite_on_degenerate_frames(both, kind):
    model, frames = both
    frame = np.zeros_like(frames[0])
    if kind == "collinear":
        frame[:, 0] = np.arange(6)
    values = jax.grad(lambda frame: jnp.sum(model.reconstruct(frame) ** 2))(jnp.asarray(frame))
    assert np.isfinite(values).all()


def test_samples_differ_between_keys_and_frames(flat):
    model, _ = flat
    latent = jnp.zeros((3, 2))
    one, again, other = (model.sample(latent, jax.random.key(seed)) for seed in (1, 1, 2))
    np.testing.assert_array_equal(one, again)
    assert (one != other).all()
    assert (one[0] != one[1]).all()


def test_wrong_shapes_are_refused(flat):
    model, frames = flat
    with pytest.raises(InputError, match=r"`positions` must have shape \(frames, 6, 2\).*got \(700, 5, 2\)"):
        model.encode(frames[:, :5])
    with pytest.raises(InputError, match=r"got \(6, 3\)"):
        model.reconstruct(np.zeros((6, 3), np.float32))
    with pytest.raises(InputError, match=r"`latent` must have shape \(frames, 2\); got \(5, 3\)"):
        model.decode(np.zeros((5, 3)))
    with pytest.raises(InputError, match=r"`latent` must have shape \(frames, 2\); got \(5, 3\)"):
        model.sample(np.zeros((5, 3)), jax.random.key(0))


def test_frames_that_are_not_finite_are_counted_and_the_first_is_named(flat):
    model, frames = flat
    broken = frames[:10].copy()
    broken[3, 1, 0] = np.nan
    broken[8, 0, 1] = np.inf
    with pytest.raises(InputError, match=r"NaN or infinity in 2 frame\(s\), first frame 3"):
        model.encode(broken)


def test_generated_conformations_carry_the_system(flat):
    _, frames = flat
    info = SystemInfo.of(
        Trajectory(positions=frames, bonds=np.array([[0, 1]]), masses=np.arange(1.0, 7.0), units=REDUCED)
    )
    trajectory = info.trajectory(frames.astype(np.float64), source="made")
    assert (trajectory.units, trajectory.source) == (REDUCED, "made")
    np.testing.assert_array_equal(trajectory.bonds, [[0, 1]])
    np.testing.assert_array_equal(trajectory.masses, np.arange(1.0, 7.0))
    info.check(trajectory)


def test_another_topology_is_refused_by_its_first_other_atom():
    def with_names(*names: str) -> Trajectory:
        topology = mdtraj.Topology()
        residue = topology.add_residue("ALA", topology.add_chain())
        for name in names:
            topology.add_atom(name, mdtraj.element.carbon, residue)
        return Trajectory(
            positions=np.ones((1, len(names), 3), np.float32), topology=topology, source="run.xtc"
        )

    info = SystemInfo.of(with_names("N", "CA", "C"))
    info.check(with_names("N", "CA", "C"))
    with pytest.raises(InputError, match=r"run.xtc: atom 1 is ALA0-CB, but the model was trained on ALA0-CA"):
        info.check(with_names("N", "CB", "C"))


def test_the_model_is_a_pytree_whose_settings_are_not_leaves(flat):
    model, _ = flat
    leaves = jax.tree.leaves(model)
    assert all(eqx.is_array(leaf) for leaf in leaves)
    assert jax.tree.map(lambda leaf: leaf, model).config is model.config
