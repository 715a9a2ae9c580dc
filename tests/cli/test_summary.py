"""What statistical weights do to the numbers of `summary.json`."""

import numpy as np
import pytest

import polyvae as pv
from polyvae.cli.options import AnalysisConfig
from polyvae.cli.summary import result_table, run_summary
from polyvae.cli.workflow import analyze


@pytest.fixture(scope="module")
def fit_and_data(data):
    trajectory = pv.load(data)
    config = pv.TrainConfig(epochs=2, batch_size=64, patience=None)
    return pv.fit(trajectory, pv.ModelConfig(hidden=(8,)), config, seed=0), trajectory


def summary(fit_and_data, weights):
    result, trajectory = fit_and_data
    config = AnalysisConfig(samples=2, generated=50, starts=2)
    return run_summary(analyze(result, trajectory.replace(weights=weights), config))


@pytest.fixture(scope="module")
def plain(fit_and_data):
    return summary(fit_and_data, None)


@pytest.fixture(scope="module")
def weights():
    return np.random.default_rng(1).exponential(size=200)


@pytest.fixture(scope="module")
def weighted(fit_and_data, weights):
    return summary(fit_and_data, weights)


def test_a_run_without_weights_says_so(plain):
    assert plain["data"]["weights"] == {"used": False, "effective_sample_size": 200.0}
    assert "effective sample size" not in result_table(plain)


def test_a_run_with_weights_says_what_they_are_worth(weighted, weights):
    section = weighted["data"]["weights"]
    assert section["used"] is True
    assert section["effective_sample_size"] == pytest.approx(weights.sum() ** 2 / np.sum(weights**2))
    line = result_table(weighted).splitlines()[1].split("  ")
    assert line[0] == "effective sample size of the weighted data"
    assert line[-1] == "200 frames"


def test_the_figures_of_a_run_with_weights_are_weighted(weighted, fit_and_data, weights):
    result, trajectory = fit_and_data
    trajectory = trajectory.replace(weights=weights)
    report = pv.reconstruction_report(result, trajectory)
    expected = np.average(report.rmsd, weights=weights[result.split.test])
    assert weighted["reconstruction"]["rmsd"] == pytest.approx(expected, rel=1e-12)
    marginals = pv.distance_marginals(trajectory, pv.generate(result.model, 50, seed=1))
    assert weighted["marginals"]["w1_mean"] == marginals.w1.mean()
    assert weighted["marginals"]["floor_w1_mean"] == marginals.floor_w1.mean()


@pytest.mark.parametrize(
    ("section", "name"),
    [
        ("reconstruction", "rmsd"),
        ("reconstruction", "pca_rmsd"),
        ("reconstruction", "mean_structure_rmsd"),
        ("reconstruction", "train_rmsd"),
        ("likelihood", "vae_iwae"),
        ("likelihood", "gaussian"),
        ("likelihood", "gaussian_chain"),
        ("likelihood", "rate"),
        ("marginals", "w1_mean"),
        ("marginals", "floor_w1_mean"),
        ("marginals", "js_mean"),
        ("marginals", "null_model_w1_mean"),
        ("marginals", "gaussian_w1_mean"),
    ],
)
def test_no_figure_ignores_the_weights(plain, weighted, section, name):
    assert weighted[section][name] != pytest.approx(plain[section][name], rel=1e-4)
