r"""`reproducibility`: whether models trained from different seeds found the same coordinate.

A latent is known up to what training leaves free: order, signs, often any rotation. Two latents are compared by what
does not depend on it: their canonical correlations, and how much of one a linear map of the other explains. Both
maps are fitted on some frames and judged on others, and stand beside the same numbers for latents shifted in time.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from polyvae.analysis.kinetics.series import Series, series_of
from polyvae.analysis.kinetics.whitening import inverse_root
from polyvae.analysis.latent import LatentTrajectory, latent_trajectory
from polyvae.errors import InputError
from polyvae.training import FitResult
from polyvae.trajectory import Trajectory, TrajectorySource
from polyvae.trajectory.weights import normalized_weights, second_moment, weighted_mean
from polyvae.vae import ConformationModel


@dataclass(frozen=True, kw_only=True, eq=False)
class Reproducibility:
    """Agreement of the latents of several models on held-out frames.

    Attributes:
        names: of the models.
        correlations: canonical correlations of every pair, largest first, shape (models, models, dims).
        r2: share of the variance of one latent (rows) that a linear map of another (columns) explains, shape
            (models, models); below 0 where it is worse than the mean.
        floor_correlation: mean canonical correlation of latents shifted in time, over pairs and shifts.
        floor_r2: mean R² of latents shifted in time.
        rotations: orthogonal maps onto the first latent, both centered, shape (models, dims, dims): centered rows @
            rotation. They hold permutations and signs where those alone were allowed.
        means: of the latents, shape (models, dims).
        residuals: share of the first latent's variance that is left beside each aligned latent, shape (models,).
        frames: number of frames judged.
        is_held_out: whether the maps were fitted on other frames.
    """

    names: tuple[str, ...]
    correlations: np.ndarray
    r2: np.ndarray
    floor_correlation: float
    floor_r2: float
    rotations: np.ndarray
    means: np.ndarray
    residuals: np.ndarray
    frames: int
    is_held_out: bool

    @property
    def mean_correlation(self) -> np.ndarray:
        """Mean canonical correlation of every pair, shape (models, models)."""
        return self.correlations.mean(axis=2)

    @property
    def agreement(self) -> float:
        """Mean R² over all ordered pairs of different models."""
        return float(self.r2[~np.eye(len(self.r2), dtype=bool)].mean())

    def aligned(self, rows: LatentTrajectory | np.ndarray, model: int) -> np.ndarray:
        """Latent of one model turned onto that of the first, shape (frames, dims)."""
        values = np.asarray(rows.mean if isinstance(rows, LatentTrajectory) else rows, np.float64)
        return (values - self.means[model]) @ self.rotations[model] + self.means[0]


def reproducibility(
    members: Sequence[FitResult | ConformationModel | LatentTrajectory | np.ndarray],
    trajectory: Trajectory | TrajectorySource | None = None,
    *,
    train: np.ndarray | None = None,
    test: np.ndarray | None = None,
    align: Literal["rotation", "permutation"] = "rotation",
    shifts: int = 10,
    seed: int = 0,
) -> Reproducibility:
    """Agreement of the latents of models trained from different seeds, beside that of latents shifted in time.

    Args:
        members: what `fit_ensemble` returned, or models, or latents of the same frames; all of one dimension.
        trajectory: frames to encode, for fits and models.
        train: frames to fit the maps between latents to; None takes the training frames of the first fit, or those
            judged.
        test: frames to judge; None takes the test frames of the first fit, or all.
        align: onto the first latent by any rotation and reflection, or by permutations and signs only, as a prior
            with axes of its own leaves them.
        shifts: shifts in time behind the floors.
        seed: of the shifts.

    Raises:
        InputError: if there are fewer than two members, latents differ in shape, or a trajectory is missing.
    """
    if len(members) < 2:
        raise InputError(f"Agreement needs at least two `members`; got {len(members)}.")
    if align not in ("rotation", "permutation"):
        raise InputError(f"`align` must be 'rotation' or 'permutation'; got {align!r}.")
    first = members[0]
    if isinstance(first, FitResult) and train is None and test is None:
        train, test = first.split.train, first.split.test
    latents = [_series(member, trajectory, place) for place, member in enumerate(members)]
    shapes = {series.values.shape for series in latents}
    if len(shapes) > 1:
        raise InputError(
            f"All latents must have the same frames and dimensions; got the shapes {sorted(shapes)}."
        )
    judged = np.arange(len(latents[0])) if test is None else np.asarray(test)
    fitted = judged if train is None else np.asarray(train)
    weights = latents[0].weights
    parts = [
        _Part(
            fitted=series.values[fitted],
            judged=series.values[judged],
            fitted_weights=None if weights is None else weights[fitted],
            judged_weights=None if weights is None else weights[judged],
        )
        for series in latents
    ]
    n_models, dims = len(parts), parts[0].fitted.shape[1]
    correlations, r2 = np.ones((n_models, n_models, dims)), np.ones((n_models, n_models))
    for one in range(n_models):
        for two in range(n_models):
            if one != two:
                r2[one, two] = _explained(parts[one], parts[two])
            if one < two:
                correlations[one, two] = correlations[two, one] = _canonical(parts[one], parts[two])
    floors = []
    for share in np.random.default_rng(seed).uniform(0.1, 0.9, size=shifts):
        for one in range(n_models):
            other = parts[(one + 1) % n_models].shifted(share)
            floors.append((_canonical(parts[one], other).mean(), _explained(parts[one], other)))
    means = np.stack([weighted_mean(part.fitted, part.fitted_weights) for part in parts])
    rotations = np.stack([_onto_first(parts[0], part, align) for part in parts])
    spread = weighted_mean((parts[0].judged - means[0]) ** 2, parts[0].judged_weights).sum()
    residuals = [
        weighted_mean(
            (parts[0].judged - means[0] - (part.judged - mean) @ turn) ** 2, part.judged_weights
        ).sum()
        / spread
        for part, mean, turn in zip(parts, means, rotations, strict=True)
    ]
    return Reproducibility(
        names=tuple(_name(member, place) for place, member in enumerate(members)),
        correlations=correlations,
        r2=r2,
        floor_correlation=float(np.mean([floor[0] for floor in floors])),
        floor_r2=float(np.mean([floor[1] for floor in floors])),
        rotations=rotations,
        means=means,
        residuals=np.array(residuals),
        frames=len(judged),
        is_held_out=not np.isin(judged, fitted).any(),
    )


@dataclass(frozen=True, kw_only=True, eq=False)
class _Part:
    """A latent on the frames that maps are fitted to and on those that are judged."""

    fitted: np.ndarray
    judged: np.ndarray
    fitted_weights: np.ndarray | None
    judged_weights: np.ndarray | None

    def shifted(self, share: float) -> "_Part":
        fitted, judged = (
            np.roll(rows, max(1, round(share * len(rows))), axis=0) for rows in (self.fitted, self.judged)
        )
        return _Part(
            fitted=fitted,
            judged=judged,
            fitted_weights=self.fitted_weights,
            judged_weights=self.judged_weights,
        )


def _series(member: Any, trajectory: Trajectory | TrajectorySource | None, place: int) -> Series:
    if isinstance(member, FitResult | ConformationModel):
        if trajectory is None:
            raise InputError("`members` are models: pass the `trajectory` to encode as well.")
        member = latent_trajectory(member.model if isinstance(member, FitResult) else member, trajectory)
    return series_of(member, name=f"members[{place}]")


def _name(member: Any, place: int) -> str:
    return f"seed {member.seed}" if isinstance(member, FitResult) else f"model {place + 1}"


def _joint(one: _Part, two: _Part) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Means and joint covariance of two latents on the fitted frames."""
    both = np.concatenate([one.fitted, two.fitted], axis=1)
    mean = weighted_mean(both, one.fitted_weights)
    dims = one.fitted.shape[1]
    return mean[:dims], mean[dims:], second_moment(both - mean, one.fitted_weights)


