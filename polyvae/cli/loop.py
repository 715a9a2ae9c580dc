"""`polyvae loop`: simulate, learn a coordinate, simulate along it, learn from all frames, and again."""

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import tyro

from polyvae.cli.loop_rounds import Loop, LoopResult, run_rounds
from polyvae.cli.loop_settings import SamplingConfig, StatesConfig
from polyvae.cli.loop_states import check_states
from polyvae.cli.options import check_counts, check_folder
from polyvae.cli.parsing import parse
from polyvae.cli.printing import Printing
from polyvae.cli.progress import say
from polyvae.cli.run_file import recorded, write_run_file
from polyvae.cli.signals import Interrupted
from polyvae.cli.training import resuming_command
from polyvae.cli.usage import UsageError
from polyvae.deployment.openmm.engine import DynamicsConfig, EngineSystem
from polyvae.errors import InputError
from polyvae.simulation import build_alanine_dipeptide, build_alanine_dipeptide_system
from polyvae.storage import RunFolder
from polyvae.storage.run_folder import plain
from polyvae.training import TrainConfig
from polyvae.trajectory import Trajectory, atomic_path, bundled, load
from polyvae.trajectory.finding import counted
from polyvae.vae import ModelConfig

_HEAVY = "not water and mass > 2"
_PHI, _C7AX = "torsion:1-3-4-6", (0.0, 2.27)


@dataclass(frozen=True, kw_only=True)
class LoopCommand:
    """Learn a coordinate and sample along it, round after round, until a free-energy difference is stable.

    It is stable when the last two biased rounds both have enough round trips, standard errors below the tolerance, and
    differ by at most twice the standard error of their difference.

    Attributes:
        system: System XML of OpenMM; None takes alanine dipeptide, which ships with polyvae.
        structure: PDB file of all its particles, in the same order.
        solvent: of alanine dipeptide, "implicit" or "none".
        atoms: atoms that the coordinate is learned from, in mdtraj's language.
        output: folder for the results.
        config: run file in TOML, with tables [dynamics], [sampling], [states], [model] and [training] whose keys are
            the flags below; flags win over the file.
        rounds: biased rounds at most.
        seed: one seed for everything random. Same seed, same machine, platform "Reference": same bits.
        resume: go on with the interrupted loop in the folder.
        overwrite: replace the files of an older run in the folder, and no others.
        dynamics: temperature and integration.
        sampling: how much is simulated, and the bias.
        states: whose free-energy difference says when to stop.
        model: the model.
        training: training.
        printing: what is printed.
    """

    system: Path | None = None
    structure: Path | None = None
    solvent: Literal["implicit", "none"] = "implicit"
    atoms: str = _HEAVY
    output: Annotated[Path, tyro.conf.arg(aliases=["-o"])] = Path("polyvae_loop")
    config: Path | None = None
    rounds: int = 5
    seed: int = 0
    resume: bool = False
    overwrite: bool = False
    dynamics: tyro.conf.OmitArgPrefixes[DynamicsConfig] = field(default_factory=DynamicsConfig)
    sampling: tyro.conf.OmitArgPrefixes[SamplingConfig] = field(default_factory=SamplingConfig)
    states: tyro.conf.OmitArgPrefixes[StatesConfig] = field(default_factory=StatesConfig)
    model: tyro.conf.OmitArgPrefixes[ModelConfig] = field(default_factory=ModelConfig)
    training: tyro.conf.OmitArgPrefixes[TrainConfig] = field(default_factory=TrainConfig)
    printing: tyro.conf.OmitArgPrefixes[Printing] = field(default_factory=Printing)


def command(words: list[str]) -> int:
    """Run `polyvae loop`."""
    settings = parse(LoopCommand, words, verb="loop")
    check_counts(rounds=settings.rounds)
    if settings.model.latent_dim > 2:
        raise UsageError(
            f"`latent_dim` is {settings.model.latent_dim}; a bias fills one or two dimensions. Pass --latent-dim 2."
        )
    before = check_folder(settings.output, overwrite=settings.overwrite, resume=settings.resume)
    if before is not None and settings.resume:
        _check_settings(before["settings"], plain(recorded(settings)), settings.output)
    engine, template, atoms = _system(settings)
    states = settings.states
    if settings.system is None and states.along is None and settings.atoms == _HEAVY:
        states = replace(states, along=_PHI, second=_C7AX)
    check_states(states, template)
    folder = RunFolder.create(
        settings.output,
        overwrite=settings.overwrite,
        resume=settings.resume,
        command=["polyvae", "loop", *words],
        settings=recorded(settings),
        inputs=[path for path in (settings.system, settings.structure) if path is not None],
    )
    loop = Loop(
        folder=folder,
        engine=engine,
        template=template,
        atoms=atoms,
        dynamics=settings.dynamics,
        sampling=settings.sampling,
        states=states,
        model=settings.model,
        training=settings.training,
        seed=settings.seed,
        quiet=settings.printing.quiet,
    )
    step = settings.printing.steps()
    say(
        f"{engine.source}: {counted(len(engine.positions), 'particle')}, {len(atoms)} of them chosen",
        quiet=settings.printing.quiet,
    )
    try:
        result = run_rounds(loop, settings.rounds)
    except (KeyboardInterrupt, Interrupted) as interruption:
        folder.close("interrupted")
        number = interruption.number if isinstance(interruption, Interrupted) else 2
        raise Interrupted(f"interrupted. Go on with: {resuming_command(folder)}", number) from interruption
    write_run_file(folder, "loop", settings)
    summary = _write(folder, result, loop)
    folder.close("finished")
    step.done()
    lines = [*_lines(result, loop), "", f"coordinate  {folder.path / _last_model(result)}"]
    lines.append(f"numbers     {folder.path / 'summary.json'}")
    settings.printing.answer(summary | {"folder": folder.path}, "\n".join(lines))
    return 0


