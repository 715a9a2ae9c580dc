"""Free energies against densities that are known, and their errors against the scatter of independent runs."""

import numpy as np
import pytest
from scipy.integrate import quad

from polyvae.analysis import (
    FreeEnergySurface,
    LatentTrajectory,
    free_energy_basins,
    free_energy_difference,
    free_energy_surface,
    minimum_free_energy_path,
)
from polyvae.analysis.free_energy.blocks import block_numbers, correlation_time
from polyvae.errors import InputError, PolyvaeWarning
from polyvae.storage import load_record, save_record
from polyvae.units import BOLTZMANN_KJ_PER_MOL_K, MOLECULAR

KT = BOLTZMANN_KJ_PER_MOL_K * 300.0


def double_well(x: np.ndarray) -> np.ndarray:
    """Minima near -1 and 1, the right one about half a kT higher; kT."""
    return 3.0 * (x**2 - 1.0) ** 2 + 0.3 * x


def drawn(potential, n: int, rng, low: float = -2.0, high: float = 2.0) -> np.ndarray:
    """Independent draws from exp(-potential) by inversion on a fine grid."""
    grid = np.linspace(low, high, 20_001)
    cumulative = np.cumsum(np.exp(-potential(grid)))
    return np.interp(rng.random(n), cumulative / cumulative[-1], grid)


def correlated(n: int, rng, memory: float = 0.95) -> np.ndarray:
    """A first-order autoregressive normal process of variance 1."""
    noise = np.sqrt(1 - memory**2) * rng.normal(size=n)
    values = np.empty(n)
    values[0] = rng.normal()
    for i in range(1, n):
        values[i] = memory * values[i - 1] + noise[i]
    return values


def test_a_double_well_is_found_within_its_errors(rng):
    surface = free_energy_surface(drawn(double_well, 200_000, rng), num_samples=60)
    exact = KT * double_well(surface.centers[0])
    good = ~surface.badly_sampled
    assert good.sum() > 40
    scores = (surface.energy - exact)[good]
    scores = (scores - np.median(scores)) / surface.error[good]
    assert np.abs(scores).max() < 5
    assert 0.6 < scores.std() < 1.6
    assert np.nanmin(surface.energy) == 0.0
    assert surface.probability.sum() == pytest.approx(1)


def test_units_and_temperature_are_a_factor(rng):
    values = drawn(double_well, 5000, rng)
    reduced = free_energy_surface(values, units="kT")
    molecular = free_energy_surface(values, temp=450.0)
    own = free_energy_surface(values, kbt=2.5)
    assert reduced.kbt == 1.0
    np.testing.assert_allclose(molecular.energy, BOLTZMANN_KJ_PER_MOL_K * 450.0 * reduced.energy)
    np.testing.assert_allclose(own.error, 2.5 * reduced.error)


def test_errors_are_the_scatter_of_independent_runs():
    bounds, energies, errors = [(-2.0, 2.0)], [], []
    for seed in range(60):
        values = correlated(10_000, np.random.default_rng(seed))
        surface = free_energy_surface(values, units="kT", num_samples=10, bounds=bounds)
        energies.append(-np.log(surface.probability))
        errors.append(surface.error)
    # One standard error of the scatter of 60 runs is 9 %.
    np.testing.assert_allclose(np.mean(errors, axis=0), np.std(energies, axis=0), rtol=0.3)


def test_weights_undo_a_bias(rng):
    values = drawn(lambda x: 0.5 * double_well(x), 200_000, rng)
    weights = np.exp(-0.5 * double_well(values))
    surface = free_energy_surface(values, units="kT", num_samples=40, weights=weights)
    exact = double_well(surface.centers[0])
    near = exact < 4.0
    np.testing.assert_allclose(
        (surface.energy - exact)[near], np.median((surface.energy - exact)[near]), atol=0.12
    )
    np.testing.assert_allclose(
        free_energy_surface(values, weights=7 * np.ones(len(values))).energy,
        free_energy_surface(values).energy,
        rtol=1e-9,
    )


