"""Which of two states each frame of a loop is in, and the free-energy difference of each round."""

from collections.abc import Sequence

import numpy as np

from polyvae.analysis import (
    FreeEnergyDifference,
    FreeEnergyRounds,
    free_energy_basins,
    free_energy_difference,
    free_energy_surface,
    latent_trajectory,
)
from polyvae.cli.loop_settings import StatesConfig
from polyvae.errors import InputError
from polyvae.features import observable_of
from polyvae.trajectory import Trajectory
from polyvae.vae import ConformationModel

Marks = tuple[np.ndarray, np.ndarray]
"""Whether each frame is in the first and in the second state."""


def round_differences(
    numbers: Sequence[int],
    trajectories: Sequence[Trajectory],
    model: ConformationModel,
    states: StatesConfig,
    temperature: float,
) -> FreeEnergyRounds:
    """The free-energy difference of every round by itself, between the same two states.

    Args:
        numbers: of the biased rounds.
        trajectories: their frames, with weights.
        model: the newest coordinate, whose basins are the states where no observable is named.
        states: what the states are.
        temperature: K.
    """
    if states.along is None:
        marks = _basins(trajectories, model, temperature)
    else:
        marks = [_ranges(trajectory, states) for trajectory in trajectories]
    return FreeEnergyRounds(
        rounds=tuple(numbers),
        differences=tuple(
            _difference(trajectory, *mark, temperature)
            for trajectory, mark in zip(trajectories, marks, strict=True)
        ),
    )


def check_states(states: StatesConfig, template: Trajectory) -> None:
    """Raise an `InputError` at once where the observable is not known, or atoms of it are not there."""
    if states.along is not None:
        _ranges(template, states)


def _difference(
    trajectory: Trajectory, first: np.ndarray, second: np.ndarray, temperature: float
) -> FreeEnergyDifference | None:
    weights = np.ones(trajectory.n_frames) if trajectory.weights is None else trajectory.weights
    if not (weights[first].sum() > 0 and weights[second].sum() > 0):
        return None
    return free_energy_difference(first, second, temp=temperature, weights=weights)


def _ranges(trajectory: Trajectory, states: StatesConfig) -> Marks:
    assert states.along is not None
    assert states.second is not None
    observable = observable_of(
        states.along,
        n_atoms=trajectory.n_atoms,
        dims=trajectory.dims,
        units=trajectory.units,
        masses=trajectory.masses,
    )
    values = np.concatenate([observable.of(piece) for piece in trajectory.position_chunks()])

    def inside(limits: tuple[float, float]) -> np.ndarray:
        low, high = limits
        if low < high:
            return (values >= low) & (values <= high)
        if observable.period is None:
            raise InputError(f"A range of {states.along} must rise; got {low} to {high}.")
        return (values >= low) | (values <= high)

    second = inside(states.second)
    first = ~second if states.first is None else inside(states.first)
    if (first & second).any():
        raise InputError(f"The ranges {states.first} and {states.second} of {states.along} overlap.")
    return first, second


def _basins(trajectories: Sequence[Trajectory], model: ConformationModel, temperature: float) -> list[Marks]:
    """The two most populated basins of all rounds together; no frame is in either where there is only one."""
    dims = min(model.latent_dim, 2)
    latents = [latent_trajectory(model, trajectory).mean[:, :dims] for trajectory in trajectories]
    weights = [
        np.full(t.n_frames, 1.0 / t.n_frames) if t.weights is None else t.weights / t.weights.sum()
        for t in trajectories
    ]
    surface = free_energy_surface(
        np.concatenate(latents),
        temp=temperature,
        num_samples=60 if dims == 1 else 30,
        weights=np.concatenate(weights),
        segments=tuple(map(len, latents)),
    )
    if surface.badly_sampled.all():
        # A basin needs a bin that was visited more than now and then.
        nowhere = [np.zeros(len(latent), bool) for latent in latents]
        return list(zip(nowhere, nowhere, strict=True))
    labels = free_energy_basins(surface).labels
    marks = []
    for latent in latents:
        bins = tuple(
            np.clip(np.searchsorted(edges, column, side="right") - 1, 0, len(edges) - 2)
            for column, edges in zip(latent.T, surface.edges, strict=True)
        )
        marks.append((labels[bins] == 0, labels[bins] == 1))
    return marks
