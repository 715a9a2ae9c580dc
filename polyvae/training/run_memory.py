"""An estimate of the memory that `polyvae run` takes, before it is tried."""

from polyvae.trajectory.budget import memory_budget

_PROGRAM_MB = 1400.0
"""JAX, compiled code, figures and the pieces at work: a run of 10 000 frames of 57 atoms, whose positions take 7 MB,
was seen at that, so it is a guess for others. Training alone takes less than half: 620 MB for 1 MB of positions,
700 MB for 26 MB."""
_COPIES = 3.0
"""Memory that grows with the frames over that of the positions: positions, vectors, and what analyses make of them."""


def run_memory_mb(n_frames: int, n_atoms: int, dims: int) -> float:
    """Peak memory of `polyvae run` in MB, coarsely; positions beyond the budget are kept in files.

    Args:
        n_frames: chosen frames.
        n_atoms: chosen atoms.
        dims: 2 or 3.
    """
    positions = 4 * n_frames * n_atoms * dims
    return _PROGRAM_MB + _COPIES * min(positions, memory_budget(None)) / 1e6
