"""The groups of a score, one function each: rows, and why a group is absent."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from polyvae.analysis.marginals import chosen_pairs
from polyvae.analysis.scoring import geometry
from polyvae.analysis.scoring.connectivity import non_bonded_classes
from polyvae.analysis.scoring.coverage import (
    MOST_TRAINING_FRAMES,
    coverage_and_precision,
    held_out_frames,
    novelty,
)
from polyvae.analysis.scoring.distributions import (
    Quantity,
    circle_bins,
    compare_cells,
    compare_cycles,
    compare_lengths,
    joined,
)
from polyvae.analysis.scoring.peptides import BackboneTorsions
from polyvae.analysis.scoring.rates import cis_bonds, clashes, wrong_hands
from polyvae.analysis.scoring.record import RamachandranMap, ScoreRow
from polyvae.analysis.scoring.rows import distance_rows, novelty_rows, rate_row, share_row
from polyvae.analysis.scoring.sides import Sides
from polyvae.trajectory import Trajectory
from polyvae.trajectory.mapped import take_rows

_NO_BONDS = 'nothing is known about bonds; give a topology, or bonds="sequence" for a chain'


@dataclass(frozen=True, kw_only=True)
class Section:
    """What a group adds to a score.

    Attributes:
        rows: its numbers.
        absent: groups without numbers, each with the reason.
        notes: what a reader should know.
    """

    rows: tuple[ScoreRow, ...] = ()
    absent: tuple[tuple[str, str], ...] = ()
    notes: tuple[str, ...] = ()


class _Kind(NamedTuple):
    """A kind of internal coordinate; torsions and turns, in nats, are periodic."""

    name: str
    group: str
    quantity: Quantity
    items: np.ndarray
    unit: str


def pair_distances(sides: Sides) -> tuple[Section, np.ndarray]:
    """Every pair distance by W1, and the pairs, worst first."""
    pairs = chosen_pairs(sides.system.n_atoms, None)
    compared = compare_lengths(
        geometry.distances, pairs, sides.reference, sides.ensemble, sides.half, sides.bins
    )
    worst = pairs[np.argsort(-compared.value, kind="stable")]
    names = sides.labels(pairs)
    rows = distance_rows(compared, names, name="pair_distance_w1", group="distances", unit=sides.unit)
    return Section(rows=tuple(rows)), worst


def internal_coordinates(sides: Sides) -> Section:
    """Bonds and angles by W1, torsions (signed turns in two dimensions) by JS."""
    flat = sides.dims == 2
    if sides.graph is None:
        groups = ("bonds", "angles", "turns" if flat else "torsions")
        return Section(absent=tuple((group, _NO_BONDS) for group in groups))
    triples = sides.graph.angles
    kinds = [
        _Kind("bond_w1", "bonds", geometry.distances, sides.bonds, sides.unit),
        _Kind("angle_w1", "angles", geometry.angles, triples, "rad"),
        _Kind("turn_js", "turns", geometry.turns, triples, "nats")
        if flat
        else _Kind("torsion_js", "torsions", geometry.torsions, sides.graph.torsions, "nats"),
    ]
    rows: list[ScoreRow] = []
    absent: list[tuple[str, str]] = []
    for kind in kinds:
        if len(kind.items) == 0:
            absent.append((kind.group, f"nowhere are {kind.items.shape[1]} atoms bonded in a row"))
            continue
        is_cycle = kind.unit == "nats"
        compare, bins = (compare_cycles, sides.torsion_bins) if is_cycle else (compare_lengths, sides.bins)
        compared = compare(kind.quantity, kind.items, sides.reference, sides.ensemble, sides.half, bins)
        names = sides.labels(kind.items)
        rows += distance_rows(compared, names, name=kind.name, group=kind.group, unit=kind.unit)
    return Section(rows=tuple(rows), absent=tuple(absent))


def ramachandran(sides: Sides, torsions: BackboneTorsions) -> tuple[Section, RamachandranMap | None]:
    """Maps of φ and ψ by JS, residue by residue."""
    if len(torsions.residues) == 0:
        reason = "no residue with both φ and ψ among these atoms"
        if sides.system.topology is None:
            reason = "there is no topology, so no residues are known"
        return Section(absent=(("ramachandran", reason),)), None
    bins = sides.torsion_bins
    data, made = (
        circle_bins(geometry.torsions(sample.coordinates, torsions.phi), bins) * bins
        + circle_bins(geometry.torsions(sample.coordinates, torsions.psi), bins)
        for sample in (sides.reference, sides.ensemble)
    )
    parts = [
        compare_cells(data[[row]], made[[row]], bins**2, sides.reference, sides.ensemble, sides.half)
        for row in range(len(data))
    ]
    compared = joined([part[0] for part in parts])
    reference, ensemble = (
        np.concatenate(side).reshape(-1, bins, bins)
        for side in ([part[1] for part in parts], [part[2] for part in parts])
    )
    maps = RamachandranMap(
        residues=torsions.residues, reference=reference, ensemble=ensemble, js=compared.value
    )
    rows = distance_rows(
        compared, torsions.residues, name="ramachandran_js", group="ramachandran", unit="nats"
    )
    return Section(rows=tuple(rows)), maps


def size(sides: Sides) -> Section:
    """Radius of gyration and end-to-end distance by W1."""
    gyration: Quantity = lambda coordinates, _: geometry.radii_of_gyration(coordinates, sides.masses)  # noqa: E731
    ends = np.array([[0, sides.system.n_atoms - 1]])
    rows: list[ScoreRow] = []
    for name, quantity in (("radius_of_gyration_w1", gyration), ("end_to_end_w1", geometry.distances)):
        compared = compare_lengths(quantity, ends, sides.reference, sides.ensemble, sides.half, sides.bins)
        rows += distance_rows(compared, [""], name=name, group="size", unit=sides.unit)
    return Section(rows=tuple(rows))


def rare_events(sides: Sides, torsions: BackboneTorsions) -> Section:
    """Clashes, centers of the wrong hand, cis peptide bonds."""
    rows, absent, notes = [], [], []
    between = (sides.reference, sides.ensemble)
    pairs, classes = non_bonded_classes(sides.bonds, sides.system)
    if len(pairs) == 0:
        absent.append(("clashes", "all atoms are bonded to each other"))
    else:
        events, floor = clashes(pairs, classes, *between, sides.half)
        row = rate_row(
            events,
            *between,
            sides.half,
            name="clashes_per_frame",
            group="clashes",
            unit="1/frame",
            items=1,
            worst=sides.label(pairs[events.worst]),
            fewer_is_fine=True,
            floor=floor,
        )
        rows.append(row)
        if events.has_left_out_frames:
            notes.append(
                f"{len(pairs)} pairs: clashes were looked for in {len(events.data)} frames of the reference and "
                f"{len(events.made)} of the ensemble."
            )
    centers = np.zeros((0, 4), np.int64) if sides.graph is None else sides.graph.centers
    if sides.dims == 2 or len(centers) == 0:
        reason = "no atom has three neighbors" if sides.dims == 3 else "there is none in two dimensions"
        absent.append(("chirality", _NO_BONDS if sides.graph is None and sides.dims == 3 else reason))
    else:
        chiral, events = wrong_hands(centers, *between)
        if events is None:
            absent.append(("chirality", "no center keeps one hand in 99 % of the reference"))
        else:
            row = rate_row(
                events,
                *between,
                sides.half,
                name="wrong_chirality",
                group="chirality",
                unit="1",
                items=len(chiral),
                worst=sides.names[chiral[events.worst, 0]],
                fewer_is_fine=True,
            )
            rows.append(row)
    if len(torsions.omega) == 0:
        absent.append(("omega", "no peptide bond among these atoms"))
    else:
        events = cis_bonds(torsions.omega, *between)
        row = rate_row(
            events,
            *between,
            sides.half,
            name="cis_peptides",
            group="omega",
            unit="1",
            items=len(torsions.omega),
            worst=torsions.peptides[events.worst],
            fewer_is_fine=False,
        )
        rows.append(row)
    return Section(rows=tuple(rows), absent=tuple(absent), notes=tuple(notes))


def reach(sides: Sides) -> Section:
    """Coverage and precision."""
    covered, precise, radius = coverage_and_precision(sides.reference, sides.ensemble, sides.half)
    rows = (share_row(covered, name="coverage"), share_row(precise, name="precision"))
    return Section(
        rows=rows, notes=(f"Coverage and precision count neighbors within {radius:.3g} {sides.unit} RMSD.",)
    )


def memorization(sides: Sides, training: Trajectory | None) -> Section:
    """Novelty.

    Args:
        sides: reference and ensemble.
        training: the training frames, or None; those of weight zero do not count.
    """
    if training is None:
        return Section(absent=(("novelty", "no training frames were given"),))
    counts = np.arange(training.n_frames) if training.weights is None else np.flatnonzero(training.weights)
    held_out = held_out_frames(sides.frames[0], training, counts)
    n_frames = sides.frames[0].n_frames
    if len(held_out) < 2:
        reason = "all frames of the reference are training frames; give held-out frames as the reference"
        return Section(absent=(("novelty", reason),))
    notes = []
    if len(held_out) < n_frames:
        notes.append(
            f"{n_frames - len(held_out)} frames of the reference are training frames; novelty is held against "
            f"the other {len(held_out)}."
        )
    spread = counts[:: -(-len(counts) // MOST_TRAINING_FRAMES)]
    frames = take_rows(training.positions, spread)
    found = novelty(held_out, frames, sides.reference, sides.ensemble, sides.half)
    if len(spread) < len(counts):
        notes.append("Novelty looked at every so many training frames only, 20 000 at most.")
    return Section(rows=tuple(novelty_rows(found)), notes=tuple(notes))
