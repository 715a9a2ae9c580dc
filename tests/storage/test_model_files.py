"""Model files: the same bits come back, and whatever is not whole is refused."""

import json
from itertools import pairwise

import equinox as eqx
import jax
import jax.numpy as jnp
import mdtraj
import numpy as np
import pytest
import safetensors.numpy

from polyvae.errors import InputError
from polyvae.features import fit_cartesian, fit_geometry_bounds
from polyvae.preprocessing import align, fit_alignment
from polyvae.storage import load_model, save
from polyvae.storage.model_files import _digest
from polyvae.trajectory import Trajectory
from polyvae.vae import ConformationModel, ModelConfig, SystemInfo, make_vae
from polyvae.vae.likelihoods import CorrelatedNormal, Likelihood, LowRankNormal
from polyvae.vae.vae import initial_likelihood, initial_prior

_CONFIG = ModelConfig(latent_dim=2, hidden=(8, 8))


def _chain(dims: int, n_atoms: int = 5, n_frames: int = 60) -> np.ndarray:
    rng = np.random.default_rng(4)
    return np.cumsum(rng.normal(size=(n_frames, n_atoms, dims)), axis=1).astype(np.float32)


def _topology() -> mdtraj.Topology:
    topology = mdtraj.Topology()
    chain = topology.add_chain("B")
    atoms = []
    for number, element in enumerate((mdtraj.element.carbon, mdtraj.element.nitrogen, None), start=7):
        residue = topology.add_residue("ÅLA", chain, resSeq=number, segment_id="SEG")
        names = ("CA", "CB") if number < 9 else ("X",)
        atoms += [topology.add_atom(name, element or mdtraj.element.virtual, residue) for name in names]
    for first, second in pairwise(atoms):
        topology.add_bond(first, second, type=mdtraj.core.topology.Single, order=1)
    return topology


def _model(trajectory, config=_CONFIG):
    """A model as `fit` returns it, but with weights that were not trained."""
    if isinstance(trajectory, np.ndarray):
        trajectory = Trajectory(positions=trajectory)
    alignment, _ = fit_alignment(trajectory.positions, method=config.alignment)
    representation = fit_cartesian(
        alignment, lambda: [align(alignment, trajectory.positions)], scaling=config.scaling
    )
    n_features, dims = representation.n_features, trajectory.dims
    vae = make_vae(initial_likelihood(config, n_features, dims), config, seed=5)
    if config.residual == "covariance" and config.likelihood in ("auto", "normal"):
        factor = np.random.default_rng(2).normal(size=(n_features, n_features))
        vae = eqx.tree_at(
            lambda tree: tree.likelihood,
            vae,
            CorrelatedNormal.from_covariance(factor @ factor.T + np.eye(n_features)),
        )
    if config.prior_training == "after":
        prior = initial_prior(config, n_features, np.random.default_rng(1), None)
        vae = eqx.tree_at(lambda tree: tree.prior, vae, prior)
    return ConformationModel(
        alignment=alignment,
        representation=representation,
        vae=vae,
        geometry=fit_geometry_bounds(trajectory.positions, trajectory.bonds, trajectory.masses),
        config=config,
        system=SystemInfo.of(trajectory),
    )


@pytest.fixture(scope="module")
def trajectory():
    topology = _topology()
    return Trajectory(
        positions=_chain(3),
        topology=topology,
        bonds=np.array([[0, 1], [1, 2], [2, 3], [3, 4]]),
        bond_source="topology",
        masses=np.array([12.011, 12.0, 14.007, 14.0, 1.0]),
        selection="name CA",
        source="rún 1.xtc",
        source_hash="ab" * 32,
    )


@pytest.fixture(scope="module")
def model(trajectory):
    return _model(trajectory)


