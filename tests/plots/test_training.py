import dataclasses

import numpy as np
import pytest

from polyvae.plots import figure_learning_curves, plot_learning_curves


def test_bound_is_labelled_in_nats_per_frame(make_history):
    ax = plot_learning_curves(make_history())
    assert ax.get_ylabel() == "bound (nats per frame)"
    assert ax.get_xlabel() == "epoch"


def test_first_epochs_do_not_squash_the_curve(make_history):
    history = make_history(40)
    low, high = plot_learning_curves(history).get_ylim()
    assert history.validation_bound[0] < low
    assert high - low < 0.1 * np.ptp(history.train_bound)


def test_best_epoch_is_marked_with_its_bound(make_history):
    history = make_history(30)
    labels = [
        text.get_text() for text in plot_learning_curves(history, best_epoch=7).get_legend().get_texts()
    ]
    assert labels[-1] == f"best, epoch 7: {history.validation_bound[6]:.2f}".replace("-", "−")


def test_highest_validation_bound_is_marked_where_no_epoch_is_given(make_history):
    history = make_history(30)
    best = int(np.argmax(history.validation_bound)) + 1
    labels = [text.get_text() for text in plot_learning_curves(history).get_legend().get_texts()]
    assert labels[-1].startswith(f"best, epoch {best}:")


@pytest.mark.parametrize(("epochs", "latent"), [(1, 1), (3, 2), (30, 16)])
def test_figure_has_bound_kl_and_width_at_every_size(make_history, epochs, latent):
    bound, kl, width = figure_learning_curves(make_history(epochs, latent)).axes
    assert bound.get_ylabel() == "bound (nats per frame)"
    assert kl.get_ylabel() == "KL (nats per frame)"
    assert len(kl.lines) == min(latent, 8)
    assert width.get_ylabel() == "σ (scaled units)"


def test_kl_panel_says_that_it_leaves_dimensions_out(make_history):
    assert figure_learning_curves(make_history(5, 16)).axes[1].get_title("left") == "KL, the largest 8 of 16"


def test_figure_shows_the_fit_where_there_is_no_shared_width(make_history):
    history = dataclasses.replace(make_history(10), sigma=np.full(10, np.nan))
    bottom = figure_learning_curves(history).axes[2]
    assert bottom.get_ylabel() == "E log p(x|z)\n(nats per frame)"
    np.testing.assert_array_equal(bottom.lines[0].get_ydata(), history.validation_log_likelihood)


def test_a_divergence_in_one_column_is_not_called_a_dimension(make_history):
    assert (
        figure_learning_curves(make_history(5, 1)).axes[1].get_title("left") == "KL of posterior from prior"
    )


def test_curves_with_a_vamp_score_in_them_say_so(make_history):
    assert plot_learning_curves(make_history()).get_ylabel() == "bound (nats per frame)"
    drawn = figure_learning_curves(make_history(), vamp_weight=100.0).axes[0]
    assert drawn.get_ylabel() == "bound + 100 VAMP-2 (nats per frame)"
