"""polyvae: variational autoencoders for molecular-dynamics trajectories.

    import polyvae as pv
    trajectory = pv.load("run.xtc", top="system.pdb", atoms="backbone", stride=10)
    result = pv.fit(trajectory, pv.ModelConfig(latent_dim=2), pv.TrainConfig(), seed=0)
    latent = pv.latent_trajectory(result.model, trajectory)

Every public name is listed here and imported on first use, so that `import polyvae` itself loads neither JAX nor
matplotlib.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

_HOMES = {
    "polyvae.trajectory": (
        "Trajectory",
        "TrajectorySource",
        "bundled",
        "load",
        "open_trajectory",
        "save_trajectory",
    ),
    "polyvae.vae": ("ConformationModel", "ModelConfig"),
    "polyvae.training": (
        "FitResult",
        "TrainConfig",
        "fit",
        "fit_ensemble",
        "fit_vae",
        "fit_vae_ensemble",
        "inspect_trajectory",
        "make_vae",
    ),
    "polyvae.analysis": (
        "distance_marginals",
        "free_energy_basins",
        "free_energy_surface",
        "generate",
        "implied_timescales",
        "latent_path",
        "latent_trajectory",
        "log_likelihood",
        "minimize_radius_of_gyration",
        "optimize",
        "reconstruction_report",
        "reproducibility",
        "score_ensemble",
        "sensitivity",
        "slow_modes",
        "vamp_score",
    ),
    "polyvae.storage": ("Checkpoint", "load_model", "save"),
    "polyvae.errors": ("InputError", "PolyvaeWarning"),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}

__all__ = ["__version__", *sorted(_HOME_OF)]

if TYPE_CHECKING:
    from polyvae.analysis import (
        distance_marginals,
        free_energy_basins,
        free_energy_surface,
        generate,
        implied_timescales,
        latent_path,
        latent_trajectory,
        log_likelihood,
        minimize_radius_of_gyration,
        optimize,
        reconstruction_report,
        reproducibility,
        score_ensemble,
        sensitivity,
        slow_modes,
        vamp_score,
    )
    from polyvae.errors import InputError, PolyvaeWarning
    from polyvae.storage import Checkpoint, load_model, save
    from polyvae.training import (
        FitResult,
        TrainConfig,
        fit,
        fit_ensemble,
        fit_vae,
        fit_vae_ensemble,
        inspect_trajectory,
        make_vae,
    )
    from polyvae.trajectory import (
        Trajectory,
        TrajectorySource,
        bundled,
        load,
        open_trajectory,
        save_trajectory,
    )
    from polyvae.vae import ConformationModel, ModelConfig


def __getattr__(name: str) -> Any:
    if name not in _HOME_OF:
        raise AttributeError(f"module 'polyvae' has no attribute {name!r}")
    value = getattr(import_module(_HOME_OF[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__