def test_a_loaded_model_encodes_and_decodes_to_the_same_bits(model, trajectory, tmp_path):
    written = save(model, tmp_path / "my model ü.v1")
    assert written == tmp_path / "my model ü.v1.json"
    latent = np.random.default_rng(0).normal(size=(7, 2))
    for name in ("my model ü.v1", "my model ü.v1.json", "my model ü.v1.safetensors"):
        loaded = load_model(tmp_path / name)
        assert jax.tree.structure(loaded.vae) == jax.tree.structure(model.vae)
        for mine, theirs in zip(jax.tree.leaves(loaded), jax.tree.leaves(model), strict=True):
            assert mine.dtype == theirs.dtype
            np.testing.assert_array_equal(mine, theirs)
    np.testing.assert_array_equal(
        loaded.encode(trajectory.positions).mean, model.encode(trajectory.positions).mean
    )
    np.testing.assert_array_equal(loaded.decode(latent), model.decode(latent))


def test_the_system_comes_back_with_its_topology(model, trajectory, tmp_path):
    save(model, tmp_path)
    system = load_model(tmp_path).system
    assert sorted(path.name for path in tmp_path.iterdir()) == ["model.json", "model.safetensors"]
    assert system.topology == trajectory.topology
    residue = system.topology.atom(4).residue
    assert (residue.resSeq, residue.segment_id, residue.chain.chain_id, residue.name) == (
        9,
        "SEG",
        "B",
        "ÅLA",
    )
    bond = next(system.topology.bonds)
    assert (bond.type, bond.order) == (mdtraj.core.topology.Single, 1)
    np.testing.assert_array_equal(system.bonds, trajectory.bonds)
    np.testing.assert_array_equal(system.masses, trajectory.masses)
    assert (system.selection, system.source, system.source_hash) == ("name CA", "rún 1.xtc", "ab" * 32)
    assert load_model(tmp_path).config == _CONFIG
    system.check(trajectory)


@pytest.mark.parametrize(
    "config",
    [
        ModelConfig(hidden=(4,), alignment="principal_axes"),
        ModelConfig(hidden=(4,), alignment="none", scaling="none"),
        ModelConfig(hidden=(4,), residual="isotropic", decoder_scale="fixed", sigma=0.5, activation="tanh"),
        ModelConfig(
            hidden=(4, 4), network="residual", layer_norm=True, posterior="full", prior="anisotropic"
        ),
        ModelConfig(hidden=(4,), likelihood="correlated", prior="mixture", prior_components=3),
        ModelConfig(hidden=(4,), likelihood="student-t", prior="vamp", prior_components=3),
        ModelConfig(hidden=(4,), likelihood="rotation", prior="sparse"),
        ModelConfig(hidden=(4,), decoder_scale="per-frame", residual="isotropic"),
        ModelConfig(hidden=(4,), decoder_scale="per-feature", prior="mixture", prior_training="after"),
        ModelConfig(hidden=(4,), prior="flow", prior_components=4),
    ],
)
def test_every_kind_of_model_round_trips(config, tmp_path):
    model = _model(_chain(2), config)
    save(model, tmp_path / "m")
    loaded = load_model(tmp_path / "m")
    assert jax.tree.structure(loaded.vae) == jax.tree.structure(model.vae)
    assert (loaded.alignment.method, loaded.config) == (config.alignment, config)
    np.testing.assert_array_equal(loaded.encode(_chain(2)).mean, model.encode(_chain(2)).mean)


def test_noise_through_a_few_directions_round_trips(tmp_path):
    model = _model(_chain(2), ModelConfig(hidden=(4,)))
    rng = np.random.default_rng(3)
    noise = LowRankNormal(
        log_scale=jnp.asarray(rng.normal(size=7)), factor=jnp.asarray(rng.normal(size=(7, 2)))
    )
    model = eqx.tree_at(
        lambda tree: tree.vae.likelihood, model, noise, is_leaf=lambda leaf: isinstance(leaf, Likelihood)
    )
    save(model, tmp_path / "m")
    loaded = load_model(tmp_path / "m").vae.likelihood
    np.testing.assert_array_equal(loaded.factor, noise.factor)
    np.testing.assert_array_equal(loaded.log_scale, noise.log_scale)


