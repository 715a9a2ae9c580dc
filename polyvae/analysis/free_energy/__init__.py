"""Free energies along coordinates: surfaces with errors, basins, differences between states, minimum paths."""

from polyvae.analysis.free_energy.basins import FreeEnergyBasins, free_energy_basins
from polyvae.analysis.free_energy.minimum_path import MinimumFreeEnergyPath, minimum_free_energy_path
from polyvae.analysis.free_energy.rounds import FreeEnergyRounds
from polyvae.analysis.free_energy.states import FreeEnergyDifference, free_energy_difference
from polyvae.analysis.free_energy.surface import FreeEnergySurface, free_energy_surface

__all__ = [
    "FreeEnergyBasins",
    "FreeEnergyDifference",
    "FreeEnergyRounds",
    "FreeEnergySurface",
    "MinimumFreeEnergyPath",
    "free_energy_basins",
    "free_energy_difference",
    "free_energy_surface",
    "minimum_free_energy_path",
]
