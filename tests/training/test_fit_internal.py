"""`fit` with internal coordinates: both likelihoods, weights, ensembles, and data or settings that do not fit."""

import dataclasses
import sys

import jax
import numpy as np
import pytest

from polyvae.errors import InputError, PolyvaeWarning
from polyvae.features import InternalCoordinates
from polyvae.training import Diagnosis, TrainConfig, fit, fit_ensemble
from polyvae.training.preparation import prepare
from polyvae.trajectory import Trajectory, load
from polyvae.vae import ModelConfig
from polyvae.vae.inputs import InternalInputs
from polyvae.vae.likelihoods import Autoregressive, Blocks, WithCartesianTerm

SMALL = {"latent_dim": 2, "hidden": (8,), "representation": "internal", "prior": "normal"}
CONFIGS = {
    "autoregressive": ModelConfig(**SMALL, placement_hidden=(8,), placement_components=2),
    "factorized": ModelConfig(**SMALL, likelihood="factorized"),
}
TRAINING = TrainConfig(epochs=4, batch_size=32, learning_rate=1e-2, kl_warmup=1, patience=None, gap=3)


@pytest.fixture(scope="module")
def beads() -> Trajectory:
    """A chain in space whose two torsions wander together."""
    rng = np.random.default_rng(0)
    wave = np.zeros((240, 1))
    for frame in range(1, 240):
        wave[frame] = 0.8 * wave[frame - 1] + 0.6 * rng.normal()
    turns = 0.6 * wave * np.array([[0.0, 0.0, 1.0, -1.0]])
    turns = turns + np.array([[0.0, 3.0, 0.0, 3.0]])
    bonds = np.stack([np.ones((240, 4)), 0.8 * np.cos(turns), 0.8 * np.sin(turns)], axis=2)
    bonds += 0.02 * rng.normal(size=bonds.shape)
    positions = np.concatenate([np.zeros((240, 1, 3)), np.cumsum(bonds, axis=1)], axis=1)
    return Trajectory(
        positions=positions.astype(np.float32),
        bonds=np.array([(0, 1), (1, 2), (2, 3), (3, 4)]),
        source="beads",
    )


def leave_out_diagnosis(patch: pytest.MonkeyPatch) -> None:
    """It compiles for seconds and has tests of its own."""
    # By module: the package's attribute of this name is the function.
    patch.setattr(sys.modules[fit.__module__], "diagnose", lambda *_, **settings: object.__new__(Diagnosis))


@pytest.fixture(scope="module", params=list(CONFIGS))
def result(request, beads):
    with pytest.MonkeyPatch.context() as patch:
        leave_out_diagnosis(patch)
        return request.param, fit(beads, CONFIGS[request.param], TRAINING, seed=3)


def internal_likelihood(model) -> Autoregressive:
    likelihood = model.vae.likelihood.internal
    assert isinstance(likelihood, Autoregressive)
    return likelihood


def test_the_bound_rises_and_the_parts_are_those_that_the_settings_name(result):
    name, fitted = result
    vae = fitted.model.vae
    assert isinstance(vae.likelihood, WithCartesianTerm)
    assert isinstance(vae.likelihood.internal, {"autoregressive": Autoregressive, "factorized": Blocks}[name])
    assert isinstance(vae.inputs, InternalInputs)
    assert isinstance(fitted.model.representation, InternalCoordinates)
    log_likelihood = fitted.history.train_log_likelihood
    assert log_likelihood[-1] > log_likelihood[0] + 0.3


def test_bonds_of_reconstructions_lie_within_the_data_and_chirality_is_kept(result, beads):
    name, fitted = result
    model = fitted.model
    decoded = np.asarray(model.reconstruct(beads.positions[:50]))
    lengths = np.linalg.norm(np.diff(decoded, axis=1), axis=2)
    truth = np.linalg.norm(np.diff(beads.positions, axis=1), axis=2)
    if name == "autoregressive":
        assert lengths.min() > 0.9 * truth.min()
        assert lengths.max() < 1.1 * truth.max()
    np.testing.assert_allclose(decoded.mean(axis=1), beads.positions[:50].mean(axis=1), atol=1e-5)
    drawn = np.asarray(model.sample(np.zeros((50, 2), np.float32), jax.random.key(0)))
    assert drawn.shape == (50, 5, 3)
    assert np.isfinite(drawn).all()


def untrained(trajectory: Trajectory):
    """The model as training gets it."""
    return prepare(trajectory, CONFIGS["factorized"], TRAINING, 0, None).model


def test_frames_of_weight_zero_change_neither_representation_nor_inputs(beads):
    weights = np.ones(240)
    weights[::5] = 0.0
    spoiled = beads.positions.copy()
    spoiled[::5] *= 1.7
    spoiled[0, 1] = spoiled[0, 0]
    one, two = (
        untrained(dataclasses.replace(beads, positions=positions, weights=weights))
        for positions in (beads.positions, spoiled)
    )
    for part in ("alignment", "representation", "vae"):
        leaves = (jax.tree.leaves(getattr(model, part)) for model in (one, two))
        for here, there in zip(*leaves, strict=True):
            np.testing.assert_array_equal(here, there, err_msg=part)


