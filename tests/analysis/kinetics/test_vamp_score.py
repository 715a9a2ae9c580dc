"""Scores of coordinates that are known to be slow, or not, with errors, floors and baselines."""

import numpy as np
import pytest

from polyvae.analysis import compare_vamp_scores, linear_baselines, slow_modes, vamp_score
from polyvae.analysis.kinetics.score_comparison import deal_folds
from polyvae.analysis.kinetics.series import series_of
from polyvae.errors import InputError, PolyvaeWarning

from .conftest import autoregressive

HALVES = {"train": np.arange(10_000), "test": np.arange(10_100, 20_000)}


def test_autoregressive_processes_score_the_sum_of_their_squared_eigenvalues(slow_and_fast):
    score = vamp_score(slow_and_fast, 3, **HALVES)
    expected = 1 + 0.95**6 + 0.5**6
    assert abs(score.vamp2 - expected) < 4 * score.vamp2_error
    assert abs(score.vampe - expected) < 4 * score.vampe_error
    assert 0.003 < score.vamp2_error < 0.04
    assert score.is_held_out
    assert score.is_above_floor
    assert score.n_modes == 2
    assert float(score) == score.vamp2


def test_independent_noise_scores_one_within_its_floor(rng):
    noise = rng.normal(size=(4000, 3))
    score = vamp_score(noise, 5, train=np.arange(2000), test=np.arange(2100, 4000))
    # Nine squared correlations of 1900 pairs of numbers, each 1 / 1900 by chance.
    assert score.vamp2_floor == pytest.approx(1 + 9 / 1900, abs=4 * np.sqrt(2 * 9 / 20) / 1900)
    assert abs(score.vamp2 - score.vamp2_floor) < 5 * score.vamp2_floor_spread
    assert not score.is_above_floor
    # Singular values of noise promise what held-out frames do not keep.
    assert score.vampe < 1.003
    assert score.vampe_floor < 1.001


def test_memory_raises_the_floor_and_what_chance_connects_stays_below_it(rng):
    slow, other = autoregressive(rng, 4000, 0.99)[:, None], autoregressive(rng, 4000, 0.99)
    floor = vamp_score(slow, 10, blocks=10).vamp2_floor
    # One squared correlation between stretches that hold 4000 (1 - a²) / (1 + a²) = 40 independent frames.
    assert 1.005 < floor < 1.1
    swapped = np.stack([slow[:, 0], other], axis=1)
    assert vamp_score(swapped, 10, blocks=10).vamp2_floor > floor


def test_the_scores_of_fitted_frames_are_sums_of_squared_singular_values(slow_and_fast):
    modes = slow_modes(slow_and_fast, 4)
    score = vamp_score(slow_and_fast, 4)
    assert not score.is_held_out
    assert score.vamp2 == pytest.approx(1 + np.sum(modes.values**2), rel=1e-12)
    assert score.vampe == pytest.approx(1 + np.sum(modes.values**2), rel=1e-12)
    given = vamp_score(slow_and_fast, 4, modes=modes)
    assert given.vamp2 == score.vamp2
    assert given.vamp2_floor == pytest.approx(score.vamp2_floor, rel=1e-6)


def test_scores_do_not_change_under_invertible_linear_maps(slow_and_fast):
    mapped = slow_and_fast @ np.array([[1.0, 2.0], [3.0, -1.0]]) + 3
    mine, theirs = (vamp_score(rows, 3, **HALVES) for rows in (slow_and_fast, mapped))
    for name in ("vamp2", "vampe", "vamp2_floor"):
        assert getattr(mine, name) == pytest.approx(getattr(theirs, name), rel=1e-9)


def test_errors_are_those_of_repeated_simulations():
    scores = []
    for seed in range(20):
        rows = autoregressive(np.random.default_rng(seed), 3000, 0.9)[:, None]
        scores.append(vamp_score(rows, 2))
    spread = np.std([score.vamp2 for score in scores])
    # Twenty repetitions fix a spread to 16 %; blocks of five autocorrelation times miss another tenth.
    assert np.mean([score.vamp2_error for score in scores]) == pytest.approx(spread, rel=0.5)


def test_frames_without_the_slow_motion_show_it_by_their_variance(rng):
    states = np.repeat([0.0, 1.0, 0.0, 1.0], 500)
    seen = np.stack([states + 0.1 * rng.normal(size=2000), rng.normal(size=2000)], axis=1)
    score = vamp_score(seen, 5, train=np.arange(1500), test=np.arange(1500, 2000), blocks=10)
    # Noise of 0.1 within a state, 0.47 between states.
    assert score.scored_variance[0] == pytest.approx(0.01 / (0.01 + 2 / 9), rel=0.3)
    assert score.scored_variance[1] == pytest.approx(1, abs=0.2)
    assert vamp_score(seen, 5, blocks=10).scored_variance == pytest.approx([1, 1])


def test_fewer_modes_score_a_part(slow_and_fast):
    one = vamp_score(slow_and_fast, 3, n_modes=1, **HALVES)
    assert one.n_modes == 1
    assert one.vamp2 == pytest.approx(1 + 0.95**6, abs=4 * one.vamp2_error)


