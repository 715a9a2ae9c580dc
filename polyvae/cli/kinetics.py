"""`polyvae kinetics`: how slow a model's latent is, beside PCA and TICA, and what it listens to, in a folder."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import tyro

from polyvae.analysis import (
    Autocorrelation,
    ChapmanKolmogorov,
    DiscreteTrajectories,
    ImpliedTimescales,
    Sensitivity,
    SlowModes,
    VampComparison,
    autocorrelation,
    chapman_kolmogorov,
    compare_vamp_scores,
    discrete_trajectories,
    encoder_inputs,
    implied_timescales,
    latent_trajectory,
    sensitivity,
    slow_modes,
)
from polyvae.cli.options import TrajectoryOptions, check_folder, source_of
from polyvae.cli.parsing import parse
from polyvae.cli.printing import Printing, Steps
from polyvae.cli.run_file import recorded
from polyvae.cli.usage import UsageError
from polyvae.errors import InputError
from polyvae.storage import RunFolder, load_model, load_record, save_record
from polyvae.storage.run_folder import plain
from polyvae.training import Split
from polyvae.trajectory import Trajectory, save_colored_pdb
from polyvae.vae import ConformationModel

_LAG_FACTORS = (0.1, 0.2, 0.5, 1.0, 2.0, 5.0)
_SHOWN = 5
_LITTLE_VARIANCE = 0.5


@dataclass(frozen=True, kw_only=True)
class KineticsCommand:
    """How slow a model's latent is: held-out VAMP scores beside noise floors, PCA and TICA, timescales, sensitivity.

    Attributes:
        model: model file (.json or .safetensors) or run folder.
        trajectories: trajectory files of the system that the model was trained on.
        lag_time: lag time of scores and modes, in frames read.
        lag_times: lag times of the implied timescales; empty for some around `lag_time`.
        split: split.npz of the run folder, for these very frames: modes and baselines are fitted to its training
            frames and scored on its test frames. None cross-validates over blocks of frames.
        folds: folds of the cross-validation.
        blocks: blocks that the frames are cut into for it.
        n_states: states of a Markov model and its Chapman-Kolmogorov test, which need deeptime; None makes none.
        n_sets: metastable sets of the test.
        output: folder for the results.
        seed: of everything random.
        overwrite: replace the files of an older run in the folder, and no others.
        trajectory: how trajectories are read; without `atoms`, the model's own selection is used where it is
            needed.
        printing: what is printed.
    """

    model: tyro.conf.Positional[Path]
    trajectories: tyro.conf.Positional[tuple[str, ...]] = ()
    lag_time: int
    lag_times: tuple[int, ...] = ()
    split: Path | None = None
    folds: int = 5
    blocks: int = 20
    n_states: int | None = None
    n_sets: int = 2
    output: Annotated[Path, tyro.conf.arg(aliases=["-o"])] = Path("kinetics")
    seed: int = 0
    overwrite: bool = False
    trajectory: tyro.conf.OmitArgPrefixes[TrajectoryOptions] = field(default_factory=TrajectoryOptions)
    printing: tyro.conf.OmitArgPrefixes[Printing] = field(default_factory=Printing)


@dataclass(frozen=True, kw_only=True, eq=False)
class _Results:
    """All records of one command."""

    modes: SlowModes
    scores: VampComparison
    timescales: ImpliedTimescales
    autocorrelation: Autocorrelation
    sensitivity: Sensitivity
    states: DiscreteTrajectories | None
    chapman_kolmogorov: ChapmanKolmogorov | None

    def records(self) -> dict[str, Any]:
        """Records by the name of their file."""
        return {name: record for name, record in vars(self).items() if record is not None}


def command(words: list[str]) -> int:
    """Run `polyvae kinetics`."""
    settings = parse(KineticsCommand, words, verb="kinetics")
    source_of(settings.trajectories)
    check_folder(settings.output, overwrite=settings.overwrite, resume=False)
    if settings.lag_time < 1:
        raise UsageError(f"`lag_time` must be at least 1 frame; got {settings.lag_time}.")
    step = settings.printing.steps()
    step("reading the trajectory")
    model = load_model(settings.model)
    trajectory = settings.trajectory.load_for(model, settings.trajectories)
    results = _analyzed(settings, model, trajectory, step)
    summary = _summary(settings, results)
    step("drawing figures")
    figures = _figures(results)
    folder = RunFolder.create(
        settings.output,
        overwrite=settings.overwrite,
        command=["polyvae", "kinetics", *words],
        settings=recorded(settings),
        inputs=settings.trajectory.input_files(settings.trajectories),
    )
    try:
        for name, record in results.records().items():
            save_record(record, folder.file(f"{name}.npz"), overwrite=True)
        structure = model.system.trajectory(results.sensitivity.positions[None], source="sensitivity")
        save_colored_pdb(
            structure, results.sensitivity.of_atoms, folder.file("sensitivity.pdb"), overwrite=True
        )
        for name, content in figures.items():
            folder.file(f"figures/{name}.png").write_bytes(content)
        folder.write_json("summary.json", summary)
    except BaseException:
        for name in list(folder.names):
            folder.remove(name)
        folder.abandon()
        raise
    folder.close("finished")
    step.done()
    lines = [*_lines(settings, results), "", f"numbers  {folder.path / 'summary.json'}"]
    lines.append(f"figures  {folder.path / 'figures'}")
    settings.printing.answer(summary, "\n".join(lines))
    return 0


def _analyzed(
    settings: KineticsCommand, model: ConformationModel, trajectory: Trajectory, step: Steps
) -> _Results:
    split = None if settings.split is None else _split(settings.split, trajectory)
    latent = latent_trajectory(model, trajectory)
    step("scoring the latent, PCA and TICA")
    scores = compare_vamp_scores(
        latent,
        settings.lag_time,
        features=encoder_inputs(model, trajectory),
        train=None if split is None else split.train,
        test=None if split is None else split.test,
        folds=settings.folds,
        blocks=settings.blocks,
        seed=settings.seed,
    )
    lags = _lag_times(settings, trajectory)
    timescales = implied_timescales(latent, lags, seed=settings.seed)
    correlation = autocorrelation(latent, max(lags), seed=settings.seed)
    states = test = None
    if settings.n_states is not None:
        step("making a Markov model")
        states = discrete_trajectories(latent, settings.n_states, seed=settings.seed)
        test = chapman_kolmogorov(states, settings.lag_time, n_sets=settings.n_sets, seed=settings.seed)
    step("asking what the latent listens to")
    return _Results(
        modes=slow_modes(latent, settings.lag_time, reversible=True),
        scores=scores,
        timescales=timescales,
        autocorrelation=correlation,
        sensitivity=sensitivity(model, trajectory, seed=settings.seed),
        states=states,
        chapman_kolmogorov=test,
    )


def _split(path: Path, trajectory: Trajectory) -> Split:
    split = load_record(path, Split)
    last = max(int(part.max()) for part in (split.train, split.validation, split.test))
    # Frames in gaps belong to no part, and there may be some at the end.
    if not last < trajectory.n_frames <= last + 1 + split.gap:
        raise InputError(
            f"{path}: the split is of about {last + 1} frames; got {trajectory.n_frames}. Read the trajectory with the "
            "files and the flags that the model was trained with."
        )
    return split


def _lag_times(settings: KineticsCommand, trajectory: Trajectory) -> list[int]:
    """The lag times asked for, or some around the one of the scores that fit into the simulations twice."""
    if settings.lag_times:
        return sorted(settings.lag_times)
    most = max(trajectory.segments) // 2
    lags = {max(1, round(factor * settings.lag_time)) for factor in _LAG_FACTORS}
    return sorted(lag for lag in lags if lag <= max(most, settings.lag_time))


def _figures(results: _Results) -> dict[str, bytes]:
    # Matplotlib takes a while to load.
    from polyvae import plots

    drawn: dict[str, Any] = {
        "vamp_scores": plots.plot_vamp_scores(results.scores),
        "implied_timescales": plots.plot_implied_timescales(results.timescales),
        "autocorrelation": plots.plot_autocorrelation(results.autocorrelation),
        "sensitivity": plots.plot_sensitivity(results.sensitivity),
    }
    if results.sensitivity.variables:
        for dimension in range(len(results.sensitivity.eta2)):
            drawn[f"variables_z{dimension + 1}"] = plots.plot_variable_sensitivity(
                results.sensitivity, dimension
            )
    if results.chapman_kolmogorov is not None:
        drawn["chapman_kolmogorov"] = plots.figure_chapman_kolmogorov(results.chapman_kolmogorov)
    return {name: plots.to_png(figure) for name, figure in drawn.items()}


def _summary(settings: KineticsCommand, results: _Results) -> dict[str, Any]:
    heard, test = results.sensitivity, results.chapman_kolmogorov
    return {
        "lag_time_frames": settings.lag_time,
        "frame_time": results.modes.frame_time,
        "unit": results.modes.unit,
        "folds": results.scores.folds,
        "scores": {
            score.name: plain(score) | {"is_above_floor": score.is_above_floor}
            for score in results.scores.scores
        },
        "timescales": results.modes.timescales,
        "rank": results.modes.rank,
        "implied_timescales": {
            name: getattr(results.timescales, name) for name in ("lag_times", "timescales", "low", "high")
        },
        "correlation_time": results.autocorrelation.correlation_time,
        "top_atoms": [
            {"atom": int(atom), "name": heard.atoms[atom], "moves_latent": heard.of_atoms[atom]}
            for atom in heard.top_atoms[:_SHOWN]
        ],
        "top_variables": [
            [
                {
                    "name": heard.variables[place],
                    "eta2": heard.eta2[dimension, place],
                    "floor": heard.floor_eta2[dimension, place],
                }
                for place in heard.top_variables(dimension)[:_SHOWN]
            ]
            for dimension in range(len(heard.eta2))
        ],
        "chapman_kolmogorov_share_inside": None if test is None else test.share_inside,
    }


def _lines(settings: KineticsCommand, results: _Results) -> list[str]:
    modes, scores = results.modes, results.scores
    lag = settings.lag_time * modes.frame_time
    where = "test frames of the split" if scores.folds == 1 else f"{scores.folds} folds of contiguous blocks"
    lines = [f"scores at lag time {lag:.6g} {modes.unit}, on {where}"]
    lines.append(f"{'':8s} {'VAMP-2':>17s} {'floor':>8s} {'VAMP-E':>17s} {'floor':>8s}")
    for score in scores.scores:
        vamp2 = f"{score.vamp2:.3f} ± {score.vamp2_error:.3f}"
        vampe = f"{score.vampe:.3f} ± {score.vampe_error:.3f}"
        note = "" if score.is_above_floor else "  not above the floor"
        lines.append(
            f"{score.name:8s} {vamp2:>17s} {score.vamp2_floor:8.3f} {vampe:>17s} {score.vampe_floor:8.3f}{note}"
        )
    missing = scores.scores[-1].scored_variance[0]
    if missing < _LITTLE_VARIANCE:
        lines.append(
            f"the slowest mode of {scores.scores[-1].name} varies on the scored frames by {missing:.0%} of what it "
            "does on the fitted ones: they hardly hold that motion. Leave out --split, or hold out more frames."
        )
    if scores.folds > 1:
        lines.append("the network may have seen these frames: pass --split to score frames that it has not")
    times = ", ".join("none" if np.isnan(time) else f"{time:.3g}" for time in modes.timescales)
    lines.append("")
    lines.append(f"implied timescales at this lag time: {times} {modes.unit}")
    heard = results.sensitivity
    lines.append(
        f"listens most to the atoms {', '.join(heard.atoms[atom] for atom in heard.top_atoms[:_SHOWN])}"
    )
    for dimension in range(len(heard.eta2)):
        named = [
            f"{heard.variables[place]} {heard.eta2[dimension, place]:.2f} "
            f"(floor {heard.floor_eta2[dimension, place]:.2f})"
            for place in heard.top_variables(dimension)[:3]
        ]
        if named:
            lines.append(f"z{dimension + 1} follows {', '.join(named)}")
    if results.chapman_kolmogorov is not None:
        lines.append(
            f"Chapman-Kolmogorov test: {results.chapman_kolmogorov.share_inside:.0%} of intervals overlap"
        )
    return lines
