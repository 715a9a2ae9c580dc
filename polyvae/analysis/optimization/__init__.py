"""Conformations by gradient descent in latent space: lowest, highest or wanted values of any observable."""

from polyvae.analysis.optimization.config import OptimizationConfig
from polyvae.analysis.optimization.result import BestObserved, OptimizedConformations
from polyvae.analysis.optimization.search import minimize_radius_of_gyration, optimize

__all__ = [
    "BestObserved",
    "OptimizationConfig",
    "OptimizedConformations",
    "minimize_radius_of_gyration",
    "optimize",
]
