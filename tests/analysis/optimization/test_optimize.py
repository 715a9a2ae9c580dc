"""Any observable: known optima of a linear decoder, targets, the region of trust, and what is refused."""

import jax.numpy as jnp
import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.stats import chi2

from polyvae.analysis import OptimizationConfig, aggregate_density, optimize
from polyvae.errors import InputError, PolyvaeWarning
from polyvae.preprocessing import kabsch_rmsd
from polyvae.trajectory import Trajectory
from polyvae.units import REDUCED

CONFIG = OptimizationConfig(steps=400)


def decode(model, latent: np.ndarray) -> np.ndarray:
    return np.asarray(model.decode(np.asarray(latent, np.float32)))


@pytest.fixture(scope="module")
def data(unbounded_model) -> Trajectory:
    """Decoded draws from the right half of the latent plane."""
    latent = np.random.default_rng(5).normal(size=(400, 2))
    latent[:, 0] = 1.5 + 0.5 * np.abs(latent[:, 0])
    return Trajectory(positions=decode(unbounded_model, latent), units=REDUCED)


def square_from(point: np.ndarray):
    def square(frame):
        return jnp.sum((frame - jnp.asarray(point, frame.dtype)) ** 2)

    return square


@pytest.fixture(scope="module")
def nearest_to_a_point(unbounded_model, data):
    goal = decode(unbounded_model, [0.4, -1.1])
    return optimize(unbounded_model, square_from(goal), starts=8, trajectory=data, config=CONFIG, seed=1)


def test_a_quadratic_observable_has_its_minimum_at_the_known_latent_point(nearest_to_a_point):
    assert nearest_to_a_point.n_valid == 8
    # Adam at a learning rate of 0.005 in the end.
    np.testing.assert_allclose(nearest_to_a_point.latent, np.tile([0.4, -1.1], (8, 1)), atol=5e-3)
    assert nearest_to_a_point.best == pytest.approx(0.0, abs=1e-4)
    assert nearest_to_a_point.observable == "square"


def test_a_minimum_outside_the_ball_is_found_on_its_edge(unbounded_model):
    goal, radius = decode(unbounded_model, [5.0, 3.0]), np.sqrt(chi2.ppf(0.99, 2))
    found = optimize(unbounded_model, square_from(goal), starts=8, config=CONFIG, seed=1)
    matrix = np.stack([decode(unbounded_model, row) - decode(unbounded_model, [0, 0]) for row in np.eye(2)])
    loss = lambda z: np.sum(((z - [5.0, 3.0]) @ matrix.reshape(2, -1)) ** 2)  # noqa: E731
    expected = minimize(
        loss, [1.0, 1.0], constraints={"type": "ineq", "fun": lambda z: radius**2 - z @ z}, tol=1e-10
    )
    np.testing.assert_allclose(found.latent[0], expected.x, atol=0.02)
    assert found.best == pytest.approx(expected.fun, rel=1e-3)


def test_the_best_observed_frame_and_the_nearest_frames_are_those_of_a_search_by_hand(
    nearest_to_a_point, unbounded_model, data
):
    goal = decode(unbounded_model, [0.4, -1.1])
    squares = np.sum((data.positions - goal) ** 2, axis=(1, 2))
    value, frame = nearest_to_a_point.best_observed
    assert frame == squares.argmin()
    assert value == pytest.approx(squares.min(), rel=1e-5)
    for index, positions in enumerate(nearest_to_a_point.positions[:3]):
        rmsd = np.asarray(
            kabsch_rmsd(jnp.asarray(data.positions), jnp.broadcast_to(positions, data.positions.shape))
        )
        # The nearest, or one as near to float32.
        assert rmsd[nearest_to_a_point.nearest_frames[index]] == pytest.approx(rmsd.min(), abs=1e-4)
        assert nearest_to_a_point.nearest_rmsd[index] == pytest.approx(rmsd.min(), abs=1e-4)
    frames = nearest_to_a_point.nearest_trajectory()
    np.testing.assert_array_equal(frames.positions, data.positions[nearest_to_a_point.nearest_frames])


def test_frames_without_weight_are_no_answer(unbounded_model, data):
    weights = np.ones(data.n_frames)
    ends = np.linalg.norm(data.positions[:, -1] - data.positions[:, 0], axis=1)
    weights[np.argsort(ends)[:50]] = 0.0
    found = optimize(
        unbounded_model,
        "end_to_end_distance",
        starts=4,
        trajectory=data.replace(weights=weights),
        config=CONFIG,
    )
    assert found.best_observed.value == pytest.approx(np.sort(ends)[50], rel=1e-5)
    assert weights[found.nearest_frames].all()


def test_the_highest_value_is_found_first(fitted, chain):
    found = optimize(
        fitted.model,
        "end_to_end_distance",
        goal="maximize",
        starts=8,
        trajectory=chain,
        config=CONFIG,
        seed=2,
    )
    assert (np.diff(found.values) <= 0).all()
    ends = np.linalg.norm(found.positions[:, -1] - found.positions[:, 0], axis=1)
    np.testing.assert_allclose(found.values, ends, rtol=1e-5)
    # The best of the descents is above where they began, and stretched as the data's longest chains are.
    assert found.best > np.median(found.trace[:, 0])
    assert found.best > 0.9 * found.best_observed.value
    assert found.value_unit == "nm"