def test_a_period_closes_the_surface(rng):
    angle = rng.vonmises(np.pi, 2.0, 100_000)
    surface = free_energy_surface(angle, units="kT", periods=[2 * np.pi], num_samples=36)
    exact = 2.0 * (1 - np.cos(surface.centers[0] - np.pi))
    np.testing.assert_allclose(surface.energy - np.median(surface.energy - exact), exact, atol=0.3)
    # One basin across the edge, and the same surface for angles a turn away.
    assert len(free_energy_basins(surface)) == 1
    turned = free_energy_surface(angle + 2 * np.pi, units="kT", periods=[2 * np.pi], num_samples=36)
    np.testing.assert_allclose(turned.probability, surface.probability, atol=1e-4)
    smooth = free_energy_surface(angle, units="kT", periods=[2 * np.pi], num_samples=36, bandwidth=0.2)
    assert smooth.probability.sum() == pytest.approx(1)
    assert smooth.probability[0] == pytest.approx(smooth.probability[-1], rel=0.1)


def test_smoothing_lowers_the_noise_and_keeps_the_weight(rng):
    values = drawn(double_well, 3000, rng)
    rough, smooth = (
        free_energy_surface(values, units="kT", num_samples=80, bandwidth=width) for width in (None, 0.1)
    )
    well = np.abs(np.abs(rough.centers[0]) - 1) < 0.3
    assert np.nanmean(smooth.error[well]) < 0.6 * np.nanmean(rough.error[well])
    assert smooth.probability.sum() == pytest.approx(1)


def test_a_surface_of_two_coordinates_is_the_sum_of_independent_ones(rng):
    values = np.stack([drawn(double_well, 300_000, rng), rng.normal(size=300_000)], axis=1)
    surface = free_energy_surface(values, units="kT", num_samples=(30, 20), bounds=[(-1.6, 1.6), (-2, 2)])
    x, y = np.meshgrid(*surface.centers, indexing="ij")
    exact = double_well(x) + y**2 / 2
    near = exact < exact.min() + 3
    difference = (surface.energy - exact)[near]
    assert np.abs(difference - np.median(difference)).max() < 0.3
    assert surface.outside == pytest.approx(0.046, abs=0.01)
    assert surface.energy.shape == (30, 20)


def test_populations_and_differences_of_basins_are_integrals(rng):
    surface = free_energy_surface(drawn(double_well, 100_000, rng), units="kT", num_samples=80)
    basins = free_energy_basins(surface)
    assert len(basins) == 2
    np.testing.assert_allclose(basins.minima[:, 0], [-1.0, 1.0], atol=0.1)
    left, right = (quad(lambda x: np.exp(-double_well(x)), *ends)[0] for ends in ((-3, 0), (0, 3)))
    exact = -np.log(right / left)
    assert basins.differences[0, 1] == pytest.approx(exact, abs=4 * basins.difference_errors[0, 1] + 0.02)
    assert basins.differences[0, 1] == -basins.differences[1, 0]
    assert 0.003 < basins.difference_errors[0, 1] < 0.02
    assert basins.barriers[0, 1] == pytest.approx(double_well(0.03) - double_well(-1.0), abs=0.2)
    assert basins.populations.sum() == pytest.approx(1)
    assert len(free_energy_basins(surface, depth=10.0)) == 1


def test_the_error_of_a_difference_is_the_scatter_of_independent_runs():
    values, errors = [], []
    for seed in range(60):
        x = correlated(10_000, np.random.default_rng(100 + seed))
        found = free_energy_difference(x < -0.5, x > 0.5, units="kT")
        values.append(found.value)
        errors.append(found.error)
    assert abs(np.mean(values)) < 4 * np.std(values) / np.sqrt(60)
    assert np.mean(errors) == pytest.approx(np.std(values), rel=0.3)
    assert found.transitions > 50


def test_states_of_joined_runs_have_no_passage_at_the_join():
    first = np.tile([True, True, False, False, False], 4)
    second = np.tile([False, False, False, True, True], 4)
    with pytest.warns(PolyvaeWarning, match="independent blocks"):
        found = free_energy_difference(first, second, segments=(10, 10))
    assert found.transitions == 6
    assert found.value == 0.0
    assert found.populations == (0.4, 0.4)


