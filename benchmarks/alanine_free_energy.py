"""Free energy of C7ax above C7eq of alanine dipeptide in vacuum at 300 K, along φ and ψ and along a learned coordinate.

    python benchmarks/alanine_free_energy.py [--nanoseconds 10]        # three runs of each kind, hours
    python benchmarks/alanine_free_energy.py reference --seed 0 --nanoseconds 10
    python benchmarks/alanine_free_energy.py train
    python benchmarks/alanine_free_energy.py learned --seed 0 --nanoseconds 5
    python benchmarks/alanine_free_energy.py table

`reference` is a run biased along φ and ψ by the package openmm-opes, with torsion forces of OpenMM and nothing of
polyvae. `train` simulates 10 ns at 500 K, where both basins are visited, and trains a model of the heavy atoms on these
frames. `learned` is a run biased along its latent with `LatentOPES`; when it is killed, the same command goes on with
it. Runs of several seeds can go one after the other or side by side; `table` puts all runs of the folder together: each
run is one estimate, and the error is that of their mean.

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


def train(folder: Path) -> None:
    config = AlanineDipeptideConfig(temperature=500.0, solvent="none")
    trajectory = simulate_alanine_dipeptide(config, 20_000, 250, seed=11)
    heavy = trajectory.atom_slice(heavy_atoms(), selection="element != H")
    model = pv.ModelConfig(latent_dim=2, hidden=(64, 64), activation="tanh")
    result = pv.fit(heavy, model, pv.TrainConfig(epochs=30, learning_rate=3e-3, kl_warmup=2), seed=0)
    pv.save(result.model, folder / "model", overwrite=True)
    print(result.diagnosis.sentence)


def learned(folder: Path, seed: int, nanoseconds: float) -> None:
    model = pv.load_model(folder / "model.json")
    system = vacuum()
    bias = LatentOPES(
        model,
        system,
        heavy_atoms(),
        folder=folder / f"learned_{seed}",
        temperature=TEMPERATURE,
        barrier=BARRIER,
        pace=PACE,
        record=RECORD,
        limits=((-4.5, 3.0), (-3.2, 3.0)),
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
    np.savez(folder / f"learned_{seed}.npz", phi=phi, psi=psi, bias=bias.colvar[:, -1])
    print(f"learned {seed}: {run.currentStep * TIME_STEP / 1000:g} ns", flush=True)


def heavy_atoms() -> list[int]:
    return [atom.index for atom in build_alanine_dipeptide()[0].atoms() if atom.element.symbol != "H"]


def table(folder: Path) -> None:
    kbt = BOLTZMANN_KJ_PER_MOL_K * TEMPERATURE
    means = {}
    print("| bias along | run | ns | round trips | ΔF, kJ/mol |")
    print("|---|---|---|---|---|")
    for kind, words in (("reference", "φ and ψ"), ("learned", "the latent")):
        values, total, trips = [], 0.0, 0
        for path in sorted(folder.glob(f"{kind}_*.npz")):
            with np.load(path) as run:
                phi, bias = run["phi"], run["bias"]
            length = len(phi) * RECORD * TIME_STEP / 1000
            phi, bias = phi[int(SETTLING * len(phi)) :], bias[int(SETTLING * len(bias)) :]
            inside = (phi > C7AX[0]) & (phi < C7AX[1])
            weights = np.exp((bias - bias.max()) / kbt)
            found = free_energy_difference(~inside, inside, temp=TEMPERATURE, weights=weights)
            values.append(found.value)
            total, trips = total + length, trips + found.transitions // 2
            error = f"{found.value:.2f} ± {found.error:.2f}"
            print(f"| {words} | {path.stem} | {length:g} | {found.transitions // 2} | {error} |")
        if len(values) > 1:
            mean, error = np.mean(values), np.std(values, ddof=1) / np.sqrt(len(values))
            means[kind] = mean, error
            print(f"| {words} | all | {total:g} | {trips} | **{mean:.2f} ± {error:.2f}** |")
    if len(means) == 2:
        (first, one), (second, other) = means["reference"], means["learned"]
        print(f"\nDifference: {second - first:.2f} ± {np.hypot(one, other):.2f} kJ/mol")


def main() -> None:
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument(
        "what", nargs="?", choices=("all", "reference", "train", "learned", "table"), default="all"
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--nanoseconds", type=float, default=10.0)
    parser.add_argument("--output", type=Path, default=Path("alanine_free_energy"))
    options = parser.parse_args()
    options.output.mkdir(parents=True, exist_ok=True)
    seeds = range(3) if options.what == "all" else (options.seed,)
    if options.what in ("all", "reference"):
        for seed in seeds:
            reference(options.output, seed, options.nanoseconds)
    if options.what in ("all", "train"):
        train(options.output)
    if options.what in ("all", "learned"):
        for seed in seeds:
            learned(options.output, seed, options.nanoseconds)
    if options.what in ("all", "table"):
        table(options.output)


if __name__ == "__main__":
    main()
