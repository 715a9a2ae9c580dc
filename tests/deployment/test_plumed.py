"""What `export_plumed` writes is read back by an interpreter of its actions, and by PLUMED where there is a kernel."""

import dataclasses
import os
import re
import sys
import types
from pathlib import Path

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import polyvae as pv
from polyvae.deployment import export_plumed, export_pycv, plumed_model, verify_plumed
from polyvae.deployment.agreement import compare, latent_and_gradient
from polyvae.deployment.encoder import encoder_of
from polyvae.deployment.pdb import reference_pdb
from polyvae.deployment.plumed_actions import actions
from polyvae.errors import MissingDependencyError

KINDS = (
    *("alanine", "alanine tanh", "alanine internal", "alanine masses", "polymer 2d", "polymer 3d"),
    *("polymer 2d internal", "centered", "as it is"),
)
GOLDEN = Path(__file__).parent / "golden"


def read_pdb(path):
    lines = [line for line in path.read_text().splitlines() if line.startswith("ATOM")]
    serials = [int(line[6:11]) for line in lines]
    positions = [[float(line[start : start + 8]) for start in (30, 38, 46)] for line in lines]
    return serials, np.array(positions), np.array([float(line[54:60]) for line in lines])


def numbers(text):
    return jnp.asarray([float(word) for word in text.split(",")])


def custom(function, names, values):
    """The value of a CUSTOM action, with the functions of its language."""
    known = {
        **dict(zip(names, values, strict=True)),
        **{name: getattr(jnp, name) for name in ("tanh", "exp", "sqrt", "cos", "sin")},
        "step": lambda x: jnp.where(x < 0, 0.0, 1.0),
        "select": lambda condition, yes, no: jnp.where(condition != 0, yes, no),
    }
    return eval(function.replace("^", "**"), {"__builtins__": {}}, known)


def interpret(path, positions, label):
    """Values of `label.node-*` for positions by serial number, shape (serials + 1, 3), as PLUMED would find them."""
    values = {}
    is_natural = False
    for line in path.read_text(encoding="ascii").splitlines():
        if not line or line.startswith("#"):
            continue
        name, _, rest = line.rpartition(": ")
        action, *words = (rest or line).split()
        given = dict(word.split("=", 1) for word in words if "=" in word)
        arguments = [values[argument] for argument in given.get("ARG", "").split(",") if argument]
        atoms = [
            positions[int(atom)] for atom in re.split(",", given.get("ATOMS", given.get("ATOM", ""))) if atom
        ]
        if action == "UNITS":
            is_natural = "NATURAL" in words
        elif action == "WHOLEMOLECULES":
            assert len(set(given["ENTITY0"].split(","))) == len(given["ENTITY0"].split(","))
        elif action == "FIT_TO_TEMPLATE":
            serials, template, weights = read_pdb(path.parent / given["REFERENCE"])
            template, weights = template * (1.0 if is_natural else 0.1), weights / weights.sum()
            center, place = weights @ template, weights @ positions[np.array(serials)]
            positions = positions - place
            if given["TYPE"] == "OPTIMAL":
                moved = positions[np.array(serials)]
                left, _, right = jnp.linalg.svd((moved * weights[:, None]).T @ (template - center))
                sign = jnp.asarray([1.0, 1.0, jnp.sign(jnp.linalg.det(left @ right))])
                positions = positions @ (left * sign) @ right
            positions = positions + center
        elif action == "POSITION":
            values |= {f"{name}.{axis}": atoms[0][index] for index, axis in enumerate("xyz")}
        elif action == "DISTANCE":
            values[name] = jnp.linalg.norm(atoms[1] - atoms[0])
        elif action == "ANGLE":
            one, two = atoms[0] - atoms[1], atoms[2] - atoms[1]
            values[name] = jnp.arccos(one @ two / jnp.sqrt((one @ one) * (two @ two)))
        elif action == "TORSION":
            first, axis, last = (atoms[k + 1] - atoms[k] for k in range(3))
            before, after = jnp.cross(first, axis), jnp.cross(axis, last)
            sine = jnp.cross(before, after) @ axis / jnp.linalg.norm(axis)
            values[name] = jnp.arctan2(sine, before @ after)
        elif action == "COMBINE":
            values[name] = jnp.stack(arguments) @ numbers(given["COEFFICIENTS"])
        elif action == "CUSTOM":
            values[name] = custom(given["FUNC"], given.get("VAR", "x").split(","), arguments)
        elif action == "ANN":
            signal, nodes = jnp.stack(arguments), [int(word) for word in given["NUM_NODES"].split(",")]
            assert len(nodes) == int(given["NUM_LAYERS"])
            for layer, activation in enumerate(given["ACTIVATIONS"].split(",")):
                weights = numbers(given[f"WEIGHTS{layer}"]).reshape(nodes[layer + 1], nodes[layer])
                signal = weights @ signal + numbers(given[f"BIASES{layer}"])
                signal = {"Tanh": jnp.tanh, "Linear": lambda x: x}[activation](signal)
            values |= {f"{name}.node-{index}": value for index, value in enumerate(signal)}
        else:
            raise AssertionError(line)
    return jnp.stack([values[key] for key in values if key.startswith(f"{label}.node-")])


