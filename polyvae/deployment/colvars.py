"""The encoder as input of Colvars (NAMD, LAMMPS, GROMACS, VMD): its component `NeuralNetwork` of scalar components.

Each coordinate of a fitted frame is a `distanceZ` of one atom along a fixed axis, whose group is turned onto the
reference by the fit of all atoms; lengths, angles and torsions are components of their own. Colvars passes components
to the network in the order of their names, so names count through them.

References:
    The Colvars reference manual, sections on NeuralNetwork, distanceZ and fittingGroup, https://colvars.github.io.
"""

import os
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np

from polyvae.deployment.agreement import compare
from polyvae.deployment.encoder import encoder_of
from polyvae.deployment.expressible import check_perceptron
from polyvae.deployment.files import checked_label, checked_serials
from polyvae.deployment.numpy_runtime import Encoder, evaluate
from polyvae.errors import InputError, OutputError
from polyvae.trajectory import atomic_path
from polyvae.vae import ConformationModel

ColvarsUnits = Literal["real", "metal", "gromacs"]
_NANOMETERS = {"real": 0.1, "metal": 0.1, "gromacs": 1.0}
_ACTIVATIONS = {
    "tanh": "activation tanh",
    "relu": "activation relu",
    "elu": "activation elu",
    "gelu": "custom_activation 0.5*x*(1+tanh(0.7978845608028654*(x+0.044715*x^3)))",
    "silu": "custom_activation x/(1+exp(-x))",
}
_AXES = ("(1.0, 0.0, 0.0)", "(0.0, 1.0, 0.0)", "(0.0, 0.0, 1.0)")
_DEGREE = repr(np.pi / 180.0)


def export_colvars(
    model: ConformationModel,
    folder: str | os.PathLike[str],
    *,
    atoms: Sequence[int] | np.ndarray | None = None,
    units: ColvarsUnits = "real",
    label: str = "z",
    check: Any | None = None,
    overwrite: bool = False,
) -> Path:
    """Write the latent mean as Colvars input: `colvars.in`, and weights and biases of each layer as text.

    The collective variables are `label0`, `label1`, ... Weights and biases are looked for where the engine runs, so run
    it in the folder or copy the files. Models in three dimensions can be written, of Cartesian positions with the
    alignments "procrustes", "kabsch", "center" and "none" and equal weights of atoms, and of internal coordinates.
    "gelu" and "silu", and torsions, need Colvars with Lepton, as engines have it.

    Args:
        model: the trained model.
        folder: to write to; made where it is missing.
        atoms: serial numbers of the model's atoms in the engine, counted from 1, in the model's order; None where the
            engine simulates the model's atoms alone.
        units: of the engine, as Colvars names them: "real" (NAMD, LAMMPS; Å), "metal" (LAMMPS; Å) or "gromacs" (nm).
            Models in reduced units are written in these, whatever is given.
        label: what the names of the variables begin with.
        check: frames on which the numbers that are written are compared with the model first, a trajectory or
            positions of shape (frames, atoms, dims).
        overwrite: whether existing files may be replaced.

    Returns:
        The path of `colvars.in`.

    Raises:
        InputError: if Colvars' components cannot express the model, `atoms` are not the model's, a file exists and
            `overwrite` is False, or the numbers give another latent than the model on `check` by more than 1e-9.
    """
    encoder = encoder_of(model)
    _check_expressible(encoder)
    serials, label = checked_serials(model, atoms), checked_label(label)
    if units not in _NANOMETERS:
        raise InputError(f"`units` must be one of {', '.join(map(repr, _NANOMETERS))}; got {units!r}.")
    if check is not None:
        compare("The Colvars input", model, check, partial(evaluate, encoder), tolerance=1e-9)
    is_reduced = model.system.units == "reduced"
    length = 1.0 if is_reduced else _NANOMETERS[units]
    files = _layers(encoder, length, label)
    files["colvars.in"] = "\n".join(
        [
            "# Latent coordinates of a polyvae model. Molecules must be whole.",
            "# The model's reduced units." if is_reduced else f"units {units}",
            *(
                line
                for index in range(len(encoder.biases[-1]))
                for line in _colvar(encoder, serials, length, label, index)
            ),
            *_footer(label),
            "",
        ]
    )
    folder = Path(folder)
    for name in files:
        if (folder / name).exists() and not overwrite:
            raise OutputError(
                f"{folder / name} exists already. Choose another folder or pass overwrite=True."
            )
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(
            f"{folder} cannot be made a folder: {error.strerror}. Choose another one."
        ) from error
    for name, text in files.items():
        with atomic_path(folder / name, overwrite=overwrite) as temporary:
            temporary.write_text(text, encoding="ascii")
    return folder / "colvars.in"


def _check_expressible(encoder: Encoder) -> None:
    elsewhere = "`export_numpy` writes any model for engines with Python."
    if encoder.dims == 2:
        raise InputError(
            "Colvars fits frames in space, which may turn a plane upside down: a model in two dimensions cannot be "
            f"written for it. PLUMED can take it (`export_plumed`). {elsewhere}"
        )
    check_perceptron(
        encoder, engine="Colvars", part="component", network="Colvars' NeuralNetwork", remedy=elsewhere
    )
    if encoder.motion in ("fit", "center") and not np.allclose(
        encoder.weights, encoder.weights[0], rtol=1e-6
    ):
        raise InputError(
            "Colvars weighs all atoms of a fit equally: a model with `mass_weighted=True` cannot be written for it. "
            f"PLUMED can take it (`export_plumed`). {elsewhere}"
        )


