"""Free energy of C7ax above C7eq of alanine dipeptide in vacuum at 300 K: along φ and ψ, and along a learned coordinate.

    python benchmarks/alanine_free_energy.py reference --seed 0 --nanoseconds 10
    python benchmarks/alanine_free_energy.py train
    python benchmarks/alanine_free_energy.py learned --seed 0 --nanoseconds 10
    python benchmarks/alanine_free_energy.py table

`reference` is a run biased along φ and ψ by the package openmm-opes, with torsion forces of OpenMM and nothing of
polyvae. `train` simulates at 500 K, where both basins are visited, and trains a model on these frames. `learned` is a run
biased along its latent with `LatentOPES`. Several seeds can run one after the other or side by side; `table` puts all runs
of the folder together: each run is one estimate, and the error is that of their mean.

C7ax is 0° < φ < 130°, C7eq everything else; frames count with e^(V/kT) of the bias V at their time. A round trip is a
passage from C7eq to C7ax and back.
"""

import argparse
from pathlib import Path

import numpy as np
import openmm
import openmm.app as app
from openmm_opes import OPES

from polyvae.simulation import build_alanine_dipeptide, build_alanine_dipeptide_system

PHI, PSI = (4, 6, 8, 14), (6, 8, 14, 16)
TEMPERATURE = 300.0
TIME_STEP = 0.002
BARRIER = 50.0
RECORD = 100
PACE = 500


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


def main() -> None:
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("what", choices=("reference", "train", "learned", "table"))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--nanoseconds", type=float, default=10.0)
    parser.add_argument("--output", type=Path, default=Path("alanine_free_energy"))
    options = parser.parse_args()
    options.output.mkdir(parents=True, exist_ok=True)
    if options.what == "reference":
        reference(options.output, options.seed, options.nanoseconds)


if __name__ == "__main__":
    main()