def interpreted(path, atoms, label="z"):
    """Positions to the latent and its gradient, by the interpreter."""
    atoms = np.asarray(atoms)

    def latent(frame):
        padded = jnp.pad(frame, ((0, 0), (0, 3 - frame.shape[1])))
        value = interpret(path, jnp.zeros((atoms.max() + 1, 3)).at[atoms].set(padded), label)
        return value, value

    def evaluate(frames):
        with jax.enable_x64(True), jax.numpy_rank_promotion("allow"), jax.numpy_dtype_promotion("standard"):
            gradients, values = jax.lax.map(jax.jacrev(latent, has_aux=True), jnp.asarray(frames))
            return np.asarray(values), np.asarray(gradients)

    return evaluate


@pytest.fixture
def serials(rng):
    return lambda model: rng.permutation(np.arange(1, 3 * model.system.n_atoms))[: model.system.n_atoms]


@pytest.mark.parametrize("kind", KINDS)
def test_the_actions_give_value_and_gradient_of_the_model(kind, model_of, frames_of, serials, tmp_path):
    model, frames = model_of(kind), frames_of(kind)
    atoms = serials(model)
    path = export_plumed(model, tmp_path / "cv.dat", atoms=atoms, check=frames)
    # With the reference as it is written nothing is rounded: float64 is all that is lost.
    compare(kind, plumed_model(model), frames, interpreted(path, atoms), tolerance=1e-10)


@pytest.mark.parametrize("kind", ["alanine masses", "polymer 2d"])
def test_the_actions_do_not_see_rotation_and_translation(
    kind, model_of, frames_of, turned, serials, tmp_path
):
    model, frames = model_of(kind), frames_of(kind)
    atoms = serials(model)
    evaluate = interpreted(export_plumed(model, tmp_path / "cv.dat", atoms=atoms), atoms)
    np.testing.assert_allclose(evaluate(turned(frames))[0], evaluate(frames)[0], rtol=0, atol=1e-11)


@pytest.mark.skipif(
    "PLUMED_KERNEL" not in os.environ, reason="PLUMED_KERNEL is not set: there is no PLUMED to ask"
)
@pytest.mark.parametrize("kind", KINDS)
def test_plumed_gives_value_and_gradient_of_the_model(kind, model_of, frames_of, serials, tmp_path):
    model = model_of(kind)
    atoms = serials(model)
    path = export_plumed(model, tmp_path / "cv.dat", atoms=atoms)
    verify_plumed(path, model, frames_of(kind), atoms=atoms, tolerance=1e-10)


def test_without_plumed_the_error_says_how_to_get_it(model_of, frames_of, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "plumed", None)
    path = export_plumed(model_of("as it is"), tmp_path / "cv.dat")
    with pytest.raises(MissingDependencyError, match="pip install plumed.*PLUMED_KERNEL"):
        verify_plumed(path, model_of("as it is"), frames_of("as it is"))


@pytest.mark.parametrize("activation", ["tanh", "gelu"])
def test_the_input_is_that_on_file(activation, model_of):
    encoder = encoder_of(model_of("polymer 3d"))
    round_numbers = {
        "matrices": (0.25 * np.arange(18.0).reshape(9, 2), np.array([[0.5], [-1.0]])),
        "biases": (np.array([0.125, -0.25]), np.array([1.5])),
        "adds": (False, False),
        "activation": activation,
    }
    encoder = dataclasses.replace(encoder, n_atoms=3, motion="fit", **round_numbers)
    settings = {"label": "z", "template": "cv.pdb", "center": np.array([1.0, 0.0, 2.0]), "is_reduced": False}
    lines = actions(encoder, np.array([5, 1, 9]), **settings)
    assert "\n".join(lines) + "\n" == (GOLDEN / f"plumed_{activation}.dat").read_text(encoding="ascii")


def test_the_pdb_holds_what_it_says_it_holds(tmp_path):
    positions = np.array([[0.0, 1.23456789, 9.99999999], [10.0, 123.456, -1.5]])
    text, read, weights = reference_pdb(
        positions, np.array([12.01078, 1.007947]), np.array([7, 100_001]), None
    )
    (tmp_path / "r.pdb").write_text(text.replace("A0001", "    8"))
    _, on_file, occupancy = read_pdb(tmp_path / "r.pdb")
    np.testing.assert_array_equal(on_file, read)
    np.testing.assert_array_equal(occupancy, weights)
    np.testing.assert_allclose(read, positions, atol=1e-4)
    assert "ATOM  A0001" in text
    # The best of the factors that leave six characters to each weight.
    np.testing.assert_allclose(weights[0] / weights[1], 12.01078 / 1.007947, rtol=1e-6)
    with pytest.raises(pv.InputError, match="does not fit into a column"):
        reference_pdb(1e8 + positions, np.ones(2), np.array([1, 2]), None)


