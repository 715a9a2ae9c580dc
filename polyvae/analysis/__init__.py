"""Answers from a trained model: latent trajectory, marginals, new conformations, compact structures, quality."""

from polyvae.analysis.baselines import PCA, Baselines, GaussianChain, GaussianModel, fit_baselines
from polyvae.analysis.disentanglement import (
    DCI,
    MutualInformationGap,
    disentanglement_completeness_informativeness,
    mutual_information_gap,
)
from polyvae.analysis.free_energy import (
    FreeEnergyBasins,
    FreeEnergyDifference,
    FreeEnergySurface,
    MinimumFreeEnergyPath,
    free_energy_basins,
    free_energy_difference,
    free_energy_surface,
    minimum_free_energy_path,
)
from polyvae.analysis.generation import generate
from polyvae.analysis.latent import LatentTrajectory, latent_trajectory
from polyvae.analysis.latent_density import LatentDensity, aggregate_density, prior_density
from polyvae.analysis.latent_meaning import Determined, LatentMeaning, determined_sizes, latent_meanings
from polyvae.analysis.likelihood import (
    LikelihoodComparison,
    LogLikelihood,
    compare_likelihoods,
    log_likelihood,
)
from polyvae.analysis.marginals import DistanceMarginals, distance_marginals
from polyvae.analysis.nearest import nearest_frames
from polyvae.analysis.optimization import (
    BestObserved,
    OptimizationConfig,
    OptimizedConformations,
    minimize_radius_of_gyration,
    optimize,
)
from polyvae.analysis.overview import RunOverview, ShownSurface, StructureSet, run_overview
from polyvae.analysis.paths import LatentPath, PathComparison, compare_paths, latent_path
from polyvae.analysis.rate_distortion import RateDistortion, rate_distortion
from polyvae.analysis.reconstruction import ReconstructionReport, reconstruction_report
from polyvae.analysis.scoring import EnsembleScore, RamachandranMap, ScoreRow, score_ensemble

__all__ = [
    "DCI",
    "PCA",
    "Baselines",
    "BestObserved",
    "Determined",
    "DistanceMarginals",
    "EnsembleScore",
    "FreeEnergyBasins",
    "FreeEnergyDifference",
    "FreeEnergySurface",
    "GaussianChain",
    "GaussianModel",
    "LatentDensity",
    "LatentMeaning",
    "LatentPath",
    "LatentTrajectory",
    "LikelihoodComparison",
    "LogLikelihood",
    "MinimumFreeEnergyPath",
    "MutualInformationGap",
    "OptimizationConfig",
    "OptimizedConformations",
    "PathComparison",
    "RamachandranMap",
    "RateDistortion",
    "ReconstructionReport",
    "RunOverview",
    "ScoreRow",
    "ShownSurface",
    "StructureSet",
    "aggregate_density",
    "compare_likelihoods",
    "compare_paths",
    "determined_sizes",
    "disentanglement_completeness_informativeness",
    "distance_marginals",
    "fit_baselines",
    "free_energy_basins",
    "free_energy_difference",
    "free_energy_surface",
    "generate",
    "latent_meanings",
    "latent_path",
    "latent_trajectory",
    "log_likelihood",
    "minimize_radius_of_gyration",
    "minimum_free_energy_path",
    "mutual_information_gap",
    "nearest_frames",
    "optimize",
    "prior_density",
    "rate_distortion",
    "reconstruction_report",
    "run_overview",
    "score_ensemble",
]
