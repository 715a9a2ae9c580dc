"""What a biased simulation costs: nanoseconds a day with `LatentOPES` and without, timed in turn.

    python benchmarks/biased_dynamics.py [--repetitions 7] [--threads 1] [--clock wall]

Alanine dipeptide (22 atoms, native GBSAOBC, OpenMM's Reference platform, which is the fastest there) is the worst
case: a step of it takes less than a call of any Python function with some arithmetic in it. The other system is a chain
of 100 beads among 2097 Lennard-Jones particles of liquid argon's density in a periodic box (CPU platform, cutoff
0.9 nm), and the coordinate is that of all 100 beads, followed across the box. Medians of the repetitions. On a busy
machine give `--clock processor` with one thread: other programs then do not count.
"""

import argparse
import tempfile
import time
from collections.abc import Callable

import numpy as np
import openmm
import openmm.app as app

import polyvae as pv
from polyvae.deployment.openmm import LatentOPES
from polyvae.simulation import build_alanine_dipeptide, build_alanine_dipeptide_system

BEADS, SIDE, SPACING = 100, 13, 0.38


def main() -> None:
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("--repetitions", type=int, default=7)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--clock", choices=("wall", "processor"), default="wall")
    options = parser.parse_args()
    clock = time.perf_counter if options.clock == "wall" else time.process_time
    print(
        "| system | coordinate of | unbiased, ns/day | biased, ns/day | share kept | cost of the bias, µs/step |"
    )
    print("|---|---|---|---|---|---|")
    for name, atoms, sides, steps, time_step in (
        ("alanine dipeptide, 22 atoms", 22, alanine(), 1000, 0.002),
        ("chain in a liquid, 2197 particles", BEADS, chain_in_liquid(options.threads), 200, 0.002),
    ):
        seconds = in_turn(sides, steps, options.repetitions, clock)
        plain, biased = (np.median(each) / steps for each in seconds)
        days = [86400 / each * time_step / 1000 for each in (plain, biased)]
        print(
            f"| {name} | {atoms} atoms | {days[0]:.1f} | {days[1]:.1f} | {plain / biased:.2f} | "
            f"{1e6 * (biased - plain):.0f} |",
            flush=True,
        )


def in_turn(sides, steps: int, repetitions: int, clock: Callable[[], float]) -> list[list[float]]:
    seconds: list[list[float]] = [[] for _ in sides]
    for side in sides:
        side(steps)
    for _ in range(repetitions):
        for side, times in zip(sides, seconds, strict=True):
            start = clock()
            side(steps)
            times.append(clock() - start)
    return seconds


def sides_of(topology, positions, system_of, model, atoms, platform, properties):
    """A function that makes steps without the bias, and one with it."""
    answer = []
    for is_biased in (False, True):
        system = system_of()
        bias = None
        if is_biased:
            folder = tempfile.mkdtemp()
            bias = LatentOPES(model, system, atoms, folder=folder, points=81, save=1_000_000)
        integrator = openmm.LangevinMiddleIntegrator(300.0, 1.0, 0.002)
        simulation = app.Simulation(
            topology, system, integrator, openmm.Platform.getPlatformByName(platform), properties
        )
        simulation.context.setPositions(positions)
        simulation.minimizeEnergy(maxIterations=200)
        simulation.context.setVelocitiesToTemperature(300.0, 1)
        answer.append(simulation.step if bias is None else lambda n, b=bias, s=simulation: b.step(s, n))
    return answer


def alanine():
    frames = pv.load(pv.bundled("alanine_dipeptide.xtc"), top=pv.bundled("alanine_dipeptide.pdb"), stride=40)
    model = trained(frames)
    topology, positions = build_alanine_dipeptide()
    make = lambda: build_alanine_dipeptide_system(topology)  # noqa: E731
    return sides_of(topology, positions, make, model, range(22), "Reference", {})


def chain_in_liquid(threads: int):
    """Particles on a cubic lattice; the first hundred along it, row after row to and fro, are the chain."""
    grid = [
        (x if (y + z) % 2 == 0 else SIDE - 1 - x, y if z % 2 == 0 else SIDE - 1 - y, z)
        for z in range(SIDE)
        for y in range(SIDE)
        for x in range(SIDE)
    ]
    positions = np.array(grid) * SPACING
    topology = app.Topology()
    chain = topology.addChain()
    for _ in grid:
        topology.addAtom("AR", app.Element.getBySymbol("Ar"), topology.addResidue("AR", chain))
    size = SIDE * SPACING

    def make() -> openmm.System:
        system = openmm.System()
        system.setDefaultPeriodicBoxVectors([size, 0, 0], [0, size, 0], [0, 0, size])
        nonbonded, bonds = openmm.NonbondedForce(), openmm.HarmonicBondForce()
        nonbonded.setNonbondedMethod(openmm.NonbondedForce.CutoffPeriodic)
        nonbonded.setCutoffDistance(0.9)
        for _ in grid:
            system.addParticle(39.948)
            nonbonded.addParticle(0.0, 0.34, 0.998)
        for bead in range(BEADS - 1):
            bonds.addBond(bead, bead + 1, SPACING, 20_000.0)
            nonbonded.addException(bead, bead + 1, 0.0, 0.34, 0.0)
        system.addForce(nonbonded)
        system.addForce(bonds)
        return system

    rng = np.random.default_rng(0)
    frames = positions[:BEADS] + 0.05 * rng.normal(size=(2000, BEADS, 3)).cumsum(axis=1)
    data = pv.Trajectory(
        positions=frames,
        masses=np.full(BEADS, 39.948),
        bonds=np.stack([np.arange(BEADS - 1), np.arange(1, BEADS)], axis=1),
    )
    properties = {"Threads": str(threads)}
    return sides_of(topology, positions, make, trained(data), range(BEADS), "CPU", properties)


def trained(trajectory: pv.Trajectory):
    """A network of the usual size; two epochs make it no slower."""
    return pv.fit(trajectory, pv.ModelConfig(latent_dim=2), pv.TrainConfig(epochs=2, kl_warmup=1)).model


if __name__ == "__main__":
    main()