def _layers(encoder: Encoder, length: float, label: str) -> dict[str, str]:
    """Weights and biases of each layer as text, rows of outputs, by the names of their files."""
    matrices = [encoder.matrices[0] * _unit_lengths(encoder, length)[:, None], *encoder.matrices[1:]]
    files = {}
    for layer, (matrix, bias) in enumerate(zip(matrices, encoder.biases, strict=True), start=1):
        rows = (" ".join(map(repr, row)) for row in matrix.T.tolist())
        files[f"{label}_weights_{layer}.txt"] = "\n".join([*rows, ""])
        files[f"{label}_biases_{layer}.txt"] = "\n".join([*map(repr, bias.tolist()), ""])
    return files


def _unit_lengths(encoder: Encoder, length: float) -> np.ndarray:
    """What each input is multiplied with: the engine's unit in nm for lengths, one for angles."""
    n_coordinates = 3 * encoder.n_atoms if encoder.takes_coordinates else 0
    n_angles = len(encoder.angles) + 2 * len(encoder.torsions)
    return np.repeat([length, 1.0, length], [len(encoder.pairs), n_angles, n_coordinates])


def _colvar(encoder: Encoder, serials: np.ndarray, length: float, label: str, index: int) -> Iterator[str]:
    """The lines of one latent dimension."""
    components = list(_components(encoder, serials, length))
    yield "colvar {"
    yield f"  name {label}{index}"
    yield "  NeuralNetwork {"
    yield f"    output_component {index}"
    last = len(encoder.matrices)
    for layer in range(1, last + 1):
        yield f"    layer{layer}_WeightsFile {label}_weights_{layer}.txt"
        yield f"    layer{layer}_BiasesFile {label}_biases_{layer}.txt"
        yield f"    layer{layer}_{'activation linear' if layer == last else _ACTIVATIONS[encoder.activation]}"
    for name, component in enumerate(components):
        yield from _component(f"input_{name:06d}", component, 1.0)
    yield "  }"
    if encoder.shortcut.size:
        # Components of one variable add up: the linear map beside the layers is one more.
        factors = encoder.shortcut[:, index] * _unit_lengths(encoder, length)
        yield "  linearCombination {"
        for name, (component, factor) in enumerate(zip(components, factors, strict=True)):
            yield from _component(f"direct_{name:06d}", component, float(factor))
        yield "  }"
    yield "}"


Component = tuple[str, float, list[str]]
"""Kind of a component, factor that it is taken with, and the lines of its block."""


def _components(encoder: Encoder, serials: np.ndarray, length: float) -> Iterator[Component]:
    """The inputs of the network in their order."""
    for atoms in encoder.pairs:
        yield "distance", 1.0, _groups(serials[atoms])
    for atoms in encoder.angles:
        yield "angle", np.pi / 180.0, _groups(serials[atoms])
    for function in ("cos", "sin"):
        for atoms in encoder.torsions:
            nested = ["dihedral {", "  name torsion", *(f"  {line}" for line in _groups(serials[atoms])), "}"]
            yield "customColvar", 1.0, [f"customFunction {function}(torsion*{_DEGREE})", *nested]
    if not encoder.takes_coordinates:
        return
    fit = _fit(encoder, serials, length)
    for serial in serials:
        for axis in _AXES:
            main = ["main {", f"  atomNumbers {serial}", *(f"  {line}" for line in fit), "}"]
            yield (
                "distanceZ",
                1.0,
                [f"axis {axis}", "forceNoPBC on", *main, "ref {", "  dummyAtom (0.0, 0.0, 0.0)", "}"],
            )


def _fit(encoder: Encoder, serials: np.ndarray, length: float) -> list[str]:
    """Lines that move a group with the fit of all atoms."""
    if encoder.motion == "none":
        return []
    fitting = f"fittingGroup {{ atomNumbers {' '.join(map(str, serials))} }}"
    if encoder.motion == "center":
        return ["centerToReference on", fitting, "refPositions (0.0, 0.0, 0.0)"]
    rows = (encoder.reference / length).tolist()
    positions = " ".join(f"({', '.join(map(repr, row))})" for row in rows)
    return ["centerToReference on", "rotateToReference on", fitting, f"refPositions {positions}"]


def _groups(serials: np.ndarray) -> list[str]:
    return [f"group{index} {{ atomNumbers {serial} }}" for index, serial in enumerate(serials, start=1)]


def _component(name: str, component: Component, factor: float) -> Iterator[str]:
    kind, own_factor, lines = component
    yield f"    {kind} {{"
    yield f"      name {name}"
    if own_factor * factor != 1.0:
        yield f"      componentCoeff {own_factor * factor!r}"
    yield from (f"      {line}" for line in lines)
    yield "    }"


def _footer(label: str) -> list[str]:
    return [
        "# Values to adjust to your system. Metadynamics needs width, lowerBoundary and upperBoundary in the variable.",
        *("# harmonic {", f"#   colvars {label}0", "#   centers 0.0", "#   forceConstant 25.0", "# }"),
        *(
            "# metadynamics {",
            f"#   colvars {label}0",
            "#   hillWeight 0.2",
            "#   newHillFrequency 500",
            "# }",
        ),
    ]
