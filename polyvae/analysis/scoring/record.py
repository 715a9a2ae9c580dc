"""`EnsembleScore`: every number of a score with its error, its noise floor and its verdict, as table and as JSON."""

import math
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from polyvae.analysis.marginals import DistanceMarginals
from polyvae.errors import InputError


@dataclass(frozen=True, kw_only=True)
class ScoreRow:
    """One number of a score.

    Attributes:
        name: such as "bond_w1_mean".
        group: what it belongs to, such as "bonds".
        value: the number, ensemble against reference.
        error: its standard error, from a bootstrap of blocks of both trajectories.
        floor: the noise floor: the same number between two halves of the reference.
        noise: what the number would be on average if both were samples of one distribution, of as many independent
            frames as they have; None where the error alone tells (rates and shares).
        baseline: for a rate its value in the reference, for novelty that of held-out frames; None elsewhere.
        unit: unit of value, error, floor and noise; "1" for shares and ratios.
        verdict: "as good as data", "close" or "wrong".
        worst: the pair, bond, residue ... that is worst, in words; None for a single quantity.
    """

    name: str
    group: str
    value: float
    error: float
    floor: float
    noise: float | None = None
    baseline: float | None = None
    unit: str
    verdict: str
    worst: str | None = None

    @property
    def limit(self) -> float:
        """The larger of noise floor and sampling noise."""
        return max(self.floor, self.noise or 0.0)


@dataclass(frozen=True, kw_only=True, eq=False)
class RamachandranMap:
    """Joint histograms of the backbone torsions φ and ψ of each residue, over [-π, π) with equal bins.

    Attributes:
        residues: names of the residues.
        reference: probability of each cell in the reference, shape (residues, bins, bins), φ first.
        ensemble: that of the ensemble.
        js: Jensen-Shannon divergence of the two, one number a residue, nats.
    """

    residues: tuple[str, ...]
    reference: np.ndarray
    ensemble: np.ndarray
    js: np.ndarray


@dataclass(frozen=True, kw_only=True, eq=False)
class EnsembleScore:
    """How an ensemble compares with a reference.

    Attributes:
        verdict: the worst verdict of all rows.
        rows: the numbers.
        absent: groups that could not be scored, each with the reason.
        notes: what a reader should know about these numbers, such as too few independent blocks.
        marginals: distance distributions of the worst pairs, worst first.
        ramachandran: maps of φ and ψ, or None where there are none.
        reference: name, frames and blocks of the reference: (source, frames, blocks).
        ensemble: those of the ensemble.
        unit: unit of length.
    """

    verdict: str
    rows: tuple[ScoreRow, ...]
    absent: tuple[tuple[str, str], ...]
    notes: tuple[str, ...]
    marginals: DistanceMarginals
    ramachandran: RamachandranMap | None
    reference: tuple[str, int, int]
    ensemble: tuple[str, int, int]
    unit: str

    def __getitem__(self, name: str) -> ScoreRow:
        """The row of this name.

        Raises:
            InputError: if there is none; the message says which there are, and why groups are absent.
        """
        for row in self.rows:
            if row.name == name:
                return row
        absent = "".join(f" No {group}: {reason}" for group, reason in self.absent)
        raise InputError(f"No row {name!r}; there are {', '.join(row.name for row in self.rows)}.{absent}")

    def to_json(self) -> dict[str, Any]:
        """The numbers as JSON can hold them, without histograms."""
        sides = {
            name: dict(zip(("source", "frames", "blocks"), getattr(self, name), strict=True))
            for name in ("reference", "ensemble")
        }
        return {
            "verdict": self.verdict,
            **sides,
            "unit": self.unit,
            "rows": [asdict(row) for row in self.rows],
            "absent": [{"group": group, "reason": reason} for group, reason in self.absent],
            "notes": list(self.notes),
        }

    def table(self) -> str:
        """The numbers as text, one row a line."""
        head = ("number", "value", "error", "floor", "noise", "data", "unit", "verdict", "worst")
        lines: list[tuple[str, ...]] = [head]
        for row in self.rows:
            numbers = (row.value, row.error, row.floor, row.noise, row.baseline)
            lines.append(
                (
                    row.name,
                    *map(_short, numbers),
                    "" if row.unit == "1" else row.unit,
                    row.verdict,
                    row.worst or "",
                )
            )
        widths = [max(len(line[column]) for line in lines) for column in range(len(head))]
        text = [
            "  ".join(
                cell.rjust(width) if 1 <= column <= 5 else cell.ljust(width)
                for column, (cell, width) in enumerate(zip(line, widths, strict=True))
            ).rstrip()
            for line in lines
        ]
        text += [f"no {group}: {reason}" for group, reason in self.absent]
        text += [f"note: {note}" for note in self.notes]
        return "\n".join([*text, f"overall: {self.verdict}"])


def _short(value: float | None) -> str:
    if value is None:
        return ""
    return f"{value:.3g}" if value == 0 or 1e-4 <= math.fabs(value) < 1e4 else f"{value:.1e}"
