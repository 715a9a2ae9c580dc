"""Conformations of a molecule that are physically right: alanine dipeptide, from its trajectory to a scored ensemble.

    python examples/molecule.py [--output DIR] [--quick]

20 000 frames of all 22 atoms at 500 K, shipped with polyvae. The example trains a model of bond lengths, angles and
torsions, rebuilds held-out frames beside principal components, draws new conformations and saves them as PDB and XTC,
scores them against the data, finds the conformations with the shortest distance between the two ends and some of a
wanted size, and walks from one basin of φ and ψ to another, straight and along the data. `--quick` trains for a few
epochs only; its numbers are rough.
"""

import argparse
from pathlib import Path

import mdtraj
import numpy as np

import polyvae as pv
from polyvae import plots
from polyvae.analysis import compare_paths
from polyvae.trajectory import to_mdtraj


def main(arguments: list[str] | None = None) -> dict[str, float]:
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("--output", type=Path, default=Path(__file__).parent / "output" / "molecule")
    parser.add_argument("--quick", action="store_true", help="a few epochs only")
    options = parser.parse_args(arguments)
    options.output.mkdir(parents=True, exist_ok=True)

    def save(name: str, drawing: object) -> None:
        path = options.output / f"{name}.png"
        path.write_bytes(plots.to_png(drawing))
        print(f"    {path}")

    print("1. Read the trajectory; its topology says which atoms are bonded")
    trajectory = pv.load(
        pv.bundled("alanine_dipeptide.xtc"),
        top=pv.bundled("alanine_dipeptide.pdb"),
        stride=5 if options.quick else None,
    )
    bonds = trajectory.bonds

    print("2. Train on bond lengths, angles and torsions")
    result = pv.fit(
        trajectory,
        pv.ModelConfig(latent_dim=2, hidden=(128, 128), representation="internal"),
        pv.TrainConfig(epochs=25 if options.quick else 40, learning_rate=3e-3, kl_warmup=2),
        seed=0,
    )
    model = result.model
    report = pv.reconstruction_report(result, trajectory)
    print(f"    {result.seconds:.0f} s; {result.diagnosis.sentence}")
    print(f"    held-out RMSD {report.average_rmsd:.4f} nm, PCA-2 {report.average_pca_rmsd:.4f} nm")

    print("3. Draw new conformations; VMD, PyMOL and mdtraj open them")
    generated = pv.generate(model, 2000 if options.quick else 20_000, seed=1)
    pv.save_trajectory(generated[:1], options.output / "generated.pdb", overwrite=True)
    pv.save_trajectory(generated, options.output / "generated.xtc", overwrite=True)
    opened = mdtraj.load(str(options.output / "generated.xtc"), top=str(options.output / "generated.pdb"))
    phi, psi = (torsion(opened)[1][:, 0] for torsion in (mdtraj.compute_phi, mdtraj.compute_psi))
    print(f"    {opened}; φ from {np.degrees(phi.min()):.0f}° to {np.degrees(phi.max()):.0f}°")

    print("4. Score them against the data")
    score = pv.score_ensemble(trajectory, generated)
    print("    " + score.table().replace("\n", "\n    "))
    save("score", plots.figure_score(score))

    print("5. Descend in latent space: the shortest distance between the end carbons, and a wanted size")
    starts = 20 if options.quick else 100
    ends = f"distance:{_atom(trajectory, 'ACE', 'CH3')}-{_atom(trajectory, 'NME', 'C')}"
    closest = pv.optimize(model, ends, starts=starts, trajectory=trajectory, seed=2)
    assert closest.best_observed is not None
    print(f"    {ends}: {_words(closest.best)} nm found, {closest.best_observed.value:.3f} nm in the data")
    save("closest", plots.figure_optimization(closest, bonds=bonds))
    size = float(np.quantile(closest.radius_of_gyration if closest.n_valid else [0.27], 0.5))
    wanted = pv.optimize(
        model, "radius_of_gyration", target=size, starts=starts, trajectory=trajectory, seed=3
    )
    print(f"    radius of gyration {size:.3f} nm: {int(wanted.reached.sum())} of {starts} starts reached it")
    if wanted.n_valid:
        pv.save_trajectory(wanted.nearest_trajectory(), options.output / "start_frames.pdb", overwrite=True)

    print("6. Walk from one basin to another, straight and along the data")
    psi = mdtraj.compute_psi(to_mdtraj(trajectory))[1][:, 0]
    alpha, beta = int(np.argmin(np.abs(psi + 0.6))), int(np.argmin(np.abs(psi - 2.6)))
    paths = compare_paths(
        model, trajectory[alpha : alpha + 1], trajectory[beta : beta + 1], trajectory=trajectory
    )
    lowest = {path.kind: path.lowest_log_density for path in (paths.straight, paths.string)}
    print("    lowest log-density: " + ", ".join(f"{kind} {value:.1f}" for kind, value in lowest.items()))
    save("paths", plots.figure_paths(paths))
    pv.save_trajectory(paths.string.trajectory, options.output / "path.pdb", overwrite=True)

    return {
        "rmsd": report.average_rmsd,
        "pca_rmsd": report.average_pca_rmsd,
        "wrong_chirality": score["wrong_chirality"].value,
        "w1": score["pair_distance_w1_mean"].value,
        "floor": score["pair_distance_w1_mean"].floor,
        "ramachandran": score["ramachandran_js"].value,
        "ramachandran_floor": score["ramachandran_js"].floor,
        "bonds": score["bond_w1_mean"].value,
        "valid": float(closest.n_valid),
        "straight": lowest["straight"],
        "string": lowest["string"],
    }


def _atom(trajectory: pv.Trajectory, residue: str, name: str) -> int:
    """Index of the atom of this name, counted from 0."""
    return int(trajectory.topology.select(f"resname {residue} and name {name}")[0])


def _words(value: float | None) -> str:
    return "no valid conformation" if value is None else f"{value:.3f}"


if __name__ == "__main__":
    main()
