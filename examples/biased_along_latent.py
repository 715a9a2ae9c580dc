"""Bias a simulation along a learned coordinate: alanine dipeptide in implicit solvent, across φ = 0.

    python examples/biased_along_latent.py [--output DIR] [--quick]

A model of one latent dimension is trained on the bundled trajectory at 500 K, which has seen both sides. Its
latent is then the coordinate of simulations at 300 K, where φ does not cross by itself. First umbrellas: harmonic
restraints at places along the latent, which show that the force acts and that φ goes along. Then OPES, which fills
the coordinate until the molecule crosses; frames with their weights give the free energy along the latent and
along φ. It needs the extra `openmm`, and hours; `--quick` simulates picoseconds, far too few for a free energy.
"""

import argparse
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure

import polyvae as pv
from polyvae import plots
from polyvae.deployment.openmm import LatentOPES, atoms_in_topology, umbrella_force
from polyvae.features import observable_of
from polyvae.plots.style import MODEL, NO_LATENT
from polyvae.simulation.alanine_dipeptide import (
    build_alanine_dipeptide,
    build_alanine_dipeptide_system,
)

TEMPERATURE = 300.0
TIME_STEP = 0.002
STIFFNESS = 200.0
"""Of the umbrellas, kJ/mol per squared latent unit."""


def main(arguments: list[str] | None = None) -> dict[str, float]:
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument(
        "--output", type=Path, default=Path(__file__).parent / "output" / "biased_along_latent"
    )
    parser.add_argument("--quick", action="store_true", help="picoseconds only")
    options = parser.parse_args(arguments)
    options.output.mkdir(parents=True, exist_ok=True)
    quick = options.quick

    print("1. Learn a coordinate from the bundled trajectory at 500 K")
    trajectory = pv.load(
        pv.bundled("alanine_dipeptide.xtc"), top=pv.bundled("alanine_dipeptide.pdb"), stride=4 if quick else 1
    )
    config = pv.ModelConfig(latent_dim=1, hidden=(32, 32), activation="tanh")
    training = pv.TrainConfig(epochs=15 if quick else 60, learning_rate=3e-3)
    model = pv.fit(trajectory, config, training, seed=0).model
    learned = pv.latent_trajectory(model, trajectory)
    sides = _phi(trajectory.positions) > 0
    low, high = np.quantile(learned.mean, (0.02, 0.98))
    print(
        f"    φ > 0 in {sides.mean():.1%} of the frames; latent from {low:.2f} to {high:.2f} (2 % and 98 %)"
    )

    print("2. Umbrellas at 300 K: the latent goes where it is held")
    centers = np.linspace(low, high, 3 if quick else 5)
    held = [_umbrella(model, center, steps=500 if quick else 25_000) for center in centers]
    for center, (mean, spread) in zip(centers, held, strict=True):
        print(f"    center {center:6.2f}: latent {mean:6.2f} ± {spread:.2f}")

    print("3. OPES at 300 K")
    topology, positions = build_alanine_dipeptide()
    system = build_alanine_dipeptide_system(topology)
    span = learned.span[0]
    opes = LatentOPES(
        model,
        system,
        atoms_in_topology(model, topology),
        folder=options.output / "opes",
        temperature=TEMPERATURE,
        barrier=40.0,
        pace=100 if quick else 500,
        limits=(float(learned.mean.min() - 0.1 * span), float(learned.mean.max() + 0.1 * span)),
        record=20 if quick else 100,
        save=1000 if quick else 50_000,
        keep_frames=True,
    )
    simulation = _simulation(topology, system, positions)
    # Run again, the script goes on where it was cut short.
    opes.resume(simulation)
    opes.step(simulation, max(0, (3000 if quick else 2_500_000) - simulation.currentStep))
    frames, _ = opes.frames()
    weights = opes.weights()
    phi = _phi(frames)
    latent = opes.colvar[:, 1]
    print(
        f"    {len(frames)} rows worth {1.0 / np.sum((weights / weights.sum()) ** 2):.0f}; {opes.n_kernels} kernels; "
        f"bias {opes.colvar[:, -1].min():.1f} to {opes.colvar[:, -1].max():.1f} kJ/mol; φ > 0 in {(phi > 0).mean():.1%}"
    )

    path = options.output / "umbrellas.png"
    path.write_bytes(plots.to_png(_figure(centers, held, opes.colvar[:, 0] * TIME_STEP, latent, phi)))
    print(f"    {path}")

    print("4. Free energies with the weights that take the bias away")
    bins = 15 if quick else 60
    along_latent, along_phi = (
        pv.free_energy_surface(values, temp=TEMPERATURE, weights=weights, num_samples=bins, blocks=10, **more)
        for values, more in (
            (latent, {"names": ("latent z1",)}),
            (np.degrees(phi), {"names": ("φ (°)",), "periods": (360.0,)}),
        )
    )
    for name, surface in (("free_energy_latent", along_latent), ("free_energy_phi", along_phi)):
        path = options.output / f"{name}.png"
        path.write_bytes(plots.to_png(plots.plot_free_energy(surface)))
        print(f"    {path}")
    crossed = {
        f"crossings of {name}": int(np.sum(np.diff(np.sign(values)) != 0)) for name, values in (("φ", phi),)
    }
    print(f"    φ changed its sign {crossed['crossings of φ']} times between rows")
    return {
        "rows": len(frames),
        "kernels": opes.n_kernels,
        "largest bias": float(opes.colvar[:, -1].max() - opes.colvar[:, -1].min()),
        "positive φ": float((phi > 0).mean()),
        **{f"center {place}": float(center) for place, center in enumerate(centers)},
        **{f"held {place}": float(mean) for place, (mean, _) in enumerate(held)},
        **crossed,
    }


