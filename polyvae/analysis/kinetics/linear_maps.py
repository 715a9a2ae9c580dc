"""`linear_maps`: the latent beside PCA and TICA of what the encoder sees, frame by frame, for the eye.

PCA and TICA are fitted to the frames shown. This is a picture to look at, not a score: `compare_vamp_scores` judges all
three on held-out frames. TICA is our own (`slow_modes`), so that no further library is needed.
"""

from dataclasses import dataclass, replace

import numpy as np

from polyvae.analysis.baselines import PCA
from polyvae.analysis.free_energy.blocks import correlation_time
from polyvae.analysis.kinetics.series import Series, series_of
from polyvae.analysis.kinetics.slow_modes import SlowModes, slow_modes
from polyvae.analysis.latent import LatentTrajectory, latent_trajectory
from polyvae.errors import InputError
from polyvae.features import Observable, observable_of
from polyvae.preprocessing.align import map_frames
from polyvae.trajectory import Trajectory
from polyvae.vae import ConformationModel

_MOST_FRAMES = 20_000
_MOST_FEATURES = 300
_SHOWN_LATENT = 2


@dataclass(frozen=True, kw_only=True, eq=False)
class LinearMaps:
    """Two coordinates of each kind for every frame shown: the latent's, PCA's and TICA's.

    Attributes:
        latent: posterior means, shape (frames, 1 or 2); of more dimensions the two of largest variance.
        dimensions: which latent dimensions these are.
        pca: principal components of the encoder's inputs, same shape.
        tica: slowest linear combinations of them, same shape; None where no lag time fits into the simulations.
        colors: an observable of every frame, shape (frames,).
        color_label: its name, with unit.
        color_period: its period, or None.
        explained: share of the variance of the inputs that each component explains, shape (dims,).
        timescales: implied timescale of each TICA mode, in `unit`; NaN where a mode does not decay. None without TICA.
        correlation: largest |correlation| of each latent dimension shown with a PCA and with a TICA coordinate, shape
            (dims, 2); NaN without TICA. Near one, a linear coordinate would have done.
        lag_time: lag time of TICA, in frames.
        frame_time: time from frame to frame, in `unit`.
        unit: of times.
        frames: number of each frame shown, shape (frames,).
        features: features that PCA and TICA are of.
        all_features: features that the encoder sees; more than `features` where some were drawn at random.
    """

    latent: np.ndarray
    dimensions: tuple[int, ...]
    pca: np.ndarray
    tica: np.ndarray | None
    colors: np.ndarray
    color_label: str
    color_period: float | None
    explained: np.ndarray
    timescales: np.ndarray | None
    correlation: np.ndarray
    lag_time: int
    frame_time: float
    unit: str
    frames: np.ndarray
    features: int
    all_features: int


