"""A synthetic polymer whose conformations are a known function of three independent factors.

It is made for tests of disentanglement. A backbone of beads lies on the axis of the polymer, and every backbone bead
carries two side beads on opposite sides, a rung. Three factors deform it:

* stretch: the length of the axis relative to its rest length, which scales the rise from bead to bead;
* bend: the angle in radians by which the axis turns from end to end; it is an arc of constant curvature bend / length;
* twist: the angle in radians by which the rungs turn about the axis from end to end, at a constant rate a bead.

At the center of their ranges the three move the beads in orthogonal directions, also orthogonal to rigid motion: the
stretch along the axis, the bend sideways and even in the position along the axis, the twist sideways and opposite on
the two sides. Their variances differ, so that the directions can be told apart, and at the ends of the ranges the
motion is curved: a bent chain is also shorter.
"""

from dataclasses import dataclass

import numpy as np
from scipy.spatial.transform import Rotation

from polyvae.errors import InputError
from polyvae.trajectory.trajectory import Trajectory
from polyvae.units import REDUCED

RISE = 1.0
"""Rest distance of neighboring backbone beads, σ."""
SIDE_DISTANCE = 1.0
"""Distance of a side bead from the axis, σ."""
FACTOR_RANGES = {"stretch": (0.8, 1.2), "bend": (-2.0, 2.0), "twist": (-1.2, 1.2)}
"""Lowest and highest value of each factor: a ratio, radians, radians."""


@dataclass(frozen=True, kw_only=True, eq=False)
class DeformedPolymer:
    """Conformations and the factors behind them.

    Attributes:
        trajectory: the frames, in reduced units. Beads 0 to n_beads - 1 are the backbone in order, then come the first
            side beads, then the second ones.
        factors: the factors of every frame, shape (frames, 3).
        names: the names of the factors, in the order of their columns.
    """

    trajectory: Trajectory
    factors: np.ndarray
    names: tuple[str, ...]


def deformed_polymer(
    n_frames: int, *, n_beads: int = 9, seed: int, noise: float = 0.05, rigid_motion: bool = False
) -> DeformedPolymer:
    """Independent conformations of the deformed polymer, with the factors behind them.

    Every factor is drawn uniformly from its range in `FACTOR_RANGES`, independently of the others and of the other
    frames. The factors of a seed do not depend on the other arguments.

    Args:
        n_frames: frames to draw.
        n_beads: backbone beads; with the side beads the polymer has 3 n_beads beads.
        seed: decides factors, noise and rigid motion; the same seed gives the same bits.
        noise: standard deviation of the normal noise on every coordinate, σ.
        rigid_motion: turn every frame at random and shift it by about the length of the polymer.

    Returns:
        positions of shape (n_frames, 3 n_beads, 3) in σ with the factors of shape (n_frames, 3).

    Raises:
        InputError: if a number is outside its range.
    """
    if n_frames < 1:
        raise InputError(f"`n_frames` must be at least 1; got {n_frames}.")
    if not 0 <= noise < np.inf:
        raise InputError(f"`noise` must be zero or a positive number, in σ; got {noise}.")
    low, high = np.array(list(FACTOR_RANGES.values())).T
    factors = np.random.default_rng([seed, 0]).uniform(low, high, size=(n_frames, 3))
    positions = deformed_positions(factors, n_beads=n_beads)
    positions += noise * np.random.default_rng([seed, 1]).standard_normal(positions.shape)
    if rigid_motion:
        rng = np.random.default_rng([seed, 2])
        rotations = Rotation.random(n_frames, rng).as_matrix()
        shifts = RISE * (n_beads - 1) * rng.standard_normal((n_frames, 1, 3))
        positions = positions @ rotations.transpose(0, 2, 1) + shifts
    backbone = np.arange(n_beads)
    bonds = [
        (backbone[:-1], backbone[1:]),
        (backbone, backbone + n_beads),
        (backbone, backbone + 2 * n_beads),
    ]
    return DeformedPolymer(
        trajectory=Trajectory(
            positions=positions.astype(np.float32),
            bonds=np.concatenate([np.stack(pair, axis=1) for pair in bonds]),
            bond_source="topology",
            units=REDUCED,
            source=f"deformed polymer, seed {seed}",
        ),
        factors=factors,
        names=tuple(FACTOR_RANGES),
    )


def deformed_positions(factors: np.ndarray, *, n_beads: int = 9) -> np.ndarray:
    """Positions without noise: the smooth map from factors to conformations.

    With s the position along the axis from its middle, L its length, κ = bend / L and j the number of the bead
    from the middle, the axis is ((1 - cos κs)/κ, 0, sin(κs)/κ). A rung points along cos φ N + sin φ B with
    φ = j twist / (n_beads - 1), N the normal of the arc and B the y axis.

    Args:
        factors: stretch, bend and twist of every frame, shape (frames, 3).
        n_beads: backbone beads.

    Returns:
        positions of shape (frames, 3 n_beads, 3) in σ, float64.

    Raises:
        InputError: if the shape of the factors is another one, or `n_beads` is below 3.
    """
    factors = np.asarray(factors, np.float64)
    if factors.ndim != 2 or factors.shape[1] != 3:
        raise InputError(f"`factors` must have shape (frames, 3); got {factors.shape}.")
    if n_beads < 3:
        raise InputError(f"`n_beads` must be at least 3, or nothing can bend; got {n_beads}.")
    stretch, bend, twist = factors.T[:, :, None]
    middle = np.arange(n_beads) - (n_beads - 1) / 2
    along = stretch * (RISE * middle)[None, :]
    turn, phase = (angle * (middle / (n_beads - 1))[None, :] for angle in (bend, twist))
    # Written with sinc, the arc is smooth through bend = 0, where it is straight.
    zero = np.zeros_like(turn)
    axis = np.stack(
        [along * np.sin(turn / 2) * np.sinc(turn / (2 * np.pi)), zero, along * np.sinc(turn / np.pi)], axis=-1
    )
    normal = np.stack([np.cos(turn), zero, -np.sin(turn)], axis=-1)
    binormal = np.array([0.0, 1.0, 0.0])
    rung = np.cos(phase)[:, :, None] * normal + np.sin(phase)[:, :, None] * binormal[None, None, :]
    return np.concatenate([axis, axis + SIDE_DISTANCE * rung, axis - SIDE_DISTANCE * rung], axis=1)
