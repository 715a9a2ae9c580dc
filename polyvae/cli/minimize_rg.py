"""`polyvae minimize-rg`: the most compact valid conformations that a model knows."""

import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import tyro

from polyvae.analysis import OptimizationConfig, minimize_radius_of_gyration
from polyvae.cli.options import check_output
from polyvae.cli.parsing import parse
from polyvae.storage import load_model
from polyvae.trajectory import save_trajectory


@dataclass(frozen=True, kw_only=True)
class MinimizeCommand:
    """The most compact conformations by gradient descent in latent space, bounded by the data's geometry.

    Attributes:
        model: model file (.json or .safetensors) or run folder.
        output: file to write, best conformation first: .pdb, .xtc, .dcd or .npz.
        starts: descents, from draws of the prior.
        seed: of the starts.
        overwrite: whether an existing file may be replaced.
        debug: show the traceback of an error.
        optimization: the descent.
    """

    model: tyro.conf.Positional[Path]
    output: Annotated[Path, tyro.conf.arg(aliases=["-o"])] = Path("compact.pdb")
    starts: int = 100
    seed: int = 0
    overwrite: bool = False
    debug: bool = False
    optimization: tyro.conf.OmitArgPrefixes[OptimizationConfig] = field(default_factory=OptimizationConfig)


def command(words: list[str]) -> int:
    """Run `polyvae minimize-rg`."""
    settings = parse(MinimizeCommand, words, verb="minimize-rg")
    check_output(settings.output, (".pdb", ".xtc", ".dcd", ".npz"), overwrite=settings.overwrite)
    compact = minimize_radius_of_gyration(
        load_model(settings.model), starts=settings.starts, config=settings.optimization, seed=settings.seed
    )
    print(f"{compact.n_valid} of {compact.n_starts} starts led to a valid conformation")
    if compact.trajectory is None:
        print(
            "polyvae: no conformation within the data's geometry was found, so no file is written. Use "
            "more `starts`, or a model with a larger `latent_dim`.",
            file=sys.stderr,
        )
        return 1
    save_trajectory(compact.trajectory, settings.output, overwrite=settings.overwrite)
    print(
        f"smallest radius of gyration {compact.best:.4g} {compact.unit}, smallest in the data "
        f"{compact.data_minimum:.4g} {compact.unit}\nconformations, best first, in {settings.output}"
    )
    return 0
