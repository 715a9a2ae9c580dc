r"""`LatentOPES`: on-the-fly probability enhanced sampling (OPES) on one or two latent dimensions, one JAX call a step.

The unbiased density P is estimated on the fly from weighted kernels, and the bias is

.. math:: V(z) = (1 - 1/\gamma)\, k_B T \ln\big(P(z)/Z + \epsilon\big),
          \quad \epsilon = e^{-\Delta E / ((1 - 1/\gamma) k_B T)},

with Z the mean of P over what has been explored and ΔE the barrier, so that V never falls below -ΔE. The kernels,
their compression and their bandwidths are those of the package openmm-opes; its own force evaluates every coordinate
by itself, whereas here one call to JAX gives the energy and the forces of the whole bias.

References:
    Invernizzi & Parrinello, Rethinking metadynamics, 2020, doi:10.1021/acs.jpclett.0c00497.
"""

import os
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np

from polyvae.deployment.openmm.latent_bias import LatentBias, check_above
from polyvae.errors import InputError, MissingDependencyError
from polyvae.vae import ConformationModel

_WINDOW = 10
"""Paces over which the width of the coordinate is measured before the first kernel."""


class LatentOPES(LatentBias):
    """OPES along the latent coordinate of a model; the force is added to the system.

        bias = LatentOPES(model, system, atoms, folder="biased", temperature=300.0, barrier=40.0)
        simulation = openmm.app.Simulation(topology, system, integrator)
        simulation.context.setPositions(positions)
        bias.resume(simulation)      # where the folder holds a run that was cut short
        bias.step(simulation, 1_000_000)

    The bias settles quickly, so that each row of `colvar` counts with the bias at its time. As with every bias, look at
    the passages between basins before you believe a free energy.

    Attributes:
        values: bias at the points of the grid, kJ/mol.
        grid: the points.
        colvar: rows of step, latent values and bias at the time, shape (rows, 2 + dimensions).
    """

    _NAME = "opes"

    def __init__(
        self,
        model: ConformationModel,
        system: Any,
        atoms: Sequence[int] | np.ndarray,
        *,
        folder: str | os.PathLike[str],
        temperature: float = 300.0,
        barrier: float = 40.0,
        bias_factor: float | None = None,
        sigma: float | Sequence[float] | None = None,
        compression: float = 1.0,
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
            barrier: highest barrier to cross, kJ/mol; the bias is never deeper.
            bias_factor: γ > 1: the coordinate is sampled as at γ times the temperature; None for barrier / kT.
            sigma: width of the first kernels in latent units, one or one a dimension, about the standard deviation
                inside a basin; None measures it in the first ten paces and goes on doing so.
            compression: kernels nearer to each other than this many bandwidths become one.
            pace: steps between kernels.
            limits: lowest and highest latent value that is biased, for all dimensions or for each.
            points: of the grid along each dimension; no kernel is narrower than the distance between them.
            wall: stiffness of the walls beyond the limits, kJ/mol per squared latent unit.
            record: steps between rows of `colvar`; `pace` must be a multiple of it.
            save: steps between saves; must be a multiple of `pace`.
            keep_frames: whether positions of the model's atoms are kept at every row, for `frames`.

        Raises:
            InputError: if a setting does not fit.
            MissingDependencyError: if OpenMM or openmm-opes is not installed.
        """
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
        check_above("barrier", barrier, self.kbt)
        self.barrier = float(barrier)
        self.bias_factor = self.barrier / self.kbt if bias_factor is None else float(bias_factor)
        check_above("bias_factor", self.bias_factor, 1.0)
        dims = len(self.grid.points)
        self._sigma = None
        if sigma is not None:
            self._sigma = np.broadcast_to(np.asarray(sigma, np.float64), (dims,)).copy()
            if not ((self._sigma > 0) & np.isfinite(self._sigma)).all():
                raise InputError(f"`sigma` must be positive, or None to measure it; got {sigma}.")
        self._scale = (1.0 - 1.0 / self.bias_factor) * self.kbt
        self._kernels = _kernels(self.grid, compression)
        self._looks, self._mean, self._squares = 0, np.zeros(dims), np.zeros(dims)
        self._filled.set(np.full(self.grid.points, -self.barrier))

    @property
    def n_kernels(self) -> int:
        """Number of kernels after compression."""
        return self._kernels.getNumKernels()

    def free_energy(self) -> np.ndarray:
        """Free energy at the points of the grid from the density of the kernels, its minimum 0, kJ/mol.

        Raises:
            InputError: before the first kernel.
        """
        if not self.n_kernels:
            raise InputError(f"There is no kernel yet; the first comes after {_WINDOW} paces. Run on.")
        energy = -self.kbt * self._kernels.getLogPDF().T
        return energy - energy.min()

    def weights(self) -> np.ndarray:
        """Weight of each row of `colvar` in the unbiased ensemble, e^(V/kT) of the bias at its time, mean 1.

        Rows from before the bias had settled count little by themselves, because the bias was deep everywhere.
        """
        energies = self.colvar[:, -1]
        weights = np.exp((energies - energies.max()) / self.kbt)
        return weights / weights.mean()

    def settings(self) -> dict[str, Any]:
        """What must be the same when the run goes on."""
        return super().settings() | {
            "barrier": self.barrier,
            "bias_factor": self.bias_factor,
            "sigma": None if self._sigma is None else self._sigma.tolist(),
        }

    def state(self) -> dict[str, np.ndarray]:
        """What is saved."""
        kernels = self._kernels.getState()
        # A run that was not killed must go on from the very numbers that one which was reads back.
        self._restore_kernels(kernels)
        return (
            super().state()
            | {f"kernels_{name}": np.asarray(value) for name, value in kernels.items()}
            | {"looks": np.array(self._looks), "mean": self._mean, "squares": self._squares}
        )

    def restore(self, state: dict[str, np.ndarray]) -> None:
        """Go back to what was saved."""
        super().restore(state)
        prefix = "kernels_"
        self._restore_kernels(
            {name.removeprefix(prefix): value for name, value in state.items() if name.startswith(prefix)}
        )
        self._looks, self._mean, self._squares = int(state["looks"]), state["mean"], state["squares"]

    def _restore_kernels(self, state: dict[str, Any]) -> None:
        if len(state["positions"]):
            self._kernels.setState(state)

    def _change(self, step: int, latent: np.ndarray, bias: float) -> None:
        self._measure(latent)
        if step % self.pace:
            return
        window = _WINDOW * self.pace // self.record
        if self._sigma is None and self._looks < window:
            return
        if self._sigma is None and not self.n_kernels:
            # What was seen so far was not biased; later squares are, and wider by the bias factor.
            self._squares = self._squares * self.bias_factor
        variance = self._squares / (self._looks * self.bias_factor) if self._sigma is None else self._sigma**2
        self._kernels.update(latent, bias / self.kbt, variance)
        log_density = (self._kernels.getLogPDF() - self._kernels.getLogMeanDensity()).T
        log_epsilon = -self.barrier / self._scale
        self._filled.set(self._scale * np.logaddexp(log_density, log_epsilon))

    def _measure(self, latent: np.ndarray) -> None:
        """Squared deviations from a mean that forgets what is ten paces old, so that they are those inside a basin."""
        self._looks += 1
        window = _WINDOW * self.pace // self.record
        before = latent - self._mean
        self._mean = self._mean + before / min(self._looks, window)
        self._squares = self._squares + before * (latent - self._mean)


def _kernels(grid: Any, compression: float) -> Any:
    """An empty density estimate of openmm-opes on the points of the grid."""
    try:
        from openmm_opes.kde import CVSpace, OnlineKDE
    except ImportError as error:
        raise MissingDependencyError(
            'OPES needs openmm-opes. Install it with: pip install "polyvae[openmm]"'
        ) from error
    check_above("compression", compression, 0.0)
    variables = [
        SimpleNamespace(minValue=low, maxValue=high, gridWidth=count, periodic=False)
        for low, high, count in zip(grid.low, grid.high, grid.points, strict=True)
    ]
    spacing = [
        (high - low) / (count - 1) for low, high, count in zip(grid.low, grid.high, grid.points, strict=True)
    ]
    return OnlineKDE(CVSpace(variables), compressionThreshold=compression, minBandwidth=np.array(spacing))  # pyright: ignore[reportArgumentType]
