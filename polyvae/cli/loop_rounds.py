"""The rounds of `polyvae loop`: learn a coordinate from all frames so far, sample along it, and again.

Each round has a folder: the model, the state of the simulation, its frames with weights, and last of all `round.json`
with the numbers of the round and the SHA-256 of its files. A round that has it is done; one that was cut short goes on
from its last epoch or from the last save of its simulation.
"""

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from polyvae.analysis import FreeEnergyRounds, latent_trajectory
from polyvae.cli.loop_settings import SamplingConfig, StatesConfig
from polyvae.cli.loop_states import round_differences
from polyvae.cli.progress import TrainingProgress, say
from polyvae.cli.signals import Interrupted, held_signals, noted_signal
from polyvae.deployment.openmm import LatentMetadynamics, LatentOPES, RecordedRun
from polyvae.deployment.openmm.engine import DynamicsConfig, EngineSystem
from polyvae.deployment.openmm.latent_bias import LatentBias
from polyvae.errors import InputError
from polyvae.storage import Checkpoint, RunFolder, load_model, save
from polyvae.storage.run_folder import fingerprint
from polyvae.training import TrainConfig, fit
from polyvae.trajectory import Trajectory, load, save_trajectory
from polyvae.trajectory.molecules import molecule_tree
from polyvae.trajectory.weights import effective_sample_size
from polyvae.units import BOLTZMANN_KJ_PER_MOL_K
from polyvae.vae import ConformationModel, ModelConfig