class _OwnNetwork(eqx.Module):
    weight: jax.Array

    def encode(self, inputs):
        return inputs @ self.weight

    def decode(self, latent):
        return latent @ self.weight[:, :2].T


def test_a_model_with_its_own_network_comes_back_into_one_of_the_same_structure(tmp_path):
    model = _model(_chain(2), ModelConfig(hidden=(4,)))
    network = _OwnNetwork(jnp.asarray(np.random.default_rng(3).normal(size=(7, 4)), jnp.float32))
    vae = make_vae(model.vae.likelihood, model.config, network=network)
    save(
        eqx.tree_at(lambda tree: tree.vae, model, vae, is_leaf=lambda leaf: leaf is model.vae), tmp_path / "m"
    )
    with pytest.raises(InputError, match=r"its own network, a _OwnNetwork\. Pass one of the same structure"):
        load_model(tmp_path / "m")
    loaded = load_model(tmp_path / "m", network=_OwnNetwork(jnp.zeros((7, 4))))
    np.testing.assert_array_equal(loaded.vae.network.weight, network.weight)


def test_a_model_in_double_precision_round_trips(x64, tmp_path):
    model = _model(_chain(2), ModelConfig(hidden=(4,)))
    save(model, tmp_path / "m")
    loaded = load_model(tmp_path / "m")
    assert loaded.vae.likelihood.log_diagonal.dtype == np.float64
    np.testing.assert_array_equal(loaded.encode(_chain(2)).mean, model.encode(_chain(2)).mean)


def test_a_model_saved_in_double_precision_loads_in_single(tmp_path):
    with jax.enable_x64(True):
        save(_model(_chain(2), ModelConfig(hidden=(4,))), tmp_path / "m")
    loaded = load_model(tmp_path / "m")
    assert {leaf.dtype for leaf in jax.tree.leaves(loaded.vae)} == {np.dtype(np.float32)}
    assert np.isfinite(loaded.encode(_chain(2)).mean).all()


def test_saving_over_a_model_needs_overwrite(model, tmp_path):
    save(model, tmp_path / "m")
    with pytest.raises(InputError, match=r"m\.json exists already.*overwrite=True"):
        save(model, tmp_path / "m.safetensors")
    save(model, tmp_path / "m", overwrite=True)


def test_a_missing_half_is_named(model, tmp_path):
    with pytest.raises(InputError, match=r"none\.json does not exist: there is no model at this path"):
        load_model(tmp_path / "none")
    save(model, tmp_path / "m")
    (tmp_path / "m.json").rename(tmp_path / "away.json")
    with pytest.raises(InputError, match=r"m\.json does not exist: only m\.safetensors is there; copy both"):
        load_model(tmp_path / "m")
    with pytest.raises(InputError, match=r"away\.safetensors does not exist: only away\.json is there"):
        load_model(tmp_path / "away")


@pytest.mark.parametrize("place", [0.0, 0.5, 1.0])
def test_one_damaged_byte_in_the_arrays_is_refused(model, tmp_path, place):
    save(model, tmp_path / "m")
    path = tmp_path / "m.safetensors"
    data = bytearray(path.read_bytes())
    data[int(place * (len(data) - 1))] ^= 1
    path.write_bytes(data)
    with pytest.raises(InputError, match=r"m\.safetensors does not match the SHA-256 in m\.json"):
        load_model(tmp_path / "m")


def test_truncated_arrays_are_refused(model, tmp_path):
    save(model, tmp_path / "m")
    path = tmp_path / "m.safetensors"
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(InputError, match="damaged, truncated or belongs to another model"):
        load_model(tmp_path / "m")


