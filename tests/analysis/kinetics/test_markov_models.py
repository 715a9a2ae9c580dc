"""States of a coordinate, and the Markov models that deeptime makes of them."""

import sys

import numpy as np
import pytest

from polyvae.analysis import chapman_kolmogorov, discrete_trajectories, markov_model
from polyvae.errors import InputError, MissingDependencyError, PolyvaeWarning

from .conftest import two_states

LEAVE, BACK = 0.01, 0.02


@pytest.fixture(scope="module")
def switching():
    """Two states far apart, seen with noise, in two simulations; their states, and the states k-means finds."""
    rng = np.random.default_rng(3)
    hidden = two_states(rng, 20_000, LEAVE, BACK)
    seen = 3.0 * hidden[:, None] + 0.3 * rng.normal(size=(len(hidden), 2))
    return hidden, seen, discrete_trajectories(seen, 6, segments=(12_000, 8000), seed=1)


def test_states_do_not_mix_what_lies_apart_and_joins_are_kept(switching):
    hidden, seen, found = switching
    labels = np.concatenate(found.states)
    assert [len(states) for states in found.states] == [12_000, 8000]
    assert labels.dtype == np.int32
    assert all(len(np.unique(hidden[labels == state])) == 1 for state in range(found.n_states))
    np.testing.assert_allclose(found.populations.sum(), 1)
    nearest = np.linalg.norm(seen[:, None, :] - found.centers[None], axis=2).argmin(axis=1)
    np.testing.assert_array_equal(labels, nearest)
    again = discrete_trajectories(seen, 6, segments=(12_000, 8000), seed=1)
    np.testing.assert_array_equal(found.centers, again.centers)


def test_without_deeptime_the_error_names_the_extra(switching, monkeypatch):
    monkeypatch.setitem(sys.modules, "deeptime", None)
    monkeypatch.setitem(sys.modules, "deeptime.markov.msm", None)
    with pytest.raises(MissingDependencyError, match=r'pip install "polyvae\[kinetics\]"'):
        markov_model(switching[2], 5)


def test_mistakes_are_named(rng):
    with pytest.raises(InputError, match="at most the 2 distinct frames; got 3"):
        discrete_trajectories(np.repeat([1.0, 2.0], 10), 3)
    with pytest.raises(InputError, match="`n_states` must be at least 2"):
        discrete_trajectories(rng.normal(size=20), 1)


def test_a_markov_model_has_the_timescale_of_the_chain(switching):
    pytest.importorskip("deeptime")
    model = markov_model(switching[2], 5)
    # About 270 passages fix the rate to 6 %.
    assert model.timescales()[0] == pytest.approx(-1 / np.log(1 - LEAVE - BACK), rel=0.25)
    assert model.n_states == 6


def test_chapman_kolmogorov_holds_for_a_chain_and_starts_from_certainty(switching):
    pytest.importorskip("deeptime")
    found = chapman_kolmogorov(switching[2], 10, steps=3, n_sets=2, samples=50)
    np.testing.assert_array_equal(found.lag_times, [0, 10, 20, 30])
    np.testing.assert_array_equal(found.predicted[0], np.eye(2))
    np.testing.assert_allclose(found.predicted.sum(axis=2), 1)
    np.testing.assert_allclose(found.predicted[1], found.estimated[1], rtol=1e-9)
    assert found.share_inside == 1.0
    # Set 0 is the more populated one, which is left less often.
    rates = LEAVE + BACK
    exact = [BACK / rates + LEAVE / rates * (1 - rates) ** lag for lag in found.lag_times]
    assert np.all(found.estimated_low[1:, 0, 0] < found.estimated_high[1:, 0, 0])
    np.testing.assert_allclose(found.estimated[:, 0, 0], exact, atol=0.05)
    assert set(found.set_of) == {0, 1}


def test_what_a_model_cannot_be_made_of_is_named(switching):
    pytest.importorskip("deeptime")
    found = switching[2]
    with pytest.raises(
        InputError, match=r"no simulation is longer than `lag_time`=12000 .* Lower `lag_time`"
    ):
        markov_model(found, 12_000)
    with pytest.raises(InputError, match="at least 1 frame; got 0"):
        markov_model(found, 0)
    with pytest.raises(InputError, match="at most the 6 connected states; got 7"):
        chapman_kolmogorov(found, 5, n_sets=7)
    with pytest.raises(InputError, match="`steps` must be at least 2"):
        chapman_kolmogorov(found, 5, steps=1)
    one_way = discrete_trajectories(np.r_[np.zeros(50), np.ones(50)], 2)
    with pytest.raises(InputError, match="no two of the 2 states are connected in both directions"):
        markov_model(one_way, 1)
    back_and_gone = discrete_trajectories(np.r_[np.tile([0.0, 1.0], 30), np.full(40, 5.0)], 3)
    with pytest.warns(PolyvaeWarning, match="1 of 3 states are not connected"):
        markov_model(back_and_gone, 1)
