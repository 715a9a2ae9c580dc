"""Paths: a string that goes round the hole of a ring, radial lines under the prior, and what a record holds."""

import jax.numpy as jnp
import numpy as np
import pytest

from polyvae.analysis import compare_paths, latent_path
from polyvae.errors import InputError
from polyvae.features import radius_of_gyration
from polyvae.preprocessing import kabsch_rmsd
from polyvae.trajectory import Trajectory
from polyvae.units import REDUCED


@pytest.fixture(scope="module")
def ring(unbounded_model) -> Trajectory:
    """Decoded latent points on a ring of radius 6; the posteriors are about 0.5 and 0.9 wide."""
    angles = np.random.default_rng(3).uniform(0.0, 2 * np.pi, size=600)
    latent = 6.0 * np.stack([np.cos(angles), np.sin(angles)], axis=1)
    return Trajectory(positions=np.asarray(unbounded_model.decode(latent.astype(np.float32))), units=REDUCED)


@pytest.fixture(scope="module")
def axes(unbounded_model, ring) -> np.ndarray:
    """Half axes of the ellipse on which the posterior means lie."""
    return np.abs(np.asarray(unbounded_model.encode(ring.positions).mean)).max(axis=0)


@pytest.fixture(scope="module")
def around(unbounded_model, ring, axes):
    ends = axes * np.array([[np.cos(a), np.sin(a)] for a in np.radians([20.0, 160.0])])
    return compare_paths(unbounded_model, ends[0], ends[1], n=41, trajectory=ring)


def test_the_string_follows_the_ring_and_the_straight_line_crosses_its_hole(around, axes):
    shares = [np.linalg.norm(path.latent / axes, axis=1) for path in (around.straight, around.string)]
    assert shares[0].min() < 0.4
    # The ring of points is as wide as the posteriors: its ridge lies near the ellipse, not on it.
    assert shares[1].min() > 0.75
    assert shares[1].max() < 1.2
    assert (around.string.latent[:, 1] > 0).all()
    assert around.string.lowest_log_density > around.straight.lowest_log_density + 2.0
    assert around.gain > 0.5
    # The arc is longer than its chord.
    assert around.string.length > 1.1 * around.straight.length


def test_points_of_a_path_are_evenly_spaced_and_share_their_ends(around):
    for path in (around.straight, around.string):
        steps = np.linalg.norm(np.diff(path.latent, axis=0), axis=1)
        # Chords of a polygon of 63 sides that was cut anew into 40.
        assert np.ptp(steps) < 0.05 * steps.mean()
        np.testing.assert_allclose(path.along, np.linspace(0, 1, 41), atol=0.02)
    np.testing.assert_array_equal(around.straight.latent[[0, -1]], around.string.latent[[0, -1]])


def test_the_string_climbs_and_comes_to_rest(around):
    trace = around.string.trace
    assert len(trace) == 1001
    assert trace[-1] > trace[0] + 0.5
    assert np.abs(np.diff(trace[-50:])).max() < 1e-3
    assert around.straight.trace.shape == (1,)


def test_under_the_prior_a_string_falls_to_the_center_and_leaves_it_straight(unbounded_model):
    first, last = np.array([2.0, 0.0]), np.array([0.0, 2.0])
    path = latent_path(unbounded_model, first, last, n=21, kind="string")
    assert path.density == "prior"
    # Gradient lines of a standard normal are radii, so one coordinate is always zero.
    assert np.abs(path.latent).min(axis=1).max() < 0.06
    assert path.length == pytest.approx(4.0, abs=0.1)
    expected = -0.5 * np.sum(path.latent**2, axis=1) - np.log(2 * np.pi)
    np.testing.assert_allclose(path.log_density, expected, atol=1e-5)


