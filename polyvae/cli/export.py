"""`polyvae export`: the latent coordinate as input of simulation engines."""

import re
import warnings
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import tyro

from polyvae.cli.options import TrajectoryOptions, check_output
from polyvae.cli.parsing import parse
from polyvae.cli.printing import Printing
from polyvae.cli.progress import say
from polyvae.cli.usage import UsageError
from polyvae.deployment import export_colvars, export_numpy, export_onnx, export_plumed, export_pycv
from polyvae.errors import InputError, PolyvaeWarning
from polyvae.storage import load_model
from polyvae.trajectory.finding import counted
from polyvae.trajectory.topology import load_topology, select_atoms
from polyvae.vae import ConformationModel

_SUFFIXES = {"numpy": ".py", "onnx": ".onnx", "plumed": ".dat", "pycv": ".py"}
_ADDRESSED = ("plumed", "pycv", "colvars")
_CHECKED = 100


@dataclass(frozen=True, kw_only=True)
class ExportCommand:
    """The latent mean of a trained model as a function of raw positions, for other programs.

    Attributes:
        model: model file (.json or .safetensors) or run folder.
        format: "numpy" (a Python file that needs NumPy alone, value and gradient), "onnx" (value), "plumed" (PLUMED's
            own actions), "pycv" (the model in Python inside PLUMED) or "colvars" (a folder for NAMD, LAMMPS, GROMACS).
        output: file to write, or folder for colvars; latent with the format's suffix by default.
        serials: the model's atoms in the engine, counted from 1, in the model's order, such as "5,7,9-22". None
            finds them by the model's selection in `top`, or, without one, counts the model's atoms alone. For plumed,
            pycv and colvars.
        engine_units: units of the engine that reads the colvars input.
        check: trajectory files; the export is compared with the model on up to 100 of their frames before it is
            written. Not for pycv, which is the model itself.
        overwrite: whether existing files may be replaced.
        trajectory: how the trajectories of `check` are read.
        printing: what is printed.
    """

    model: tyro.conf.Positional[Path]
    format: Literal["numpy", "onnx", "plumed", "pycv", "colvars"]
    output: Annotated[Path | None, tyro.conf.arg(aliases=["-o"])] = None
    serials: str | None = None
    engine_units: Literal["real", "metal", "gromacs"] = "real"
    check: tuple[str, ...] = ()
    overwrite: bool = False
    trajectory: tyro.conf.OmitArgPrefixes[TrajectoryOptions] = field(default_factory=TrajectoryOptions)
    printing: tyro.conf.OmitArgPrefixes[Printing] = field(default_factory=Printing)


def command(words: list[str]) -> int:
    """Run `polyvae export`."""
    settings = parse(ExportCommand, words, verb="export")
    suffix = _SUFFIXES.get(settings.format, "")
    output = settings.output or Path("colvars" if settings.format == "colvars" else f"latent{suffix}")
    if suffix:
        check_output(output, (suffix,), overwrite=settings.overwrite)
    serials = None if settings.serials is None else _serials(settings.serials)
    if serials is not None and settings.format not in _ADDRESSED:
        raise UsageError(
            f"`serials` are atoms of an engine's input; {settings.format} takes the positions of the model's atoms. "
            "Drop --serials."
        )
    if settings.format == "pycv" and settings.check:
        raise UsageError(
            "The pycv file calls the model itself, so there is nothing to compare. Drop --check."
        )
    step = settings.printing.steps(are_told=False)
    step("reading the model")
    model = load_model(settings.model)
    if serials is None and settings.format in _ADDRESSED:
        serials = _serials_in_topology(settings, model)
    if serials is None and settings.format in _ADDRESSED and model.system.selection is not None:
        warnings.warn(
            f"The model's atoms are a selection ({model.system.selection!r}), and the file addresses atoms "
            f"1 to {model.system.n_atoms} of the engine. If that simulates more, name its topology with --top, or "
            "their numbers with --serials.",
            PolyvaeWarning,
            stacklevel=2,
        )
    frames = _frames(settings, model) if settings.check else None
    step("writing")
    written = _export(settings, model, output, serials, frames)
    step.done()
    checked = "" if frames is None else f", compared with the model on {counted(len(frames), 'frame')}"
    settings.printing.answer(
        {
            "format": settings.format,
            "latent_dim": model.latent_dim,
            "atoms": model.system.n_atoms,
            "serials": serials,
            "checked_frames": 0 if frames is None else len(frames),
            "output": written,
        },
        f"{counted(model.latent_dim, 'latent dimension')} of {counted(model.system.n_atoms, 'atom')} in "
        f"{written}{checked}",
    )
    return 0


def _export(
    settings: ExportCommand, model: ConformationModel, output: Path, serials: Any, frames: Any
) -> Path:
    overwrite = settings.overwrite
    if settings.format == "numpy":
        return export_numpy(model, output, check=frames, overwrite=overwrite)
    if settings.format == "onnx":
        return export_onnx(model, output, check=frames, overwrite=overwrite)
    if settings.format == "plumed":
        return export_plumed(model, output, atoms=serials, check=frames, overwrite=overwrite)
    if settings.format == "colvars":
        units = settings.engine_units
        return export_colvars(model, output, atoms=serials, units=units, check=frames, overwrite=overwrite)
    return export_pycv(model, output, model_file=settings.model, atoms=serials, overwrite=overwrite)


def _frames(settings: ExportCommand, model: ConformationModel) -> np.ndarray:
    positions = settings.trajectory.load_for(model, settings.check).positions
    chosen = np.unique(np.linspace(0, len(positions) - 1, min(len(positions), _CHECKED)).astype(int))
    return np.asarray(positions[chosen])


def _serials_in_topology(settings: ExportCommand, model: ConformationModel) -> list[int] | None:
    """Serial numbers of the model's atoms in the system of `--top`, if they are a selection of it."""
    topology, selection = load_topology(settings.trajectory.top), model.system.selection
    if topology is None or selection is None or topology.n_atoms <= model.system.n_atoms:
        return None
    chosen = select_atoms(selection, topology, topology.n_atoms, str(settings.trajectory.top))[0]
    if chosen is None or len(chosen) != model.system.n_atoms:
        raise InputError(
            f"{settings.trajectory.top}: the model's selection {selection!r} chooses "
            f"{0 if chosen is None else len(chosen)} atoms there, and the model has {model.system.n_atoms}. Give the "
            "topology of the system that the model was trained on, or the atoms' numbers as `serials`."
        )
    serials = [int(atom) + 1 for atom in chosen]
    numbers = ",".join(map(str, serials))
    say(f"the model's atoms are {numbers} in {settings.trajectory.top}", quiet=settings.printing.quiet)
    return serials


def _serials(text: str) -> list[int]:
    """Numbers and ranges with both ends, with commas or blanks between them."""
    numbers: list[int] = []
    for part in re.split(r"[,\s]+", text.strip()):
        match = re.fullmatch(r"(\d+)(?:-(\d+))?", part)
        if match is None or int(match[2] or match[1]) < int(match[1]):
            raise UsageError(f"`serials` are numbers and ranges such as 5,7,9-22; cannot read {part!r}.")
        numbers += range(int(match[1]), int(match[2] or match[1]) + 1)
    return numbers
