"""`polyvae marginals`: pair distances of an ensemble against those of a reference."""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import tyro

from polyvae.analysis import distance_marginals
from polyvae.cli.options import TrajectoryOptions, check_output
from polyvae.cli.parsing import parse
from polyvae.errors import InputError
from polyvae.storage import save_record


@dataclass(frozen=True, kw_only=True)
class MarginalsCommand:
    """Compare the pair distances of an ensemble with those of a reference, beside the noise floor.

    Attributes:
        reference: trajectory file of the data.
        ensemble: trajectory file of generated (or any other) conformations of the same atoms.
        output: file to write, .npz; None writes none.
        bins: bins of each pair's histogram.
        json: print JSON instead of a table.
        overwrite: whether an existing file may be replaced.
        debug: show the traceback of an error.
        trajectory: how the reference is read.
        of_ensemble: how the ensemble is read.
    """

    reference: tyro.conf.Positional[str]
    ensemble: tyro.conf.Positional[str]
    output: Annotated[Path | None, tyro.conf.arg(aliases=["-o"])] = None
    bins: int = 60
    json: bool = False
    overwrite: bool = False
    debug: bool = False
    trajectory: tyro.conf.OmitArgPrefixes[TrajectoryOptions] = field(default_factory=TrajectoryOptions)
    of_ensemble: Annotated[TrajectoryOptions, tyro.conf.arg(name="ensemble")] = field(
        default_factory=TrajectoryOptions
    )


def command(words: list[str]) -> int:
    """Run `polyvae marginals`."""
    settings = parse(MarginalsCommand, words, verb="marginals")
    if settings.output is not None:
        check_output(settings.output, (".npz",), overwrite=settings.overwrite)
    reference = settings.trajectory.load([settings.reference])
    try:
        ensemble = settings.of_ensemble.load([settings.ensemble])
    except InputError as error:
        hint = "How the ensemble is read has flags of its own: --ensemble.top, --ensemble.atoms and so on."
        raise InputError(f"{error} {hint}") from error
    marginals = distance_marginals(reference, ensemble, bins=settings.bins)
    if settings.output is not None:
        save_record(marginals, settings.output, overwrite=settings.overwrite)
    numbers = {
        "pairs": len(marginals.pairs),
        "w1_mean": float(marginals.w1.mean()),
        "w1_max": float(marginals.w1.max()),
        "floor_w1_mean": float(marginals.floor_w1.mean()),
        "w1_over_spread_mean": float((marginals.w1 / marginals.spread).mean()),
        "js_mean": float(marginals.js.mean()),
        "floor_js_mean": float(marginals.floor_js.mean()),
        "unit": marginals.unit,
        "js_unit": "nats",
    }
    if settings.json:
        print(json.dumps(numbers, indent=1, ensure_ascii=False))
        return 0
    worst = marginals.pairs[int(marginals.w1.argmax())]
    print(f"{numbers['pairs']} pairs")
    print(
        f"W1, mean over pairs   {numbers['w1_mean']:.4g} {marginals.unit}   noise floor "
        f"{numbers['floor_w1_mean']:.4g}"
    )
    print(f"W1, largest           {numbers['w1_max']:.4g} {marginals.unit}   pair {worst[0]}-{worst[1]}")
    print(f"W1 / spread, mean     {numbers['w1_over_spread_mean']:.4g}")
    print(f"JS, mean over pairs   {numbers['js_mean']:.4g} nats   noise floor {numbers['floor_js_mean']:.4g}")
    if settings.output is not None:
        print(f"marginals in {settings.output}")
    return 0
