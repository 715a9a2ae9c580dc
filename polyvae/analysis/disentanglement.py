"""Disentanglement of latents against known factors: the mutual-information gap and the scores of Eastwood & Williams.

Both take latents of shape (frames, latent), such as the posterior means, and continuous factors of shape
(frames, factors) that are known because the data are synthetic. They only read arrays, so the same call scores a PCA.
A number of either means little by itself: put that of the PCA and the noise floor beside it.
"""

from dataclasses import dataclass
from types import ModuleType

import numpy as np

from polyvae.errors import InputError, MissingDependencyError
from polyvae.trajectory.weights import normalized_weights

_BLOCKS = 20
_MOST_BINS = 20
# By which counting in bins may overestimate the information of independent variables, nats.
_LARGEST_BIAS = 0.025


@dataclass(frozen=True, kw_only=True, eq=False)
class MutualInformationGap:
    """Mutual information of single latents with single factors, and how much one latent has over the next.

    Attributes:
        information: mutual information of every latent with every factor, shape (latent, factors), nats.
        entropy: entropy of the binned factors, shape (factors,), nats.
        gaps: for each factor the difference of the two largest informations over its entropy, shape (factors,).
        bins: equal-count bins of each latent and each factor.
        floor_information: the information that remains where the factors are shuffled, shape (latent, factors), nats:
            the bias of counting in bins.
        noise_floor: mean of the gaps where the factors are shuffled.
    """

    information: np.ndarray
    entropy: np.ndarray
    gaps: np.ndarray
    bins: int
    floor_information: np.ndarray
    noise_floor: float

    @property
    def value(self) -> float:
        """Mean of the gaps over factors: 1 where one latent alone knows each factor, 0 where two know it alike."""
        return float(self.gaps.mean())

    def __float__(self) -> float:
        return self.value


@dataclass(frozen=True, kw_only=True, eq=False)
class DCI:
    """Disentanglement, completeness and informativeness.

    Attributes:
        importances: share of every latent in the prediction of every factor, shape (latent, factors); columns sum to 1.
        disentanglement: for each latent 1 - H / log(factors), H the entropy of its row: 1 where it serves one factor
            alone, 0 where it serves all alike or none. Shape (latent,).
        latent_weights: share of each latent in all importances, shape (latent,).
        completeness: for each factor 1 - H / log(latent), H the entropy of its column: 1 where one latent alone serves
            it. Shape (factors,).
        informativeness: R² of the prediction of each factor on held-out frames, shape (factors,).
    """

    importances: np.ndarray
    disentanglement: np.ndarray
    latent_weights: np.ndarray
    completeness: np.ndarray
    informativeness: np.ndarray

    @property
    def mean_disentanglement(self) -> float:
        """Disentanglement of the latents, weighted by their share in all importances."""
        return float(self.latent_weights @ self.disentanglement)

    @property
    def mean_completeness(self) -> float:
        """Mean completeness over factors."""
        return float(self.completeness.mean())

    @property
    def mean_informativeness(self) -> float:
        """Mean R² over factors."""
        return float(self.informativeness.mean())


