r"""Importance weights that turn conformations of a model into a Boltzmann ensemble.

A model has a density \(p(s)\) over canonical frames s, the coordinates that alignment leaves free; the Boltzmann
distribution has one over centered conformations c. Every c is a rotation of one s, \(c = R s\), and
\(dc = J(s)\, ds\, dR\) with J the volume that rotations span at s. As the energy U does not change under rotation,
the Boltzmann density over s is proportional to \(J(s) \exp(-U(s)/RT)\), and

.. math:: \log w = -U/RT + \log J(s) - \log p(s).

Means with these weights are Boltzmann averages if the model has mass wherever the Boltzmann distribution has.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Float64

from polyvae._batching import map_batched
from polyvae._typing import Frame, Frames
from polyvae.analysis.baselines import log_rotation_volume, rotation_directions
from polyvae.analysis.likelihood import log_likelihood
from polyvae.errors import InputError, PolyvaeWarning
from polyvae.preprocessing import Alignment
from polyvae.simulation.energies import potential_energy
from polyvae.trajectory import Trajectory
from polyvae.trajectory.weights import effective_sample_size
from polyvae.units import BOLTZMANN_KJ_PER_MOL_K
from polyvae.vae import ConformationModel

if TYPE_CHECKING:
    import openmm

_HEAVY = 0.1
"""Share of all weight above which a single frame decides averages."""


@dataclass(frozen=True, kw_only=True, eq=False)
class ReweightedEnsemble:
    """Frames with importance weights; `print(...)` says what they are worth.

    Attributes:
        trajectory: the frames, with `weights` set (the largest is 1).
        energies: potential energy of each frame, shape (frames,), kJ/mol or ε.
        log_weights: log w of each frame, nats; one constant for all frames is left open.
    """

    trajectory: Trajectory
    energies: Float64[np.ndarray, " frames"]
    log_weights: Float64[np.ndarray, " frames"]

    @property
    def effective_sample_size(self) -> float:
        """Number of frames of equal weight that fix a mean as well: (Σ w)² / Σ w²."""
        return effective_sample_size(self.trajectory.weights, self.trajectory.n_frames)

    @property
    def effective_share(self) -> float:
        """Effective sample size by the number of frames, 0 to 1."""
        return self.effective_sample_size / self.trajectory.n_frames

    @property
    def largest_weight(self) -> float:
        """Share of all weight that the heaviest frame has, 0 to 1."""
        weights = np.exp(self.log_weights - self.log_weights.max())
        return float(weights.max() / weights.sum())

    def __str__(self) -> str:
        return (
            f"{self.trajectory.n_frames} frames are worth {self.effective_sample_size:.1f} of equal weight "
            f"({self.effective_share:.2%}); the heaviest has {self.largest_weight:.1%} of all weight"
        )


def reweight(
    model: ConformationModel,
    trajectory: Trajectory,
    potential: openmm.System | np.ndarray,
    temperature: float,
    *,
    samples: int = 1000,
    seed: int = 0,
    platform: str | None = None,
) -> ReweightedEnsemble:
    """Generated frames with the weights that turn averages over the model into Boltzmann averages.

    Look at the effective sample size before anything else: a model that is a little too wide in each of many stiff
    coordinates leaves all weight to a few frames. log p(s) is an importance-weighted lower bound, so that weights are
    approximate: too large where the bound is loose.

    Args:
        model: the model that generated the frames.
        trajectory: draws from the model, of equal weight, as `generate` makes them.
        potential: an OpenMM System without rigid bonds and without a box, or the potential energy of each frame in
            kJ/mol (ε in reduced units), which no rotation may change; infinity gives the weight 0.
        temperature: K; in reduced units k_B T in ε.
        samples: draws of the importance-weighted bound of log p(s) for each frame.
        seed: of these draws.
        platform: as in `potential_energy`.

    Raises:
        InputError: if the frames are not of the model or have weights, the system has rigid bonds or a box, an energy
            is missing or not a number, `temperature` is not positive, alignment is by principal axes, onto a straight
            reference or absent, or no frame has a weight above zero.
        MissingDependencyError: if `potential` is a System and OpenMM is not installed.

    References:
        Noé, Olsson, Köhler & Wu, Science 365, eaaw1147 (2019), doi:10.1126/science.aaw1147, for the weights;
        Burda, Grosse & Salakhutdinov, 2016, arXiv:1509.00519, for the bound.
    """
    if not 0 < temperature < np.inf:
        raise InputError(f"`temperature` must be a positive number; got {temperature}.")
    model.system.check(trajectory)
    if trajectory.weights is not None:
        raise InputError(
            f"{trajectory.source}: the frames have weights already; give draws of the model of equal weight, as "
            "`generate` makes them."
        )
    rotations = rotation_directions(model.alignment, trajectory.n_atoms, trajectory.dims)
    energies = _energies(trajectory, potential, platform)
    thermal_energy = temperature
    if trajectory.units.name == "molecular":
        thermal_energy *= BOLTZMANN_KJ_PER_MOL_K
    dtype = jnp.result_type(float)
    positions = jnp.asarray(trajectory.positions, dtype)
    log_volumes, folded = _volumes(model.alignment, jnp.asarray(rotations, dtype), positions)
    density = log_likelihood(model, trajectory, samples=samples, seed=seed).per_frame
    log_weights = -energies / thermal_energy + np.asarray(log_volumes, np.float64) - density
    # A draw beyond the fold is no canonical frame, where the Boltzmann density over canonical frames lives.
    log_weights = np.where(np.asarray(folded), -np.inf, log_weights)
    if not np.isfinite(log_weights.max()):
        raise InputError(
            f"{trajectory.source}: none of {trajectory.n_frames} frames has a weight that is above zero and finite. "
            "Generate more frames, with `reject_overlaps=True`, and look at their energies."
        )
    weights = np.exp(log_weights - log_weights.max())
    ensemble = ReweightedEnsemble(
        trajectory=trajectory.replace(weights=weights), energies=energies, log_weights=log_weights
    )
    if ensemble.largest_weight > _HEAVY:
        warnings.warn(
            f"{trajectory.source}: {ensemble}, so that averages are those of a few frames. Generate more frames, or "
            "train a model that is closer to the Boltzmann distribution.",
            PolyvaeWarning,
            stacklevel=2,
        )
    return ensemble


def _energies(
    trajectory: Trajectory, potential: openmm.System | np.ndarray, platform: str | None
) -> Float64[np.ndarray, " frames"]:
    if not isinstance(potential, np.ndarray):
        if potential.getNumConstraints():
            raise InputError(
                f"The system has {potential.getNumConstraints()} rigid bonds; a Boltzmann ensemble of rigid bonds has "
                "no density to compare with the model's. Build it with `constraints=None, rigidWater=False`."
            )
        if potential.usesPeriodicBoundaryConditions():
            raise InputError(
                "The system is periodic, so that its energy changes when a conformation is turned. Build it with "
                "`nonbondedMethod=NoCutoff`."
            )
        return potential_energy(trajectory, potential, platform=platform)
    energies = np.asarray(potential, np.float64)
    if energies.shape != (trajectory.n_frames,):
        raise InputError(
            f"Energies must have shape ({trajectory.n_frames},), one for each frame; got {energies.shape}."
        )
    bad = np.isnan(energies) | np.isneginf(energies)
    if bad.any():
        frame = int(np.argmax(bad))
        raise InputError(
            f"Energies must be numbers; got {energies[frame]} for frame {frame}. Infinity stands for a frame that the "
            "Boltzmann distribution excludes."
        )
    return energies


@eqx.filter_jit
def _volumes(
    alignment: Alignment, rotations: Float[Array, "rotations atoms dims"], positions: Frames
) -> tuple[Float[Array, " frames"], Bool[Array, " frames"]]:
    """Log J of each frame, and whether it is a draw beyond the fold.

    The space of canonical frames also holds each conformation turned by 180° about the principal axes of its covariance
    with the reference. Alignment undoes this, but a decoder with much noise may draw such a frame.
    """

    def one(frame: Frame) -> tuple[Array, Array]:
        motion = alignment.motion(frame)
        log_volume = log_rotation_volume(motion.apply(frame), rotations)
        centered = frame - motion.center[None, :]
        outside = jnp.einsum("rad,ad->r", rotations, centered)
        # Rounding leaves about 1e-6; a frame in any orientation is as near by chance once in 10⁹ times.
        in_space = jnp.sum(outside**2) < 1e-6 * jnp.sum(centered**2)
        return log_volume, in_space & (jnp.trace(motion.rotation) < 0)

    return map_batched(one, positions, 1024)
