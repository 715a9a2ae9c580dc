"""`polyvae minimize-rg`: the most compact valid conformations that a model knows."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import tyro

from polyvae.analysis import OptimizationConfig, minimize_radius_of_gyration
from polyvae.cli.options import check_counts, check_output
from polyvae.cli.parsing import parse
from polyvae.cli.printing import Printing
from polyvae.cli.progress import say
from polyvae.storage import load_model
from polyvae.trajectory import save_trajectory

NOTHING_FOUND = (
    "polyvae: no conformation within the data's geometry was found, so no file is written. Use more --starts, or train "
    "a model with a larger --latent-dim."
)


@dataclass(frozen=True, kw_only=True)
class MinimizeCommand:
    """The most compact conformations by gradient descent in latent space, bounded by the data's geometry.

    Attributes:
        model: model file (.json or .safetensors) or run folder.
        output: file to write, best conformation first: .pdb, .xtc, .dcd or .npz.
        starts: descents, from draws of the prior.
        seed: of the starts.
        overwrite: whether an existing file may be replaced.
        optimization: the descent.
        printing: what is printed.
    """

    model: tyro.conf.Positional[Path]
    output: Annotated[Path, tyro.conf.arg(aliases=["-o"])] = Path("compact.pdb")
    starts: int = 100
    seed: int = 0
    overwrite: bool = False
    optimization: tyro.conf.OmitArgPrefixes[OptimizationConfig] = field(default_factory=OptimizationConfig)
    printing: tyro.conf.OmitArgPrefixes[Printing] = field(default_factory=Printing)


def command(words: list[str]) -> int:
    """Run `polyvae minimize-rg`."""
    settings = parse(MinimizeCommand, words, verb="minimize-rg")
    check_output(settings.output, (".pdb", ".xtc", ".dcd", ".npz"), overwrite=settings.overwrite)
    check_counts(starts=settings.starts)
    printing, step = settings.printing, settings.printing.steps(are_told=False)
    step("reading the model")
    model = load_model(settings.model)
    step("descending")
    compact = minimize_radius_of_gyration(
        model, starts=settings.starts, config=settings.optimization, seed=settings.seed
    )
    found = f"{compact.n_valid} of {compact.n_starts} starts led to a valid conformation"
    numbers = {
        "starts": compact.n_starts,
        "valid": compact.n_valid,
        "best": compact.best,
        "data_minimum": compact.data_minimum,
        "unit": compact.unit,
    }
    if compact.trajectory is None:
        printing.answer(numbers | {"output": None}, found)
        say(NOTHING_FOUND, quiet=False)
        return 1
    step("writing")
    save_trajectory(compact.trajectory, settings.output, overwrite=settings.overwrite)
    step.done()
    printing.answer(
        numbers | {"output": settings.output},
        f"{found}\nsmallest radius of gyration {compact.best:.4g} {compact.unit}, smallest in the data "
        f"{compact.data_minimum:.4g} {compact.unit}\nconformations, best first, in {settings.output}",
    )
    return 0
