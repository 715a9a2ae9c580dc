"""The figures of a run, each written as PNG."""

from collections.abc import Callable
from typing import Any

import numpy as np

from polyvae import plots
from polyvae.cli.workflow import RunResults
from polyvae.storage import RunFolder
from polyvae.trajectory import atomic_path

_SHOWN_STRUCTURES = 4


def write_figures(folder: RunFolder, results: RunResults) -> None:
    """Every figure as `figures/<name>.png`, under the names that the report knows."""
    trajectory, model = results.trajectory, results.fit.model
    unit, bonds = trajectory.units.length, trajectory.bonds
    data = trajectory.positions[_spread(results.fit.split.test, _SHOWN_STRUCTURES)]
    drawings: dict[str, Callable[[], Any]] = {
        "learning_curves": lambda: plots.figure_learning_curves(
            results.fit.history,
            best_epoch=results.fit.best_epoch,
            vamp_weight=results.fit.train_config.vamp_weight,
        ),
        "free_energy": lambda: plots.plot_free_energy(results.surface),
        "latent_map": lambda: plots.plot_latent_map(results.encoded),
        "linear_maps": lambda: plots.figure_linear_maps(results.linear),
        "ensembles": lambda: plots.figure_ensembles(trajectory, results.generated),
        "latent_trajectory": lambda: plots.figure_latent_trajectory(results.latent),
        "reconstruction": lambda: plots.plot_reconstruction(results.reconstruction),
        "distance_marginals": lambda: plots.figure_distance_marginals(results.marginals),
        "distance_errors": lambda: plots.plot_distance_errors(results.marginals),
        "structures": lambda: plots.figure_structures(
            data,
            reconstructed=np.asarray(model.reconstruct(data)),
            generated=results.generated.positions[:_SHOWN_STRUCTURES],
            bonds=bonds,
            unit=unit,
        ),
    }
    compact = results.compact
    if compact is not None:
        drawings["compact"] = lambda: plots.figure_compact(compact, most_compact_frame(results), bonds=bonds)
    for name, draw in drawings.items():
        path = folder.file(f"figures/{name}.png")
        image = plots.to_png(draw())
        with atomic_path(path, overwrite=True) as temporary:
            temporary.write_bytes(image)


def most_compact_frame(results: RunResults) -> np.ndarray:
    """The frame of the data with the smallest radius of gyration, shape (atoms, dims)."""
    weights = np.asarray(results.fit.model.geometry.masses, np.float64)
    weights = weights / weights.sum()
    best, frame = np.inf, np.empty(0)
    for positions in results.trajectory.position_chunks():
        center = np.einsum("a,fad->fd", weights, positions)
        square = np.einsum("a,fad->f", weights, (positions - center[:, None, :]) ** 2)
        smallest = int(np.argmin(square))
        if square[smallest] < best:
            best, frame = square[smallest], positions[smallest].copy()
    return frame


def _spread(indices: np.ndarray, n: int) -> np.ndarray:
    return indices[np.unique(np.linspace(0, len(indices) - 1, min(n, len(indices))).astype(int))]
