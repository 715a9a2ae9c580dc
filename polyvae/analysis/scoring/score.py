"""`score_ensemble`: every number of a score, group by group, with error, noise floor and verdict."""

import numpy as np

from polyvae.analysis.marginals import distance_marginals
from polyvae.analysis.scoring import groups
from polyvae.analysis.scoring.bootstrap import Sample
from polyvae.analysis.scoring.peptides import backbone_torsions
from polyvae.analysis.scoring.record import EnsembleScore
from polyvae.analysis.scoring.sides import check_same_system, sides_of
from polyvae.analysis.scoring.verdict import worst_of
from polyvae.trajectory import Trajectory

_SHOWN_PAIRS = 12


def score_ensemble(
    reference: Trajectory,
    ensemble: Trajectory,
    *,
    training: Trajectory | None = None,
    bins: int = 60,
    torsion_bins: int = 36,
    bootstrap: int = 100,
    seed: int = 0,
) -> EnsembleScore:
    """How good an ensemble is, number by number: geometry, distributions, coverage, novelty.

    The ensemble may come from anywhere: a trained model, another generator, a second simulation. Bonds and residues are
    those of the reference, or of the ensemble where the reference has none. Weights of frames count on both sides.

    Args:
        reference: the data; held-out frames where there is a training set.
        ensemble: conformations of the same atoms, in any orientation.
        training: the frames that the generator was trained on, for the memorization test; None leaves it out.
        bins: bins of the histograms of lengths, from the smallest to the largest value of both sides.
        torsion_bins: bins of a full turn, for torsions and along each axis of a Ramachandran map.
        bootstrap: replicates behind the errors.
        seed: decides the replicates.

    Returns:
        The score; print its `table()`, or draw it with `polyvae.plots.figure_score`. Definitions of every row are in
        the documentation, on the page about scoring.

    Raises:
        InputError: if the trajectories do not hold the same atoms in the same unit, the reference has fewer than four
            frames or the ensemble fewer than two, bonded atoms coincide, or a setting is out of range.
    """
    random = np.random.default_rng([seed, 5])
    sides = sides_of(
        reference, ensemble, bins=bins, torsion_bins=torsion_bins, bootstrap=bootstrap, random=random
    )
    if training is not None:
        check_same_system(reference, training, "training set")
    reference, ensemble = sides.frames
    backbone = backbone_torsions(sides.system)
    distances, worst_pairs = groups.pair_distances(sides)
    ramachandran, maps = groups.ramachandran(sides, backbone)
    sections = (
        distances,
        groups.internal_coordinates(sides),
        ramachandran,
        groups.size(sides),
        groups.rare_events(sides, backbone),
        groups.reach(sides),
        groups.memorization(sides, training),
    )
    rows = tuple(row for section in sections for row in section.rows)
    return EnsembleScore(
        verdict=worst_of([row.verdict for row in rows]),
        rows=rows,
        absent=tuple(pair for section in sections for pair in section.absent),
        notes=(
            *sides.notes,
            *_notes_on_blocks("reference", sides.reference),
            *_notes_on_blocks("ensemble", sides.ensemble),
            *(note for section in sections for note in section.notes),
        ),
        marginals=distance_marginals(reference, ensemble, pairs=worst_pairs[:_SHOWN_PAIRS], bins=bins),
        ramachandran=maps,
        reference=(reference.source, sides.reference.n_frames, sides.reference.n_blocks),
        ensemble=(ensemble.source, sides.ensemble.n_frames, sides.ensemble.n_blocks),
        unit=reference.units.length,
    )


def _notes_on_blocks(name: str, sample: Sample) -> tuple[str, ...]:
    if not sample.has_few_blocks:
        return ()
    return (
        f"The {name} is short beside its correlation time: its {sample.n_blocks} blocks are not independent, and "
        "errors are too small.",
    )
