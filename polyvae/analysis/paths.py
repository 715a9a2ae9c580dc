"""Paths between two conformations in latent space: a straight line, and one that keeps to where the data are.

The second is a string: images between the two ends climb the log-density, and after each step are set at equal
distances along the curve, so that they cannot slide into the peaks. What stays is a path whose density falls across
it on both sides, as a minimum-energy path of -log density. The ends stay where they are.

References:
    E, Ren & Vanden-Eijnden, Simplified and improved string method for computing the minimum energy paths in
    barrier-crossing events, 2007, doi:10.1063/1.2720838. The potential is minus the log-density of latent points.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from polyvae._batching import map_batched
from polyvae._typing import Frame, Frames, LatentVectors
from polyvae.analysis.latent_density import LatentDensity, aggregate_density, prior_density
from polyvae.errors import InputError
from polyvae.features import Observable, geometry_violation, observable_of
from polyvae.preprocessing import center, kabsch_rmsd, kabsch_rotation
from polyvae.trajectory import Trajectory
from polyvae.vae import ConformationModel

PathKind = Literal["straight", "string"]
PathEnd = np.ndarray | Array | Trajectory
_OBSERVABLES = ("radius_of_gyration", "end_to_end_distance")
_BLOCK = 64
# Images of a string while it moves, whatever the number of frames wanted from it.
_IMAGES = 64


@dataclass(frozen=True, kw_only=True, eq=False)
class LatentPath:
    """A path in latent space and the conformations along it.

    Attributes:
        kind: "straight" or "string".
        latent: points at equal distances, from start to end, shape (frames, latent).
        trajectory: their decoder means, each turned onto the one before it.
        log_density: log-density of each point, nats, shape (frames,).
        edge: log-density that all but 1 % of the density's own draws exceed; below it the model extrapolates.
        density: which density: "aggregate" (of the trajectory given) or "prior".
        violation: geometry outside the data's range, 0 for a valid frame, shape (frames,).
        end_rmsd: Kabsch RMSD of the first and of the last frame from the conformations that were asked for, unit of
            length; NaN for an end that was given as a latent point.
        values: observables of each frame, shape (frames, observables).
        observables: their names, as on the command line.
        value_units: their units, empty where there is none.
        trace: mean log-density of the path after every step of the string; one number for a straight path.
        unit: unit of length of the trajectory.
    """

    kind: PathKind
    latent: np.ndarray
    trajectory: Trajectory
    log_density: np.ndarray
    edge: float
    density: Literal["aggregate", "prior"]
    violation: np.ndarray
    end_rmsd: tuple[float, float]
    values: np.ndarray
    observables: tuple[str, ...]
    value_units: tuple[str, ...]
    trace: np.ndarray
    unit: str

    @property
    def length(self) -> float:
        """Length of the path in latent units."""
        return float(np.linalg.norm(np.diff(self.latent, axis=0), axis=1).sum())

    @property
    def along(self) -> np.ndarray:
        """Place of each point as a share of the length, shape (frames,), from 0 to 1."""
        steps = np.linalg.norm(np.diff(self.latent, axis=0), axis=1)
        return np.append(0.0, np.cumsum(steps)) / steps.sum()

    @property
    def lowest_log_density(self) -> float:
        """Log-density of the least likely point, nats."""
        return float(self.log_density.min())

    @property
    def mean_log_density(self) -> float:
        """Mean log-density along the path, nats."""
        return float(self.log_density.mean())

    @property
    def plausible(self) -> np.ndarray:
        """Whether each frame lies above the edge of the density and has valid geometry, shape (frames,)."""
        return (self.log_density >= self.edge) & (self.violation <= 0.0)


@dataclass(frozen=True, kw_only=True, eq=False)
class PathComparison:
    """Both kinds of path between the same ends.

    Attributes:
        straight: the straight line.
        string: the path that keeps to where the data are.
    """

    straight: LatentPath
    string: LatentPath

    @property
    def gain(self) -> float:
        """Mean log-density along the string minus that along the straight line, nats; both share their ends."""
        return self.string.mean_log_density - self.straight.mean_log_density


def latent_path(
    model: ConformationModel,
    start: PathEnd,
    end: PathEnd,
    *,
    n: int = 50,
    kind: str = "straight",
    trajectory: Trajectory | None = None,
    observables: Sequence[str | Observable | Callable[[Any], Any]] = _OBSERVABLES,
    steps: int = 1000,
) -> LatentPath:
    """A path between two conformations, decoded.

    Args:
        model: a trained model.
        start: a latent point of shape (latent,), the positions of one frame, shape (atoms, dims), or a trajectory of
            one frame. A frame enters as its posterior mean, so the path begins at its reconstruction.
        end: likewise.
        n: frames of the path, the ends included.
        kind: "straight", or "string" to keep to where the density is high.
        trajectory: frames of the system, whose aggregate posterior is the density; None takes the prior.
        observables: what to record along the path, as in `polyvae.analysis.optimize`.
        steps: steps of the string.

    Raises:
        InputError: if an argument is out of range, an end has the wrong shape or number of atoms or is not finite,
            both ends are the same point, or an observable cannot be used.
    """
    density = _density(model, trajectory)
    return _path(model, start, end, n=n, kind=kind, density=density, observables=observables, steps=steps)


def compare_paths(
    model: ConformationModel,
    start: PathEnd,
    end: PathEnd,
    *,
    n: int = 50,
    trajectory: Trajectory | None = None,
    observables: Sequence[str | Observable | Callable[[Any], Any]] = _OBSERVABLES,
    steps: int = 1000,
) -> PathComparison:
    """The straight line and the string between the same ends; arguments and errors as `latent_path`."""
    density = _density(model, trajectory)
    common: dict[str, Any] = {"n": n, "density": density, "observables": observables, "steps": steps}
    return PathComparison(
        straight=_path(model, start, end, kind="straight", **common),
        string=_path(model, start, end, kind="string", **common),
    )


def _density(model: ConformationModel, trajectory: Trajectory | None) -> LatentDensity:
    return prior_density(model) if trajectory is None else aggregate_density(model, trajectory)


def _path(
    model: ConformationModel,
    start: PathEnd,
    end: PathEnd,
    *,
    n: int,
    kind: str,
    density: LatentDensity,
    observables: Sequence[str | Observable | Callable[[Any], Any]],
    steps: int,
) -> LatentPath:
    if n < 2:
        raise InputError(f"`n` must be at least 2, the two ends; got {n}.")
    if steps < 1:
        raise InputError(f"`steps` must be at least 1; got {steps}.")
    if kind not in ("straight", "string"):
        raise InputError(f"`kind` must be 'straight' or 'string'; got {kind!r}.")
    system = model.system
    measured = [
        observable_of(
            observable,
            n_atoms=system.n_atoms,
            dims=system.dims,
            units=system.length_units,
            masses=model.geometry.masses,
        )
        for observable in observables
    ]
    first, last = _point(model, start, "start"), _point(model, end, "end")
    wanted = (_conformation(start), _conformation(end))
    if jnp.all(first == last):
        raise InputError("`start` and `end` are the same latent point; a path needs two.")
    if kind == "string":
        images, trace = _string(density, jnp.linspace(first, last, _IMAGES, dtype=first.dtype), steps)
        latent, trace = _evenly(images, n), np.asarray(trace)
    else:
        latent = jnp.linspace(first, last, n, dtype=first.dtype)
        trace = density.log_probs(latent).mean(keepdims=True)
    frames, violation = _decoded(model, latent)
    positions = np.asarray(frames)
    values = [observable.of(positions) for observable in measured]
    for observable, numbers in zip(measured, values, strict=True):
        if not np.isfinite(numbers).all():
            raise InputError(
                f"`observable` {observable.name!r} is not finite in frame {int(np.argmin(np.isfinite(numbers)))} of "
                "the path. It must be a finite number for every conformation."
            )
    return LatentPath(
        kind="string" if kind == "string" else "straight",
        latent=np.asarray(latent),
        trajectory=system.trajectory(positions, source=f"{kind} path in latent space"),
        log_density=density.log_probs(latent),
        edge=float(density.edge),
        density=density.kind,
        violation=np.asarray(violation),
        end_rmsd=(_rmsd(positions[0], wanted[0]), _rmsd(positions[-1], wanted[1])),
        values=np.stack(values, axis=1) if values else np.zeros((n, 0), positions.dtype),
        observables=tuple(observable.name for observable in measured),
        value_units=tuple(observable.unit for observable in measured),
        trace=trace,
        unit=system.length_units.length,
    )


def _point(model: ConformationModel, end: PathEnd, name: str) -> Float[Array, " latent"]:
    """The latent point that an end stands for."""
    system = model.system
    if isinstance(end, Trajectory):
        system.check(end)
        if end.n_frames != 1:
            raise InputError(
                f"`{name}` must be one conformation; got a trajectory of {end.n_frames} frames. Choose one, such as "
                "trajectory[3:4]."
            )
        return _point(model, end.positions[0], name)
    shape = tuple(end.shape)
    if shape not in ((model.latent_dim,), (system.n_atoms, system.dims)):
        raise InputError(
            f"`{name}` must be a latent point of shape ({model.latent_dim},) or one frame of the model's "
            f"{system.n_atoms} atoms, shape ({system.n_atoms}, {system.dims}); got {shape}."
        )
    point = jnp.asarray(end, jnp.result_type(float))
    if not bool(jnp.all(jnp.isfinite(point))):
        raise InputError(f"`{name}` holds NaN or infinity. Choose another frame or point.")
    return point if point.ndim == 1 else model.encode(point).mean


def _conformation(end: PathEnd) -> np.ndarray | None:
    """Positions of an end, or None for a latent point."""
    positions = np.asarray(end.positions[0] if isinstance(end, Trajectory) else end)
    return positions if positions.ndim == 2 else None


def _rmsd(positions: np.ndarray, wanted: np.ndarray | None) -> float:
    if wanted is None:
        return np.nan
    return float(kabsch_rmsd(jnp.asarray(positions), jnp.asarray(wanted, positions.dtype)))


@eqx.filter_jit
def _string(density: LatentDensity, latent: LatentVectors, steps: int) -> tuple[LatentVectors, Array]:
    """The string that began as these points, and its mean log-density after every step, shape (steps + 1,)."""
    slope = jax.vmap(jax.value_and_grad(density.log_prob))
    # A step of the simplified method must not carry an image past its neighbor.
    spacing = _length(latent) / (latent.shape[0] - 1)

    def step(points: LatentVectors, progress: Array) -> tuple[LatentVectors, Array]:
        values, gradients = slope(points)
        reach = jnp.sqrt(jnp.sum(gradients**2, axis=1))
        # Long gradients (far from all data, or among narrow components) are cut to a fixed move, which shrinks so
        # that the string comes to rest.
        most = 0.3 * spacing * 0.03**progress
        move = most / jnp.maximum(reach, 1.0)
        moved = points + move[:, None] * gradients
        moved = moved.at[0].set(points[0]).at[-1].set(points[-1])
        return _evenly(moved, len(moved)), jnp.mean(values)

    progress = jnp.linspace(0.0, 1.0, steps, dtype=latent.dtype)
    latent, trace = jax.lax.scan(step, latent, progress)
    return latent, jnp.append(trace, jnp.mean(slope(latent)[0]))


def _length(points: LatentVectors) -> Float[Array, ""]:
    return jnp.sum(jnp.sqrt(jnp.sum(jnp.diff(points, axis=0) ** 2, axis=1)))


def _evenly(points: Float[Array, "images latent"], n: int) -> Float[Array, "points latent"]:
    """The same curve as n points at equal distances along it."""
    lengths = jnp.sqrt(jnp.sum(jnp.diff(points, axis=0) ** 2, axis=1))
    along = jnp.concatenate([jnp.zeros(1, points.dtype), jnp.cumsum(lengths)])
    wanted = jnp.linspace(0.0, 1.0, n, dtype=points.dtype) * along[-1]
    even = jax.vmap(lambda column: jnp.interp(wanted, along, column), in_axes=1, out_axes=1)(points)
    return even.at[0].set(points[0]).at[-1].set(points[-1])


@eqx.filter_jit
def _decoded(model: ConformationModel, latent: LatentVectors) -> tuple[Frames, Float[Array, " frames"]]:
    """Decoder means, each turned onto the one before it, and how far their geometry leaves the data's."""

    def one(point: Array) -> tuple[Frame, Array]:
        frame = center(model.representation.positions(model.vae.decode(point)))
        return frame, geometry_violation(model.geometry, frame)

    frames, violations = map_batched(one, latent, _BLOCK)

    def turn(before: Frame, frame: Frame) -> tuple[Frame, Frame]:
        turned = frame @ kabsch_rotation(frame, before).T
        return turned, turned

    return jax.lax.scan(turn, frames[0], frames)[1], violations
