"""Disentanglement scores of latents whose answer is known: copies, rotations, duplicates and noise."""

import sys

import numpy as np
import pytest
import scipy.stats

from polyvae.analysis.disentanglement import (
    disentanglement_completeness_informativeness,
    mutual_information_gap,
)
from polyvae.errors import InputError, MissingDependencyError

BINS = 20
TURN = np.array([[1.0, 1.0], [-1.0, 1.0]]) / np.sqrt(2)


@pytest.fixture
def factors(rng):
    return rng.normal(size=(4000, 3))


@pytest.fixture
def forests():
    pytest.importorskip("sklearn.ensemble", reason="DCI needs scikit-learn")


def dci(*arguments, **options):
    """The score with small forests, which are enough for the answers here."""
    return disentanglement_completeness_informativeness(*arguments, trees=20, **options)


def bias(n_frames, bins=BINS):
    """Information that counting in bins finds in independent variables, nats, to first order in 1/frames."""
    return (bins - 1) ** 2 / (2 * n_frames)


def test_latents_that_copy_the_factors_have_a_gap_of_one_less_the_bias(factors):
    score = mutual_information_gap(factors[:, [2, 0, 1]], factors, bins=BINS)
    assert score.information.argmax(axis=0).tolist() == [1, 2, 0]
    np.testing.assert_allclose(score.information.max(axis=0), np.log(BINS), rtol=1e-9)
    np.testing.assert_allclose(score.entropy, np.log(BINS), rtol=1e-9)
    # The second largest information is the larger of two biases of 0.045 nats, each with a spread of
    # (bins - 1)/(sqrt(2) frames) = 0.0034: four of them over log 20.
    expected = 1 - bias(4000) / np.log(BINS)
    np.testing.assert_allclose(score.gaps, expected, atol=0.005)
    assert float(score) == score.value == score.gaps.mean()


def test_the_gap_does_not_change_under_monotonic_maps_of_latents_and_factors(factors):
    plain = mutual_information_gap(factors @ np.diag([1.0, -3.0, 0.1]), factors)
    bent = mutual_information_gap(np.arctan(factors), factors**3)
    # A mirrored latent has mirrored bins: another 4000 frames on the same edges, so it is the same too.
    np.testing.assert_allclose(plain.information, bent.information, atol=1e-9)


def test_latents_turned_by_45_degrees_have_no_gap(factors):
    score = mutual_information_gap(factors[:, :2] @ TURN, factors[:, :2])
    # Both latents know each factor alike, by 0.35 nats or -log(1 - 1/2)/2; the two estimates scatter by
    # about 0.01 each.
    assert score.value < 0.02
    assert score.information.min() > 0.3


def test_information_of_correlated_normal_variables_is_that_of_their_bins(rng):
    correlation, n_frames, bins = 0.8, 100_000, 8
    first, noise = rng.normal(size=(2, n_frames))
    second = correlation * first + np.sqrt(1 - correlation**2) * noise
    score = mutual_information_gap(np.stack([second, noise], axis=1), first[:, None], bins=bins, shuffles=1)
    edges = scipy.stats.norm.ppf(np.linspace(0, 1, bins + 1)[1:-1])
    corners = np.stack(np.meshgrid(edges, edges), axis=-1)
    normal = scipy.stats.multivariate_normal(cov=[[1, correlation], [correlation, 1]])  # pyright: ignore[reportArgumentType]
    below = np.pad(normal.cdf(corners), (1, 1))
    below[-1, 1:-1] = below[1:-1, -1] = np.arange(1, bins) / bins
    below[-1, -1] = 1
    joint = np.diff(np.diff(below, axis=0), axis=1)
    expected = np.sum(joint * np.log(joint * bins**2))
    # Four standard errors: log p(x, y)/p(x)p(y) scatters by 0.7 nats over 100 000 frames. The bias is 0.0002.
    assert score.information[0, 0] == pytest.approx(expected, abs=0.009)
    # And bins lose information: the normal variables themselves share 0.51 nats.
    assert expected < -0.5 * np.log(1 - correlation**2)
    assert score.gaps[0] == pytest.approx(
        (score.information[0, 0] - score.information[1, 0]) / np.log(bins), rel=1e-9
    )


def test_a_latent_that_comes_twice_leaves_no_gap_for_its_factor(factors):
    score = mutual_information_gap(factors[:, [0, 0, 1, 2]], factors)
    assert score.gaps[0] == 0
    assert score.gaps[1:].min() > 0.9


def test_shuffled_factors_lie_at_the_noise_floor(factors, rng):
    score = mutual_information_gap(factors[rng.permutation(4000)], factors, bins=BINS)
    # The gap of three biases of spread 0.0034 nats over log 20: 0.001, give or take as much.
    assert score.value < 0.004
    assert 0 < score.noise_floor < 0.004
    np.testing.assert_allclose(score.floor_information, bias(4000), rtol=0.15)
    np.testing.assert_allclose(score.information, score.floor_information, atol=0.015)


def test_few_frames_raise_the_noise_floor(factors):
    few, many = (mutual_information_gap(factors[:n], factors[:n], bins=BINS) for n in (200, 4000))
    assert few.noise_floor > 3 * many.noise_floor
    assert few.floor_information.mean() > 10 * many.floor_information.mean()


