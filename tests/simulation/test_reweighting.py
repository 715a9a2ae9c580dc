"""Weights of a linear model whose density is known, against Boltzmann averages by quadrature."""

import math
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.spatial.transform
import scipy.stats

import polyvae as pv
from polyvae.analysis.baselines import log_rotation_volume, rotation_directions
from polyvae.errors import InputError, MissingDependencyError, PolyvaeWarning
from polyvae.features import Cartesian, fit_geometry_bounds
from polyvae.features.free_directions import free_directions
from polyvae.preprocessing import Alignment
from polyvae.simulation import reweight
from polyvae.simulation.reweighting import _volumes
from polyvae.trajectory import Trajectory
from polyvae.units import BOLTZMANN_KJ_PER_MOL_K, MOLECULAR, REDUCED
from polyvae.vae import (
    MLP,
    VAE,
    ConformationModel,
    EncoderDecoder,
    ModelConfig,
    PlainInputs,
    StandardNormal,
    SystemInfo,
)
from polyvae.vae.likelihoods import Normal

LENGTHS, STIFFNESS, ANGLE, BENDING = (1.0, 1.2), 30.0, 1.9, 6.0
"""Rest lengths and angle of three beads, and their stiffness; k_B T = 1."""


def triangle(first: float, second: float, angle: float, dims: int) -> np.ndarray:
    frame = np.zeros((3, dims))
    frame[0, 0] = first
    frame[2, :2] = second * math.cos(angle), second * math.sin(angle)
    return frame - frame.mean(axis=0)


