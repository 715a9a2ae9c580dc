"""`polyvae score`: an ensemble against a reference, number by number, each with a verdict."""

import dataclasses
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import tyro

from polyvae.analysis import score_ensemble
from polyvae.cli.options import TrajectoryOptions, check_counts, check_output, of_ensemble
from polyvae.cli.parsing import parse
from polyvae.cli.printing import Printing, json_text
from polyvae.trajectory import Trajectory, atomic_path


@dataclass(frozen=True, kw_only=True)
class ScoreCommand:
    """Score any ensemble against a reference: geometry, distributions, coverage, novelty, each with a verdict.

    Attributes:
        reference: trajectory file of the data; held-out frames where there are training frames.
        ensemble: trajectory file of conformations of the same atoms, from anywhere.
        training: trajectory file of the frames that the generator was trained on, read as the reference is; for the
            memorization test.
        output: file to write the numbers to, .json; None writes none.
        figure: file to draw the score to, .png; None draws none.
        ensemble_top: topology file of the ensemble; None takes that of the reference.
        bins: bins of the histograms of lengths.
        torsion_bins: bins of a full turn.
        bootstrap: replicates behind the errors.
        seed: decides the replicates.
        overwrite: whether existing files may be replaced.
        trajectory: how the reference is read, and the ensemble where nothing else is said.
        of_ensemble: how the ensemble is read, where it differs.
        printing: what is printed.
    """

    reference: tyro.conf.Positional[str]
    ensemble: tyro.conf.Positional[str]
    training: str | None = None
    output: Annotated[Path | None, tyro.conf.arg(aliases=["-o"])] = None
    figure: Path | None = None
    ensemble_top: str | None = None
    bins: int = 60
    torsion_bins: int = 36
    bootstrap: int = 100
    seed: int = 0
    overwrite: bool = False
    trajectory: tyro.conf.OmitArgPrefixes[TrajectoryOptions] = field(default_factory=TrajectoryOptions)
    of_ensemble: Annotated[TrajectoryOptions, tyro.conf.arg(name="ensemble")] = field(
        default_factory=TrajectoryOptions
    )
    printing: tyro.conf.OmitArgPrefixes[Printing] = field(default_factory=Printing)


def command(words: list[str]) -> int:
    """Run `polyvae score`."""
    settings = parse(ScoreCommand, words, verb="score")
    for path, suffix, name in ((settings.output, ".json", "output"), (settings.figure, ".png", "figure")):
        if path is not None:
            check_output(path, (suffix,), overwrite=settings.overwrite, name=name)
    check_counts(bins=settings.bins, torsion_bins=settings.torsion_bins, bootstrap=settings.bootstrap)
    step = settings.printing.steps(are_told=False)
    step("reading the reference")
    reference = settings.trajectory.load([settings.reference])
    step("reading the ensemble")
    ensemble = _ensemble(settings)
    training = None if settings.training is None else settings.trajectory.load([settings.training])
    step("scoring")
    score = score_ensemble(
        reference,
        ensemble,
        training=training,
        bins=settings.bins,
        torsion_bins=settings.torsion_bins,
        bootstrap=settings.bootstrap,
        seed=settings.seed,
    )
    if settings.output is not None:
        with atomic_path(settings.output, overwrite=settings.overwrite) as temporary:
            temporary.write_text(json_text(score.to_json()) + "\n", encoding="utf-8")
    if settings.figure is not None:
        step("drawing")
        # Matplotlib takes a while to load, and few scores need it.
        from polyvae import plots

        with atomic_path(settings.figure, overwrite=settings.overwrite) as temporary:
            temporary.write_bytes(plots.to_png(plots.figure_score(score)))
    step.done()
    written = {"score": settings.output, "figure": settings.figure}
    lines = [f"{what} in {path}" for what, path in written.items() if path is not None]
    settings.printing.answer(score.to_json(), "\n".join([score.table(), *lines]))
    return 0


def _ensemble(settings: ScoreCommand) -> Trajectory:
    """The ensemble, read with its own flags and, where they are at their defaults, the reference's."""
    options = settings.of_ensemble
    inherited = {
        name: getattr(settings.trajectory, name)
        for name in ("top", "atoms", "units", "bonds")
        if getattr(options, name) is None
    }
    options = dataclasses.replace(options, **inherited)
    if settings.ensemble_top is not None:
        options = dataclasses.replace(options, top=settings.ensemble_top)
    return of_ensemble(options, settings.ensemble)