@pytest.mark.parametrize(("n_frames", "bins"), [(20, 2), (200, 4), (1000, 8), (4000, 15), (10_000, 20)])
def test_the_number_of_bins_follows_that_of_the_frames(rng, n_frames, bins):
    independent = rng.normal(size=(n_frames, 2))
    score = mutual_information_gap(independent, independent, shuffles=20)
    assert score.bins == bins
    # The mean over 80 pairs scatters by a ninth of (bins - 1) / (sqrt(2) n_frames), a tenth of the bias at two bins.
    assert score.floor_information.mean() == pytest.approx(bias(n_frames, bins), rel=0.4)
    assert bias(n_frames, bins) < 0.026


def test_few_effective_frames_get_few_bins(factors):
    weights = np.where(np.arange(4000) < 200, 1.0, 1e-9)
    assert mutual_information_gap(factors, factors, weights=weights, shuffles=1).bins == 4


def test_a_frame_of_weight_two_counts_as_two_frames(factors, rng):
    latents = factors + 0.5 * rng.normal(size=factors.shape)
    counts = rng.integers(1, 4, size=len(factors))
    weighted = mutual_information_gap(latents, factors, weights=counts.astype(float), bins=10, shuffles=1)
    repeated = mutual_information_gap(
        np.repeat(latents, counts, axis=0), np.repeat(factors, counts, axis=0), bins=10, shuffles=1
    )
    np.testing.assert_allclose(weighted.information, repeated.information, rtol=1e-12)
    np.testing.assert_allclose(weighted.gaps, repeated.gaps, rtol=1e-10)


def test_frames_of_no_weight_do_not_count(factors):
    junk = np.concatenate([factors, np.full((500, 3), 7.0)])
    weights = np.r_[np.full(4000, 0.3), np.zeros(500)]
    kept = mutual_information_gap(factors, factors)
    np.testing.assert_allclose(mutual_information_gap(junk, junk, weights=weights).gaps, kept.gaps, rtol=1e-9)


def test_a_factor_of_two_values_and_a_collapsed_latent_have_exact_informations():
    factor = np.array([0.0, 0.0, 1.0, 1.0] * 5)[:, None]
    copy, half = factor[:, 0], np.array([0.0, 1.0, 0.0, 1.0] * 5)
    score = mutual_information_gap(np.stack([copy, half, np.zeros(20)], axis=1), factor, bins=4)
    np.testing.assert_allclose(score.information[:, 0], [np.log(2), 0.0, 0.0], atol=1e-12)
    np.testing.assert_allclose(score.entropy, np.log(2), rtol=1e-12)
    assert score.value == pytest.approx(1.0)


def test_the_same_seed_gives_the_same_noise_floor(factors):
    one, again, other = (mutual_information_gap(factors, factors, seed=seed) for seed in (0, 0, 1))
    assert one.noise_floor == again.noise_floor != other.noise_floor


def test_copies_of_the_factors_have_perfect_scores(forests, factors):
    score = dci(factors[:1000, [1, 2, 0]], factors[:1000])
    assert score.importances.argmax(axis=0).tolist() == [2, 0, 1]
    np.testing.assert_allclose(score.importances.sum(axis=0), 1.0, rtol=1e-9)
    # Forests of 750 frames spend a few splits in a thousand on noise and miss the tails of a normal factor.
    assert score.mean_disentanglement > 0.97
    assert score.mean_completeness > 0.97
    assert score.informativeness.min() > 0.97
    assert score.mean_informativeness == score.informativeness.mean()
    np.testing.assert_allclose(score.latent_weights, 1 / 3, atol=0.01)


def test_a_latent_that_comes_twice_halves_the_importance_and_lowers_completeness_alone(forests, factors):
    latents = factors[:1000, [0, 0, 1]]
    score = dci(latents, factors[:1000, :2])
    # Trees choose between equal latents at random; two equal shares among three latents: 1 - log 2 / log 3.
    np.testing.assert_allclose(score.importances[:2, 0], 0.5, atol=0.15)
    assert score.completeness[0] == pytest.approx(1 - np.log(2) / np.log(3), abs=0.05)
    assert score.completeness[1] > 0.95
    assert score.disentanglement.min() > 0.9


def test_latents_turned_by_45_degrees_are_informative_and_entangled(forests, factors):
    score = dci(factors[:1000, :2] @ TURN, factors[:1000, :2])
    assert score.mean_disentanglement < 0.05
    assert score.mean_completeness < 0.05
    assert score.informativeness.min() > 0.9


def test_shuffled_factors_cannot_be_predicted(forests, factors, rng):
    score = dci(factors[rng.permutation(4000)][:1000], factors[:1000])
    assert score.informativeness.max() < 0.1
    assert score.mean_completeness < 0.1


def test_a_collapsed_latent_has_no_weight_and_no_disentanglement(forests, factors):
    latents = np.concatenate([factors[:400, :2], np.zeros((400, 1))], axis=1)
    score = dci(latents, factors[:400, :2])
    assert score.latent_weights[2] == score.disentanglement[2] == 0
    assert score.mean_disentanglement > 0.9


