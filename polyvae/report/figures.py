"""The figures of a run folder with their captions: what each shows, and how to read it."""

import os
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, kw_only=True)
class ReportFigure:
    """A figure of the report.

    Attributes:
        title: its heading.
        caption: what it shows and how to read it.
        path: a PNG file, or None where the run did not make the figure; it is then left out.
        alt: what it shows, for readers who do not see it.
        name: that of its file, without the suffix.
    """

    title: str
    caption: str
    path: str | os.PathLike[str] | None
    alt: str
    name: str = ""


def run_figures(folder: str | os.PathLike[str]) -> list[ReportFigure]:
    """The figures that a run folder holds under `figures/`, in the order of the page.

    Args:
        folder: the run folder. A figure that the run did not make has the path None.
    """
    figures = []
    for name, (title, caption, alt) in _WORDS.items():
        path = Path(folder) / "figures" / f"{name}.png"
        figures.append(
            ReportFigure(
                title=title, caption=caption, alt=alt, path=path if path.is_file() else None, name=name
            )
        )
    return figures


_WORDS = {
    "learning_curves": (
        "Learning curves",
        "The training objective on training and validation frames after every epoch; the dot marks the "
        "epoch that the model comes from. Training far above validation would mean overfitting. Right: the "
        "information in each latent dimension (one near zero is not used), and the width of the decoder's "
        "noise.",
        "Line plots of bound, KL divergence and decoder width against the epoch.",
    ),
    "reconstruction": (
        "Reconstruction",
        "How far held-out frames lie from what comes back through the latent. The farther left, the better; "
        "PCA has as many dimensions as the model, and the mean structure uses none.",
        "Histograms of the RMSD of held-out frames for the model, PCA and the mean structure.",
    ),
    "structures": (
        "Structures",
        "Above, held-out frames with their reconstructions laid over them; below, generated conformations. "
        "All have one scale; in three dimensions what lies farther away is paler.",
        "Drawings of conformations from the data, reconstructed and generated.",
    ),
    "free_energy": (
        "Free energy",
        "−ln p of the frames along the first two latent coordinates (one, where there is only one), in kT, its "
        "minimum at zero. Basins are states; the ridges between them are barriers of this coordinate. Crossed "
        "bins were visited too seldom for their error to be trusted.",
        "Free energy of the frames along the latent coordinates.",
    ),
    "latent_map": (
        "Latent space",
        "Where the encoder puts the frames, with circles at one and two standard deviations of the prior. "
        "Regions of the prior without frames are where generated conformations have no counterpart in the "
        "data.",
        "Map of the density of frames in the latent space.",
    ),
    "linear_maps": (
        "PCA and TICA beside the latent",
        "The same frames on the latent, on principal components, and on the slowest linear combinations (TICA) of what "
        "the encoder sees, in the colors of the radius of gyration. Where two maps show the same groups, a linear "
        "coordinate would have done; a group that TICA alone sets apart is a slow motion that the latent does not see.",
        "Three maps of the same frames: latent, principal components, and TICA.",
    ),
    "latent_trajectory": (
        "Latent trajectory",
        "The latent coordinates in the order of time. Long stays at one level are states; jumps between "
        "neighboring frames that lie close in time would mean a latent that is not continuous.",
        "Plots of the latent coordinates against time.",
    ),
    "ensembles": (
        "Ensembles",
        "Conformations of the data and of the model, superposed on one mean, each for itself and over one another. "
        "Where the last panel has one color alone, one ensemble goes where the other does not.",
        "Superposed conformations of the data, of the model, and of both.",
    ),
    "distance_marginals": (
        "Distances of atom pairs",
        "Distributions of pair distances in the data and in generated conformations: the pairs with the "
        "largest, the median and the smallest error, and others spread along the chain. W₁ is the mean "
        "distance by which one distribution must be moved to become the other; the floor is its value "
        "between two halves of the data.",
        "Histograms of pair distances, data beside generated.",
    ),
    "distance_errors": (
        "Error of every pair",
        "The error W₁ of each pair beside its noise floor. Where the two are alike, generated conformations "
        "cannot be told from data by that distance.",
        "The error of each pair distance beside its noise floor.",
    ),
    "compact": (
        "Compact structures",
        "Gradient descents of the radius of gyration in the latent space, inside the region of trust around "
        "the prior. Only steps whose geometry lies within the data's range count. Right: the most "
        "compact frame of the data and the best valid structure found, at one scale.",
        "Radius of gyration along the descents, and the most compact structures of the data and the model.",
    ),
}
