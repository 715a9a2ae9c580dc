"""Answers from a trained model: latent trajectory, marginals, new conformations, compact structures, quality."""

from polyvae.analysis.baselines import PCA, Baselines, GaussianChain, GaussianModel, fit_baselines
from polyvae.analysis.disentanglement import (
    DCI,
    MutualInformationGap,
    disentanglement_completeness_informativeness,
    mutual_information_gap,
)
from polyvae.analysis.generation import generate
from polyvae.analysis.latent import LatentTrajectory, latent_trajectory
from polyvae.analysis.likelihood import (
    LikelihoodComparison,
    LogLikelihood,
    compare_likelihoods,
    log_likelihood,
)
from polyvae.analysis.marginals import DistanceMarginals, distance_marginals
from polyvae.analysis.optimization import (
    OptimizationConfig,
    OptimizedConformations,
    minimize_radius_of_gyration,
)
from polyvae.analysis.rate_distortion import RateDistortion, rate_distortion
from polyvae.analysis.reconstruction import ReconstructionReport, reconstruction_report

__all__ = [
    "DCI",
    "PCA",
    "Baselines",
    "DistanceMarginals",
    "GaussianChain",
    "GaussianModel",
    "LatentTrajectory",
    "LikelihoodComparison",
    "LogLikelihood",
    "MutualInformationGap",
    "OptimizationConfig",
    "OptimizedConformations",
    "RateDistortion",
    "ReconstructionReport",
    "compare_likelihoods",
    "disentanglement_completeness_informativeness",
    "distance_marginals",
    "fit_baselines",
    "generate",
    "latent_trajectory",
    "log_likelihood",
    "minimize_radius_of_gyration",
    "mutual_information_gap",
    "rate_distortion",
    "reconstruction_report",
]