def test_the_path_goes_through_the_pass_and_not_over_the_hill(rng):
    # Two wells at (±1, 0) with a wall between them that opens at y = 1.
    def potential(x, y):
        return (
            4 * (x**2 - 1) ** 2 * 0
            + 6 * np.exp(-(x**2) / 0.08) * (1 - np.exp(-((y - 1) ** 2) / 0.1))
            + (1.5 * ((np.abs(x) - 1) ** 2 + 0.3 * y**2))
        )

    grid = np.linspace(-2, 2, 400)
    x, y = np.meshgrid(grid, grid, indexing="ij")
    weights = np.exp(-potential(x, y)).ravel()
    chosen = rng.choice(weights.size, 400_000, p=weights / weights.sum())
    values = np.stack([x.ravel()[chosen], y.ravel()[chosen]], axis=1)
    surface = free_energy_surface(values, units="kT", num_samples=40, bounds=[(-2, 2), (-2, 2)])
    path = minimum_free_energy_path(surface, [-1, 0], [1, 0])
    top = path.points[path.saddle]
    assert top[1] == pytest.approx(1.0, abs=0.25)
    np.testing.assert_allclose(path.points[[0, -1], 0], [-1, 1], atol=0.1)
    exact = potential(0.0, 1.0) - potential(-1.0, 0.0)
    assert path.barrier == pytest.approx(exact, abs=0.6)
    assert np.isfinite(path.error).all()


def test_a_path_takes_the_short_way_around_a_period(rng):
    angle = rng.uniform(-np.pi, np.pi, 100_000)
    surface = free_energy_surface(angle, units="kT", periods=[2 * np.pi], num_samples=36)
    path = minimum_free_energy_path(surface, [-3.0], [3.0])
    assert len(path.points) < 6
    assert np.abs(np.diff(path.points[:, 0])).max() < 0.2


def test_a_latent_trajectory_brings_weights_segments_and_names(rng):
    mean = rng.normal(size=(4000, 3))
    weights = rng.random(4000)
    latent = LatentTrajectory(
        mean=mean,
        scale=np.ones_like(mean),
        times=None,
        segments=(1000, 3000),
        units=MOLECULAR,
        source="x",
        weights=weights,
    )
    surface = free_energy_surface(latent, dimensions=(2,))
    assert surface.names == ("latent z3",)
    expected = free_energy_surface(mean[:, 2], weights=weights, segments=(1000, 3000))
    np.testing.assert_array_equal(surface.energy, expected.energy)
    with pytest.raises(InputError, match=r"`dimensions`=\(5,\) are none of the 3 latent"):
        free_energy_surface(latent, dimensions=(5,))


def test_no_block_crosses_a_join():
    numbers = block_numbers((100, 7, 300), blocks=40, time=1.0)
    assert np.all(np.diff(numbers) >= 0)
    assert set(numbers[:100]).isdisjoint(numbers[100:107])
    assert len(np.unique(numbers)) == pytest.approx(40, abs=2)
    assert np.array_equal(np.unique(numbers), np.arange(numbers[-1] + 1))


def test_the_memory_of_a_long_series_is_estimated_from_a_stride(monkeypatch):
    from polyvae.analysis.free_energy import blocks

    values = correlated(40_000, np.random.default_rng(0))[:, None]
    whole = correlation_time(values, (40_000,))
    assert whole == pytest.approx(39, rel=0.4)
    monkeypatch.setattr(blocks, "_CORRELATED_FRAMES", 5000)
    assert correlation_time(values, (40_000,)) == pytest.approx(whole, rel=0.3)