def _check_settings(then: dict[str, Any], now: dict[str, Any], folder: Path) -> None:
    """What was begun goes on as it was begun; only the number of rounds may change."""
    changed = []
    for name, value in now.items():
        was = then.get(name)
        if isinstance(value, dict) and isinstance(was, dict):
            changed += [
                f"{key}={was.get(key)} became {item}" for key, item in value.items() if was.get(key) != item
            ]
        elif was != value and name != "rounds":
            changed.append(f"{name}={was} became {value}")
    if changed:
        raise UsageError(
            f"The loop in {folder} was begun with other settings: {'; '.join(changed)}. Resume with those, or choose "
            "another `output` (-o)."
        )


def _system(settings: LoopCommand) -> tuple[EngineSystem, Trajectory, np.ndarray]:
    """What to simulate, one frame of the chosen atoms, and which particles they are."""
    if (settings.system is None) != (settings.structure is None):
        raise UsageError(
            "`system` and `structure` belong together: a System XML and a PDB file of its particles."
        )
    if settings.system is None or settings.structure is None:
        topology, positions = build_alanine_dipeptide()
        system = build_alanine_dipeptide_system(topology, solvent=settings.solvent)
        engine = EngineSystem.of(topology, positions, system, source="alanine dipeptide")
        whole = load(bundled("alanine_dipeptide.pdb"))
    else:
        engine = EngineSystem.read(settings.system, settings.structure)
        whole = load(settings.structure, stop=1, whole="no")
    assert whole.topology is not None
    theirs = [atom.name for atom in engine.topology.atoms()]
    ours = [atom.name for atom in whole.topology.atoms]
    if ours != theirs:
        raise InputError(
            f"{engine.source}: OpenMM reads {len(theirs)} atoms in another order than mdtraj, which reads {len(ours)}. "
            "Remove alternate locations from the PDB file."
        )
    try:
        atoms = np.asarray(whole.topology.select(settings.atoms))
    except Exception as error:
        raise InputError(f"`atoms` {settings.atoms!r} is no selection of mdtraj: {error}.") from error
    template = whole.atom_slice(atoms, selection=settings.atoms)
    # Masses may be repartitioned in the simulation; a box stays there.
    return engine, template.replace(box=None, source=engine.source), atoms


def _write(folder: RunFolder, result: LoopResult, loop: Loop) -> dict[str, Any]:
    """Write summary and figure; the content of `summary.json`."""
    value, error = result.differences.combined()
    summary = {
        "rounds": result.rows,
        "free_energy_difference": value,
        "error": error,
        "units": result.differences.units,
        "stable": result.stable,
        "states": loop.states,
        "coordinate": _last_model(result),
    }
    folder.write_json("summary.json", summary)
    # Matplotlib takes a while to load.
    from polyvae import plots

    figure = plots.plot_rounds(result.differences)
    with atomic_path(folder.file("figures/free_energy.png"), overwrite=True) as temporary:
        temporary.write_bytes(plots.to_png(figure))
    return summary


def _last_model(result: LoopResult) -> str:
    return f"round_{result.rows[-1]['round']}/model.json"


def _lines(result: LoopResult, loop: Loop) -> list[str]:
    lines = [
        f"{'round':>5s} {'ns':>8s} {'K':>6s} {'frames':>8s} {'effective':>10s} {'trips':>6s}  difference, kJ/mol"
    ]
    for row in result.rows:
        difference = row.get("free_energy_difference")
        words = "" if difference is None else f"{difference:.2f} ± {_error(row['error'])}"
        lines.append(
            f"{row['round']:5d} {row['nanoseconds']:8.3g} {row['temperature']:6.0f} {row['frames']:8d} "
            f"{row['effective_frames']:10.0f} {row.get('round_trips', ''):>6}  {words}"
        )
    value, error = result.differences.combined()
    if np.isfinite(value):
        lines.append(f"last two rounds together: {value:.2f} ± {error:.2f} kJ/mol")
    if result.stable:
        lines.append("stable: the last two rounds agree within their errors")
    else:
        lines.append(
            f"not stable: it takes two rounds in a row with {loop.states.round_trips} round trips and errors below "
            f"{loop.states.tolerance:g} kJ/mol that agree. Sample longer, or allow more rounds."
        )
    return lines


def _error(error: float | None) -> str:
    return "unknown" if error is None else f"{error:.2f}"
