import dataclasses

import numpy as np
import pytest

from polyvae.plots import figure_distance_marginals, plot_distance_errors, plot_distance_marginal, to_png


def test_title_holds_pair_error_floor_and_unit(make_marginals):
    ax = plot_distance_marginal(make_marginals(5), 0)
    assert ax.get_title("left") == "0–1: W₁ 0.2 (floor 0.01) nm"
    assert ax.get_xlabel() == "distance (nm)"
    assert ax.get_ylabel() == "density (1/nm)"


def test_worst_median_and_best_pair_stand_first(make_marginals):
    figure = figure_distance_marginals(make_marginals(8))
    titles = [ax.get_title("left").split(":")[0] for ax in figure.axes[:3]]
    assert titles == ["0–1", "2–4", "6–7"]
    assert [ax.texts[0].get_text() for ax in figure.axes[:3]] == ["worst", "median", "best"]


@pytest.mark.parametrize(("pairs", "panels"), [(1, 1), (2, 2), (3, 3), (7, 7), (40, 12)])
def test_no_pair_is_shown_twice(make_marginals, pairs, panels):
    chosen = np.stack([np.arange(pairs), np.arange(pairs) + 1], axis=1)
    figure = figure_distance_marginals(make_marginals(pairs=chosen, unit="σ"))
    titles = [ax.get_title("left") for ax in figure.axes if ax.axison]
    assert len(set(titles)) == len(titles) == panels
    assert all(title.endswith("σ") for title in titles)


def test_errors_of_all_pairs_of_a_small_system_are_a_matrix_above_its_floor(make_marginals):
    marginals = make_marginals(5)
    ax = plot_distance_errors(marginals)
    matrix = ax.images[0].get_array()
    assert matrix[0, 1] == marginals.w1[0]
    assert matrix[1, 0] == marginals.floor_w1[0]
    assert ax.images[0].colorbar.ax.get_ylabel() == "W₁ of the pair distance (nm)"


def test_errors_of_chosen_pairs_are_drawn_against_their_floor(make_marginals):
    marginals = make_marginals(pairs=np.array([[0, 1], [3, 9]]), unit="σ")
    ax = plot_distance_errors(marginals)
    assert ax.get_xlabel() == "noise floor of W₁ (σ)"
    assert ax.get_ylabel() == "W₁, generated against data (σ)"
    np.testing.assert_array_equal(ax.lines[0].get_xdata(), marginals.floor_w1)


def test_errors_of_twenty_thousand_pairs_are_counted_in_cells(make_marginals):
    pairs = np.stack(np.triu_indices(201, 1), axis=1)[:20_000]
    ax = plot_distance_errors(make_marginals(pairs=pairs))
    assert ax.collections[0].get_array().sum() == 20_000


@pytest.mark.parametrize("atoms", [2, 3])
def test_pairs_without_any_error_can_be_drawn(make_marginals, atoms):
    marginals = make_marginals(atoms)
    zero = np.zeros(len(marginals.pairs))
    assert to_png(plot_distance_errors(dataclasses.replace(marginals, w1=zero, floor_w1=zero)))


def test_chosen_pairs_and_the_worst_ones_alone(make_marginals):
    marginals = make_marginals(5)

    def titles(figure) -> list[str]:
        return [ax.get_title("left").split(":")[0] for ax in figure.axes if ax.get_title("left")]

    # Errors fall from the first pair to the last.
    assert titles(figure_distance_marginals(marginals, rows=[3, 1])) == ["0–4", "0–2"]
    worst = figure_distance_marginals(marginals, most=2, worst=True)
    assert titles(worst) == ["0–1", "0–2"]
    assert [ax.texts[0].get_text() for ax in worst.axes] == ["worst", "2nd worst"]


def test_noise_is_the_band_between_two_halves_of_the_data(make_marginals):
    marginals = make_marginals(3)
    halves = np.stack([np.full((3, 8), 1.2), np.full((3, 8), 0.9)], axis=1)
    ax = plot_distance_marginal(dataclasses.replace(marginals, half_densities=halves), 1)
    band = next(patch for patch in ax.patches if "noise" in str(patch.get_label()))
    values, _, baseline = band.get_data()
    np.testing.assert_array_equal(values, 1.2)
    np.testing.assert_array_equal(baseline, 0.9)
