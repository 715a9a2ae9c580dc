"""`polyvae marginals`: pair distances of an ensemble against those of a reference."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import tyro

from polyvae.analysis import distance_marginals
from polyvae.cli.options import TrajectoryOptions, check_counts, check_output, of_ensemble
from polyvae.cli.parsing import parse
from polyvae.cli.printing import Printing
from polyvae.storage import save_record
from polyvae.trajectory.finding import counted


@dataclass(frozen=True, kw_only=True)
class MarginalsCommand:
    """Compare the pair distances of an ensemble with those of a reference, beside the noise floor.

    Attributes:
        reference: trajectory file of the data.
        ensemble: trajectory file of generated (or any other) conformations of the same atoms.
        output: file to write, .npz; None writes none.
        bins: bins of each pair's histogram.
        overwrite: whether an existing file may be replaced.
        trajectory: how the reference is read.
        of_ensemble: how the ensemble is read.
        printing: what is printed.
    """

    reference: tyro.conf.Positional[str]
    ensemble: tyro.conf.Positional[str]
    output: Annotated[Path | None, tyro.conf.arg(aliases=["-o"])] = None
    bins: int = 60
    overwrite: bool = False
    trajectory: tyro.conf.OmitArgPrefixes[TrajectoryOptions] = field(default_factory=TrajectoryOptions)
    of_ensemble: Annotated[TrajectoryOptions, tyro.conf.arg(name="ensemble")] = field(
        default_factory=TrajectoryOptions
    )
    printing: tyro.conf.OmitArgPrefixes[Printing] = field(default_factory=Printing)


def command(words: list[str]) -> int:
    """Run `polyvae marginals`."""
    settings = parse(MarginalsCommand, words, verb="marginals")
    if settings.output is not None:
        check_output(settings.output, (".npz",), overwrite=settings.overwrite)
    check_counts(bins=settings.bins)
    step = settings.printing.steps(are_told=False)
    step("reading the reference")
    reference = settings.trajectory.load([settings.reference])
    step("reading the ensemble")
    ensemble = of_ensemble(settings.of_ensemble, settings.ensemble)
    step("comparing")
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
    step.done()
    worst = marginals.pairs[int(marginals.w1.argmax())]
    lines = [
        counted(len(marginals.pairs), "pair"),
        f"W1, mean over pairs   {numbers['w1_mean']:.4g} {marginals.unit}   noise floor "
        f"{numbers['floor_w1_mean']:.4g}",
        f"W1, largest           {numbers['w1_max']:.4g} {marginals.unit}   pair {worst[0]}-{worst[1]}",
        f"W1 / spread, mean     {numbers['w1_over_spread_mean']:.4g}",
        f"JS, mean over pairs   {numbers['js_mean']:.4g} nats   noise floor {numbers['floor_js_mean']:.4g}",
    ]
    if settings.output is not None:
        lines.append(f"marginals in {settings.output}")
    settings.printing.answer(numbers, "\n".join(lines))
    return 0