def _canonical(one: _Part, two: _Part) -> np.ndarray:
    """Correlation on the judged frames of directions that fit the fitted ones; 0 for those dropped."""
    mean_one, mean_two, joint = _joint(one, two)
    dims = len(mean_one)
    left, right = inverse_root(joint[:dims, :dims])[0], inverse_root(joint[dims:, dims:])[0]
    u, _, vt = np.linalg.svd(left.T @ joint[:dims, dims:] @ right)
    x, y = (one.judged - mean_one) @ left @ u, (two.judged - mean_two) @ right @ vt.T
    shares = (
        np.full(len(x), 1 / len(x)) if one.judged_weights is None else normalized_weights(one.judged_weights)
    )
    x, y = x - shares @ x, y - shares @ y
    scale = np.sqrt((shares @ x**2) * (shares @ y**2))
    products = shares @ (x * y)
    return np.where(scale > 0, products / np.where(scale > 0, scale, 1.0), 0.0)


def _explained(target: _Part, given: _Part) -> float:
    """R² on the judged frames of the linear map from one latent to another that fits the fitted frames best."""
    mean, mean_given, joint = _joint(target, given)
    dims = len(mean)
    root = inverse_root(joint[dims:, dims:])[0]
    coefficients = root @ root.T @ joint[dims:, :dims]
    residual = target.judged - mean - (given.judged - mean_given) @ coefficients
    judged_mean = weighted_mean(target.judged, target.judged_weights)
    total = weighted_mean((target.judged - judged_mean) ** 2, target.judged_weights).sum()
    left = weighted_mean(residual**2, target.judged_weights).sum()
    return float(1.0 - left / total) if total > 0 else 0.0


def _onto_first(first: _Part, part: _Part, align: str) -> np.ndarray:
    """The orthogonal map, or signed permutation, of a centered latent that comes closest to the first."""
    dims = first.fitted.shape[1]
    _, _, joint = _joint(part, first)
    cross = joint[:dims, dims:]
    if align == "rotation":
        u, _, vt = np.linalg.svd(cross)
        return u @ vt
    # Imported late: half a second that most callers need not wait for.
    from scipy.optimize import linear_sum_assignment

    rows, columns = linear_sum_assignment(-np.abs(cross))
    turn = np.zeros((dims, dims))
    turn[rows, columns] = np.where(cross[rows, columns] < 0, -1.0, 1.0)
    return turn