def test_a_target_is_met_with_valid_geometry(fitted, chain):
    found = optimize(
        fitted.model, "radius_of_gyration", target=1.2, starts=8, trajectory=chain, config=CONFIG, seed=2
    )
    spread = np.subtract(*np.quantile(found.data_values, (0.99, 0.01)))
    assert found.tolerance == pytest.approx(0.01 * spread, rel=1e-5)
    assert found.reached.sum() >= 4
    assert (np.abs(found.values - 1.2)[found.reached] <= found.tolerance).all()
    assert (np.diff(np.abs(found.values - 1.2)) >= 0).all()
    centered = found.positions - found.positions.mean(axis=1, keepdims=True)
    gyration = np.sqrt(np.mean(np.sum(centered**2, axis=2), axis=1))
    np.testing.assert_allclose(gyration, found.values, rtol=1e-4)
    assert (found.violation_trace.min(axis=1)[found.start] <= 0).all()
    # Some frame of a thousand is nearly as wide.
    assert found.best_observed.value == pytest.approx(1.2, abs=0.01)


def test_a_target_beyond_the_data_is_warned_about(unbounded_model, data):
    with pytest.warns(
        PolyvaeWarning, match="`target` 1000 lies outside what the data show: radius_of_gyration"
    ):
        found = optimize(
            unbounded_model,
            "radius_of_gyration",
            target=1000.0,
            starts=2,
            trajectory=data,
            config=OptimizationConfig(steps=5),
        )
    assert not found.reached.any()


def test_trusting_the_aggregate_posterior_keeps_the_latent_where_the_data_are(unbounded_model, data):
    density = aggregate_density(unbounded_model, data)
    goal = square_from(decode(unbounded_model, [-2.0, 0.0]))
    options = {"starts": 6, "trajectory": data, "seed": 3}
    trusted = optimize(
        unbounded_model, goal, config=OptimizationConfig(steps=400, trust="aggregate"), **options
    )
    free = optimize(unbounded_model, goal, config=CONFIG, **options)
    assert trusted.n_valid >= 4
    # Equal to the edge up to float32.
    assert (density.log_probs(jnp.asarray(trusted.latent)) >= float(density.edge) - 1e-3).all()
    np.testing.assert_allclose(trusted.log_density, density.log_probs(jnp.asarray(trusted.latent)), atol=1e-3)
    assert (density.log_probs(jnp.asarray(free.latent)) < float(density.edge) - 1.0).all()
    assert trusted.best > free.best


def test_without_a_trajectory_nothing_is_compared(unbounded_model):
    found = optimize(unbounded_model, "asphericity", starts=2, config=OptimizationConfig(steps=5))
    assert (found.best_observed, found.nearest_frames, found.value_unit) == (None, None, "")
    with pytest.raises(InputError, match="the search was given no `trajectory`"):
        found.nearest_trajectory()


def test_a_search_that_becomes_nan_on_the_way_keeps_what_it_had(unbounded_model, data):
    goal = jnp.asarray(decode(unbounded_model, [0.0, 0.0]))

    def brittle(frame):
        # Finite in the data, all of which lie to the right.
        square = jnp.sum((frame - goal) ** 2)
        return jnp.where(square < 0.3, jnp.nan, square)

    with pytest.warns(PolyvaeWarning, match="became NaN or infinite in 4 of 4 descents"):
        found = optimize(unbounded_model, brittle, starts=4, trajectory=data, config=CONFIG, seed=2)
    assert found.n_valid == 4
    # Steps of 0.05 latent units end just before the hole.
    assert ((found.values >= 0.3) & (found.values < 0.8)).all()


@pytest.mark.parametrize(
    ("observable", "message"),
    [
        (lambda x: jnp.log(-jnp.sum(x**2)), "returned nan for frame 0 of array"),
        (lambda x: x[0], r"must return one number for a frame; got shape \(2,\)"),
        (
            lambda x: jnp.sqrt(jnp.sum((x[0] - x[0]) ** 2)) + x[1, 0],
            "a gradient that is not finite in 2 of 2",
        ),
        (lambda x: jnp.round(x[0, 0]), "has gradient zero at all 2 starts"),
        (lambda x: 0.0 * x[0, 0] + 1.0, "has gradient zero"),
        ("distance:0-3", "below n_atoms=3"),
    ],
)
def test_observables_that_cannot_be_followed_are_refused(unbounded_model, data, observable, message):
    with pytest.raises(InputError, match=message):
        optimize(unbounded_model, observable, starts=2, trajectory=data)


def test_an_observable_that_is_constant_in_the_data_is_refused(unbounded_model, data):
    flat = data.replace(positions=np.broadcast_to(data.positions[:1], data.positions.shape).copy())
    with pytest.raises(
        InputError, match="has the same value, .* in all of array; there is nothing to look for"
    ):
        optimize(unbounded_model, "asphericity", starts=2, trajectory=flat)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"goal": "best"}, "`goal` must be 'minimize' or 'maximize'; got 'best'"),
        ({"goal": "maximize", "target": 1.0}, "`goal` and `target` exclude each other"),
        ({"target": float("nan")}, "`target` must be a finite number"),
        ({"starts": 0}, "`starts` must be at least 1; got 0"),
        ({"config": OptimizationConfig(trust="aggregate")}, "`trust='aggregate'` needs the data"),
        (
            {"trajectory": Trajectory(positions=np.ones((3, 4, 2), np.float32), units=REDUCED)},
            "trained on 3 atoms",
        ),
    ],
)
def test_impossible_arguments_are_refused(unbounded_model, arguments, message):
    with pytest.raises(InputError, match=message):
        optimize(unbounded_model, "asphericity", **arguments)
