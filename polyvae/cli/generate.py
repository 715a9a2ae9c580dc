"""`polyvae generate`: new conformations from a trained model."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import tyro

from polyvae.analysis import generate
from polyvae.cli.options import check_counts, check_output
from polyvae.cli.parsing import parse
from polyvae.cli.printing import Printing
from polyvae.storage import load_model
from polyvae.trajectory import save_trajectory
from polyvae.trajectory.finding import counted
from polyvae.vae import ConformationModel


@dataclass(frozen=True, kw_only=True)
class GenerateCommand:
    """New conformations from a trained model: draws from the prior, decoded with the decoder's noise.

    Attributes:
        model: model file (.json or .safetensors) or run folder.
        n: number of conformations.
        output: file to write: .xtc, .dcd, .pdb or .npz. XTC and DCD hold no topology: where the model has one, a
            PDB of the same name with the first conformation is written beside them.
        seed: same seed, same conformations.
        reject_overlaps: draw anew where two atoms are closer than any two of the training data.
        overwrite: whether an existing file may be replaced.
        printing: what is printed.
    """

    model: tyro.conf.Positional[Path]
    n: Annotated[int, tyro.conf.arg(aliases=["-n"])] = 1000
    output: Annotated[Path, tyro.conf.arg(aliases=["-o"])] = Path("generated.npz")
    seed: int = 0
    reject_overlaps: bool = False
    overwrite: bool = False
    printing: tyro.conf.OmitArgPrefixes[Printing] = field(default_factory=Printing)


def command(words: list[str]) -> int:
    """Run `polyvae generate`."""
    settings = parse(GenerateCommand, words, verb="generate")
    check_output(settings.output, (".xtc", ".dcd", ".pdb", ".npz"), overwrite=settings.overwrite)
    check_counts(n=settings.n)
    step = settings.printing.steps(are_told=False)
    step("reading the model")
    model = load_model(settings.model)
    step("generating")
    topology = _topology_file(settings.output, model)
    if topology is not None:
        check_output(topology, (".pdb",), overwrite=settings.overwrite)
    generated = generate(model, settings.n, seed=settings.seed, reject_overlaps=settings.reject_overlaps)
    step("writing")
    save_trajectory(generated, settings.output, overwrite=settings.overwrite)
    if topology is not None:
        save_trajectory(generated[:1], topology, overwrite=settings.overwrite)
    step.done()
    settings.printing.answer(
        {
            "conformations": generated.n_frames,
            "atoms": generated.n_atoms,
            "seed": settings.seed,
            "output": settings.output,
            "topology": topology,
        },
        f"{counted(generated.n_frames, 'conformation')} of {counted(generated.n_atoms, 'atom')} in {settings.output}"
        + (f", topology in {topology}" if topology is not None else ""),
    )
    return 0


def _topology_file(output: Path, model: ConformationModel) -> Path | None:
    """Where the topology of a format without one goes, or None where there is nothing to write."""
    if output.suffix.lower() not in (".xtc", ".dcd") or model.system.topology is None:
        return None
    return output.with_suffix(".pdb")
