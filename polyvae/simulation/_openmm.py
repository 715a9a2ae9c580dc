"""OpenMM on demand: an optional library, imported only when a simulation is asked for."""

from types import ModuleType

from polyvae.errors import MissingDependencyError


def import_openmm() -> ModuleType:
    """The module `openmm`, with `openmm.app` and `openmm.unit` loaded.

    Raises:
        MissingDependencyError: if OpenMM is not installed; the message says how to install it.
    """
    try:
        import openmm
        import openmm.app
        import openmm.unit
    except ImportError as error:
        raise MissingDependencyError(
            'Simulations need OpenMM. Install it with: pip install "polyvae[openmm]"'
        ) from error
    return openmm


def openmm_seed(seed: int) -> int:
    """The seed as OpenMM wants it: 31 bits, and never 0, which OpenMM reads as "choose one at random"."""
    return seed % (2**31 - 1) + 1
