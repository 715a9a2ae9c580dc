"""All analyses of one trained model, as one record: what `polyvae run` writes, draws and reports."""

import warnings
from collections.abc import Callable
from dataclasses import dataclass

import jax
import numpy as np

from polyvae._batching import map_batched
from polyvae.analysis import (
    Baselines,
    DistanceMarginals,
    EnsembleScore,
    FreeEnergySurface,
    LatentTrajectory,
    LikelihoodComparison,
    LinearMaps,
    OptimizedConformations,
    ReconstructionReport,
    RunOverview,
    compare_likelihoods,
    distance_marginals,
    fit_baselines,
    free_energy_surface,
    generate,
    latent_trajectory,
    linear_maps,
    minimize_radius_of_gyration,
    reconstruction_report,
    run_overview,
    score_ensemble,
)
from polyvae.analysis.overview import bins_for
from polyvae.cli.options import AnalysisConfig
from polyvae.errors import InputError, PolyvaeWarning
from polyvae.training import FitResult
from polyvae.trajectory import Trajectory
from polyvae.trajectory.finding import counted

_MOST_SCORED = 5000


@dataclass(frozen=True, kw_only=True, eq=False)
class RunResults:
    """A trained model's answers.

    Attributes:
        trajectory: the data.
        fit: the trained model and how it came about.
        encoded: posterior of every frame of the data.
        latent: the same, or that of another run of the same system, followed in time.
        reconstruction: held-out reconstruction error beside PCA.
        likelihood: held-out log-likelihood beside two baselines, or None where the baselines have no density.
        generated: draws from the model.
        marginals: pair distances of the data against those of `generated`.
        null_w1_mean: mean W1 of as many draws of the Gaussian chain, the null model, or None where there is
            none.
        gaussian_w1_mean: mean W1 of as many draws of one full-covariance Gaussian of the aligned frames.
        compact: the most compact conformations found, or None where none were looked for.
        linear: the latent beside PCA and TICA of the encoder's inputs.
        surface: free energy of the data along the first one or two latent coordinates, kT.
        score: `generated` against held-out frames, at most 5000 of each, or None where it has no meaning.
        overview: what the interactive part of the report shows.
    """

    trajectory: Trajectory
    fit: FitResult
    encoded: LatentTrajectory
    latent: LatentTrajectory
    reconstruction: ReconstructionReport
    likelihood: LikelihoodComparison | None
    generated: Trajectory
    marginals: DistanceMarginals
    null_w1_mean: float | None
    gaussian_w1_mean: float
    compact: OptimizedConformations | None
    linear: LinearMaps
    surface: FreeEnergySurface
    score: EnsembleScore | None
    overview: RunOverview


def analyze(
    result: FitResult,
    trajectory: Trajectory,
    config: AnalysisConfig | None = None,
    *,
    seed: int = 0,
    follow: Trajectory | None = None,
    on_step: Callable[[str], None] | None = None,
) -> RunResults:
    """All analyses of a trained model.

    Args:
        result: a fit to this trajectory.
        trajectory: what was trained on.
        config: how much of each.
        seed: seed of the run; the analyses use the numbers that follow it.
        follow: another run of the same system for the latent trajectory; None takes the data.
        on_step: called with the name of each step before it starts.
    """
    config = config or AnalysisConfig()
    begin = on_step or (lambda step: None)
    begin("latent trajectory")
    encoded = latent_trajectory(result.model, trajectory)
    latent = encoded if follow is None else latent_trajectory(result.model, follow)
    begin("reconstruction of held-out frames")
    reconstruction = reconstruction_report(result, trajectory)
    begin(f"log-likelihood of held-out frames ({counted(config.samples, 'sample')} each)")
    baselines = fit_baselines(result, trajectory)
    likelihood = compare_likelihoods(
        result, trajectory, baselines=baselines, samples=config.samples, seed=seed + 3
    )
    begin(f"generating {counted(config.generated, 'conformation')}")
    generated = generate(result.model, config.generated, seed=seed + 1)
    begin("distance marginals")
    marginals = distance_marginals(trajectory, generated)
    null = _chain_draws(result, baselines, config.generated, seed + 4)
    gaussian = _gaussian_draws(result, baselines, config.generated, seed + 5)
    compact = None
    if config.compact:
        starts = config.starts_for(trajectory.n_atoms)
        begin(f"compact conformations from {counted(starts, 'start')}")
        compact = minimize_radius_of_gyration(result.model, starts=starts, seed=seed + 2)
    begin("score of the generated conformations")
    score = _score(result, trajectory, generated, seed)
    begin("PCA and TICA beside the latent")
    linear = linear_maps(result.model, trajectory, encoded=encoded)
    begin("free energy and overview")
    # Too few independent frames are named on the report's page, beside the surface.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", PolyvaeWarning)
        bins = bins_for(trajectory.n_frames) if result.model.latent_dim > 1 else None
        surface = free_energy_surface(encoded, units="kT", kbt=1.0, num_samples=bins)
    overview = run_overview(result.model, trajectory, encoded, generated=generated, compact=compact)
    return RunResults(
        trajectory=trajectory,
        fit=result,
        encoded=encoded,
        latent=latent,
        reconstruction=reconstruction,
        likelihood=likelihood,
        generated=generated,
        marginals=marginals,
        null_w1_mean=None if null is None else _mean_w1(trajectory, null, marginals),
        gaussian_w1_mean=_mean_w1(trajectory, gaussian, marginals),
        compact=compact,
        linear=linear,
        surface=surface,
        score=score,
        overview=overview,
    )


def _score(
    result: FitResult, trajectory: Trajectory, generated: Trajectory, seed: int
) -> EnsembleScore | None:
    """Generated conformations against held-out frames; None where these are too few."""
    held_out, training = (
        trajectory[frames[:: -(-len(frames) // _MOST_SCORED)]]
        for frames in (result.split.test, result.split.train)
    )
    # What a score leaves out it says in its notes, which the report shows.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", PolyvaeWarning)
        return _scored(held_out, generated, training, seed)


def _scored(
    held_out: Trajectory, generated: Trajectory, training: Trajectory, seed: int
) -> EnsembleScore | None:
    try:
        return score_ensemble(held_out, generated[:_MOST_SCORED], training=training, seed=seed)
    except InputError:
        return None


def _mean_w1(reference: Trajectory, ensemble: Trajectory, marginals: DistanceMarginals) -> float:
    return float(distance_marginals(reference, ensemble, pairs=marginals.pairs).w1.mean())


def _chain_draws(result: FitResult, baselines: Baselines, n: int, seed: int) -> Trajectory | None:
    """Draws of the Gaussian chain, or None where it is not defined."""
    if baselines.chain is None:
        return None
    draws = np.asarray(baselines.chain.sample(n, jax.random.key(seed)))
    return result.model.system.trajectory(draws, source="Gaussian chain")


def _gaussian_draws(result: FitResult, baselines: Baselines, n: int, seed: int) -> Trajectory:
    """Draws of the full-covariance Gaussian as conformations."""
    features = baselines.gaussian.sample(n, jax.random.key(seed))
    draws = np.asarray(map_batched(result.model.cartesian.positions, features, 512))
    return result.model.system.trajectory(draws, source="Gaussian")
