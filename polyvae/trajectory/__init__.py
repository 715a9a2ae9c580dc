"""Where frames come from: trajectories in memory and on disk, read, written, made whole and inspected."""

from polyvae.trajectory.atomic import atomic_path
from polyvae.trajectory.bundled import bundled
from polyvae.trajectory.colored_pdb import save_colored_pdb
from polyvae.trajectory.convert import from_mdtraj, to_mdtraj
from polyvae.trajectory.finding import Finding, FramePlace
from polyvae.trajectory.inspection import FrameWatcher, TrajectoryReport, inspect_frames
from polyvae.trajectory.loading import load, open_trajectory
from polyvae.trajectory.skipped import SkippedFrames
from polyvae.trajectory.source import TrajectorySource
from polyvae.trajectory.trajectory import Trajectory
from polyvae.trajectory.writing import save_trajectory

__all__ = [
    "Finding",
    "FramePlace",
    "FrameWatcher",
    "SkippedFrames",
    "Trajectory",
    "TrajectoryReport",
    "TrajectorySource",
    "atomic_path",
    "bundled",
    "from_mdtraj",
    "inspect_frames",
    "load",
    "open_trajectory",
    "save_colored_pdb",
    "save_trajectory",
    "to_mdtraj",
]