@plots.style()
def _figure(
    centers: np.ndarray,
    held: list[tuple[float, float]],
    times: np.ndarray,
    latent: np.ndarray,
    phi: np.ndarray,
) -> Figure:
    """Where umbrellas hold the latent, and what OPES does to it in the course of time, colored by φ."""
    figure = plt.figure(figsize=(6.8, 2.7))
    left, right = figure.subplots(1, 2, width_ratios=(1.0, 1.6))
    left.axline((centers[0], centers[0]), slope=1.0, color=NO_LATENT, linestyle="--", label="center")
    means, spreads = np.array(held).T
    left.errorbar(centers, means, yerr=2 * spreads, fmt="o", color=MODEL, capsize=3, label="latent, ± 2 s.d.")
    left.set_xlabel("center of the umbrella")
    left.set_ylabel("latent z₁")
    left.set_title("umbrellas")
    left.legend()
    points = right.scatter(
        times, latent, c=np.degrees(phi), s=6.0, vmin=-180, vmax=180, cmap="twilight_shifted"
    )
    figure.colorbar(points, ax=right, label="φ (°)")
    right.set_xlabel("time (ps)")
    right.set_ylabel("latent z₁")
    right.set_title("OPES")
    return figure


def _simulation(topology, system, positions):
    import openmm
    import openmm.app

    integrator = openmm.LangevinMiddleIntegrator(TEMPERATURE, 5.0, TIME_STEP)
    integrator.setRandomNumberSeed(1)
    # The coordinate's own cost outweighs a molecule of 22 atoms.
    platform = openmm.Platform.getPlatformByName("Reference")
    simulation = openmm.app.Simulation(topology, system, integrator, platform)
    simulation.context.setPositions(positions)
    simulation.context.setVelocitiesToTemperature(TEMPERATURE, 2)
    return simulation


def _umbrella(model, center: float, *, steps: int) -> tuple[float, float]:
    """Mean and standard deviation of the latent in the second half of a simulation that is held at `center`."""
    topology, positions = build_alanine_dipeptide()
    system = build_alanine_dipeptide_system(topology)
    atoms = atoms_in_topology(model, topology)
    system.addForce(umbrella_force(model, system, atoms, [center], STIFFNESS))
    simulation = _simulation(topology, system, positions)
    frames = []
    for _ in range(50):
        simulation.step(steps // 50)
        state = simulation.context.getState(getPositions=True)
        frames.append(state.getPositions(asNumpy=True)._value[atoms])
    latent = np.asarray(model.encode(np.array(frames[25:], np.float32)).mean)[:, 0]
    return float(latent.mean()), float(latent.std())


def _phi(positions: np.ndarray) -> np.ndarray:
    """φ in radians; the same atoms in the trajectory and in the simulation."""
    return observable_of(
        "torsion:4-6-8-14", n_atoms=22, dims=3, units=pv.Trajectory(positions=positions).units
    ).of(positions)


if __name__ == "__main__":
    main()
