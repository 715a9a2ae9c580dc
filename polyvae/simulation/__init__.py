"""The systems that ship as examples: run with OpenMM (an optional extra: `pip install "polyvae[openmm]"`), or drawn."""

from polyvae.simulation.alanine_dipeptide import (
    AlanineDipeptideConfig,
    build_alanine_dipeptide,
    build_alanine_dipeptide_system,
    simulate_alanine_dipeptide,
)
from polyvae.simulation.bead_spring import (
    BeadSpringConfig,
    build_bead_spring_system,
    simulate_bead_spring,
)
from polyvae.simulation.deformed_polymer import DeformedPolymer, deformed_polymer, deformed_positions

__all__ = [
    "AlanineDipeptideConfig",
    "BeadSpringConfig",
    "DeformedPolymer",
    "build_alanine_dipeptide",
    "build_alanine_dipeptide_system",
    "build_bead_spring_system",
    "deformed_polymer",
    "deformed_positions",
    "simulate_alanine_dipeptide",
    "simulate_bead_spring",
]
