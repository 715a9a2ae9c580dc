"""Optional physics: energies and weights from an OpenMM System, and the systems that ship as examples, run or drawn.

What runs OpenMM needs an extra: `pip install "polyvae[openmm]"`.
"""

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
from polyvae.simulation.energies import MinimizedEnergies, minimize_energy, potential_energy
from polyvae.simulation.reweighting import ReweightedEnsemble, reweight

__all__ = [
    "AlanineDipeptideConfig",
    "BeadSpringConfig",
    "DeformedPolymer",
    "MinimizedEnergies",
    "ReweightedEnsemble",
    "build_alanine_dipeptide",
    "build_alanine_dipeptide_system",
    "build_bead_spring_system",
    "deformed_polymer",
    "deformed_positions",
    "minimize_energy",
    "potential_energy",
    "reweight",
    "simulate_alanine_dipeptide",
    "simulate_bead_spring",
]