def shape_of(frames: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Both bond lengths and the angle of each frame."""
    one, two = frames[:, 0] - frames[:, 1], frames[:, 2] - frames[:, 1]
    first, second = np.linalg.norm(one, axis=1), np.linalg.norm(two, axis=1)
    return first, second, np.arccos(np.sum(one * two, axis=1) / (first * second))


def energies_of(frames: np.ndarray) -> np.ndarray:
    first, second, angle = shape_of(frames.astype(np.float64))
    bonds = (first - LENGTHS[0]) ** 2 + (second - LENGTHS[1]) ** 2
    energies = STIFFNESS / 2 * bonds + BENDING / 2 * (angle - ANGLE) ** 2
    if frames.shape[2] == 3:
        return energies
    # In the plane the mirror image is another shape, far from the model: the energy excludes it.
    one, two = frames[:, 0] - frames[:, 1], frames[:, 2] - frames[:, 1]
    return np.where(one[:, 0] * two[:, 1] > one[:, 1] * two[:, 0], energies, np.inf)


def linear_model(
    alignment: Alignment, frame: np.ndarray, *, width: float, units: str = "reduced"
) -> ConformationModel:
    """A model whose density is exactly normal around a frame, of two widths, with the exact posterior."""
    n_atoms, dims = frame.shape
    directions = free_directions(alignment, n_atoms, dims)
    basis = directions.dense
    n = len(basis)
    decoder, sigma = np.zeros((1, n)), 1.0
    decoder[0, 0] = 0.5
    precision = 1.0 + decoder[0, 0] ** 2 / sigma**2
    encoder = np.concatenate([(decoder / sigma**2 / precision).T, np.zeros((n, 1))], axis=1)
    array = lambda values: jnp.asarray(values, jnp.result_type(float))  # noqa: E731
    vae = VAE(
        network=EncoderDecoder(
            encoder=MLP(weights=(array(encoder),), biases=(array([0.0, -0.5 * math.log(precision)]),)),
            decoder=MLP(weights=(array(decoder),), biases=(array(np.zeros(n)),)),
        ),
        likelihood=Normal.of(n, sigma=sigma),
        prior=StandardNormal(1),
        inputs=PlainInputs(n),
        latent_dim=1,
    )
    return ConformationModel(
        alignment=alignment,
        representation=Cartesian(
            directions=jax.tree.map(array, directions),
            mean=array(basis @ frame.reshape(-1)),
            scale=array(np.full(n, width)),
            n_atoms=n_atoms,
        ),
        vae=vae,
        geometry=fit_geometry_bounds(frame[None].astype(np.float32), None),
        config=ModelConfig(latent_dim=1, hidden=(1,), alignment=alignment.method),
        system=SystemInfo(n_atoms=n_atoms, dims=dims, units=units),
    )


def aligned_model(dims: int, *, width: float = 0.28, units: str = "reduced") -> ConformationModel:
    frame = triangle(*LENGTHS, ANGLE, dims)
    weights = jnp.full(3, 1 / 3)
    reference = jnp.asarray(frame, jnp.result_type(float))
    alignment = Alignment(method="kabsch", weights=weights, reference=reference)
    return linear_model(alignment, frame, width=width, units=units)


def quadrature(dims: int) -> tuple[np.ndarray, float]:
    """Boltzmann means of the first length, the second and the angle, and the integral over shapes.

    The volume element is r^(dims-1) for each length, and sin of the angle in three dimensions.
    """
    first, second = (np.linspace(0.05, rest + 1.5, 401) for rest in LENGTHS)
    angle = np.linspace(0.0, math.pi, 2001)
    marginals = [
        r ** (dims - 1) * np.exp(-STIFFNESS / 2 * (r - rest) ** 2)
        for r, rest in zip((first, second), LENGTHS, strict=True)
    ]
    marginals.append((np.sin(angle) if dims == 3 else 1.0) * np.exp(-BENDING / 2 * (angle - ANGLE) ** 2))
    axes = (first, second, angle)
    sums = [np.trapezoid(weight, x) for weight, x in zip(marginals, axes, strict=True)]
    means = [np.trapezoid(w * x, x) / s for w, x, s in zip(marginals, axes, sums, strict=True)]
    return np.array(means), float(np.prod(sums))


@pytest.mark.parametrize("dims", [2, 3])
def test_reweighted_shapes_are_those_of_quadrature(dims):
    model = aligned_model(dims)
    drawn = pv.generate(model, 20_000, seed=3)
    energies = energies_of(drawn.positions)
    ensemble = reweight(model, drawn, energies, 1.0, samples=1)
    weights = ensemble.trajectory.weights
    shapes = np.stack(shape_of(drawn.positions.astype(np.float64)), axis=1)
    means = np.average(shapes, axis=0, weights=weights)
    spread = np.sqrt(np.average((shapes - means) ** 2, axis=0, weights=weights))
    error = spread / math.sqrt(ensemble.effective_sample_size)
    assert ensemble.effective_sample_size > 3000
    expected, _ = quadrature(dims)
    assert np.all(error < 0.01)
    # Four standard errors.
    assert np.all(np.abs(means - expected) < 4 * error)
    # The volume J has its part in this.
    rotations = jnp.asarray(rotation_directions(model.alignment, 3, dims), jnp.result_type(float))
    log_volumes = np.asarray(_volumes(model.alignment, rotations, jnp.asarray(drawn.positions))[0])
    without = np.average(shapes, axis=0, weights=weights * np.exp(-log_volumes))
    assert np.abs(without - expected).max() > 8 * error.max()


@pytest.mark.parametrize("method", ["center", "kabsch"])
@pytest.mark.parametrize("dims", [2, 3])
def test_mean_weight_is_the_integral_over_all_shapes(dims, method):
    # The mean weight is the integral of exp(-U) over canonical frames, so that the missing constant is known too. With
    # bond vectors as coordinates, centered coordinates in an orthonormal basis have the volume element 3^(-dims/2).
    model = aligned_model(dims)
    group = 2 * math.pi if dims == 2 else 8 * math.pi**2
    # Directions of the first bond, times those of the second around it.
    directions = 4 * math.pi * 2 * math.pi if dims == 3 else 2 * math.pi
    integral = quadrature(dims)[1] * directions * 3 ** (-dims / 2)
    if method == "center":
        frame = np.asarray(model.alignment.reference, np.float64)
        alignment = Alignment(method="center", weights=jnp.full(3, 1 / 3))
        model, group = linear_model(alignment, 0.0 * frame, width=0.75), 1.0
    drawn = pv.generate(model, 40_000, seed=4)
    ensemble = reweight(model, drawn, energies_of(drawn.positions), 1.0, samples=1)
    ratio = np.exp(ensemble.log_weights) * group / integral
    error = ratio.std() / math.sqrt(len(ratio))
    assert error < 0.05
    # Four standard errors.
    assert abs(ratio.mean() - 1.0) < 4 * error


@pytest.mark.parametrize(("n_atoms", "dims"), [(3, 2), (5, 2), (3, 3), (5, 3)])
def test_volume_of_rotations_equals_finite_differences(x64, rng, n_atoms, dims):
    weights = rng.uniform(0.5, 2.0, size=n_atoms)
    weights /= weights.sum()
    reference, frame = rng.normal(size=(2, n_atoms, dims))
    reference -= weights @ reference
    alignment = Alignment(method="kabsch", weights=jnp.asarray(weights), reference=jnp.asarray(reference))
    canonical = np.asarray(alignment(jnp.asarray(frame)))
    aligned = free_directions(alignment, n_atoms, dims).dense
    centered = free_directions(Alignment(method="center", weights=alignment.weights), n_atoms, dims).dense
    start = aligned @ canonical.reshape(-1)

    def turned(coordinates: np.ndarray) -> np.ndarray:
        """Centered coordinates of the frame with these free ones, turned by the rotation vector in the last entries."""
        angles = np.zeros(3)
        angles[-(dims * (dims - 1) // 2) :] = coordinates[len(start) :]
        turn = scipy.spatial.transform.Rotation.from_rotvec(angles).as_matrix()[:dims, :dims]
        return centered @ ((coordinates[: len(start)] @ aligned).reshape(n_atoms, dims) @ turn.T).reshape(-1)

    origin = np.concatenate([start, np.zeros(dims * (dims - 1) // 2)])
    step = 1e-5
    jacobian = [
        (turned(origin + step * unit) - turned(origin - step * unit)) / (2 * step)
        for unit in np.eye(len(origin))
    ]
    expected = math.log(abs(np.linalg.det(np.stack(jacobian))))
    rotations = jnp.asarray(rotation_directions(alignment, n_atoms, dims))
    # Central differences are right to step², 1e-10.
    assert float(log_rotation_volume(jnp.asarray(canonical), rotations)) == pytest.approx(expected, abs=1e-7)
    # The same from any orientation.
    turn = scipy.stats.special_ortho_group(dims).rvs(random_state=1)
    log_volumes, folded = _volumes(alignment, rotations, jnp.asarray(frame @ turn.T + 3.0)[None])
    assert float(log_volumes[0]) == pytest.approx(expected, abs=1e-7)
    assert not folded[0]


def test_draws_beyond_the_fold_weigh_nothing():
    model = aligned_model(3)
    frame = triangle(*LENGTHS, ANGLE, 3)
    covariance = frame.T @ frame
    axes = np.linalg.eigh(covariance)[1].T
    # Turned by 180° about its own axes, the reference is still in the space of canonical frames.
    half_turns = np.stack([frame @ (2 * np.outer(axis, axis) - np.eye(3)).T for axis in axes])
    other = frame @ scipy.spatial.transform.Rotation.from_rotvec([0.0, 0.0, 2.0]).as_matrix().T
    positions = np.concatenate([frame[None], half_turns, other[None]])
    trajectory = Trajectory(positions=positions, units=REDUCED)
    with pytest.warns(PolyvaeWarning, match="the heaviest has 50.0% of all weight"):
        ensemble = reweight(model, trajectory, np.zeros(5), 1.0, samples=1)
    np.testing.assert_array_equal(np.isneginf(ensemble.log_weights), [False, True, True, True, False])
    # Float32 positions.
    assert ensemble.log_weights[4] == pytest.approx(ensemble.log_weights[0], abs=1e-4)


def test_temperature_is_in_kelvin_for_molecules_and_the_thermal_energy_in_reduced_units():
    energies, log_weights = np.linspace(0.0, 30.0, 40), {}
    for units in (MOLECULAR, REDUCED):
        model = aligned_model(3, units=units.name)
        drawn = pv.generate(model, 40, seed=0)
        at = 300.0 if units is MOLECULAR else 300.0 * BOLTZMANN_KJ_PER_MOL_K
        with pytest.warns(PolyvaeWarning, match="of all weight"):
            log_weights[units.name] = reweight(model, drawn, energies, at, samples=1).log_weights
    np.testing.assert_allclose(log_weights["molecular"], log_weights["reduced"], rtol=1e-12)


def test_record_says_what_its_frames_are_worth():
    model = aligned_model(3)
    drawn = pv.generate(model, 100, seed=1)
    known = energies_of(drawn.positions)
    # Energies that make all weights equal but for two, which count double and not at all.
    energies = known + reweight(model, drawn, known, 1.0, samples=1).log_weights
    energies[np.isneginf(energies)] = np.inf
    first, second = np.flatnonzero(np.isfinite(energies))[:2]
    energies[first] -= math.log(2)
    energies[second] = np.inf
    ensemble = reweight(model, drawn, energies, 1.0, samples=1)
    counted = np.isfinite(energies).sum()
    size = (counted + 1) ** 2 / (counted + 3)
    assert ensemble.effective_sample_size == pytest.approx(size, rel=1e-9)
    assert ensemble.effective_share == pytest.approx(size / 100, rel=1e-9)
    assert ensemble.largest_weight == pytest.approx(2 / (counted + 1), rel=1e-9)
    assert ensemble.trajectory.weights is not None
    assert ensemble.trajectory.weights[second] == 0.0
    assert str(ensemble).startswith(f"100 frames are worth {size:.1f} of equal weight ({size / 100:.2%})")


def test_system_and_its_energies_give_the_same_weights():
    openmm = pytest.importorskip("openmm", reason="energies need OpenMM")
    system, bonds, angles = openmm.System(), openmm.HarmonicBondForce(), openmm.HarmonicAngleForce()
    for _ in range(3):
        system.addParticle(1.0)
    for bead, rest in enumerate(LENGTHS):
        bonds.addBond(bead, bead + 1, rest, STIFFNESS)
    angles.addAngle(0, 1, 2, ANGLE, BENDING)
    system.addForce(bonds)
    system.addForce(angles)
    model = aligned_model(3)
    drawn = pv.generate(model, 200, seed=2)
    by_system, by_hand = (
        reweight(model, drawn, what, 1.0) for what in (system, energies_of(drawn.positions))
    )
    np.testing.assert_allclose(by_system.energies, by_hand.energies, atol=1e-9)
    np.testing.assert_allclose(by_system.log_weights, by_hand.log_weights, atol=1e-9)
    system.addConstraint(0, 1, 1.0)
    with pytest.raises(
        InputError, match="The system has 1 rigid bonds; .*`constraints=None, rigidWater=False`"
    ):
        reweight(model, drawn, system, 1.0)


def test_periodic_system_is_refused():
    openmm = pytest.importorskip("openmm", reason="energies need OpenMM")
    system, pairs = openmm.System(), openmm.NonbondedForce()
    for _ in range(3):
        system.addParticle(1.0)
        pairs.addParticle(0.0, 0.3, 1.0)
    pairs.setNonbondedMethod(openmm.NonbondedForce.CutoffPeriodic)
    system.addForce(pairs)
    model = aligned_model(3)
    with pytest.raises(InputError, match="The system is periodic, .*`nonbondedMethod=NoCutoff`"):
        reweight(model, pv.generate(model, 5), system, 1.0)


@pytest.mark.parametrize(
    ("energies", "temperature", "message"),
    [
        (np.zeros(5), 0.0, "`temperature` must be a positive number; got 0.0"),
        (np.zeros(5), math.nan, "`temperature` must be a positive number; got nan"),
        (np.zeros(4), 1.0, r"Energies must have shape \(5,\), one for each frame; got \(4,\)"),
        (np.array([0.0, 0.0, np.nan, 0.0, 0.0]), 1.0, "Energies must be numbers; got nan for frame 2"),
        (np.array([0.0, -np.inf, 0.0, 0.0, 0.0]), 1.0, "Energies must be numbers; got -inf for frame 1"),
        (np.full(5, np.inf), 1.0, "none of 5 frames has a weight that is above zero and finite"),
    ],
)
def test_energies_and_temperatures_that_give_no_weights_are_refused(energies, temperature, message):
    model = aligned_model(3)
    with pytest.raises(InputError, match=message):
        reweight(model, pv.generate(model, 5), energies, temperature, samples=1)


def test_frames_with_weights_or_of_another_system_are_refused():
    model = aligned_model(3)
    drawn = pv.generate(model, 5)
    with pytest.raises(InputError, match="the frames have weights already"):
        reweight(model, drawn.replace(weights=np.ones(5)), np.zeros(5), 1.0)
    with pytest.raises(InputError, match="the model was trained on 3 atoms"):
        reweight(model, drawn.atom_slice(np.array([0, 1])), np.zeros(5), 1.0)


@pytest.mark.parametrize("method", ["none", "principal_axes"])
def test_alignment_without_density_is_refused(method):
    alignment = Alignment(method=method, weights=jnp.full(3, 1 / 3))
    model = linear_model(alignment, triangle(*LENGTHS, ANGLE, 3), width=0.3)
    with pytest.raises(InputError, match=f"no density on frames aligned by '{method}'. Use a model with"):
        reweight(model, pv.generate(model, 5), np.zeros(5), 1.0)


def test_missing_openmm_matters_only_where_a_system_is_given(monkeypatch):
    openmm = pytest.importorskip("openmm", reason="energies need OpenMM")
    system = openmm.System()
    for _ in range(3):
        system.addParticle(1.0)
    model = aligned_model(3)
    drawn = pv.generate(model, 100, seed=1)
    monkeypatch.setitem(sys.modules, "openmm", None)
    assert reweight(model, drawn, energies_of(drawn.positions), 1.0, samples=1).effective_sample_size > 10
    with pytest.raises(MissingDependencyError, match=r'pip install "polyvae\[openmm\]"'):
        reweight(model, drawn, system, 1.0, samples=1)
