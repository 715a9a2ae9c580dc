"""Frames to canonical frames: centering and alignment, pure and differentiable.

`fit_alignment` finds an `Alignment` from data; the alignment maps one frame to its canonical frame inside a
model; `align` maps whole trajectories.
"""

from polyvae.preprocessing.align import align
from polyvae.preprocessing.alignment import Alignment
from polyvae.preprocessing.alignment_report import AlignmentReport
from polyvae.preprocessing.centering import center, center_of_mass
from polyvae.preprocessing.fit_alignment import fit_alignment
from polyvae.preprocessing.kabsch import kabsch_rmsd, kabsch_rotation
from polyvae.preprocessing.principal_axes import principal_axes
from polyvae.preprocessing.rigid_motion import RigidMotion
from polyvae.preprocessing.tracking import track_principal_axes

__all__ = [
    "Alignment",
    "AlignmentReport",
    "RigidMotion",
    "align",
    "center",
    "center_of_mass",
    "fit_alignment",
    "kabsch_rmsd",
    "kabsch_rotation",
    "principal_axes",
    "track_principal_axes",
]
