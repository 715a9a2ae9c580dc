"""Conformations with the lowest, the highest or a wanted value of an observable, bounded so that they stay physical.

Unbounded, the descent finds structures whose bonds have a third of their length. Three bounds keep it honest: the
latent stays where the prior, or the data's aggregate posterior, has its mass; geometry outside the data's range
(bonds, mean bond, closest pair) is penalized, ever harder as the descent goes on; and what is reported is each
start's best *valid* step, checked against the range itself. A start that never was valid is counted and not reported.
"""

import warnings
from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from polyvae.analysis.latent_density import aggregate_density
from polyvae.analysis.nearest import nearest_frames
from polyvae.analysis.optimization.config import OptimizationConfig
from polyvae.analysis.optimization.descent import Aim, descend, value_and_slope
from polyvae.analysis.optimization.result import OptimizedConformations
from polyvae.analysis.optimization.trust import DensityRegion, PriorBall, Trust
from polyvae.errors import InputError, PolyvaeWarning
from polyvae.features import InternalCoordinates, Observable, observable_of
from polyvae.preprocessing.align import map_frames
from polyvae.trajectory import Trajectory
from polyvae.trajectory.mapped import take_rows
from polyvae.vae import ConformationModel

_REFERENCE_DRAWS = 1000
_REACH_OF_INTERNAL_COORDINATES = 4.0
# Frames that count as nearest where none has the wanted value.
_NEAREST_SHARE = 0.01


def minimize_radius_of_gyration(
    model: ConformationModel,
    *,
    starts: int = 100,
    config: OptimizationConfig | None = None,
    seed: int = 0,
) -> OptimizedConformations:
    """The most compact conformations that the model can decode without leaving the data's geometry.

    Args:
        model: a trained model.
        starts: descents, from draws of the prior.
        config: settings of the descent.
        seed: of the starts.

    Returns:
        Decoder means, all valid by the definition in `polyvae.features.geometry`, sorted by radius of gyration.

    Raises:
        InputError: if `starts` is below 1, or the settings need a trajectory.
    """
    config = config or OptimizationConfig()
    trust = _trust(model, None, config, starts)
    observable = _observable(model, "radius_of_gyration")
    scale = float(model.geometry.radius_of_gyration_low)
    latents = trust.starts(jax.random.key(seed), starts)
    return _search(model, observable, Aim.of("minimize", scale=scale), latents, trust, config)


