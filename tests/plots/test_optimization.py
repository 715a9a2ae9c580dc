import dataclasses

import numpy as np
import pytest

from polyvae.plots import figure_optimization, plot_optimization_traces, plot_optimized_values, to_png
from polyvae.trajectory import Trajectory
from polyvae.units import REDUCED


@pytest.fixture
def found(make_optimized, rng):
    """Two of four starts that wanted an asphericity of 1.2."""
    data = rng.normal(1.4, 0.2, size=50)
    near = Trajectory(positions=rng.normal(size=(2, 6, 2)).astype(np.float32), units=REDUCED)
    return dataclasses.replace(
        make_optimized(valid=2),
        observable="distance:1-4",
        value_unit="σ",
        goal="target",
        target=1.2,
        tolerance=0.25,
        data_values=data,
        nearest_frames=np.array([3, 7]),
        nearest_rmsd=np.array([0.25, 0.5]),
        nearest=near,
    )


def test_traces_name_the_observable_and_show_target_or_best_frame(found):
    ax = plot_optimization_traces(found)
    assert ax.get_ylabel() == "distance 1-4 (σ)"
    labels = [text.get_text() for text in ax.get_legend().get_texts()]
    assert labels == ["valid", "not valid", "target: 1.2 σ"]
    highest = dataclasses.replace(found, goal="maximize", target=None)
    labels = [text.get_text() for text in plot_optimization_traces(highest).get_legend().get_texts()]
    assert labels[2] == f"highest in the data: {found.data_values.max():.3g} σ"


def test_all_that_matters_lies_within_the_axes(found):
    low, high = plot_optimization_traces(found).get_ylim()
    assert low < min(found.values.min(), found.target, found.data_values.min() + 0.05)
    assert high > found.trace.max()


def test_frames_count_as_their_weight(found):
    weights = np.zeros(50)
    weights[11] = 2.0
    ax = plot_optimized_values(dataclasses.replace(found, data_weights=weights))
    bars = ax.patches[0].get_data()
    assert np.count_nonzero(bars.values) == 1
    place = int(bars.values.argmax())
    assert bars.edges[place] <= found.data_values[11] <= bars.edges[place + 1]


def test_figure_counts_what_was_reached_and_shows_the_nearest_frame(found, make_chain):
    figure = figure_optimization(found, bonds=make_chain(6))
    titles = [ax.get_title("left") for ax in figure.axes]
    assert titles == [
        "2 of 4 starts led to a valid structure, 2 reached the target",
        "",
        "best found: 1 σ",
        "nearest: RMSD 0.25 σ",
    ]
    assert to_png(figure)


def test_figure_without_a_valid_structure_says_so(make_optimized):
    figure = figure_optimization(make_optimized(valid=0))
    assert figure.axes[2].texts[0].get_text().startswith("No start led to a\nvalid structure")
    assert to_png(figure)
