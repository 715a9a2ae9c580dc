"""What a latent listens to: gradients against finite differences, rigid motion, variables with a known answer."""

import numpy as np
import pytest

import polyvae as pv
from polyvae.analysis import sensitivity
from polyvae.analysis.kinetics.variables import correlation_ratio, default_variables
from polyvae.errors import InputError
from polyvae.units import REDUCED


def test_gradients_equal_finite_differences(chain, fitted):
    frame = chain[:1]
    found = sensitivity(fitted.model, frame, variables=[])
    step = 1e-3
    moved = np.tile(frame.positions, (2 * 5 * 2, 1, 1))
    for row, (atom, axis, sign) in enumerate((a, d, s) for a in range(5) for d in range(2) for s in (1, -1)):
        moved[row, atom, axis] += sign * step
    latent = np.asarray(fitted.model.encode(moved).mean, np.float64).reshape(5, 2, 2, -1)
    differences = (latent[:, :, 0] - latent[:, :, 1]) / (2 * step)
    expected = np.sqrt(np.sum(differences**2, axis=1)).T
    # float32 latents of size one know differences of 2e-3 to 1e-4; curvature adds its part.
    np.testing.assert_allclose(found.gradient, expected, atol=5e-3 * expected.max())


def test_rigid_motion_moves_no_latent_and_changes_no_sensitivity(chain, fitted):
    rng = np.random.default_rng(0)
    some = chain[::50]
    turned = some.positions.copy()
    for frame in range(len(turned)):
        angle = rng.uniform(0, 2 * np.pi)
        turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        turned[frame] = turned[frame] @ turn.T + rng.normal(size=2)
    mine = sensitivity(fitted.model, some, variables=[])
    theirs = sensitivity(fitted.model, some.replace(positions=turned.astype(np.float32)), variables=[])
    # Aligning float32 positions again.
    np.testing.assert_allclose(mine.gradient, theirs.gradient, rtol=1e-3)
    np.testing.assert_allclose(mine.fluctuation, theirs.fluctuation, rtol=1e-3)

    import jax

    frame = jax.numpy.asarray(some.positions[3])
    jacobian = np.asarray(jax.jacrev(lambda x: fitted.model.encode(x).mean)(frame), np.float64)
    size = np.abs(jacobian).max()
    np.testing.assert_allclose(jacobian.sum(axis=1), 0, atol=1e-4 * size)
    spin = np.stack([-some.positions[3][:, 1], some.positions[3][:, 0]], axis=1)
    np.testing.assert_allclose(np.einsum("lad,ad->l", jacobian, spin), 0, atol=1e-3 * size)


def test_a_linear_encoder_listens_as_much_as_its_weights_say(linear_model):
    model = linear_model[0]
    positions = np.random.default_rng(1).normal(size=(40, 3, 2)).astype(np.float32)
    trajectory = pv.Trajectory(positions=positions, units=REDUCED)
    found = sensitivity(model, trajectory, variables=["distance:0-2"], bins=4)
    weights = np.asarray(model.vae.network.encoder.weights[0])[:, :2].T / np.asarray(model.cartesian.scale)
    expected = np.linalg.norm(weights.reshape(2, 3, 2), axis=2)
    np.testing.assert_allclose(found.gradient, expected, rtol=1e-5)
    np.testing.assert_allclose(
        found.fluctuation, np.sqrt(positions.astype(float).var(axis=0).sum(axis=1)), rtol=1e-4
    )
    np.testing.assert_allclose(found.scaled, found.gradient * found.fluctuation)
    assert found.top_atoms[0] == found.of_atoms.argmax()
    assert found.unit == "σ"


def test_correlation_ratio_is_one_for_a_function_and_its_floor_for_noise(rng):
    angle = rng.uniform(-np.pi, np.pi, 20_000)
    latent = np.stack([np.cos(3 * angle), rng.normal(size=20_000), np.ones(20_000)], axis=1)
    found = correlation_ratio(latent, angle, bins=60, period=2 * np.pi)
    # cos 3φ varies by up to 0.3 within a bin of six degrees: 1 - 0.0082.
    assert found[0] == pytest.approx(1 - (3 * 2 * np.pi / 60) ** 2 / 12, abs=1e-3)
    assert found[1] == pytest.approx(59 / 20_000, abs=4 * np.sqrt(2 * 59) / 20_000)
    assert found[2] == 0
    turned = correlation_ratio(latent, angle + 4 * np.pi, bins=60, period=2 * np.pi)
    np.testing.assert_allclose(turned, found, rtol=1e-6)
    weights = np.r_[np.ones(10_000), np.zeros(10_000)]
    np.testing.assert_allclose(
        correlation_ratio(latent, angle, bins=60, period=2 * np.pi, weights=weights),
        correlation_ratio(latent[:10_000], angle[:10_000], bins=60, period=2 * np.pi),
        rtol=1e-9,
    )


def test_the_chain_listens_to_distances_above_their_floor(chain, fitted):
    found = sensitivity(fitted.model, chain, frames=fitted.split.train, gradient_frames=50)
    assert found.variables == ("distance:0-3", "distance:0-4", "distance:1-4")
    assert found.frames == 50
    best = found.top_variables(0)[0]
    assert found.eta2[:, best].max() > 3 * found.floor_eta2[:, best].max()
    assert found.positions.shape == (5, 2)


def test_default_variables_of_a_molecule_are_torsions_of_heavy_atoms_and_distances():
    molecule = pv.load(pv.bundled("alanine_dipeptide.xtc"), top=pv.bundled("alanine_dipeptide.pdb"), stop=3)
    names = default_variables(molecule)
    # φ and ψ.
    assert {"torsion:4-6-8-14", "torsion:6-8-14-16"} <= set(names)
    distances = [name for name in names if name.startswith("distance")]
    # Seven or more apart among ten heavy atoms: pairs i, j with j - i >= 3.
    assert len(distances) == 28


def test_few_frames_have_few_bins(chain, fitted):
    found = sensitivity(fitted.model, chain[:60], gradient_frames=5)
    assert found.bins == 6
    assert found.floor_eta2.mean() < 0.5


def test_mistakes_are_named(chain, fitted):
    with pytest.raises(InputError, match="`variable_frames` must be at least 240; got 30"):
        sensitivity(fitted.model, chain, variable_frames=30)
    with pytest.raises(InputError, match="`bins` must be at least 2; got 1"):
        sensitivity(fitted.model, chain, bins=1)
    with pytest.raises(InputError, match="'distance:0-9' must name two different atoms below n_atoms=5"):
        sensitivity(fitted.model, chain, variables=["distance:0-9"])
    with pytest.raises(InputError, match="the model was trained on 5 atoms"):
        sensitivity(fitted.model, pv.Trajectory(positions=np.zeros((9, 4, 2), np.float32)))