def optimize(
    model: ConformationModel,
    observable: str | Observable | Callable[[Any], Any],
    *,
    goal: str = "minimize",
    target: float | None = None,
    starts: int = 100,
    trajectory: Trajectory | None = None,
    config: OptimizationConfig | None = None,
    seed: int = 0,
) -> OptimizedConformations:
    """Conformations with the lowest, highest or a wanted value of any differentiable observable.

    Args:
        model: a trained model.
        observable: a name, such as "end_to_end_distance" or "distance:3-17" (`polyvae.features.OBSERVABLE_NAMES`), or
            a JAX function of the positions of one frame, shape (atoms, dims), that returns one number.
        goal: which end of the observable to look for, "minimize" or "maximize".
        target: look for this value instead.
        starts: descents, from draws of the prior, or of the aggregate posterior where that is what is trusted.
        trajectory: frames of the system: to compare with the best of them, to find the frames nearest to what was
            found, and to know where the aggregate posterior lies. None leaves all three out.
        config: settings of the descent.
        seed: of the starts.

    Returns:
        Decoder means, all valid by the definition in `polyvae.features.geometry`, best first: by value, or by the
        distance of the value from the target.

    Raises:
        InputError: if an argument is out of range, the trajectory shows another system, a trajectory is needed and
            not given, or the observable fails, does not return one number, returns NaN, or does not vary.

    Warns:
        PolyvaeWarning: if the target lies outside what the data show, or the observable became NaN on the way.
    """
    config = config or OptimizationConfig()
    if goal not in ("minimize", "maximize"):
        raise InputError(
            f"`goal` must be 'minimize' or 'maximize'; got {goal!r}. A value is wanted by `target`."
        )
    if target is not None and goal != "minimize":
        raise InputError(
            f"`goal` and `target` exclude each other; got goal={goal!r} and target={target}. Give one."
        )
    if target is not None and not np.isfinite(target):
        raise InputError(f"`target` must be a finite number; got {target}.")
    measured = _observable(model, observable)
    if trajectory is not None:
        model.system.check(trajectory)
    trust = _trust(model, trajectory, config, starts)
    start_key, reference_key = jax.random.key(seed), jax.random.fold_in(jax.random.key(seed), 1)
    latents = trust.starts(start_key, starts)
    data = None if trajectory is None else map_frames(measured.of, trajectory.position_chunks())
    if trajectory is not None and data is not None:
        _check_finite(measured, data, f"frame {{index}} of {trajectory.source}")
        counted = data if trajectory.weights is None else data[trajectory.weights > 0]
        origin = trajectory.source
    else:
        counted = measured.of(np.asarray(model.decode(trust.starts(reference_key, _REFERENCE_DRAWS))))
        _check_finite(measured, counted, "a decoded draw of the model")
        origin = "draws of the model"
    values, slopes = map(np.asarray, value_and_slope(model, measured, latents))
    _check_finite(measured, values, "a decoded draw of the model")
    _check_slopes(measured, slopes)
    low, high = np.quantile(counted, (0.01, 0.99))
    if not high > low:
        raise InputError(
            f"`observable` {measured.name!r} has the same value, {low:.4g}, in all of {origin}; there is nothing to "
            "look for."
        )
    if target is not None and not counted.min() <= target <= counted.max():
        warnings.warn(
            f"`target` {target:g} lies outside what the data show: {measured.name} ranges from {counted.min():.4g} to "
            f"{counted.max():.4g} {measured.unit} in {origin}. What is found there is the model's extrapolation.",
            PolyvaeWarning,
            stacklevel=2,
        )
    end = "minimize" if goal == "minimize" else "maximize"
    aim = Aim.of("target" if target is not None else end, target=target or 0.0, scale=float(high - low))
    return _search(
        model, measured, aim, latents, trust, config, target=target, trajectory=trajectory, data=data
    )


def _observable(model: ConformationModel, observable: Any) -> Observable:
    system = model.system
    return observable_of(
        observable,
        n_atoms=system.n_atoms,
        dims=system.dims,
        units=system.length_units,
        masses=model.geometry.masses,
    )


def _trust(
    model: ConformationModel, trajectory: Trajectory | None, config: OptimizationConfig, starts: int
) -> Trust:
    if starts < 1:
        raise InputError(f"`starts` must be at least 1; got {starts}.")
    if config.trust == "prior":
        ball = PriorBall.of(model.vae.latent_prior(), config.prior_mass)
        internal = isinstance(model.representation, InternalCoordinates)
        reach = config.reach or (_REACH_OF_INTERNAL_COORDINATES if internal else 1.0)
        return PriorBall(ball.prior, reach * ball.radius)
    if trajectory is None:
        raise InputError(
            "`trust='aggregate'` needs the data: give `trajectory` to `optimize`, or trust the prior."
        )
    return DensityRegion(aggregate_density(model, trajectory))


def _check_finite(observable: Observable, values: np.ndarray, where: str) -> None:
    bad = np.flatnonzero(~np.isfinite(values))
    if len(bad):
        raise InputError(
            f"`observable` {observable.name!r} returned {values[bad[0]]} for {where.format(index=bad[0])} "
            f"({len(bad)} of {len(values)} are not finite). It must be a finite number for every conformation."
        )


