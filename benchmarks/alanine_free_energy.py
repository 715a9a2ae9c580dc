"""Free energy of C7ax above C7eq of alanine dipeptide in vacuum at 300 K, along φ and ψ and along a learned coordinate.

    python benchmarks/alanine_free_energy.py [--nanoseconds 10]        # everything, two runs of each kind, hours
    python benchmarks/alanine_free_energy.py reference --seed 0 --nanoseconds 10
    python benchmarks/alanine_free_energy.py train --coordinate 1
    python benchmarks/alanine_free_energy.py sample --coordinate 1 --seed 0 --nanoseconds 5
    python benchmarks/alanine_free_energy.py table

`reference` is a run biased along φ and ψ by the package openmm-opes, with torsion forces of OpenMM and nothing of
polyvae. `train` makes a coordinate from heavy atoms: the first from 10 ns at 500 K, where both basins are visited; the
second from every second frame of that and of the runs biased along the first, as they were sampled, since frames
between the basins have next to no weight. `sample` is a run biased along a coordinate with `LatentOPES`; when it is
killed, the same command goes on with it. Runs of several seeds can go one after the other or side by side; `table` puts
all runs of the folder together: each run is one estimate, and the error of their mean is the larger of what their
scatter and their blocks say.

C7ax is 0° < φ < 130°, C7eq everything else; frames count with e^(V/kT) of the bias V at their time. A round trip is a
passage from C7eq to C7ax and back.
"""

import argparse
from pathlib import Path

import mdtraj
import numpy as np
import openmm
import openmm.app as app
from openmm_opes import OPES

import polyvae as pv
from polyvae.analysis.free_energy import free_energy_difference
from polyvae.deployment.openmm import LatentOPES
from polyvae.simulation import (
    AlanineDipeptideConfig,
    build_alanine_dipeptide,
    build_alanine_dipeptide_system,
    simulate_alanine_dipeptide,
)
from polyvae.units import BOLTZMANN_KJ_PER_MOL_K

PHI, PSI = (4, 6, 8, 14), (6, 8, 14, 16)
C7AX = np.radians([0.0, 130.0])
TEMPERATURE = 300.0
TIME_STEP = 0.002
BARRIER = 50.0
RECORD = 100
PACE = 500
LIMITS = {1: ((-4.5, 3.0), (-3.2, 3.0)), 2: ((-3.8, 3.8), (-3.5, 3.2))}
"""Of the bias, somewhat beyond what the training frames span."""
SETTLING = 0.1
"""Share of each run that is left out."""


def simulation(system: openmm.System, seed: int) -> app.Simulation:
    topology, positions = build_alanine_dipeptide()
    integrator = openmm.LangevinMiddleIntegrator(TEMPERATURE, 1.0, TIME_STEP)
    integrator.setRandomNumberSeed(seed + 1)
    made = app.Simulation(topology, system, integrator, openmm.Platform.getPlatformByName("Reference"))
    made.context.setPositions(positions)
    made.minimizeEnergy()
    made.context.setVelocitiesToTemperature(TEMPERATURE, seed + 1)
    return made


def vacuum() -> openmm.System:
    return build_alanine_dipeptide_system(build_alanine_dipeptide()[0], solvent="none")