def mutual_information_gap(
    latents: np.ndarray,
    factors: np.ndarray,
    *,
    bins: int | None = None,
    weights: np.ndarray | None = None,
    shuffles: int = 5,
    seed: int = 0,
) -> MutualInformationGap:
    """The mutual-information gap (MIG) of latents and continuous factors, beside its noise floor.

    Every latent and every factor is cut into bins of equal count (of equal weight), equal values always into the same
    bin, so the gap does not change where a latent is stretched or bent monotonically. Informations and entropies are
    those of the binned frames. The paper has discrete factors and takes the information under samples of the posterior;
    here factors are continuous and `latents` is what is given, usually the means.

    Counting in bins overestimates the information of independent variables by about (bins - 1)² / (2 frames) nats, as
    long as that is well below log(bins). The second latent of a perfect gap carries that much by chance, so the gap is
    lowered by its share of log(bins): 20 bins take 0.006 from it at 10,000 frames, 0.06 at 1000, and much of it at
    100. By default there are as many bins as keep the overestimate below 0.025 nats, at most 20. `floor_information`
    shows it: the same numbers for shuffled factors.

    Args:
        latents: shape (frames, latent), at least two; a latent may be constant.
        factors: shape (frames, factors).
        bins: bins of each latent and each factor; None chooses between 2 and 20 by the effective sample size.
        weights: statistical weight of each frame, or None for equal weights.
        shuffles: shuffles of the factors that the noise floor is a mean of.
        seed: of the shuffles.

    Raises:
        InputError: if shapes disagree, a value is not finite, a factor is constant, or a number is outside its range.

    References:
        Chen et al., Isolating sources of disentanglement in variational autoencoders, 2018, arXiv:1802.04942.
    """
    latents, factors, weights = _checked(latents, factors, weights)
    if bins is None:
        effective = weights.sum() ** 2 / np.sum(weights**2)
        bins = int(np.clip(1.0 + np.sqrt(2.0 * _LARGEST_BIAS * effective), 2, _MOST_BINS))
    for name, value, least in (("bins", bins, 2), ("shuffles", shuffles, 1)):
        if value < least:
            raise InputError(f"`{name}` must be at least {least}; got {value}.")
    if len(latents) < bins:
        raise InputError(
            f"{bins} bins need at least as many frames with a weight; got {len(latents)}. Lower `bins` or "
            "use more frames."
        )
    information, entropy = _information(latents, factors, weights, bins)
    rng = np.random.default_rng(seed)
    # The weights stay with the latents; shuffled factors are binned again, so their bins are of equal weight too.
    floors = [
        _information(latents, factors[rng.permutation(len(factors))], weights, bins) for _ in range(shuffles)
    ]
    return MutualInformationGap(
        information=information,
        entropy=entropy,
        gaps=_gaps(information, entropy),
        bins=bins,
        floor_information=np.mean([floor[0] for floor in floors], axis=0),
        noise_floor=float(np.mean([_gaps(*floor) for floor in floors])),
    )


