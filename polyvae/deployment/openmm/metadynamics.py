"""`LatentMetadynamics`: well-tempered metadynamics on one or two latent dimensions, one JAX call a step.

References:
    Barducci, Bussi & Parrinello, Well-tempered metadynamics, 2008, doi:10.1103/PhysRevLett.100.020603.
    Branduardi, Bussi & Parrinello, Metadynamics with adaptive Gaussians, 2012, doi:10.1021/ct3002464, for the weights.
"""

import json
import os
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np

from polyvae.deployment.openmm.coordinate import LatentCoordinate
from polyvae.deployment.openmm.forces import python_force
from polyvae.deployment.openmm.grid_bias import Grid
from polyvae.errors import InputError
from polyvae.trajectory import atomic_path
from polyvae.units import BOLTZMANN_KJ_PER_MOL_K
from polyvae.vae import ConformationModel

_STATE = "metadynamics.npz"


class LatentMetadynamics:
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

        Raises:
            InputError: if a setting does not fit.
            MissingDependencyError: if OpenMM is not installed.
        """
        dims = model.latent_dim
        if dims > 2:
            raise InputError(
                f"The model has {dims} latent dimensions; metadynamics fills one or two. Train with latent_dim=2, or "
                "bias one dimension with latent_force."
            )
        above = (
            ("bias_factor", bias_factor, 1.0),
            ("temperature", temperature, 0.0),
            ("height", height, 0.0),
        )
        for name, value, lowest in above:
            if not lowest < value < np.inf:
                raise InputError(f"`{name}` must be above {lowest:g}; got {value}.")
        for name, value, of, other in (("pace", pace, "record", record), ("save", save, "pace", pace)):
            if other < 1 or value < 1 or value % other:
                raise InputError(f"`{name}`={value} must be a multiple of `{of}`={other}.")
        self._sigma = np.broadcast_to(np.asarray(sigma, np.float64), (dims,)).copy()
        bounds = np.broadcast_to(np.asarray(limits, np.float64), (dims, 2))
        if not (bounds[:, 0] < bounds[:, 1]).all():
            raise InputError(f"`limits` must rise; got {limits}.")
        spacing = (bounds[:, 1] - bounds[:, 0]) / max(points - 1, 1)
        if points < 4 or not (self._sigma >= spacing).all():
            raise InputError(
                f"Hills of width `sigma`={sigma} need a grid at least as fine; {points} points from {bounds[0, 0]:g} "
                f"to {bounds[0, 1]:g} are {spacing[0]:.3g} apart. Raise `points` or `sigma`."
            )
        self.grid = Grid(
            low=tuple(bounds[:, 0].tolist()),
            high=tuple(bounds[:, 1].tolist()),
            points=(points,) * dims,
            wall=float(wall),
        )
        self.values = np.zeros(self.grid.points)
        self.colvar, self.hills = np.zeros((0, 2 + dims)), np.zeros((0, 2 + dims))
        self.kbt = BOLTZMANN_KJ_PER_MOL_K * temperature
        self.bias_factor, self.height = float(bias_factor), float(height)
        self.pace, self.record, self.save_every = pace, record, save
        self.folder = Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self._filled = _Filled(self.values)
        force = python_force(model, system, atoms, self.grid, self._filled)
        self._coordinate = LatentCoordinate(model, periodic=bool(system.usesPeriodicBoundaryConditions()))
        self._atoms = [int(atom) for atom in np.asarray(atoms).reshape(-1)]
        self._energy = jax.jit(self.grid)
        system.addForce(force)

    def step(self, simulation: Any, steps: int) -> None:
        """Go on by a number of steps, adding hills, recording the coordinate and saving on the way.

        Args:
            simulation: `openmm.app.Simulation` of the system.
            steps: how many; a multiple of `record`.

        Raises:
            InputError: if it is no such multiple, or the coordinate is not finite.
        """
        if steps < 0 or steps % self.record:
            raise InputError(f"`steps`={steps} must be a multiple of `record`={self.record}.")
        rows, hills = [self.colvar], [self.hills]
        for _ in range(steps // self.record):
            simulation.step(self.record)
            now = simulation.currentStep
            latent = self._latent(simulation)
            bias = float(self._energy(latent, self.values.astype(latent.dtype)))
            rows.append(np.array([[now, *latent, bias]]))
            if now % self.pace == 0:
                height = self.height * float(np.exp(-bias / (self.kbt * (self.bias_factor - 1.0))))
                self.values = self.values + height * self.grid.gaussian(latent.astype(float), self._sigma)
                self._filled.values = self.values
                hills.append(np.array([[now, *latent, height]]))
            if now % self.save_every == 0:
                self.colvar, self.hills = np.concatenate(rows), np.concatenate(hills)
                rows, hills = [self.colvar], [self.hills]
                self._save(simulation)
        self.colvar, self.hills = np.concatenate(rows), np.concatenate(hills)

    def resume(self, simulation: Any) -> bool:
        """Go back to the last save in the folder; whether there was one.

        Raises:
            InputError: if the file is damaged, or of another bias or system.
        """
        path = self.folder / _STATE
        if not path.exists():
            return False
        try:
            with np.load(path, allow_pickle=False) as archive:
                state = {name: archive[name] for name in archive.files}
            settings = json.loads(str(state["settings"]))
        except (OSError, ValueError, EOFError, KeyError, zipfile.BadZipFile) as error:
            raise InputError(f"{path} is damaged: {error}. Start anew in another folder.") from error
        ours = self._settings()
        changed = [name for name, value in ours.items() if settings.get(name) != value]
        if changed:
            then, now = (", ".join(f"{name}={of.get(name)}" for name in changed) for of in (settings, ours))
            raise InputError(
                f"{path} is of a run with {then}; this one has {now}. Use the settings of that run, or another folder."
            )
        try:
            simulation.context.loadCheckpoint(state["checkpoint"].tobytes())
        except Exception as error:
            raise InputError(
                f"{path} does not fit this simulation: {error}. A checkpoint holds for the same system, platform, "
                "integrator and version of OpenMM."
            ) from error
        self.values, self.colvar, self.hills = (state[name] for name in ("values", "colvar", "hills"))
        self._filled.values = self.values
        return True

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

    def write_colvar(self, path: str | os.PathLike[str], *, overwrite: bool = False) -> Path:
        """Write the record in the layout of PLUMED's COLVAR files: step, latent values, bias, weight.

        Args:
            path: the file.
            overwrite: whether an existing one may be replaced.
        """
        dims = self.colvar.shape[1] - 2
        names = ["step", *(f"z{index + 1}" for index in range(dims)), "bias", "weight"]
        target = Path(path)
        with atomic_path(target, overwrite=overwrite) as temporary:
            numbers = np.concatenate([self.colvar, self.weights()[:, None]], axis=1)
            formats = ["%d", *["%.8g"] * (dims + 2)]
            np.savetxt(temporary, numbers, fmt=formats, header=f"! FIELDS {' '.join(names)}", comments="#")
        return target

    def _latent(self, simulation: Any) -> np.ndarray:
        state = simulation.context.getState(positions=True)
        positions = state.getPositions(asNumpy=True)._value[self._atoms]
        box = state.getPeriodicBoxVectors(asNumpy=True)._value if self._coordinate.periodic else None
        latent = self._coordinate.latent(positions, box)
        if not np.isfinite(latent).all():
            raise InputError(
                f"The coordinate is not finite at step {simulation.currentStep}: the simulation has blown up. Use a "
                "shorter time step or lower hills."
            )
        return latent

    def _settings(self) -> dict[str, Any]:
        return {
            "grid": [list(self.grid.low), list(self.grid.high), list(self.grid.points), self.grid.wall],
            "kbt": self.kbt,
            "bias_factor": self.bias_factor,
            "height": self.height,
            "sigma": self._sigma.tolist(),
            "pace": self.pace,
            "record": self.record,
        }

    def _save(self, simulation: Any) -> None:
        arrays = {
            "settings": np.array(json.dumps(self._settings())),
            "checkpoint": np.frombuffer(simulation.context.createCheckpoint(), np.uint8),
            "values": self.values,
            "colvar": self.colvar,
            "hills": self.hills,
        }
        with atomic_path(self.folder / _STATE, overwrite=True) as temporary, temporary.open("wb") as file:
            np.savez(file, **arrays)


class _Filled:
    """The bias at the points of the grid, as it is now."""

    def __init__(self, values: np.ndarray) -> None:
        self.values = values

    def __call__(self, state: Any) -> np.ndarray:
        return self.values
