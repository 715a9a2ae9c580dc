import dataclasses

import numpy as np
import pytest

from polyvae.plots import plot_reconstruction


@pytest.mark.parametrize("unit", ["nm", "σ"])
def test_axes_and_legend_name_the_unit(make_report, unit):
    report = make_report(unit=unit)
    ax = plot_reconstruction(report)
    assert ax.get_xlabel() == f"RMSD of held-out frames ({unit})"
    assert ax.get_ylabel() == f"density (1/{unit})"
    assert f"VAE {report.rmsd.mean():.3g} {unit}" in [text.get_text() for text in ax.get_legend().get_texts()]


def test_means_are_marked(make_report):
    report = make_report()
    marks = [line.get_xdata()[0] for line in plot_reconstruction(report).lines]
    assert marks == pytest.approx([report.mean_rmsd.mean(), report.pca_rmsd.mean(), report.rmsd.mean()])


def test_one_frame_that_comes_back_exactly_can_be_drawn(make_report):
    report = dataclasses.replace(
        make_report(1), **dict.fromkeys(("rmsd", "pca_rmsd", "mean_rmsd"), np.zeros(1))
    )
    assert plot_reconstruction(report).get_xlim() == (0.0, 1.0)
