"""The figures of a run, each written as PNG with the words that the report puts beside it."""

from collections.abc import Callable
from typing import Any

import numpy as np

from polyvae import plots
from polyvae.cli.workflow import RunResults
from polyvae.report import ReportFigure
from polyvae.storage import RunFolder
from polyvae.trajectory import atomic_path

_SHOWN_STRUCTURES = 4

# Name of the file, heading, caption and the description for readers who do not see the figure.
_WORDS = {
    "learning_curves": (
        "Learning curves",
        "The bound and its two terms over the epochs, nats per frame of scaled features. Training and "
        "validation curves that part mean overfitting; a curve that still climbs wants more epochs.",
        "Training and validation bound against the epoch",
    ),
    "latent_map": (
        "Latent map",
        "How many frames lie in each cell of the latent plane. Islands are groups of similar conformations.",
        "Histogram of the frames' posterior means",
    ),
    "latent_trajectory": (
        "Latent trajectory",
        "Each latent coordinate against time. Where frames follow each other closely, a good coordinate "
        "does not jump.",
        "Latent coordinates against time",
    ),
    "reconstruction": (
        "Reconstruction",
        "RMSD between held-out frames and what comes back from the latent, beside principal components of "
        "the same number and the mean structure, which uses no latent.",
        "Distributions of the reconstruction error",
    ),
    "distance_marginals": (
        "Distance marginals",
        "Distances of atom pairs in the data and in generated conformations; the worst pair first.",
        "Histograms of pair distances, data against generated",
    ),
    "distance_errors": (
        "Distance errors",
        "1-Wasserstein distance of every pair between data and generated conformations, beside the noise "
        "floor: the same between two halves of the data.",
        "Error of each pair's distance distribution beside its noise floor",
    ),
    "structures": (
        "Structures",
        "Held-out frames with their reconstructions over them, and generated conformations, at one scale.",
        "Conformations from data, reconstructed and generated",
    ),
    "compact": (
        "Compact conformations",
        "Radius of gyration along every descent in latent space, and the best valid result beside the most "
        "compact frame of the data.",
        "Descents of the radius of gyration and the most compact structures",
    ),
}


def write_figures(folder: RunFolder, results: RunResults) -> list[ReportFigure]:
    """Every figure as `figures/<name>.png`.

    Returns:
        The figures in the order of the report.
    """
    trajectory, model = results.trajectory, results.fit.model
    unit, bonds = trajectory.units.length, trajectory.bonds
    data = trajectory.positions[_spread(results.fit.split.test, _SHOWN_STRUCTURES)]
    drawings: dict[str, Callable[[], Any]] = {
        "learning_curves": lambda: plots.figure_learning_curves(
            results.fit.history, best_epoch=results.fit.best_epoch
        ),
        "latent_map": lambda: plots.plot_latent_map(results.encoded),
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
        "compact": lambda: plots.figure_compact(results.compact, most_compact_frame(results), bonds=bonds),
    }
    written = []
    for name, draw in drawings.items():
        path = folder.file(f"figures/{name}.png")
        image = plots.to_png(draw())
        with atomic_path(path, overwrite=True) as temporary:
            temporary.write_bytes(image)
        title, caption, alt = _WORDS[name]
        written.append(ReportFigure(title=title, caption=caption, path=path, alt=alt))
    return written


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
