"""The figure of a score shows its numbers, its verdicts and the maps."""

import matplotlib.pyplot as plt
import numpy as np
import pytest

import polyvae as pv
from polyvae.plots import figure_score, plot_ramachandran, plot_score, to_png


@pytest.fixture(scope="module")
def score():
    frames = pv.load(pv.bundled("alanine_dipeptide.xtc"), top=pv.bundled("alanine_dipeptide.pdb"), stride=100)
    stretched = frames[100:].replace(positions=np.float32(1.1) * frames[100:].positions)
    return pv.score_ensemble(frames[:100], stretched, bootstrap=5)


def test_every_row_is_a_dot_with_its_name_and_number(score):
    ax = plot_score(score)
    labels = [label.get_text() for label in ax.get_yticklabels()]
    assert labels[:2] == ["pair distance W₁ mean", "pair distance W₁ max"]
    assert len(labels) == len(score.rows)
    bonds = labels.index("bond W₁ mean")
    dots = {
        line.get_ydata()[0]: line for line in ax.lines if line.get_marker() == "X" and len(line.get_ydata())
    }
    # Bonds of a tenth too long lie at the right end of the axis, far beyond three times the limit.
    assert dots[bonds].get_xdata()[0] > 3.0
    assert ax.get_title(loc="left") == "overall: wrong"
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["as good as data", "close", "wrong"]
    plt.close("all")


def test_maps_are_in_degrees(score):
    for which in ("reference", "ensemble", "difference"):
        ax = plot_ramachandran(score.ramachandran, 0, which)
        assert ax.get_xlim() == ax.get_ylim() == (-180.0, 180.0)
        assert ax.get_xlabel() == "φ (degrees)"
    plt.close("all")


def test_the_figure_leaves_out_maps_where_there_are_none(score):
    figure = figure_score(score)
    assert len(figure.subfigs) == 3
    assert to_png(figure).startswith(b"\x89PNG")
    beads = pv.load(pv.bundled("polymer_2d.npz"), stride=200)
    figure = figure_score(pv.score_ensemble(beads[:50], beads[50:], bootstrap=5))
    assert len(figure.subfigs) == 2
    plt.close("all")
