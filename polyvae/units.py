"""Units of every number in polyvae: nm, ps, Da, K, kJ/mol, or reduced units for bead models.

A `Units` record travels with a `Trajectory`, so that every axis label and table can name the unit of its numbers.
In reduced units length, time and energy are counted in the model's own scales (σ, τ, ε).
"""

from dataclasses import dataclass

BOLTZMANN_KJ_PER_MOL_K = 0.00831446261815324
"""Boltzmann constant times Avogadro's number, kJ/(mol K) (CODATA 2018, exact)."""


@dataclass(frozen=True, kw_only=True)
class Units:
    """Names of the units of length, time and energy, as they stand on an axis."""

    name: str
    length: str
    time: str
    energy: str


MOLECULAR = Units(name="molecular", length="nm", time="ps", energy="kJ/mol")
REDUCED = Units(name="reduced", length="σ", time="τ", energy="ε")

BY_NAME = {units.name: units for units in (MOLECULAR, REDUCED)}
