"""Result records to matplotlib figures; nothing is computed, shown or saved here.

`plot_...` draws on the axes given, or on a new figure, and returns Axes; `figure_...` has several panels
and returns a Figure. `to_png` turns either into bytes.
"""

from polyvae.plots.compact import figure_compact, plot_descents
from polyvae.plots.ensembles import figure_ensembles
from polyvae.plots.film import latent_film
from polyvae.plots.free_energy import plot_free_energy
from polyvae.plots.kinetics import (
    figure_chapman_kolmogorov,
    plot_autocorrelation,
    plot_implied_timescales,
    plot_vamp_scores,
)
from polyvae.plots.latent import figure_latent_trajectory, plot_latent_map, plot_latent_trajectory
from polyvae.plots.likelihood import plot_likelihoods
from polyvae.plots.linear_maps import figure_linear_maps
from polyvae.plots.marginals import figure_distance_marginals, plot_distance_errors, plot_distance_marginal
from polyvae.plots.optimization import figure_optimization, plot_optimization_traces, plot_optimized_values
from polyvae.plots.paths import figure_paths, plot_latent_paths, plot_path_density, plot_path_observable
from polyvae.plots.rate_distortion import plot_rate_distortion
from polyvae.plots.reconstruction import plot_reconstruction
from polyvae.plots.reproducibility import plot_reproducibility
from polyvae.plots.rounds import plot_rounds
from polyvae.plots.score import figure_score, plot_ramachandran, plot_score
from polyvae.plots.sensitivity import plot_sensitivity, plot_variable_sensitivity
from polyvae.plots.structures import figure_structures, plot_conformations
from polyvae.plots.style import style, to_png
from polyvae.plots.training import figure_learning_curves, plot_learning_curves

__all__ = [
    "figure_chapman_kolmogorov",
    "figure_compact",
    "figure_distance_marginals",
    "figure_ensembles",
    "figure_latent_trajectory",
    "figure_learning_curves",
    "figure_linear_maps",
    "figure_optimization",
    "figure_paths",
    "figure_score",
    "figure_structures",
    "latent_film",
    "plot_autocorrelation",
    "plot_conformations",
    "plot_descents",
    "plot_distance_errors",
    "plot_distance_marginal",
    "plot_free_energy",
    "plot_implied_timescales",
    "plot_latent_map",
    "plot_latent_paths",
    "plot_latent_trajectory",
    "plot_learning_curves",
    "plot_likelihoods",
    "plot_optimization_traces",
    "plot_optimized_values",
    "plot_path_density",
    "plot_path_observable",
    "plot_ramachandran",
    "plot_rate_distortion",
    "plot_reconstruction",
    "plot_reproducibility",
    "plot_rounds",
    "plot_score",
    "plot_sensitivity",
    "plot_vamp_scores",
    "plot_variable_sensitivity",
    "style",
    "to_png",
]
