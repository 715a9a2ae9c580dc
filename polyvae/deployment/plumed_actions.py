"""PLUMED's actions, line by line, for an encoder: where the atoms are, what is measured, and the network."""

import numpy as np

from polyvae.deployment.numpy_runtime import Encoder

_UNIT_FUNCTIONS = {
    "gelu": "0.5*x*(1+tanh(0.7978845608028654*(x+0.044715*x^3)))",
    "relu": "x*step(x)",
    "silu": "x/(1+exp(-x))",
    "elu": "select(step(x),x,exp(x)-1)",
}
# Names of one letter would be risky: PLUMED reads e and pi as numbers.
_BOTH = "sqrt(((xb-xa)^2+(yb-ya)^2)*((xc-xb)^2+(yc-yb)^2))"
_TURN_COSINE = f"((xb-xa)*(xc-xb)+(yb-ya)*(yc-yb))/{_BOTH}"
_TURN_SINE = f"((xb-xa)*(yc-yb)-(yb-ya)*(xc-xb))/{_BOTH}"


def actions(
    encoder: Encoder,
    serials: np.ndarray,
    *,
    label: str,
    template: str | None,
    center: np.ndarray,
    is_reduced: bool,
) -> list[str]:
    """The lines of the PLUMED input.

    Args:
        encoder: what to write.
        serials: serial numbers of its atoms.
        label: of the last action, and of all others as a prefix.
        template: name of the PDB that frames are fitted to, or None.
        center: of that template, where fitted frames lie, in nm.
        is_reduced: whether lengths are in reduced units.
    """
    measured, arguments = _measured(encoder, serials, label)
    if encoder.takes_coordinates:
        coordinates, lines = _coordinates(encoder, label)
        measured += lines
        arguments += coordinates
    return [
        *_header(encoder, serials, template, is_reduced),
        *(["UNITS NATURAL"] if is_reduced else []),
        f"WHOLEMOLECULES ENTITY0={_joined(serials)}",
        *_template_lines(encoder, template),
        *measured,
        *_network(encoder, arguments, center, label),
        *_footer(len(encoder.biases[-1]), label),
    ]


def _header(encoder: Encoder, serials: np.ndarray, template: str | None, is_reduced: bool) -> list[str]:
    unit = (
        "natural units, the model's reduced ones" if is_reduced else "PLUMED's default units: nm, kJ/mol, ps"
    )
    lines = [
        "# Latent coordinates of a polyvae model. Needs PLUMED with the module annfunc.",
        f"# Atoms {serials[0]} ... {serials[-1]} ({len(serials)} of them, in the model's order); {unit}.",
        "# Consecutive atoms of the list must be closer than half of the box.",
    ]
    if template is not None:
        lines += [
            f"# {template} is looked for where the engine runs. Its coordinates have more decimals than usual, and",
            "# the values below belong to them as they stand: leave the file as it is.",
            "# FIT_TO_TEMPLATE moves all atoms for what comes after it: put what needs positions or the box before it.",
        ]
    return lines


def _template_lines(encoder: Encoder, template: str | None) -> list[str]:
    if template is None:
        return []
    kind = "OPTIMAL" if encoder.motion == "fit" else "SIMPLE"
    return [f"FIT_TO_TEMPLATE REFERENCE={template} TYPE={kind} NOPBC"]


def _measured(encoder: Encoder, serials: np.ndarray, label: str) -> tuple[list[str], list[str]]:
    """Lines for positions, distances, angles and torsions, and the names of all but the positions."""
    lines: list[str] = []
    needs_positions = encoder.takes_coordinates or (encoder.dims == 2 and len(encoder.torsions) > 0)
    if needs_positions:
        lines += [f"{label}_p{index}: POSITION ATOM={serial} NOPBC" for index, serial in enumerate(serials)]
    names: list[str] = []
    for letter, action, groups in (("d", "DISTANCE", encoder.pairs), ("b", "ANGLE", encoder.angles)):
        for index, atoms in enumerate(groups):
            names.append(f"{label}_{letter}{index}")
            lines.append(f"{names[-1]}: {action} ATOMS={_joined(serials[atoms])} NOPBC")
    functions = (("c", "cos(x)", _TURN_COSINE), ("s", "sin(x)", _TURN_SINE))
    if encoder.dims == 3:
        lines += [
            f"{label}_t{index}: TORSION ATOMS={_joined(serials[atoms])} NOPBC"
            for index, atoms in enumerate(encoder.torsions)
        ]
    for letter, of_torsion, of_turn in functions:
        for index, atoms in enumerate(encoder.torsions):
            names.append(f"{label}_{letter}{index}")
            if encoder.dims == 3:
                lines.append(f"{names[-1]}: CUSTOM ARG={label}_t{index} FUNC={of_torsion} PERIODIC=NO")
            else:
                arguments = ",".join(f"{label}_p{atom}.{axis}" for atom in atoms for axis in "xy")
                lines.append(
                    f"{names[-1]}: CUSTOM ARG={arguments} VAR=xa,ya,xb,yb,xc,yc FUNC={of_turn} PERIODIC=NO"
                )
    return lines, names