def test_records_survive_the_disk(rng, tmp_path):
    surface = free_energy_surface(rng.normal(size=(3000, 2)), num_samples=10)
    basins = free_energy_basins(surface)
    for record in (surface, basins, minimum_free_energy_path(surface, [0, 0], [0.5, 0.5])):
        save_record(record, tmp_path / "record.npz", overwrite=True)
        again = load_record(tmp_path / "record.npz", type(record))
        np.testing.assert_array_equal(again.units, record.units)
    read = load_record(save_record(surface, tmp_path / "surface.npz"), FreeEnergySurface)
    np.testing.assert_array_equal(read.energy, surface.energy)
    assert read.periods == (None, None)
    np.testing.assert_array_equal(read.edges[1], surface.edges[1])


def test_too_little_sampling_is_said():
    with pytest.warns(PolyvaeWarning, match=r"keep their memory for .* fewer than 10 independent blocks"):
        free_energy_surface(np.linspace(0, 1, 200))


GOOD = np.random.default_rng(0).normal(size=(100, 2))


@pytest.mark.parametrize(
    ("values", "options", "message"),
    [
        (np.zeros((10, 3)), {}, r"`X` must have shape .* got \(10, 3\)"),
        (
            np.where(np.arange(100)[:, None] == 7, np.nan, GOOD),
            {},
            "NaN or infinity in 1 frames, first in frame 7",
        ),
        (GOOD, {"num_samples": 0}, "`num_samples` must be positive"),
        (GOOD, {"num_samples": (10, 10, 10)}, "one for each of the 2 coordinates"),
        (GOOD, {"bandwidth": -1.0}, "`bandwidth` must be positive"),
        (GOOD, {"bounds": [(0, 1)]}, "`bounds` needs a lowest and a highest value for each of the 2"),
        (GOOD, {"bounds": [(1, 0), (0, 1)]}, "`bounds` of coordinate 1 must rise"),
        (GOOD, {"bounds": [(50, 60), (50, 60)]}, "No frame with a weight lies within the bounds"),
        (GOOD, {"periods": [1.0]}, "`periods` needs one entry for each of the 2"),
        (GOOD, {"periods": [1.0, None], "bounds": [(0, 3), (0, 1)]}, "its period is 1.0"),
        (GOOD, {"weights": np.ones(5)}, r"`weights` must have shape \(100,\)"),
        (GOOD, {"weights": np.full(100, np.nan)}, "`weights` must be finite"),
        (GOOD, {"segments": (3, 4)}, "`segments` sum to 7; expected 100"),
        (GOOD, {"blocks": 1}, "`blocks` must be at least 2"),
        (GOOD, {"temp": -3.0}, "thermal energy must be positive"),
        (GOOD, {"units": "kcal"}, "`units` must be 'kJ/mol' or 'kT'"),
    ],
)
def test_unusable_input_is_refused(values, options, message):
    with pytest.raises(InputError, match=message):
        free_energy_surface(values, **options)


def test_unusable_states_and_points_are_refused(rng):
    with pytest.raises(InputError, match="Frame 3 belongs to both"):
        free_energy_difference(np.arange(10) < 4, np.arange(10) > 2)
    with pytest.raises(InputError, match="No frame with a weight lies in the second state"):
        free_energy_difference(np.arange(10) < 4, np.zeros(10, bool))
    gap = np.concatenate([rng.normal(-5, 0.1, 500), rng.normal(5, 0.1, 500)])
    surface = free_energy_surface(gap, blocks=10)
    with pytest.raises(InputError, match="No way of sampled bins"):
        minimum_free_energy_path(surface, [-5.0], [5.0])
    with pytest.raises(InputError, match="No frame lies at `end`"):
        minimum_free_energy_path(surface, [-5.0], [0.0])
    with pytest.raises(InputError, match="`start`=.* lies outside"):
        minimum_free_energy_path(surface, [-50.0], [0.0])
    with pytest.raises(InputError, match="`depth` must not be negative"):
        free_energy_basins(surface, depth=-1.0)


def test_a_surface_without_a_well_sampled_bin_has_no_basins(rng):
    walk = np.cumsum(rng.normal(size=400))
    with pytest.warns(PolyvaeWarning):
        surface = free_energy_surface(walk, num_samples=40, units="kT")
    assert surface.badly_sampled.all()
    with pytest.raises(InputError, match="Every bin of the surface is badly sampled"):
        free_energy_basins(surface)