def test_vampe_equals_that_of_deeptime(slow_and_fast):
    decomposition = pytest.importorskip("deeptime.decomposition")
    train, test = slow_and_fast[:10_000], slow_and_fast[10_100:]
    theirs = [decomposition.VAMP(lagtime=3).fit(rows).fetch_model() for rows in (train, test)]
    mine = vamp_score(slow_and_fast, 3, **HALVES)
    for kind, value in ((2, mine.vamp2), ("E", mine.vampe)):
        # The same formula on the same pairs, in float64.
        assert theirs[0].score(kind, test_model=theirs[1]) == pytest.approx(value, abs=1e-6)


def test_cross_validation_agrees_with_the_exact_score_and_shows_its_folds(slow_and_fast):
    comparison = compare_vamp_scores(slow_and_fast, 3, folds=4)
    score = comparison.latent
    assert score.per_fold.shape == (4, 2)
    assert score.vamp2 == pytest.approx(score.per_fold[:, 0].mean())
    assert score.vamp2 == pytest.approx(1 + 0.95**6 + 0.5**6, abs=4 * score.vamp2_error)
    assert [part.name for part in comparison.scores] == ["latent"]


def test_baselines_stand_beside_the_latent_and_tica_finds_what_pca_misses(rng):
    # The slow direction has the least variance.
    scales = np.array([0.3, 2.0, 3.0, 1.0])
    features = scales * np.stack([autoregressive(rng, 6000, memory) for memory in (0.97, 0.2, 0, 0)], axis=1)
    comparison = compare_vamp_scores(features[:, :1] ** 3, 5, features=features, folds=3)
    latent, pca, tica = comparison.scores
    assert [score.name for score in comparison.scores] == ["latent", "PCA", "TICA"]
    assert {score.n_modes for score in comparison.scores} == {1}
    assert not pca.is_above_floor
    assert latent.is_above_floor
    assert tica.vamp2 == pytest.approx(1 + 0.97**10, abs=4 * tica.vamp2_error)
    assert tica.vamp2 > latent.vamp2


def test_linear_baselines_see_only_the_frames_they_are_given(rng):
    features = rng.normal(size=(500, 3))
    changed = features.copy()
    changed[300:] = 9.0
    mine, theirs = (
        linear_baselines(rows, 2, 1, frames=np.arange(300), weights=np.ones(500))
        for rows in (features, changed)
    )
    np.testing.assert_array_equal(mine.pca_components, theirs.pca_components)
    np.testing.assert_array_equal(mine.tica.transform, theirs.tica.transform)
    assert mine.pca(features).shape == (500, 2)
    assert np.all(np.diff(mine.pca_explained) < 0)


def test_folds_share_all_frames_among_them_and_keep_a_gap():
    series = series_of(np.arange(1000.0) % 7, segments=(600, 400))
    parts = deal_folds(series, 5, folds=3, blocks=10, gap=9, seed=1)
    np.testing.assert_array_equal(np.sort(np.concatenate([test for _, test in parts])), np.arange(1000))
    for train, test in parts:
        is_same = (train[:, None] < 600) == (test[None, :] < 600)
        assert np.abs(train[:, None] - test[None, :])[is_same].min() > 9


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"shifts": 1}, "`shifts` must be at least 2; got 1"),
        ({"train": np.arange(50)}, "`train` without `test`"),
        ({"blocks": 1}, "`blocks` must be at least 2 and at most the 97 pairs"),
    ],
)
def test_mistakes_are_named(change, message, rng):
    with pytest.raises(InputError, match=message):
        vamp_score(rng.normal(size=(100, 2)), 3, **change)


def test_mistakes_with_modes_and_folds_are_named(rng):
    rows = rng.normal(size=(100, 2))
    modes = slow_modes(rows, 3)
    with pytest.raises(InputError, match="`modes` and `train` exclude each other"):
        vamp_score(rows, 3, modes=modes, train=np.arange(50))
    with pytest.raises(InputError, match="lag time 3; expected `lag_time`=2"):
        vamp_score(rows, 2, modes=modes)
    with pytest.raises(InputError, match="`train` and `test` go together"):
        compare_vamp_scores(rows, 3, train=np.arange(50))
    with pytest.raises(InputError, match="at most the 20 blocks of frames; got 30"):
        compare_vamp_scores(rows, 3, folds=30)
    with pytest.raises(InputError, match=r"`lag_time`=6 does not fit into blocks of at most 5 frames"):
        compare_vamp_scores(rows, 6)
    with pytest.raises(InputError, match="must have the 100 frames of the latent; got 99"):
        compare_vamp_scores(rows, 3, features=rows[:99])
    with pytest.raises(InputError, match="at most the 2 features; got 3"):
        linear_baselines(rows, 3, 1)


def test_too_few_blocks_are_warned_of(rng):
    with pytest.warns(PolyvaeWarning, match="fewer than 10 independent blocks"):
        vamp_score(rng.normal(size=(100, 2)), 20)
