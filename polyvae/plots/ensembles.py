"""Two ensembles laid over one another: many conformations of the data, and as many of the model's."""

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure

from polyvae.errors import InputError
from polyvae.plots.structures import draw_frames, finish_structures, projected
from polyvae.plots.style import DATA, MODEL, style
from polyvae.preprocessing import align, fit_alignment
from polyvae.trajectory import Trajectory

_FAINTEST = 0.1


@style()
def figure_ensembles(
    data: Trajectory,
    generated: Trajectory,
    *,
    most: int = 40,
    names: tuple[str, str] = ("data", "generated"),
) -> Figure:
    """Conformations of two ensembles, each for itself and both over one another, at one scale.

    Of each, frames spread evenly are superposed on the mean of those of the data, without regard to masses. What a band
    of the data has and the generated ensemble lacks, or the other way round, shows in the last panel.

    Args:
        data: the data.
        generated: an ensemble of the same atoms, such as `polyvae.generate` returns.
        most: conformations of each, at most.
        names: of the two, for titles.

    Raises:
        InputError: if the two do not show the same atoms.
    """
    if data.positions.shape[1:] != generated.positions.shape[1:]:
        raise InputError(
            f"`generated` must have {data.n_atoms} atoms in {data.dims} dimensions as the data; got "
            f"{generated.n_atoms} in {generated.dims}."
        )
    first, second = (_spread(each, most) for each in (data, generated))
    mean = np.asarray(fit_alignment(first)[0].reference)
    # Its long side lies flat.
    axes = np.linalg.svd(mean, full_matrices=True)[2]
    axes[-1] *= np.sign(np.linalg.det(axes))
    mean = mean @ axes.T
    onto_mean, _ = fit_alignment(first, method="kabsch", reference=mean)
    both = np.concatenate([mean[None], align(onto_mean, first), align(onto_mean, second)])
    # The first frame sets the view, so the mean comes first.
    turned = projected(both)[1:]
    sides = (turned[: len(first)], turned[len(first) :])
    figure = plt.figure(figsize=(6.8, 2.6))
    panels = list(figure.subplots(1, 3))
    alpha = max(_FAINTEST, min(1.0, 10.0 / most))
    for ax, frames, color, name in zip(panels, sides, (DATA, MODEL), names, strict=False):
        draw_frames(ax, frames, data.bonds, color, alpha, is_cloud=True)
        ax.set_title(f"{len(frames)} {name}", color=color)
    # One of each in turn, so that neither lies on top.
    for place in range(max(map(len, sides))):
        for frames, color in zip(sides, (DATA, MODEL), strict=True):
            draw_frames(panels[2], frames[place : place + 1], data.bonds, color, alpha, is_cloud=True)
    panels[2].set_title("both")
    finish_structures(panels, [turned], data.units.length)
    return figure


def _spread(trajectory: Trajectory, most: int) -> np.ndarray:
    chosen = np.unique(np.linspace(0, trajectory.n_frames - 1, min(most, trajectory.n_frames)).astype(int))
    return trajectory.positions[chosen]