def _check_slopes(observable: Observable, slopes: np.ndarray) -> None:
    if not np.isfinite(slopes).all():
        raise InputError(
            f"`observable` {observable.name!r} has a gradient that is not finite in {np.sum(~np.isfinite(slopes))} of "
            f"{len(slopes)} starts. Take roots and norms with care at zero, as polyvae.features.safe_norm does."
        )
    if not slopes.any():
        raise InputError(
            f"`observable` {observable.name!r} has gradient zero at all {len(slopes)} starts, so no descent can move. "
            "Counts and steps need a smooth form, as polyvae.features.contacts has."
        )


def _search(
    model: ConformationModel,
    observable: Observable,
    aim: Aim,
    latents: jax.Array,
    trust: Trust,
    config: OptimizationConfig,
    *,
    target: float | None = None,
    trajectory: Trajectory | None = None,
    data: np.ndarray | None = None,
) -> OptimizedConformations:
    found = descend(model, observable, latents, trust, aim, config)
    trace, values, latent = np.asarray(found.values), np.asarray(found.value), np.asarray(found.latent)
    lost = int((~np.isfinite(trace)).any(axis=1).sum())
    if lost:
        warnings.warn(
            f"{observable.name} or its gradient became NaN or infinite in {lost} of {len(latents)} descents, which "
            "stopped there; their best valid steps before that still count.",
            PolyvaeWarning,
            stacklevel=3,
        )
    tolerance = config.tolerance * float(aim.scale)
    order = np.argsort(aim.rank(values), kind="stable")
    order = order[np.isfinite(values[order])]
    system = model.system
    positions = np.zeros((0, system.n_atoms, system.dims), np.float32)
    gyration, conformations, frames, rmsd, nearest = np.zeros(0, np.float32), None, None, None, None
    if len(order):
        positions = np.asarray(model.decode(latent[order]))
        gyration = _observable(model, "radius_of_gyration").of(positions)
        end = {"minimize": "lowest", "maximize": "highest", "target": f"{target}"}[aim.goal]
        conformations = system.trajectory(
            positions, source=f"{end} {observable.label} by descent in latent space"
        )
        if trajectory is not None:
            frames, rmsd = _nearest(positions, trajectory, _candidates(trajectory, data, aim, tolerance))
            nearest = trajectory[frames]
    return OptimizedConformations(
        positions=positions,
        latent=latent[order],
        radius_of_gyration=values[order] if observable.name == "radius_of_gyration" else gyration,
        start=order,
        n_starts=len(latents),
        trace=trace,
        violation_trace=np.asarray(found.violations),
        data_minimum=float(model.geometry.radius_of_gyration_low),
        trajectory=conformations,
        unit=system.length_units.length,
        values=values[order],
        observable=observable.name,
        value_unit=observable.unit,
        goal=aim.goal,
        target=target,
        tolerance=tolerance if aim.goal == "target" else None,
        log_density=np.asarray(found.log_density)[order],
        data_values=data,
        data_weights=None if trajectory is None else trajectory.weights,
        nearest_frames=frames,
        nearest_rmsd=rmsd,
        nearest=nearest,
    )


def _candidates(
    trajectory: Trajectory, data: np.ndarray | None, aim: Aim, tolerance: float
) -> np.ndarray | None:
    """Frames that may count as nearest, or None for all: those with a weight, near the target if there is one."""
    counted = None if trajectory.weights is None else np.flatnonzero(trajectory.weights)
    if data is None or aim.goal != "target":
        return counted
    counted = np.arange(len(data)) if counted is None else counted
    distance = np.abs(data[counted] - float(aim.target))
    few = max(0, int(_NEAREST_SHARE * len(counted)) - 1)
    reached = distance <= tolerance
    return counted[reached if reached.any() else distance <= np.partition(distance, few)[few]]


def _nearest(
    positions: np.ndarray, trajectory: Trajectory, candidates: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray]:
    if candidates is None:
        return nearest_frames(positions, trajectory.positions)
    index, rmsd = nearest_frames(positions, take_rows(trajectory.positions, candidates))
    return candidates[index], rmsd