def test_a_record_holds_decoder_means_with_their_observables(unbounded_model):
    path = latent_path(
        unbounded_model,
        np.zeros(2),
        np.ones(2),
        n=5,
        observables=("radius_of_gyration", lambda x: jnp.max(x[:, 0]) - jnp.min(x[:, 0])),
    )
    np.testing.assert_allclose(path.latent, np.linspace([0, 0], [1, 1], 5), atol=1e-6)
    decoded = unbounded_model.decode(path.latent)
    # The same up to rotation, in float32.
    assert float(kabsch_rmsd(decoded, jnp.asarray(path.trajectory.positions)).max()) < 1e-5
    for frame, value in zip(path.trajectory.positions, path.values[:, 0], strict=True):
        assert value == pytest.approx(float(radius_of_gyration(jnp.asarray(frame))), rel=1e-5)
    assert path.observables == ("radius_of_gyration", "<lambda>")
    assert path.value_units == ("σ", "")
    assert path.violation.tolist() == [0.0] * 5
    assert path.plausible.all()


def test_each_frame_is_turned_onto_the_one_before_it(fitted, chain):
    path = latent_path(fitted.model, chain.positions[3], chain.positions[700], n=9)
    for before, after in zip(path.trajectory.positions[:-1], path.trajectory.positions[1:], strict=True):
        moved = np.sqrt(np.mean(np.sum((after - before) ** 2, axis=1)))
        best = float(kabsch_rmsd(jnp.asarray(after), jnp.asarray(before)))
        # float32
        assert moved == pytest.approx(best, rel=1e-3, abs=1e-5)


def test_a_conformation_enters_as_its_posterior_mean(fitted, chain):
    by_frame = latent_path(fitted.model, chain.positions[3], chain[700:701], n=3)
    mean = np.asarray(fitted.model.encode(chain.positions[[3, 700]]).mean)
    np.testing.assert_allclose(by_frame.latent[[0, -1]], mean, atol=1e-6)
    rebuilt = np.asarray(fitted.model.reconstruct(chain.positions[[3, 700]]))
    expected = kabsch_rmsd(jnp.asarray(rebuilt), jnp.asarray(chain.positions[[3, 700]]))
    np.testing.assert_allclose(by_frame.end_rmsd, expected, rtol=1e-3)
    by_point = latent_path(fitted.model, mean[0], mean[1], n=3)
    assert np.isnan(by_point.end_rmsd).all()
    np.testing.assert_allclose(by_frame.latent, by_point.latent, atol=1e-6)


@pytest.mark.parametrize(
    ("ends", "arguments", "message"),
    [
        (
            (np.zeros(3), np.ones(2)),
            {},
            r"`start` must be a latent point of shape \(2,\) or one frame of the model's",
        ),
        ((np.zeros(2), np.ones((4, 2))), {}, r"`end` must be .* 3 atoms, shape \(3, 2\); got \(4, 2\)"),
        ((np.zeros(2), np.array([1.0, np.nan])), {}, "`end` holds NaN or infinity"),
        ((np.ones(2), np.ones(2)), {}, "are the same latent point"),
        ((np.zeros(2), np.ones(2)), {"n": 1}, "`n` must be at least 2"),
        ((np.zeros(2), np.ones(2)), {"steps": 0}, "`steps` must be at least 1"),
        (
            (np.zeros(2), np.ones(2)),
            {"kind": "curved"},
            "`kind` must be 'straight' or 'string'; got 'curved'",
        ),
        ((np.zeros(2), np.ones(2)), {"observables": ("size",)}, "'size' is not known"),
        (
            (np.zeros(2), np.ones(2)),
            {"observables": (lambda x: jnp.log(-jnp.sum(x**2)),)},
            "is not finite in frame 0 of the path",
        ),
        (
            (np.zeros(2), Trajectory(positions=np.ones((2, 3, 2), np.float32), units=REDUCED)),
            {},
            "`end` must be one conformation; got a trajectory of 2 frames",
        ),
        (
            (np.zeros(2), Trajectory(positions=np.ones((1, 4, 2), np.float32), units=REDUCED)),
            {},
            "trained on 3 atoms",
        ),
    ],
)
def test_ends_and_arguments_that_make_no_path_are_refused(unbounded_model, ends, arguments, message):
    with pytest.raises(InputError, match=message):
        latent_path(unbounded_model, *ends, **arguments)