def test_forests_and_their_score_count_by_weight(forests, factors, rng):
    # Latent 0 knows the factor in the even frames, latent 1 in the odd ones.
    factors, even = factors[:1000, :2], np.arange(1000) % 2 == 0
    noise = rng.normal(size=1000)
    latents = np.stack([np.where(even, factors[:, 0], noise), np.where(even, noise, factors[:, 0])], axis=1)
    for kept, winner in ((even, 0), (~even, 1)):
        score = dci(latents, factors, weights=np.where(kept, 1.0, 1e-6))
        # Frames of almost no weight still count as frames of a leaf, which costs some accuracy.
        assert score.importances[winner, 0] > 0.9
        assert score.informativeness[0] > 0.9
    equal = dci(latents, factors)
    assert 0.35 < equal.importances[0, 0] < 0.65
    assert equal.informativeness[0] < 0.8


def test_the_same_seed_grows_the_same_forests(forests, factors):
    latents = factors[:80] + factors[80:160]
    one, again, other = (dci(latents, factors[:80], seed=seed).importances for seed in (0, 0, 1))
    np.testing.assert_array_equal(one, again)
    assert (one != other).any()


@pytest.mark.parametrize("score", [mutual_information_gap, disentanglement_completeness_informativeness])
def test_unusable_latents_and_factors_are_refused(score, factors):
    latents = factors.copy()
    with pytest.raises(InputError, match="the same frames; got 3999 and 4000"):
        score(latents[1:], factors)
    with pytest.raises(InputError, match=r"`latents` must have shape \(frames, latents\); got \(4000,\)"):
        score(latents[:, 0], factors)
    with pytest.raises(InputError, match=r"`factors` must have shape \(frames, factors\); got \(4000,\)"):
        score(latents, factors[:, 0])
    with pytest.raises(InputError, match="single latent"):
        score(latents[:, :1], factors)
    broken = latents.copy()
    broken[[5, 9], 1] = np.nan
    with pytest.raises(InputError, match="`latents` holds NaN or infinity in 2 of 4000 frames"):
        score(broken, factors)
    with pytest.raises(InputError, match="`factors` holds NaN or infinity in 2 of 4000 frames"):
        score(latents, broken)
    constant = factors * np.array([[1.0, 0.0, 1.0]])
    with pytest.raises(InputError, match="Factor 1 is constant in the frames with a weight"):
        score(latents, constant)
    with pytest.raises(InputError, match=r"`weights` must have shape \(4000,\), one a frame; got \(3,\)"):
        score(latents, factors, weights=np.ones(3))
    with pytest.raises(InputError, match="`weights` are zero for all 4000 frames"):
        score(latents, factors, weights=np.zeros(4000))
    for value in (-1.0, np.nan):
        weights = np.where(np.arange(4000) == 5, value, 1.0)
        with pytest.raises(
            InputError, match=f"`weights` must be finite and not negative; got {value} for frame 5"
        ):
            score(latents, factors, weights=weights)


def test_too_few_bins_shuffles_trees_or_frames_are_refused(factors):
    with pytest.raises(InputError, match="`bins` must be at least 2; got 1"):
        mutual_information_gap(factors, factors, bins=1)
    with pytest.raises(InputError, match="`shuffles` must be at least 1; got 0"):
        mutual_information_gap(factors, factors, shuffles=0)
    with pytest.raises(InputError, match="20 bins need at least as many frames with a weight; got 12"):
        mutual_information_gap(factors, factors, bins=20, weights=(np.arange(4000) < 12).astype(float))
    with pytest.raises(InputError, match="`trees` must be at least 1; got 0"):
        disentanglement_completeness_informativeness(factors, factors, trees=0)
    with pytest.raises(InputError, match="DCI needs at least 40 frames with a weight; got 39"):
        disentanglement_completeness_informativeness(factors[:39], factors[:39])


def test_dci_refuses_what_no_forest_can_be_scored_on(factors):
    with pytest.raises(InputError, match="One factor cannot be told apart"):
        disentanglement_completeness_informativeness(factors, factors[:, :1])
    with pytest.raises(InputError, match="All latents are constant"):
        disentanglement_completeness_informativeness(np.ones((4000, 2)), factors)
    # Of 20 blocks of 200 frames the fourth, eighth and so on are held out.
    held_out = (np.arange(4000) // 200) % 4 == 3
    for part, where in ((held_out, "held-out frames"), (~held_out, "frames that the forests are fitted to")):
        still = np.where(part[:, None], 1.0, factors)
        with pytest.raises(InputError, match=f"Factor 0 is constant in the {where}"):
            disentanglement_completeness_informativeness(factors, still)


def test_without_scikit_learn_the_error_names_the_extra(factors, monkeypatch):
    monkeypatch.setitem(sys.modules, "sklearn", None)
    monkeypatch.setitem(sys.modules, "sklearn.ensemble", None)
    with pytest.raises(MissingDependencyError, match=r"polyvae\[metrics\]"):
        disentanglement_completeness_informativeness(factors, factors)