def _coordinates(encoder: Encoder, label: str) -> tuple[list[str], list[str]]:
    """Names of the coordinates that the network sees, and the lines that they need beside the positions."""
    axes = "xyz"[: encoder.dims]
    raw = [f"{label}_p{atom}.{axis}" for atom in range(encoder.n_atoms) for axis in axes]
    if encoder.dims == 3 or encoder.motion == "none":
        return raw, []
    weights = encoder.weights
    x, y = (f"{label}_p{{0}}.{axis}" for axis in axes)
    lines = [
        f"{label}_o{axis}: COMBINE ARG={','.join(raw[index::2])} COEFFICIENTS={_joined(weights)} PERIODIC=NO"
        for index, axis in enumerate(axes)
    ]
    shift = f"{label}_ox,{label}_oy"
    if encoder.motion == "center":
        functions, rest, variables = ("x-u", "y-v"), shift, "x,y,u,v"
    else:
        weighted = weights[:, None] * encoder.reference
        # What turns a frame does not change with its place: the coefficients of an axis must add up to nothing.
        weighted = weighted - weights[:, None] * weighted.sum(axis=0)
        along, across = weighted, np.stack([weighted[:, 1], -weighted[:, 0]], axis=1)
        lines += [
            f"{label}_{name}: COMBINE ARG={','.join(raw)} COEFFICIENTS={_joined(rows.reshape(-1))} PERIODIC=NO"
            for name, rows in (("along", along), ("across", across))
        ]
        length = "sqrt(a*a+b*b)"
        functions = (f"((x-u)*a-(y-v)*b)/{length}", f"((x-u)*b+(y-v)*a)/{length}")
        rest, variables = f"{shift},{label}_along,{label}_across", "x,y,u,v,a,b"
    names = []
    for atom in range(encoder.n_atoms):
        for axis, function in zip(axes, functions, strict=True):
            names.append(f"{label}_q{atom}{axis}")
            arguments = f"{x.format(atom)},{y.format(atom)},{rest}"
            lines.append(f"{names[-1]}: CUSTOM ARG={arguments} VAR={variables} FUNC={function} PERIODIC=NO")
    return names, lines


def _network(encoder: Encoder, arguments: list[str], center: np.ndarray, label: str) -> list[str]:
    """The lines of the network, whose last has the given label."""
    matrices, biases = list(encoder.matrices), list(encoder.biases)
    if encoder.takes_coordinates and np.any(center):
        # Fitted frames lie at the template's center, those of the model at the origin.
        place = np.tile(center, encoder.n_atoms)
        biases[0] = biases[0] - place @ matrices[0][-len(place) :]
        if encoder.shortcut.size:
            biases[-1] = biases[-1] - place @ encoder.shortcut[-len(place) :]
    lines: list[str] = []
    inputs, last = arguments, len(matrices) - 1
    if encoder.activation == "tanh":
        if not encoder.shortcut.size:
            return [_ann(label, inputs, matrices, biases, ["Tanh"] * last + ["Linear"])]
        lines.append(_ann(f"{label}_h", inputs, matrices[:-1], biases[:-1], ["Tanh"] * last))
        inputs = [f"{label}_h.node-{unit}" for unit in range(len(biases[-2]))]
    else:
        for layer in range(last):
            name = f"{label}_h{layer}"
            lines.append(_ann(name, inputs, [matrices[layer]], [biases[layer]], ["Linear"]))
            inputs = [f"{label}_a{layer}_{unit}" for unit in range(len(biases[layer]))]
            lines += [
                f"{unit}: CUSTOM ARG={name}.node-{index} FUNC={_UNIT_FUNCTIONS[encoder.activation]} PERIODIC=NO"
                for index, unit in enumerate(inputs)
            ]
    final = matrices[-1]
    if encoder.shortcut.size:
        inputs, final = inputs + arguments, np.concatenate([final, encoder.shortcut])
    return [*lines, _ann(label, inputs, [final], [biases[-1]], ["Linear"])]


def _ann(
    label: str,
    inputs: list[str],
    matrices: list[np.ndarray],
    biases: list[np.ndarray],
    activations: list[str],
) -> str:
    nodes = [len(inputs), *(len(bias) for bias in biases)]
    words = [
        f"{label}: ANN ARG={','.join(inputs)} NUM_LAYERS={len(nodes)} NUM_NODES={_joined(nodes)}",
        f"ACTIVATIONS={','.join(activations)}",
    ]
    for layer, (matrix, bias) in enumerate(zip(matrices, biases, strict=True)):
        # PLUMED reads rows of outputs; the model has columns.
        words.append(f"WEIGHTS{layer}={_joined(matrix.T.reshape(-1))} BIASES{layer}={_joined(bias)}")
    return " ".join(words)


def _footer(n_latent: int, label: str) -> list[str]:
    names = ",".join(f"{label}.node-{index}" for index in range(n_latent))

    def each(value: str) -> str:
        return ",".join([value] * n_latent)

    return [
        "# Values to adjust to your system; one of these lines each:",
        f"# PRINT ARG={names} STRIDE=500 FILE=COLVAR",
        f"# RESTRAINT ARG={names} AT={each('0.0')} KAPPA={each('100.0')}",
        f"# METAD ARG={names} SIGMA={each('0.1')} HEIGHT=1.0 PACE=500 BIASFACTOR=10 TEMP=300",
        f"# OPES_METAD ARG={names} PACE=500 BARRIER=40 TEMP=300",
    ]


def _joined(values) -> str:
    """Numbers that read back as the same numbers, with commas between them."""
    return ",".join(repr(value) for value in np.asarray(values).tolist())