def linear_maps(
    model: ConformationModel,
    trajectory: Trajectory,
    *,
    encoded: LatentTrajectory | None = None,
    lag_time: int | None = None,
    color: str | Observable = "radius_of_gyration",
) -> LinearMaps:
    """The latent of a model beside PCA and TICA of what its encoder sees.

    Of more than 20 000 frames a part from the middle of each simulation is used, so that lag times keep their meaning.
    Of more than 300 features as many are drawn at random.

    Args:
        model: a trained model.
        trajectory: frames of its system.
        encoded: their latent trajectory; None encodes them.
        lag_time: of TICA, in frames; None for the autocorrelation time of the latent.
        color: an observable to color frames by, such as "torsion:4-6-8-14".

    Raises:
        InputError: if the trajectory shows another system, `encoded` has other frames, or there is no such observable.
    """
    latent = latent_trajectory(model, trajectory) if encoded is None else encoded
    if len(latent.mean) != trajectory.n_frames:
        raise InputError(
            f"`encoded` must have the {trajectory.n_frames} frames of the trajectory; got {len(latent.mean)}."
        )
    if isinstance(color, str):
        color = observable_of(
            color,
            n_atoms=trajectory.n_atoms,
            dims=trajectory.dims,
            units=trajectory.units,
            masses=np.asarray(model.geometry.masses),
        )
    frames = _middles(trajectory.segments)
    part = trajectory[frames]
    inputs, all_features = _inputs(model, part)
    order = np.argsort(-latent.variance, kind="stable")[:_SHOWN_LATENT]
    dimensions = tuple(sorted(int(dimension) for dimension in order))
    shown = np.asarray(latent.mean[frames][:, dimensions], np.float64)
    series = series_of(
        replace(latent, mean=shown, times=part.times, segments=part.segments, weights=part.weights)
    )
    if lag_time is None:
        longest = max(part.segments)
        lag_time = int(np.clip(round(correlation_time(shown, part.segments)), 1, max(1, longest // 10)))
    n_modes = min(len(dimensions), inputs.shape[1])
    pca = PCA.fit(inputs, n_modes, weights=part.weights)
    components = (inputs - np.asarray(pca.mean, np.float64)) @ np.asarray(pca.components, np.float64).T
    tica = _tica(series.replace_values(inputs), lag_time, n_modes)
    slow = None if tica is None else tica.of(inputs)
    (components, slow), correlation = _turned(shown, [components, slow])
    assert components is not None
    return LinearMaps(
        latent=shown.astype(np.float32),
        dimensions=dimensions,
        pca=components.astype(np.float32),
        tica=None if slow is None else slow.astype(np.float32),
        colors=np.concatenate([color.of(each) for each in part.position_chunks()]).astype(np.float32),
        color_label=color.label,
        color_period=color.period,
        explained=np.asarray(pca.explained, np.float64),
        timescales=None if tica is None else tica.timescales,
        correlation=correlation,
        lag_time=lag_time,
        frame_time=series.frame_time,
        unit=series.unit,
        frames=frames,
        features=inputs.shape[1],
        all_features=all_features,
    )


def _inputs(model: ConformationModel, trajectory: Trajectory) -> tuple[np.ndarray, int]:
    """Features that the encoder sees, at most 300 of them, and how many there are; never all of them at once."""
    pieces, chosen, n_features = [], np.arange(0), 0
    for positions in trajectory.position_chunks():
        rows = map_frames(lambda frames: model.vae.inputs(model.features(frames)), [positions])
        if not pieces:
            n_features = rows.shape[1]
            order = np.random.default_rng(0).permutation(n_features)
            chosen = np.sort(order[:_MOST_FEATURES])
        pieces.append(np.asarray(rows[:, chosen], np.float64))
    return np.concatenate(pieces), n_features


def _middles(segments: tuple[int, ...]) -> np.ndarray:
    """Indices of the middle part of each simulation, 20 000 frames in all, or a few more."""
    share = min(1.0, _MOST_FRAMES / sum(segments))
    parts, start = [], 0
    for length in segments:
        kept = max(1, round(share * length))
        first = start + (length - kept) // 2
        parts.append(np.arange(first, first + kept))
        start += length
    return np.concatenate(parts)


def _tica(inputs: Series, lag_time: int, n_modes: int) -> SlowModes | None:
    """The slowest linear combinations, or None where no two frames are that far apart, or too few."""
    try:
        return slow_modes(inputs, lag_time, n_modes=n_modes, reversible=True)
    except InputError:
        return None


def _turned(
    latent: np.ndarray, others: list[np.ndarray | None]
) -> tuple[list[np.ndarray | None], np.ndarray]:
    """Linear coordinates with the sign of the latent, and the largest |correlation| with each latent dimension."""
    turned: list[np.ndarray | None] = []
    best = np.full((latent.shape[1], len(others)), np.nan)
    for place, values in enumerate(others):
        if values is None:
            turned.append(None)
            continue
        table = _correlations(latent, values)
        best[:, place] = np.abs(table).max(axis=1)
        closest = np.abs(table).argmax(axis=0)
        sign = np.sign(table[closest, np.arange(values.shape[1])])
        turned.append(values * np.where(sign == 0, 1.0, sign))
    return turned, best


def _correlations(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Pearson correlations of columns, shape (columns, columns); 0 where one is constant."""
    with np.errstate(invalid="ignore", divide="ignore"):
        scaled = [(each - each.mean(axis=0)) / each.std(axis=0) for each in (first, second)]
    return np.nan_to_num(scaled[0].T @ scaled[1] / len(first))