@pytest.mark.science  # Compiles for half a minute.
def test_members_of_an_ensemble_start_from_their_own_weights(beads, no_diagnosis):
    config = dataclasses.replace(TRAINING, epochs=1, kl_warmup=0, learning_rate=1e-9)
    one, two = (
        internal_likelihood(result.model)
        for result in fit_ensemble(beads, CONFIGS["autoregressive"], config, seeds=(0, 1))
    )
    assert np.abs(np.asarray(one.weights[0]) - np.asarray(two.weights[0])).min(axis=(1, 2)).max() > 0
    assert np.abs(np.asarray(one.weights[0]) - np.asarray(two.weights[0])).max() > 0.1
    np.testing.assert_array_equal(one.view.mean, two.view.mean)


def test_one_frame_is_refused(beads):
    with pytest.raises(InputError, match=r"at least 10 frames.*got 1"):
        fit(dataclasses.replace(beads, positions=beads.positions[:1], segments=()), CONFIGS["factorized"])


def test_bonds_are_required(beads):
    with pytest.raises(InputError, match=r"beads: internal coordinates need bonds"):
        fit(dataclasses.replace(beads, bonds=None), CONFIGS["factorized"], TRAINING)


def test_frames_that_cannot_be_built_are_named_by_their_number_in_the_trajectory(beads):
    positions = beads.positions.copy()
    positions[173, 2] = positions[173, 3]
    with pytest.raises(InputError, match="beads: atoms 2 and 3 coincide in frame 173"):
        fit(dataclasses.replace(beads, positions=positions), CONFIGS["factorized"], TRAINING)
    positions = beads.positions.copy()
    positions[30, 3:] += 12.0
    with pytest.raises(
        InputError, match="beads: atoms 2 and 3 are bonded, but .* in frame 30 .*periodic boundary"
    ):
        fit(dataclasses.replace(beads, positions=positions), CONFIGS["factorized"], TRAINING)


def test_a_model_refuses_another_number_of_atoms(result, beads):
    with pytest.raises(InputError, match=r"`positions` must have shape \(frames, 5, 3\)"):
        result[1].model.encode(beads.positions[:, :4])


def test_bonds_found_by_distance_are_used_with_a_warning(tmp_path):
    rng = np.random.default_rng(0)
    base = np.array([[0, 0, 0], [1.5, 0, 0], [2.0, 1.4, 0], [3.4, 1.5, 0.5], [3.9, 2.9, 0.6]])
    lines = []
    for number in range(60):
        lines.append(f"MODEL {number + 1:8d}")
        for index, (name, (x, y, z)) in enumerate(
            zip(("C1", "C2", "O1", "C3", "C4"), base + 0.05 * rng.normal(size=(5, 3)), strict=True)
        ):
            place = f"{x:8.3f}{y:8.3f}{z:8.3f}  1.00  0.00"
            lines.append(f"HETATM{index + 1:5d}  {name:<3} LIG A   1    {place}          {name[0]:>2}")
        lines.append("ENDMDL")
    path = tmp_path / "ligand.pdb"
    path.write_text("\n".join([*lines, "END", ""]))
    trajectory = load(path)
    assert trajectory.bond_source == "distances"
    with pytest.warns(
        PolyvaeWarning, match=r"ligand\.pdb: the topology lacks bonds.*by distance in the first"
    ):
        model = untrained(trajectory)
    assert isinstance(model.representation, InternalCoordinates)
    assert model.representation.tree.atoms == (0, 1, 2, 3, 4)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"likelihood": "normal"}, "`likelihood='normal'` does not fit `representation='internal'`"),
        (
            {"alignment": "principal_axes"},
            "`alignment` must be 'procrustes' or 'kabsch'; got 'principal_axes'",
        ),
        ({"decoder_scale": "fixed"}, "learns its widths; got `decoder_scale='fixed'`"),
        ({"cartesian_weight": -1.0}, "`cartesian_weight` must be finite and not negative; got -1.0"),
        ({"placement_components": 0}, "`placement_components` must be at least 1; got 0"),
        ({"placement_hidden": ()}, "`placement_hidden` must list at least one positive width"),
    ],
)
def test_settings_that_do_not_fit_internal_coordinates_are_refused(settings, message):
    with pytest.raises(InputError, match=message):
        ModelConfig(representation="internal", **settings)


@pytest.mark.parametrize("likelihood", ["factorized", "autoregressive"])
def test_likelihoods_of_internal_coordinates_need_them(likelihood):
    with pytest.raises(
        InputError, match=f"`likelihood='{likelihood}'` does not fit `representation='cartesian'`"
    ):
        ModelConfig(likelihood=likelihood)