ROUND = "round.json"
_MARGIN = 0.15
"""How far the bias reaches beyond the latent values seen, as a share of their range."""
_HILL = 0.15
"""Width of the hills of metadynamics, as a share of the standard deviation of the latent."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Loop:
    """What all rounds share.

    Attributes:
        folder: of the loop.
        engine: the system to simulate.
        template: one frame of the model's atoms.
        atoms: particles that are the model's atoms.
        dynamics: of the biased simulations.
        sampling: how much is simulated.
        states: whose free-energy difference is wanted.
        model: settings of the models.
        training: settings of training.
        seed: of the loop; each round has its own.
        quiet: no progress.
    """

    folder: RunFolder
    engine: EngineSystem
    template: Trajectory
    atoms: np.ndarray
    dynamics: DynamicsConfig
    sampling: SamplingConfig
    states: StatesConfig
    model: ModelConfig
    training: TrainConfig
    seed: int
    quiet: bool


@dataclass(frozen=True, kw_only=True, eq=False)
class LoopResult:
    """All rounds.

    Attributes:
        rows: numbers of each round, round 0 among them.
        differences: of the biased rounds, between the states as the last coordinate has them.
        stable: whether the last two agree; see `FreeEnergyRounds.is_stable`.
    """

    rows: list[dict[str, Any]]
    differences: FreeEnergyRounds
    stable: bool


def run_rounds(loop: Loop, rounds: int) -> LoopResult:
    """Rounds until the free-energy difference is stable, or their number is reached.

    Args:
        loop: what they share.
        rounds: how many biased ones at most.

    Raises:
        Interrupted: if a signal came; everything up to the last save is in the folder.
        InputError: if a finished round has been changed, or something does not fit.
    """
    temperature = loop.dynamics.temperature
    rows, trajectories = [], []
    differences, stable = FreeEnergyRounds(rounds=(), differences=()), False
    for number in range(rounds + 1):
        row = _finished(loop, number)
        if row is None:
            row = _first(loop) if number == 0 else _biased(loop, number, trajectories)
        else:
            say(f"round {number} is done", quiet=loop.quiet)
        trajectories.append(_frames(loop, number))
        if number:
            model = load_model(loop.folder.path / _name(number, "model.json"))
            biased = range(1, number + 1)
            differences = round_differences(biased, trajectories[1:], model, loop.states, temperature)
            row |= _numbers(differences)
            stable = differences.is_stable(
                tolerance=loop.states.tolerance, round_trips=loop.states.round_trips
            )
        _finish(loop, number, row)
        rows.append(row)
        say(_words(row), quiet=loop.quiet)
        if stable:
            break
    return LoopResult(rows=rows, differences=differences, stable=stable)


def _first(loop: Loop) -> dict[str, Any]:
    """The unbiased simulation."""
    sampling = loop.sampling
    temperature = sampling.first_temperature or loop.dynamics.temperature
    dynamics = replace(loop.dynamics, temperature=temperature)
    system = loop.engine.new_system()
    run = RecordedRun(
        loop.folder.path / _name(0, ""),
        loop.atoms,
        record=sampling.record,
        save=sampling.save,
        periodic=loop.engine.box is not None,
    )
    steps = sampling.steps(sampling.first_ns, dynamics.time_step)
    simulation = loop.engine.simulation(system, dynamics, seed=loop.seed)
    _simulate(loop, 0, run, simulation, steps)
    _keep(loop, 0, run, None, dynamics.time_step)
    return {"round": 0, "nanoseconds": steps * dynamics.time_step / 1000, "temperature": temperature}


def _biased(loop: Loop, number: int, before: list[Trajectory]) -> dict[str, Any]:
    """A coordinate learned from all rounds before, and a simulation along it."""
    data = _joined(before, weighted=loop.sampling.learn_from == "weighted")
    model = _model(loop, number, data)
    system = loop.engine.new_system()
    bias = _bias(loop, number, model, data, system)
    steps = loop.sampling.steps(loop.sampling.round_ns, loop.dynamics.time_step)
    simulation = loop.engine.simulation(system, loop.dynamics, seed=loop.seed + number)
    _simulate(loop, number, bias, simulation, steps)
    _keep(loop, number, bias, bias.weights(), loop.dynamics.time_step)
    return {
        "round": number,
        "nanoseconds": steps * loop.dynamics.time_step / 1000,
        "temperature": loop.dynamics.temperature,
    }


def _model(loop: Loop, number: int, data: Trajectory) -> ConformationModel:
    """The model of a round, trained unless it is there."""
    stem = _name(number, "model")
    path = loop.folder.path / f"{stem}.json"
    name = _name(number, "checkpoint.safetensors")
    if not path.exists():
        checkpoint = Checkpoint(loop.folder.file(name))
        say(f"round {number}: learning from {data.n_frames} frames", quiet=loop.quiet)
        with noted_signal() as last_signal, TrainingProgress(quiet=loop.quiet) as progress:
            result = fit(
                data,
                loop.model,
                loop.training,
                seed=loop.seed + number,
                on_epoch=progress,
                checkpoint=checkpoint,
                resume=Path(checkpoint.path).exists(),
            )
            signal_number = last_signal()
        if result.status == "interrupted":
            raise Interrupted("interrupted", signal_number)
        for suffix in ("safetensors", "json"):
            loop.folder.file(f"{stem}.{suffix}")
        save(result.model, path, overwrite=True)
    loop.folder.remove(name)
    # Always as it is read back, so that a run that goes on has the same numbers.
    return load_model(path)


def _bias(loop: Loop, number: int, model: ConformationModel, data: Trajectory, system: Any) -> LatentBias:
    latent = latent_trajectory(model, data).mean.astype(np.float64)
    low, high = latent.min(axis=0), latent.max(axis=0)
    margin = _MARGIN * (high - low)
    limits = np.stack([low - margin, high + margin], axis=1)
    shared: dict[str, Any] = {
        "folder": loop.folder.path / _name(number, ""),
        "temperature": loop.dynamics.temperature,
        "pace": loop.sampling.pace,
        "limits": [(float(a), float(b)) for a, b in limits],
        "points": loop.sampling.points,
        "record": loop.sampling.record,
        "save": loop.sampling.save,
        "keep_frames": True,
    }
    if loop.sampling.bias == "opes":
        return LatentOPES(model, system, loop.atoms, barrier=loop.sampling.barrier, **shared)
    thermal = BOLTZMANN_KJ_PER_MOL_K * loop.dynamics.temperature
    spacing = (limits[:, 1] - limits[:, 0]) / (loop.sampling.points - 1)
    return LatentMetadynamics(
        model,
        system,
        loop.atoms,
        bias_factor=loop.sampling.barrier / thermal,
        sigma=np.maximum(_HILL * latent.std(axis=0), spacing).tolist(),
        **shared,
    )


def _simulate(loop: Loop, number: int, run: RecordedRun | LatentBias, simulation: Any, steps: int) -> None:
    """Steps that are left, in pieces after which a signal is heeded."""
    for path in run.planned_files(steps):
        loop.folder.file(_name(number, path.name))
    if run.resume(simulation):
        say(f"round {number}: going on at step {simulation.currentStep}", quiet=loop.quiet)
    tenth = max(1, steps // 10)
    with held_signals() as look:
        while simulation.currentStep < steps:
            run.step(simulation, min(loop.sampling.pace, steps - simulation.currentStep))
            look()
            if simulation.currentStep % tenth < loop.sampling.pace:
                say(f"round {number}: step {simulation.currentStep} of {steps}", quiet=loop.quiet)


def _keep(
    loop: Loop, number: int, run: RecordedRun | LatentBias, weights: np.ndarray | None, time_step: float
) -> None:
    """Write the frames of a simulation as a trajectory, whole molecules, without those before it had settled."""
    positions, box = run.frames()
    times = np.arange(1, len(positions) + 1) * loop.sampling.record * time_step
    start = int(loop.sampling.settle * len(positions))
    positions, times = positions[start:], times[start:]
    if box is not None and loop.template.n_atoms > 1:
        from polyvae.trajectory.periodic import whole_frames

        assert loop.template.bonds is not None
        tree = molecule_tree(loop.template.bonds, loop.template.n_atoms)
        positions = whole_frames(positions, box[start:].astype(np.float32), tree)
    trajectory = _of(loop.template, positions, f"round {number}").replace(
        times=times, weights=None if weights is None else weights[start:]
    )
    save_trajectory(trajectory, loop.folder.file(_name(number, "trajectory.npz")), overwrite=True)


def _frames(loop: Loop, number: int) -> Trajectory:
    stored = load(loop.folder.path / _name(number, "trajectory.npz"))
    frames = _of(loop.template, stored.positions, f"round {number}")
    return frames.replace(times=stored.times, weights=stored.weights)


def _of(template: Trajectory, positions: np.ndarray, source: str) -> Trajectory:
    return template.replace(
        positions=positions, times=None, box=None, weights=None, segments=(), source=source, source_hash=None
    )


def _joined(trajectories: list[Trajectory], *, weighted: bool) -> Trajectory:
    """All frames; with weights, each simulation counts as much as the frames of equal weight that it is worth."""
    weights = []
    for trajectory in trajectories:
        of_one = np.ones(trajectory.n_frames) if trajectory.weights is None else trajectory.weights
        worth = effective_sample_size(trajectory.weights, trajectory.n_frames)
        weights.append(of_one / of_one.sum() * worth)
    frames = np.concatenate([trajectory.positions for trajectory in trajectories])
    return _of(trajectories[0], frames, "the rounds so far").replace(
        weights=np.concatenate(weights) if weighted else None,
        segments=tuple(t.n_frames for t in trajectories),
    )


def _finished(loop: Loop, number: int) -> dict[str, Any] | None:
    """The numbers of a round that is done, or None; its files must be what they were."""
    path = loop.folder.path / _name(number, ROUND)
    if not path.exists():
        return None
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        files, numbers = content["files"], content["numbers"]
    except (OSError, ValueError, KeyError) as error:
        raise InputError(
            f"{path} is damaged: {error}. Remove it to do the end of round {number} again."
        ) from error
    for entry in files:
        file = loop.folder.path / entry["name"]
        if not file.is_file() or fingerprint(file, entry["name"]) != entry:
            raise InputError(
                f"{file} is not what it was when round {number} ended. Put it back, or remove {path.parent} to do the "
                "round again."
            )
    return numbers


def _finish(loop: Loop, number: int, row: dict[str, Any]) -> None:
    """Write `round.json`, and take away what only a simulation under way needs."""
    frames = _frames(loop, number)
    row |= {
        "frames": frames.n_frames,
        "effective_frames": effective_sample_size(frames.weights, frames.n_frames),
    }
    prefix = _name(number, "")
    pieces = [name for name in loop.folder.names if name.startswith(prefix) and "_frames_" in name]
    kept = [
        name
        for name in loop.folder.names
        if name.startswith(prefix) and name not in pieces and not name.endswith(ROUND)
    ]
    files = [
        fingerprint(loop.folder.path / name, name) for name in kept if (loop.folder.path / name).is_file()
    ]
    loop.folder.write_json(_name(number, ROUND), {"numbers": row, "files": files})
    for name in pieces:
        loop.folder.remove(name)


def _numbers(differences: FreeEnergyRounds) -> dict[str, Any]:
    """Those of the last round."""
    last = differences.differences[-1]
    if last is None:
        return {"free_energy_difference": None, "error": None, "round_trips": 0}
    return {
        "free_energy_difference": last.value,
        "error": last.error if np.isfinite(last.error) else None,
        "round_trips": last.transitions // 2,
    }


def _words(row: dict[str, Any]) -> str:
    words = (
        f"round {row['round']}: {row['nanoseconds']:g} ns at {row['temperature']:g} K, {row['frames']} frames"
    )
    if row.get("free_energy_difference") is None:
        return words
    error = "unknown" if row["error"] is None else f"{row['error']:.2f}"
    return f"{words}, {row['round_trips']} round trips, difference {row['free_energy_difference']:.2f} ± {error} kJ/mol"


def _name(number: int, file: str) -> str:
    return f"round_{number}/{file}"
