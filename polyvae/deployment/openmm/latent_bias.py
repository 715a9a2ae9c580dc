"""`LatentBias`: what every bias on a grid of one or two latent dimensions shares, whichever rule fills it."""

import os
from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from polyvae.deployment.openmm.coordinate import LatentCoordinate
from polyvae.deployment.openmm.forces import python_force
from polyvae.deployment.openmm.grid_bias import Grid
from polyvae.deployment.openmm.recorded_run import RecordedRun, check_multiple
from polyvae.errors import InputError
from polyvae.trajectory import atomic_path
from polyvae.units import BOLTZMANN_KJ_PER_MOL_K
from polyvae.vae import ConformationModel


class LatentBias(ABC):
    """A bias that a simulation fills along the latent coordinate of a model; the force is added to the system.

    Every `save` steps the state of the simulation, the bias and the record of the coordinate are written to one file,
    whole or not at all: a run that is killed goes on from there with `resume`.

    Attributes:
        values: bias at the points of the grid, kJ/mol.
        grid: the points.
        colvar: rows of step, latent values and bias at the time, shape (rows, 2 + dimensions).
        kbt: thermal energy, kJ/mol.
        pace: steps from one change of the bias to the next.
        force: the `openmm.PythonForce` in the system, to give it a force group of its own.
    """

    _NAME: str

    def __init__(
        self,
        model: ConformationModel,
        system: Any,
        atoms: Sequence[int] | np.ndarray,
        *,
        folder: str | os.PathLike[str],
        temperature: float,
        pace: int,
        limits: tuple[float, float] | Sequence[tuple[float, float]],
        points: int,
        wall: float,
        record: int,
        save: int,
        keep_frames: bool,
    ) -> None:
        dims = model.latent_dim
        if dims > 2:
            raise InputError(
                f"The model has {dims} latent dimensions; a bias on a grid fills one or two. Train with latent_dim=2, "
                "or bias one dimension with latent_force."
            )
        check_above("temperature", temperature, 0.0)
        check_multiple("pace", pace, "record", record)
        check_multiple("save", save, "pace", pace)
        bounds = np.broadcast_to(np.asarray(limits, np.float64), (dims, 2))
        if not (bounds[:, 0] < bounds[:, 1]).all():
            raise InputError(f"`limits` must rise; got {limits}.")
        if points < 4:
            raise InputError(f"`points` must be at least 4; got {points}.")
        self.grid = Grid(
            low=tuple(bounds[:, 0].tolist()),
            high=tuple(bounds[:, 1].tolist()),
            points=(points,) * dims,
            wall=float(wall),
        )
        self.kbt = BOLTZMANN_KJ_PER_MOL_K * temperature
        self.pace, self.record, self.save_every = pace, record, save
        self._filled = Filled(np.zeros(self.grid.points))
        force = python_force(model, system, atoms, self.grid, self._filled)
        periodic = bool(system.usesPeriodicBoundaryConditions())
        self._coordinate = LatentCoordinate(model, periodic=periodic)
        self._energy = jax.jit(self.grid)
        self._rows: list[np.ndarray] = []
        self._run = RecordedRun(
            folder,
            atoms,
            self,
            name=self._NAME,
            record=record,
            save=save,
            periodic=periodic,
            keep_frames=keep_frames,
        )
        system.addForce(force)
        self.force = force

    @property
    def folder(self) -> Path:
        """Where the state of the run is."""
        return self._run.folder

    @property
    def values(self) -> np.ndarray:
        """Bias at the points of the grid, kJ/mol."""
        return self._filled.values

    @property
    def colvar(self) -> np.ndarray:
        """Rows of step, latent values and bias at the time, shape (rows, 2 + dimensions)."""
        if len(self._rows) > 1:
            self._rows = [np.concatenate(self._rows)]
        return self._rows[0] if self._rows else np.zeros((0, 2 + len(self.grid.points)))

    @property
    def files(self) -> list[Path]:
        """The files of the run, as far as it was saved."""
        return self._run.files

    def planned_files(self, steps: int) -> list[Path]:
        """The files that there will be after so many steps from the start."""
        return self._run.planned_files(steps)

    def step(self, simulation: Any, steps: int) -> None:
        """Go on by a number of steps, changing the bias, recording the coordinate and saving on the way.

        Args:
            simulation: `openmm.app.Simulation` of the system.
            steps: how many; a multiple of `record`.

        Raises:
            InputError: if it is no such multiple, or positions or the coordinate are not finite.
        """
        self._run.step(simulation, steps)

    def resume(self, simulation: Any) -> bool:
        """Go back to the last save in the folder; whether there was one.

        Raises:
            InputError: if the file is damaged, or of another bias or system.
        """
        return self._run.resume(simulation)

    def frames(self) -> tuple[np.ndarray, np.ndarray | None]:
        """Positions of the model's atoms at every row of `colvar`, and boxes or None; needs `keep_frames`."""
        return self._run.frames()

    @abstractmethod
    def free_energy(self) -> np.ndarray:
        """Free energy at the points of the grid, its minimum 0, kJ/mol."""

    @abstractmethod
    def weights(self) -> np.ndarray:
        """Weight of each row of `colvar` in the unbiased ensemble, mean 1."""

    @abstractmethod
    def _change(self, step: int, latent: np.ndarray, bias: float) -> None:
        """Take notice of a latent point, shape (latent,), and of the bias there; called at every row."""

    def write_colvar(self, path: str | os.PathLike[str], *, overwrite: bool = False) -> Path:
        """Write the record in the layout of PLUMED's COLVAR files: step, latent values, bias, weight.

        Args:
            path: the file.
            overwrite: whether an existing one may be replaced.
        """
        dims = len(self.grid.points)
        names = ["step", *(f"z{index + 1}" for index in range(dims)), "bias", "weight"]
        target = Path(path)
        with atomic_path(target, overwrite=overwrite) as temporary:
            numbers = np.concatenate([self.colvar, self.weights()[:, None]], axis=1)
            formats = ["%d", *["%.8g"] * (dims + 2)]
            np.savetxt(temporary, numbers, fmt=formats, header=f"! FIELDS {' '.join(names)}", comments="#")
        return target

    def observe(self, step: int, positions: np.ndarray, box: np.ndarray | None) -> None:
        """Record a point, and change the bias where it is time; called by `step`."""
        latent = self._coordinate.latent(positions, box)
        if not np.isfinite(latent).all():
            raise InputError(
                f"The coordinate is not finite at step {step}: the simulation has blown up. Use a shorter time step "
                "or a gentler bias."
            )
        bias = float(self._energy(latent, self._filled.on_device))
        self._rows.append(np.array([[step, *latent, bias]]))
        self._change(step, latent.astype(np.float64), bias)

    def settings(self) -> dict[str, Any]:
        """What must be the same when the run goes on."""
        return {
            "grid": [list(self.grid.low), list(self.grid.high), list(self.grid.points), self.grid.wall],
            "kbt": self.kbt,
            "pace": self.pace,
        }

    def state(self) -> dict[str, np.ndarray]:
        """What is saved."""
        return {"values": self.values, "colvar": self.colvar}

    def restore(self, state: dict[str, np.ndarray]) -> None:
        """Go back to what was saved."""
        self._filled.set(state["values"])
        self._rows = [state["colvar"]]


class Filled:
    """The bias at the points of the grid as it is now, kept where JAX reads it, since each step does."""

    def __init__(self, values: np.ndarray) -> None:
        self.set(values)

    def set(self, values: np.ndarray) -> None:
        """Take other values, kJ/mol."""
        self.values = values
        self.on_device = jnp.asarray(values, jnp.result_type(float))

    def __call__(self, state: Any) -> jax.Array:
        """The values, whatever the state of the simulation."""
        return self.on_device

    def __getstate__(self) -> np.ndarray:
        return self.values

    def __setstate__(self, values: np.ndarray) -> None:
        self.set(values)


def check_above(name: str, value: float, lowest: float) -> None:
    """Raise an `InputError` unless a setting is finite and above a number."""
    if not lowest < value < np.inf:
        raise InputError(f"`{name}` must be above {lowest:g}; got {value}.")