def reference(folder: Path, seed: int, nanoseconds: float) -> None:
    system = vacuum()
    variables = []
    for atoms in (PHI, PSI):
        torsion = openmm.CustomTorsionForce("theta")
        torsion.addTorsion(*atoms)
        variables.append(app.BiasVariable(torsion, -np.pi, np.pi, 0.35, True, 101))
    bias = OPES(system, variables, TEMPERATURE, BARRIER, PACE, RECORD)
    run = simulation(system, seed)
    rows = np.empty((round(nanoseconds * 1000 / TIME_STEP) // RECORD, 3))
    for row in range(len(rows)):
        bias.step(run, RECORD)
        angles = bias.getCollectiveVariables(run)
        rows[row] = (*angles, bias.getBiasEnergy(run.context)._value)
        if (row + 1) % 50_000 == 0:
            print(f"reference {seed}: {row + 1} of {len(rows)} rows", flush=True)
    np.savez(folder / f"reference_{seed}.npz", phi=rows[:, 0], psi=rows[:, 1], bias=rows[:, 2])


def train(folder: Path, coordinate: int) -> None:
    stored = folder / "explore.npz"
    if not stored.exists():
        config = AlanineDipeptideConfig(temperature=500.0, solvent="none")
        np.savez(stored, positions=simulate_alanine_dipeptide(config, 20_000, 250, seed=11).positions)
    with np.load(stored) as explored:
        pieces = [explored["positions"][:, heavy_atoms()]]
    if coordinate == 2:
        for path in sorted(folder.glob("latent1_*/")):
            files = sorted(path.glob("opes_frames_*.npz"))
            pieces.append(np.concatenate([np.load(file)["positions"] for file in files]))
        pieces = [piece[::2] for piece in pieces]
    one = pv.load(pv.bundled("alanine_dipeptide.pdb")).atom_slice(np.array(heavy_atoms()))
    frames = one.replace(positions=np.concatenate(pieces), times=None, segments=tuple(map(len, pieces)))
    model = pv.ModelConfig(latent_dim=2, hidden=(64, 64), activation="tanh")
    result = pv.fit(frames, model, pv.TrainConfig(epochs=30, learning_rate=3e-3, kl_warmup=2), seed=0)
    pv.save(result.model, folder / f"coordinate_{coordinate}", overwrite=True)
    print(result.diagnosis.sentence)


def sample(folder: Path, coordinate: int, seed: int, nanoseconds: float) -> None:
    model = pv.load_model(folder / f"coordinate_{coordinate}.json")
    name = f"latent{coordinate}_{seed}"
    system = vacuum()
    bias = LatentOPES(
        model,
        system,
        heavy_atoms(),
        folder=folder / name,
        temperature=TEMPERATURE,
        barrier=BARRIER,
        pace=PACE,
        record=RECORD,
        limits=LIMITS[coordinate],
        points=76,
        keep_frames=True,
    )
    run = simulation(system, seed)
    bias.resume(run)
    steps = round(nanoseconds * 1000 / TIME_STEP) // bias.save_every * bias.save_every
    while run.currentStep < steps:
        bias.step(run, bias.save_every)
    positions, _ = bias.frames()
    whole = mdtraj.load(str(pv.bundled("alanine_dipeptide.pdb"))).atom_slice(heavy_atoms())
    frames = mdtraj.Trajectory(positions, whole.topology)
    places = {atom: place for place, atom in enumerate(heavy_atoms())}
    phi, psi = mdtraj.compute_dihedrals(frames, [[places[a] for a in atoms] for atoms in (PHI, PSI)]).T
    np.savez(folder / f"{name}.npz", phi=phi, psi=psi, bias=bias.colvar[:, -1])
    print(f"{name}: {run.currentStep * TIME_STEP / 1000:g} ns", flush=True)


def heavy_atoms() -> list[int]:
    return [atom.index for atom in build_alanine_dipeptide()[0].atoms() if atom.element.symbol != "H"]


def table(folder: Path) -> None:
    kbt = BOLTZMANN_KJ_PER_MOL_K * TEMPERATURE
    means = {}
    print("| bias along | run | ns | round trips | ΔF, kJ/mol |")
    print("|---|---|---|---|---|")
    for kind, words in (
        ("reference", "φ and ψ"),
        ("latent1", "the first coordinate"),
        ("latent2", "the second coordinate"),
    ):
        values, errors, total, trips = [], [], 0.0, 0
        for path in sorted(folder.glob(f"{kind}_*.npz")):
            with np.load(path) as run:
                phi, bias = run["phi"], run["bias"]
            length = len(phi) * RECORD * TIME_STEP / 1000
            phi, bias = phi[int(SETTLING * len(phi)) :], bias[int(SETTLING * len(bias)) :]
            inside = (phi > C7AX[0]) & (phi < C7AX[1])
            weights = np.exp((bias - bias.max()) / kbt)
            found = free_energy_difference(~inside, inside, temp=TEMPERATURE, weights=weights)
            values.append(found.value)
            errors.append(found.error)
            total, trips = total + length, trips + found.transitions // 2
            error = f"{found.value:.2f} ± {found.error:.2f}"
            print(f"| {words} | {path.stem} | {length:g} | {found.transitions // 2} | {error} |")
        if values:
            # A few runs may agree by chance: the blocks within them have a say, too.
            between = np.std(values, ddof=1) / np.sqrt(len(values)) if len(values) > 1 else 0.0
            mean, error = np.mean(values), max(between, np.hypot.reduce(errors) / len(errors))
            means[kind] = mean, error
            print(f"| {words} | all | {total:g} | {trips} | **{mean:.2f} ± {error:.2f}** |")
    for kind in ("latent1", "latent2"):
        if {"reference", kind} <= means.keys():
            (first, one), (second, other) = means["reference"], means[kind]
            print(f"\n{kind} less reference: {second - first:.2f} ± {np.hypot(one, other):.2f} kJ/mol")


def main() -> None:
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument(
        "what", nargs="?", choices=("all", "reference", "train", "sample", "table"), default="all"
    )
    parser.add_argument("--coordinate", type=int, choices=(1, 2), default=1)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--nanoseconds", type=float, default=10.0)
    parser.add_argument("--output", type=Path, default=Path("alanine_free_energy"))
    options = parser.parse_args()
    options.output.mkdir(parents=True, exist_ok=True)
    seeds = range(2) if options.what == "all" else (options.seed,)
    if options.what in ("all", "reference"):
        for seed in seeds:
            reference(options.output, seed, options.nanoseconds)
    for coordinate in (1, 2) if options.what == "all" else (options.coordinate,):
        if options.what in ("all", "train"):
            train(options.output, coordinate)
        if options.what in ("all", "sample"):
            for seed in seeds:
                sample(options.output, coordinate, seed, options.nanoseconds)
    if options.what in ("all", "table"):
        table(options.output)


if __name__ == "__main__":
    main()