def disentanglement_completeness_informativeness(
    latents: np.ndarray,
    factors: np.ndarray,
    *,
    weights: np.ndarray | None = None,
    trees: int = 100,
    seed: int = 0,
) -> DCI:
    """Disentanglement, completeness and informativeness (DCI) from random forests that predict factors from latents.

    There is no noise floor, and no one number: score factors in shuffled order beside it for a floor.

    There is one forest a factor, with at least 5 frames in a leaf. The importances are the forest's own: the
    decrease in squared error that each latent brings. Of 20 contiguous blocks of frames every fourth is held out, so
    neighboring frames of a simulation seldom fall on both sides. The paper reports the error as informativeness;
    R² on the held-out frames is 1 where a factor is known and 0 or less where it is not.

    Args:
        latents: shape (frames, latent), at least two and not all of them constant.
        factors: shape (frames, factors), at least two.
        weights: statistical weight of each frame, or None for equal weights; the forests and R² count by it.
        trees: trees of each forest.
        seed: of the forests.

    Raises:
        InputError: if shapes disagree, a value is not finite, a factor is constant in the fitted or in the held-out
            frames, all latents are constant, or a number is outside its range.
        MissingDependencyError: if scikit-learn is not installed.

    References:
        Eastwood & Williams, A framework for the quantitative evaluation of disentangled representations, ICLR 2018,
        https://openreview.net/forum?id=By-7dz-AZ.
    """
    latents, factors, weights = _checked(latents, factors, weights)
    if factors.shape[1] < 2:
        raise InputError("One factor cannot be told apart from others; `factors` needs two columns or more.")
    if trees < 1:
        raise InputError(f"`trees` must be at least 1; got {trees}.")
    if len(latents) < 2 * _BLOCKS:
        raise InputError(f"DCI needs at least {2 * _BLOCKS} frames with a weight; got {len(latents)}.")
    held_out = (np.arange(len(latents)) * _BLOCKS // len(latents)) % 4 == 3
    _check_factors_vary(factors[~held_out], "the frames that the forests are fitted to")
    _check_factors_vary(factors[held_out], "the held-out frames")
    if not (np.ptp(latents[~held_out], axis=0) > 0).any():
        raise InputError("All latents are constant, so nothing can be predicted: the model has collapsed.")
    ensemble = _import_forests()
    importances = np.empty((latents.shape[1], factors.shape[1]))
    informativeness = np.empty(factors.shape[1])
    for column, factor in enumerate(factors.T):
        forest = ensemble.RandomForestRegressor(n_estimators=trees, min_samples_leaf=5, random_state=seed)
        forest.fit(latents[~held_out], factor[~held_out], sample_weight=weights[~held_out])
        importances[:, column] = forest.feature_importances_
        informativeness[column] = forest.score(
            latents[held_out], factor[held_out], sample_weight=weights[held_out]
        )
    of_latent = importances.sum(axis=1)
    used = of_latent > 0
    disentanglement = np.zeros(len(importances))
    disentanglement[used] = _concentration(importances[used] / of_latent[used, None])
    return DCI(
        importances=importances,
        disentanglement=disentanglement,
        latent_weights=of_latent / of_latent.sum(),
        completeness=_concentration(importances.T / importances.sum(axis=0)[:, None]),
        informativeness=informativeness,
    )


def _checked(
    latents: np.ndarray, factors: np.ndarray, weights: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Latents, factors and weights in float64, without frames of no weight."""
    latents, factors = np.asarray(latents, np.float64), np.asarray(factors, np.float64)
    for name, values in (("latents", latents), ("factors", factors)):
        if values.ndim != 2 or 0 in values.shape:
            raise InputError(f"`{name}` must have shape (frames, {name}); got {values.shape}.")
        broken = np.count_nonzero(~np.isfinite(values).all(axis=1))
        if broken:
            raise InputError(f"`{name}` holds NaN or infinity in {broken} of {len(values)} frames.")
    if len(latents) != len(factors):
        raise InputError(
            f"`latents` and `factors` must have the same frames; got {len(latents)} and {len(factors)}."
        )
    if latents.shape[1] < 2:
        raise InputError(
            "A single latent cannot be told apart from others; `latents` needs two columns or more."
        )
    weights = np.ones(len(latents)) if weights is None else np.asarray(weights, np.float64)
    if weights.shape != (len(latents),):
        raise InputError(f"`weights` must have shape ({len(latents)},), one a frame; got {weights.shape}.")
    normalized_weights(weights)
    counted = weights > 0
    _check_factors_vary(factors[counted], "the frames with a weight")
    return latents[counted], factors[counted], weights[counted]


def _check_factors_vary(factors: np.ndarray, where: str) -> None:
    constant = np.flatnonzero(np.ptp(factors, axis=0) == 0)
    if len(constant):
        raise InputError(
            f"Factor {constant[0]} is constant in {where}, so nothing can be learned about it. Leave it out."
        )


def _information(
    latents: np.ndarray, factors: np.ndarray, weights: np.ndarray, bins: int
) -> tuple[np.ndarray, np.ndarray]:
    """Mutual information of shape (latent, factors) and entropy of the factors, nats, of the binned frames."""
    binned_factors = [_equal_weight_bins(factor, weights, bins) for factor in factors.T]
    information = np.empty((latents.shape[1], factors.shape[1]))
    for row, latent in enumerate(latents.T):
        index = _equal_weight_bins(latent, weights, bins)
        for column, other in enumerate(binned_factors):
            joint = np.bincount(index * bins + other, weights, bins * bins).reshape(bins, bins)
            information[row, column] = (
                _entropy(joint.sum(axis=1)) + _entropy(joint.sum(axis=0)) - _entropy(joint.ravel())
            )
    entropy = np.array([_entropy(np.bincount(index, weights, bins)) for index in binned_factors])
    return information, entropy


def _equal_weight_bins(values: np.ndarray, weights: np.ndarray, bins: int) -> np.ndarray:
    """Index of the bin of each value: where the middle of its weight lies in the sorted weight of all."""
    distinct, index = np.unique(values, return_inverse=True)
    mass = np.bincount(index, weights, len(distinct))
    middle = (np.cumsum(mass) - 0.5 * mass) / mass.sum()
    return np.minimum((bins * middle).astype(np.int64), bins - 1)[index]


def _entropy(mass: np.ndarray) -> float:
    """Entropy of probabilities that are proportional to `mass`, nats."""
    probability = mass[mass > 0] / mass.sum()
    return float(-np.sum(probability * np.log(probability)))


def _gaps(information: np.ndarray, entropy: np.ndarray) -> np.ndarray:
    second, first = np.sort(information, axis=0)[-2:]
    return (first - second) / entropy


def _concentration(shares: np.ndarray) -> np.ndarray:
    """1 - entropy / log(columns) of each row of probabilities."""
    return np.array([1.0 - _entropy(row) / np.log(shares.shape[1]) for row in shares])


def _import_forests() -> ModuleType:
    try:
        import sklearn.ensemble
    except ImportError as error:
        raise MissingDependencyError(
            'DCI needs scikit-learn. Install it with: pip install "polyvae[metrics]"'
        ) from error
    return sklearn.ensemble