def with_encoder(model, **changes):
    network = model.vae.network
    changed = eqx.tree_at(
        lambda tree: [getattr(tree, name) for name in changes],
        network.encoder,
        list(changes.values()),
        is_leaf=lambda leaf: leaf is None,
    )
    return eqx.tree_at(lambda tree: tree.vae.network.encoder, model, changed)


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        (
            "axes",
            "no action that turns frames onto their principal axes.*alignment='procrustes'.*export_pycv",
        ),
        ("rotation", "signed volumes.*another likelihood"),
    ],
)
def test_models_that_plumed_cannot_express_are_refused(kind, message, model_of, tmp_path):
    with pytest.raises(pv.InputError, match=message):
        export_plumed(model_of(kind), tmp_path / "cv.dat")
    assert not list(tmp_path.iterdir())


def test_layer_normalization_is_refused(model_of, tmp_path):
    ones = (jnp.ones(7), jnp.ones(7))
    model = with_encoder(model_of("alanine"), norm_gains=ones, norm_offsets=ones)
    with pytest.raises(pv.InputError, match="layer normalization.*`layer_norm=False`"):
        export_plumed(model, tmp_path / "cv.dat")


@pytest.mark.parametrize(
    ("atoms", "message"),
    [
        (range(1, 10), r"serial numbers of the model's 10 atoms \(selection 'element != H'\).*got 9 entries"),
        (range(10), "counted from 1, as engines count; got 0"),
        ([1, 2, 3, 4, 5, 6, 7, 8, 9, 9], "must all differ; 9 stands 2 times"),
        (np.linspace(1, 2, 10), "of type float64"),
    ],
)
def test_atoms_that_are_not_the_models_are_refused(atoms, message, model_of, tmp_path):
    with pytest.raises(pv.InputError, match=message):
        export_plumed(model_of("alanine"), tmp_path / "cv.dat", atoms=atoms)


def test_existing_files_are_kept(model_of, tmp_path):
    (tmp_path / "cv.pdb").write_text("mine")
    with pytest.raises(pv.InputError, match="cv.pdb exists already"):
        export_plumed(model_of("alanine"), tmp_path / "cv.dat")
    with pytest.raises(pv.InputError, match="`label` may hold letters"):
        export_plumed(model_of("alanine"), tmp_path / "new.dat", label="a b")
    assert [path.name for path in tmp_path.iterdir()] == ["cv.pdb"]


class FakeAction:
    """What pycv hands to the functions of a file."""

    def __init__(self, positions):
        self.positions = positions

    def makeWhole(self):
        pass

    def getPositions(self):
        return self.positions


@pytest.mark.parametrize("n_latent", [1, 2])
def test_the_pycv_file_calls_the_model(n_latent, model_of, frames_of, tmp_path, monkeypatch):
    model, frame = model_of("polymer 2d"), frames_of("polymer 2d")[0]
    pv.save(model, tmp_path / "model.json")
    if n_latent == 1:
        model = eqx.tree_at(lambda tree: tree.vae, model, dataclasses.replace(model.vae, latent_dim=1))
    path = export_pycv(model, tmp_path / "cv.py", model_file=tmp_path / "model.json", atoms=range(3, 15))
    communications = types.SimpleNamespace(defaults=types.SimpleNamespace(COMPONENT={"derivative": True}))
    monkeypatch.setitem(sys.modules, "plumedCommunications", communications)
    names = {}
    try:
        with jax.numpy_dtype_promotion("standard"):
            exec(compile(path.read_text(), path, "exec"), names)
            answer = names["plumedCalculate"](FakeAction(np.pad(frame, ((0, 0), (0, 1)))))
    finally:
        jax.config.update("jax_enable_x64", False)
    assert names["plumedInit"]["ATOMS"] == "3,4,5,6,7,8,9,10,11,12,13,14"
    assert ("Value" in names["plumedInit"]) == (n_latent == 1)
    value, gradient = latent_and_gradient(model, frame[None])
    answers = [answer] if n_latent == 1 else [answer["node-0"], answer["node-1"]]
    for index, (found, by_positions, by_box) in enumerate(answers):
        assert found == pytest.approx(value[0, index], abs=1e-12)
        np.testing.assert_allclose(by_positions[:, :2], gradient[0, index], rtol=0, atol=1e-12)
        assert not by_positions[:, 2].any()
        assert by_box.shape == (3, 3)
