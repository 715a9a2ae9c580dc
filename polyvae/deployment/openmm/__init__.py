"""The latent coordinate in OpenMM, in process: values, umbrellas, metadynamics and OPES through `openmm.PythonForce`.

Importing this module does not import OpenMM; using it does, and needs the extra `openmm`.
"""

from polyvae.deployment.openmm.atoms import atoms_in_topology
from polyvae.deployment.openmm.coordinate import LatentCoordinate
from polyvae.deployment.openmm.forces import latent_force, umbrella_force
from polyvae.deployment.openmm.metadynamics import LatentMetadynamics
from polyvae.deployment.openmm.opes import LatentOPES
from polyvae.deployment.openmm.recorded_run import RecordedRun

__all__ = [
    "LatentCoordinate",
    "LatentMetadynamics",
    "LatentOPES",
    "RecordedRun",
    "atoms_in_topology",
    "latent_force",
    "umbrella_force",
]
