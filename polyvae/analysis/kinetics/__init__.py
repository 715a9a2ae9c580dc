"""How good a coordinate is: how slow, how reproducible, what it listens to; numbers beside noise floors."""

from polyvae.analysis.kinetics.autocorrelation import Autocorrelation, autocorrelation
from polyvae.analysis.kinetics.chapman_kolmogorov import ChapmanKolmogorov, chapman_kolmogorov
from polyvae.analysis.kinetics.lagged_covariances import LaggedCovariances, lagged_covariances
from polyvae.analysis.kinetics.linear_baselines import LinearBaselines, encoder_inputs, linear_baselines
from polyvae.analysis.kinetics.linear_maps import LinearMaps, linear_maps
from polyvae.analysis.kinetics.markov_models import DiscreteTrajectories, discrete_trajectories, markov_model
from polyvae.analysis.kinetics.reproducibility import Reproducibility, reproducibility
from polyvae.analysis.kinetics.score_comparison import VampComparison, compare_vamp_scores
from polyvae.analysis.kinetics.sensitivity import Sensitivity, sensitivity
from polyvae.analysis.kinetics.slow_modes import SlowModes, slow_modes
from polyvae.analysis.kinetics.timescales import ImpliedTimescales, implied_timescales
from polyvae.analysis.kinetics.vamp_score import VampScore, vamp_score

__all__ = [
    "Autocorrelation",
    "ChapmanKolmogorov",
    "DiscreteTrajectories",
    "ImpliedTimescales",
    "LaggedCovariances",
    "LinearBaselines",
    "LinearMaps",
    "Reproducibility",
    "Sensitivity",
    "SlowModes",
    "VampComparison",
    "VampScore",
    "autocorrelation",
    "chapman_kolmogorov",
    "compare_vamp_scores",
    "discrete_trajectories",
    "encoder_inputs",
    "implied_timescales",
    "lagged_covariances",
    "linear_baselines",
    "linear_maps",
    "markov_model",
    "reproducibility",
    "sensitivity",
    "slow_modes",
    "vamp_score",
]
