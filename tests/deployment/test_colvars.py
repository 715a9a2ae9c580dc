"""What `export_colvars` writes is read back by an interpreter of its components, written from Colvars' manual."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import polyvae as pv
from polyvae.deployment import export_colvars
from polyvae.deployment.agreement import compare

KINDS = ("alanine", "alanine tanh", "alanine internal", "polymer 3d", "centered", "as it is")
LENGTHS = {"real": 10.0, "gromacs": 1.0}


def blocks(text):
    """The keywords of a configuration, each with its words or the keywords of its block."""
    text = "\n".join(line for line in text.splitlines() if not line.startswith("#"))
    stack = [[]]
    for line in text.replace("{", "{\n").replace("}", "\n}\n").splitlines():
        line = line.strip()
        if line.endswith("{"):
            stack.append([])
            stack[-2].append((line[:-1].strip(), stack[-1]))
        elif line == "}":
            stack.pop()
        elif line:
            key, _, value = line.partition(" ")
            stack[-1].append((key, value.strip()))
    return stack[0]


def vectors(text):
    return np.array([[float(word) for word in part.split(",")] for part in text.strip("()").split(") (")])


class Frame:
    """Positions by serial number, and the fits and values that are known already, since many blocks repeat them."""

    def __init__(self, positions):
        self.positions, self.fits, self.values = positions, {}, {}

    def fit(self, serials, references):
        if (serials, references) not in self.fits:
            fitting, reference = self.positions[np.array(serials.split(), int)], vectors(references)
            center, place = fitting.mean(axis=0), reference.mean(axis=0)
            rotation = jnp.eye(3)
            if len(reference) == len(fitting):
                left, _, right = jnp.linalg.svd((fitting - center).T @ (reference - place))
                rotation = (left * jnp.asarray([1.0, 1.0, jnp.sign(jnp.linalg.det(left @ right))])) @ right
            self.fits[serials, references] = center, rotation, place
        return self.fits[serials, references]

    def group(self, group):
        """The position of a group of one atom, moved with its fit."""
        group = dict(group)
        if "dummyAtom" in group:
            return jnp.asarray(vectors(group["dummyAtom"])[0])
        position = self.positions[int(group["atomNumbers"])]
        if "centerToReference" not in group:
            return position
        assert ("rotateToReference" in group) == (group["refPositions"].count("(") > 1)
        center, rotation, place = self.fit(dict(group["fittingGroup"])["atomNumbers"], group["refPositions"])
        return (position - center) @ rotation + place


def component(kind, block, frame, folder):
    """The value of a component, with its coefficient."""
    key = kind, repr([pair for pair in block if pair[0] not in ("name", "componentCoeff")])
    if key not in frame.values:
        frame.values[key] = value_of(kind, block, frame, folder)
    return float(dict(block).get("componentCoeff", 1.0)) * frame.values[key]


def value_of(kind, block, frame, folder):
    """The value of a component."""
    given = dict(block)
    groups = [frame.group(given[f"group{k}"]) for k in range(1, 5) if f"group{k}" in given]
    if kind == "distanceZ":
        assert given["forceNoPBC"] == "on"
        value = vectors(given["axis"])[0] @ (frame.group(given["main"]) - frame.group(given["ref"]))
    elif kind == "distance":
        value = jnp.linalg.norm(groups[1] - groups[0])
    elif kind == "angle":
        one, two = groups[0] - groups[1], groups[2] - groups[1]
        value = jnp.degrees(jnp.arccos(one @ two / jnp.sqrt((one @ one) * (two @ two))))
    elif kind == "dihedral":
        first, axis, last = (groups[k + 1] - groups[k] for k in range(3))
        before, after = jnp.cross(first, axis), jnp.cross(axis, last)
        sine = jnp.cross(before, after) @ axis / jnp.linalg.norm(axis)
        value = jnp.degrees(jnp.arctan2(sine, before @ after))
    elif kind == "customColvar":
        (inner,) = [(key, nested) for key, nested in block if isinstance(nested, list)]
        name = dict(inner[1])["name"]
        known = {name: component(*inner, frame, folder), "cos": jnp.cos, "sin": jnp.sin}
        value = eval(given["customFunction"], {"__builtins__": {}}, known)
    elif kind == "linearCombination":
        value = sum(component(*inner, frame, folder) for inner in block)
    elif kind == "NeuralNetwork":
        inner = [(key, nested) for key, nested in block if isinstance(nested, list)]
        # Colvars sorts the components by their names.
        inner.sort(key=lambda pair: dict(pair[1])["name"])
        signal = jnp.stack([component(*pair, frame, folder) for pair in inner])
        layer = 1
        while f"layer{layer}_WeightsFile" in given:
            weights = np.loadtxt(folder / given[f"layer{layer}_WeightsFile"], ndmin=2)
            signal = weights @ signal + np.loadtxt(folder / given[f"layer{layer}_BiasesFile"], ndmin=1)
            function = given.get(f"layer{layer}_custom_activation")
            if function is None:
                known = {"tanh": jnp.tanh, "linear": lambda x: x, "elu": jax.nn.elu, "relu": jax.nn.relu}
                signal = known[given[f"layer{layer}_activation"]](signal)
            else:
                known = {"x": signal, "tanh": jnp.tanh, "exp": jnp.exp}
                signal = eval(function.replace("^", "**"), {"__builtins__": {}}, known)
            layer += 1
        value = signal[int(given["output_component"])]
    else:
        raise AssertionError(kind)
    return value


def interpreted(path, atoms, length):
    """Positions in nm to the latent and its gradient, by the interpreter."""
    variables = [block for kind, block in blocks(path.read_text(encoding="ascii")) if kind == "colvar"]

    def latent(positions):
        frame = Frame(jnp.zeros((atoms.max() + 1, 3)).at[atoms].set(length * positions))
        values = [
            sum(component(*part, frame, path.parent) for part in block if isinstance(part[1], list))
            for block in variables
        ]
        return jnp.stack(values), jnp.stack(values)

    def evaluate(frames):
        with jax.enable_x64(True), jax.numpy_rank_promotion("allow"), jax.numpy_dtype_promotion("standard"):
            gradients, values = jax.lax.map(jax.jacrev(latent, has_aux=True), jnp.asarray(frames))
            return np.asarray(values), np.asarray(gradients)

    return evaluate


@pytest.mark.parametrize("kind", KINDS)
def test_the_components_give_value_and_gradient_of_the_model(kind, model_of, frames_of, rng, tmp_path):
    model, frames = model_of(kind), frames_of(kind)[:4]
    n_atoms = model.system.n_atoms
    atoms = rng.permutation(np.arange(1, 3 * n_atoms))[:n_atoms]
    units = "gromacs" if kind == "alanine tanh" else "real"
    path = export_colvars(model, tmp_path / "cv", atoms=atoms, units=units, check=frames)
    is_reduced = model.system.units == "reduced"
    assert (f"units {units}" in path.read_text().splitlines()) != is_reduced
    evaluate = interpreted(path, atoms, 1.0 if is_reduced else LENGTHS[units])
    compare(kind, model, frames, evaluate, tolerance=1e-10)


def test_the_files_are_weights_biases_and_input(model_of, tmp_path):
    path = export_colvars(model_of("as it is"), tmp_path, label="cv")
    assert path == tmp_path / "colvars.in"
    texts = [f"cv_{what}_{layer}.txt" for what in ("weights", "biases") for layer in (1, 2, 3)]
    assert {file.name for file in tmp_path.iterdir()} == {"colvars.in", *texts}
    assert np.loadtxt(tmp_path / "cv_weights_1.txt").shape == (7, 36)
    with pytest.raises(pv.InputError, match="exists already. Choose another folder"):
        export_colvars(model_of("as it is"), tmp_path, label="cv")
    export_colvars(model_of("as it is"), tmp_path, label="cv", overwrite=True)


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("polymer 2d", "two dimensions.*export_plumed"),
        ("axes", "principal axes.*alignment='procrustes'"),
        ("rotation", "signed volumes.*another likelihood"),
        ("alanine masses", "weighs all atoms of a fit equally.*export_plumed"),
    ],
)
def test_models_that_colvars_cannot_express_are_refused(kind, message, model_of, tmp_path):
    with pytest.raises(pv.InputError, match=message):
        export_colvars(model_of(kind), tmp_path / "cv")
    assert not (tmp_path / "cv").exists()


def test_units_and_atoms_are_checked(model_of, tmp_path):
    with pytest.raises(pv.InputError, match="serial numbers of the model's 10 atoms"):
        export_colvars(model_of("alanine"), tmp_path / "cv", atoms=[1, 2])
    (tmp_path / "file").write_text("")
    with pytest.raises(pv.InputError, match="cannot be made a folder"):
        export_colvars(model_of("alanine"), tmp_path / "file")