def test_a_changed_setting_in_the_json_is_refused(model, tmp_path):
    path = save(model, tmp_path / "m")
    path.write_text(path.read_text(encoding="utf-8").replace('"beta": 1.0', '"beta": 2.0'), encoding="utf-8")
    with pytest.raises(InputError, match=r"m\.json was damaged or changed"):
        load_model(path)


def test_json_that_is_no_model_is_refused(model, tmp_path):
    path = save(model, tmp_path / "m")
    path.write_text('{"format": "something else"}')
    with pytest.raises(InputError, match=r"m\.json is not a polyvae model"):
        load_model(path)
    path.write_text('{"format": ')
    with pytest.raises(InputError, match=r"m\.json cannot be read as JSON"):
        load_model(path)


def _rewrite(path, change):
    content = json.loads(path.read_text(encoding="utf-8"))
    change(content)
    content["sha256"] = _digest(content)
    path.write_text(json.dumps(content), encoding="utf-8")


def test_a_newer_format_is_refused(model, tmp_path):
    path = save(model, tmp_path / "m")
    _rewrite(path, lambda content: content.update(format_version=5))
    with pytest.raises(InputError, match=r"format version 5; this polyvae .* reads up to 4\. Upgrade"):
        load_model(path)


def test_an_older_format_is_refused(model, tmp_path):
    path = save(model, tmp_path / "m")
    _rewrite(path, lambda content: content.update(format_version=3))
    with pytest.raises(InputError, match=r"format version 3, .* reads version 4\. Train the model again"):
        load_model(path)


def test_a_wrong_stated_shape_names_the_array(model, tmp_path):
    path = save(model, tmp_path / "m")
    _rewrite(path, lambda content: content["leaves"]["vae.likelihood.log_diagonal"].update(shape=[3]))
    with pytest.raises(
        InputError, match=r"the array vae\.likelihood\.log_diagonal should be float32 of shape \[3\]"
    ):
        load_model(path)


def test_a_missing_array_is_named(model, tmp_path):
    path = save(model, tmp_path / "m")
    _rewrite(path, lambda content: content["leaves"].pop("geometry.masses"))
    with pytest.raises(
        InputError, match=r"the array geometry\.masses is in m\.safetensors but not in m\.json"
    ):
        load_model(path)


def test_arrays_that_do_not_fit_the_settings_are_named(model, tmp_path):
    path = save(model, tmp_path / "m")
    _rewrite(path, lambda content: content["config"].update(hidden=[8, 9]))
    with pytest.raises(
        InputError, match=r"the array vae\.network\.encoder\.weights\[1\] should be float32 of shape \(8, 9\)"
    ):
        load_model(path)
    _rewrite(path, lambda content: content["config"].update(hidden=[8, 8, 8]))
    with pytest.raises(InputError, match=r"the array vae\.network\.decoder\.biases\[3\] is missing"):
        load_model(path)


def test_unknown_settings_are_refused(model, tmp_path):
    path = save(model, tmp_path / "m")
    _rewrite(path, lambda content: content["config"].update(flavour="sweet"))
    with pytest.raises(InputError, match=r"does not describe a polyvae model.*flavour"):
        load_model(path)


def test_strided_arrays_are_stored_as_they_are(tmp_path):
    # safetensors itself stores the memory of a transposed array under the wrong shape.
    model = _model(_chain(2), ModelConfig(hidden=(4,)))
    strided = jax.tree.map(lambda leaf: np.asarray(leaf).T.copy().T if leaf.ndim == 2 else leaf, model)
    save(strided, tmp_path / "m")
    stored = safetensors.numpy.load_file(tmp_path / "m.safetensors")
    np.testing.assert_array_equal(
        stored["vae.network.encoder.weights[0]"], model.vae.network.encoder.weights[0]
    )


def test_model_files_are_readable_by_others(model, tmp_path):
    save(model, tmp_path / "m")
    (tmp_path / "plain").touch()
    assert (tmp_path / "m.safetensors").stat().st_mode == (tmp_path / "plain").stat().st_mode
