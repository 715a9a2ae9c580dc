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


def test_weighted_means_are_marked_and_named(make_report, rng):
    weights = rng.exponential(size=100) * (np.arange(100) > 9)
    report = dataclasses.replace(make_report(), weights=weights)
    ax = plot_reconstruction(report)
    means = [report.average_mean_structure_rmsd, report.average_pca_rmsd, report.average_rmsd]
    assert [line.get_xdata()[0] for line in ax.lines] == pytest.approx(means)
    assert ax.get_title("left") == "Weighted mean over 90 held-out frames (dashed):"
    assert f"VAE {means[2]:.3g} nm" in [text.get_text() for text in ax.get_legend().get_texts()]


def test_frames_without_weight_are_in_no_histogram(make_report):
    report = make_report()
    errors = {name: getattr(report, name).copy() for name in ("rmsd", "pca_rmsd", "mean_rmsd")}
    for values in errors.values():
        values[:30] = 40.0
    weights = np.r_[np.zeros(30), np.ones(70)]
    ax = plot_reconstruction(dataclasses.replace(report, **errors, weights=weights))
    assert ax.get_xlim()[1] < 1.0
