"""`LatentMetadynamics`: well-tempered metadynamics on one or two latent dimensions, one JAX call a step.

References:
    Barducci, Bussi & Parrinello, Well-tempered metadynamics, 2008, doi:10.1103/PhysRevLett.100.020603.
    Branduardi, Bussi & Parrinello, Metadynamics with adaptive Gaussians, 2012, doi:10.1021/ct3002464, for the weights.
"""

import os
from collections.abc import Sequence
from typing import Any

import jax
import numpy as np

from polyvae.deployment.openmm.latent_bias import LatentBias, check_above
from polyvae.errors import InputError
from polyvae.vae import ConformationModel


class LatentMetadynamics(LatentBias):
    """Well-tempered metadynamics along the latent coordinate of a model; the force is added to the system.

        bias = LatentMetadynamics(model, system, atoms, folder="biased", temperature=300.0)
        simulation = openmm.app.Simulation(topology, system, integrator)
        simulation.context.setPositions(positions)
        bias.resume(simulation)      # where the folder holds a run that was cut short
        bias.step(simulation, 1_000_000)

    Every `save` steps the state of the simulation, the bias and the record of the coordinate are written to one file,
    whole or not at all: a run that is killed goes on from there.

    Attributes:
        values: bias at the points of the grid, kJ/mol.
        grid: the points.
        colvar: rows of step, latent values and bias at the time, shape (rows, 2 + dimensions).
        hills: rows of step, center and height, shape (hills, 2 + dimensions).
    """

    _NAME = "metadynamics"

    def __init__(
        self,
        model: ConformationModel,
        system: Any,
        atoms: Sequence[int] | np.ndarray,
        *,
        folder: str | os.PathLike[str],
        temperature: float = 300.0,
        bias_factor: float = 10.0,
        height: float = 1.2,
        sigma: float | Sequence[float] = 0.1,
        pace: int = 500,
        limits: tuple[float, float] | Sequence[tuple[float, float]] = (-4.0, 4.0),
        points: int = 201,
        wall: float = 200.0,
        record: int = 100,
        save: int = 50_000,
        keep_frames: bool = False,
    ) -> None:
        """Add the bias to a system.

        Args:
            model: a trained model of one or two latent dimensions.
            system: `openmm.System`, before its Simulation is made.
            atoms: particles that are the model's atoms, in their order; see `atoms_in_topology`.
            folder: for the state of the run; made if missing.
            temperature: in K, that of the simulation.
            bias_factor: γ > 1: the coordinate is sampled as at γ times the temperature.
            height: of the first hill, kJ/mol.
            sigma: width of a hill in latent units, one or one a dimension.
            pace: steps between hills.
            limits: lowest and highest latent value that is biased, for all dimensions or for each.
            points: of the grid along each dimension.
            wall: stiffness of the walls beyond the limits, kJ/mol per squared latent unit.
            record: steps between rows of `colvar`; `pace` must be a multiple of it.
            save: steps between saves; must be a multiple of `pace`.
            keep_frames: whether positions of the model's atoms are kept at every row, for `frames`.

        Raises:
            InputError: if a setting does not fit.
            MissingDependencyError: if OpenMM is not installed.
        """
        check_above("bias_factor", bias_factor, 1.0)
        check_above("height", height, 0.0)
        self.bias_factor, self.height = float(bias_factor), float(height)
        self._sigma = np.broadcast_to(np.asarray(sigma, np.float64), (model.latent_dim,)).copy()
        self._check_spacing(limits, points)
        self._hills: list[np.ndarray] = []
        super().__init__(
            model,
            system,
            atoms,
            folder=folder,
            temperature=temperature,
            pace=pace,
            limits=limits,
            points=points,
            wall=wall,
            record=record,
            save=save,
            keep_frames=keep_frames,
        )

    @property
    def hills(self) -> np.ndarray:
        """Rows of step, center and height, shape (hills, 2 + dimensions)."""
        if len(self._hills) > 1:
            self._hills = [np.concatenate(self._hills)]
        return self._hills[0] if self._hills else np.zeros((0, 2 + len(self.grid.points)))

    def free_energy(self) -> np.ndarray:
        """Free energy at the points of the grid from the bias, -γ/(γ-1) V, its minimum 0, kJ/mol."""
        energy = -self.bias_factor / (self.bias_factor - 1.0) * self.values
        return energy - energy.min()

    def weights(self) -> np.ndarray:
        """Weight of each row of `colvar` in the unbiased ensemble, e^(V/kT) of the bias as it is now, mean 1.

        Rows from before the bias had settled are not worth much: leave out a first part of the run.
        """
        energies = np.asarray(
            jax.vmap(self._energy, in_axes=(0, None))(
                np.asarray(self.colvar[:, 1:-1], np.float32), self.values.astype(np.float32)
            ),
            np.float64,
        )
        weights = np.exp((energies - energies.max()) / self.kbt)
        return weights / weights.mean()

    def settings(self) -> dict[str, Any]:
        """What must be the same when the run goes on."""
        return super().settings() | {
            "bias_factor": self.bias_factor,
            "height": self.height,
            "sigma": self._sigma.tolist(),
        }

    def state(self) -> dict[str, np.ndarray]:
        """What is saved."""
        return super().state() | {"hills": self.hills}

    def restore(self, state: dict[str, np.ndarray]) -> None:
        """Go back to what was saved."""
        super().restore(state)
        self._hills = [state["hills"]]

    def _change(self, step: int, latent: np.ndarray, bias: float) -> None:
        if step % self.pace:
            return
        height = self.height * float(np.exp(-bias / (self.kbt * (self.bias_factor - 1.0))))
        self._filled.set(self.values + height * self.grid.gaussian(latent, self._sigma))
        self._hills.append(np.array([[step, *latent, height]]))

    def _check_spacing(self, limits: Any, points: int) -> None:
        bounds = np.broadcast_to(np.asarray(limits, np.float64), (len(self._sigma), 2))
        spacing = (bounds[:, 1] - bounds[:, 0]) / max(points - 1, 1)
        if points < 4 or not (self._sigma >= spacing).all():
            raise InputError(
                f"Hills of width `sigma`={self._sigma.tolist()} need a grid at least as fine; {points} points from "
                f"{bounds[0, 0]:g} to {bounds[0, 1]:g} are {spacing[0]:.3g} apart. Raise `points` or `sigma`."
            )
