"""How good a coordinate is for slow motion: its slow modes, scores beside noise floors, timescales."""

from polyvae.analysis.kinetics.autocorrelation import Autocorrelation, autocorrelation
from polyvae.analysis.kinetics.lagged_covariances import LaggedCovariances, lagged_covariances
from polyvae.analysis.kinetics.linear_baselines import LinearBaselines, linear_baselines
from polyvae.analysis.kinetics.score_comparison import VampComparison, compare_vamp_scores
from polyvae.analysis.kinetics.slow_modes import SlowModes, slow_modes
from polyvae.analysis.kinetics.timescales import ImpliedTimescales, implied_timescales
from polyvae.analysis.kinetics.vamp_score import VampScore, vamp_score

__all__ = [
    "Autocorrelation",
    "ImpliedTimescales",
    "LaggedCovariances",
    "LinearBaselines",
    "SlowModes",
    "VampComparison",
    "VampScore",
    "autocorrelation",
    "compare_vamp_scores",
    "implied_timescales",
    "lagged_covariances",
    "linear_baselines",
    "slow_modes",
    "vamp_score",
]
