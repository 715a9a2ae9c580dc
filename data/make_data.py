"""Make the bundled data again: `python data/make_data.py --output NEW_FOLDER [--only NAME]`.

Needs OpenMM (`pip install "polyvae[openmm]"`) and about a quarter of an hour on one core. README.md states
what each run is for, what came out, and with which versions.
"""

import argparse
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from polyvae.simulation import (
    AlanineDipeptideConfig,
    BeadSpringConfig,
    simulate_alanine_dipeptide,
    simulate_bead_spring,
)
from polyvae.trajectory import save_trajectory

RESOLUTION = 1024
"""Polymer positions are rounded to multiples of 1/1024 σ, which keeps the files small."""


@dataclass(frozen=True, kw_only=True)
class PolymerRun:
    """One run of the polymer."""

    config: BeadSpringConfig
    n_frames: int
    steps_between_frames: int
    seed: int


# A chain in space has two directions to bend in, so it is given the stiffer angle.
PLANAR = BeadSpringConfig(dims=2, angle_stiffness=2.0)
SPATIAL = BeadSpringConfig(dims=3, angle_stiffness=3.0)
# Dense frames are one short time step apart, in which beads move half a percent of R_g: a path to follow.
PLANAR_DENSE = replace(PLANAR, time_step=0.01)
SPATIAL_DENSE = replace(SPATIAL, time_step=0.01)
POLYMERS = {
    "polymer_2d": PolymerRun(config=PLANAR, n_frames=20_000, steps_between_frames=1000, seed=1),
    "polymer_2d_dense": PolymerRun(config=PLANAR_DENSE, n_frames=8000, steps_between_frames=1, seed=2),
    "polymer_3d": PolymerRun(config=SPATIAL, n_frames=20_000, steps_between_frames=1000, seed=3),
    "polymer_3d_dense": PolymerRun(config=SPATIAL_DENSE, n_frames=8000, steps_between_frames=1, seed=4),
}
MOLECULE = "alanine_dipeptide"


def make_polymer(name: str, folder: Path) -> None:
    """Run the polymer and write `<name>.npz`."""
    run = POLYMERS[name]
    trajectory = simulate_bead_spring(run.config, run.n_frames, run.steps_between_frames, run.seed)
    rounded = np.round(trajectory.positions * RESOLUTION) / np.float32(RESOLUTION)
    save_trajectory(trajectory.replace(positions=rounded), folder / f"{name}.npz")


def make_alanine_dipeptide(folder: Path) -> None:
    """Run the molecule for 20 ns and write its frames as XTC, the first of them as PDB."""
    trajectory = simulate_alanine_dipeptide(AlanineDipeptideConfig(), 20_000, 500, seed=5)
    save_trajectory(trajectory, folder / f"{MOLECULE}.xtc")
    save_trajectory(trajectory[:1], folder / f"{MOLECULE}.pdb")


def main() -> None:
    """Make all systems, or one, into an output folder."""
    parser = argparse.ArgumentParser(description="Make polyvae's bundled data again.")
    parser.add_argument("--output", type=Path, required=True, help="a new folder for the files")
    parser.add_argument("--only", choices=(*POLYMERS, MOLECULE), help="make one of them")
    arguments = parser.parse_args()
    arguments.output.mkdir(parents=True)
    for name in POLYMERS:
        if arguments.only in (None, name):
            make_polymer(name, arguments.output)
    if arguments.only in (None, MOLECULE):
        make_alanine_dipeptide(arguments.output)


if __name__ == "__main__":
    main()
