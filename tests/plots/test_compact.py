import pytest

from polyvae.plots import figure_compact, plot_descents, to_png


def test_descents_carry_the_unit_and_the_minimum_of_the_data(make_optimized):
    ax = plot_descents(make_optimized())
    assert ax.get_ylabel() == "radius of gyration (σ)"
    labels = [text.get_text() for text in ax.get_legend().get_texts()]
    assert "smallest in the data: 1.2 σ" in labels


def test_only_valid_steps_have_the_color_of_the_model(make_optimized):
    optimized = make_optimized(valid=1)
    ax = plot_descents(optimized)
    valid = ax.lines[0].get_ydata()
    assert (valid == valid).tolist() == (optimized.violation_trace[0] == 0).tolist()
    assert len(ax.collections[0].get_segments()) == optimized.n_starts


@pytest.mark.parametrize("dims", [2, 3])
def test_figure_names_both_structures_with_their_radii(make_optimized, make_chain, rng, dims):
    optimized = make_optimized(dims=dims)
    figure = figure_compact(optimized, rng.normal(size=(6, dims)), bonds=make_chain(6))
    titles = [ax.get_title("left") for ax in figure.axes]
    assert titles == ["3 of 4 starts led to a valid structure", "best valid", "data, 1.2 σ", "optimized, 1 σ"]
    assert figure.axes[2].get_xlim() == figure.axes[3].get_xlim()


def test_figure_says_in_words_that_no_start_became_valid(make_optimized, make_chain, rng):
    figure = figure_compact(make_optimized(valid=0), rng.normal(size=(6, 2)), bonds=make_chain(6))
    assert figure.axes[3].texts[0].get_text().startswith("No start led to a\nvalid structure")
    assert len(figure.axes[3].collections) == 0
    assert to_png(figure)


def test_figure_without_any_structure_can_be_drawn(make_optimized):
    assert to_png(figure_compact(make_optimized(valid=0)))
