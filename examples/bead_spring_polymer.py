"""The classic tour: a bead-spring polymer in two dimensions, from raw positions to the most compact structure.

    python examples/bead_spring_polymer.py [--output DIR] [--quick]

Twelve beads on soft springs, 20 000 frames far apart in time and a short run dense in time, both shipped with
polyvae. The tour centers and aligns the frames, looks at distance marginals before training, trains a VAE of
three hidden layers of 256 and two latent dimensions, follows the dense run through the latent space, in pictures
and in a film, draws new conformations and compares their distances with the data's, and looks for the smallest
radius of gyration by descent in latent space. `--quick` trains for a few epochs and descends from few starts; its
numbers are rough.
"""

import argparse
from pathlib import Path

import numpy as np

import polyvae as pv
from polyvae import plots
from polyvae.analysis import FreeEnergySurface, LatentTrajectory, linear_maps
from polyvae.preprocessing import align, fit_alignment, track_principal_axes
from polyvae.storage import save_film


def main(arguments: list[str] | None = None) -> dict[str, float]:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--output", type=Path, default=Path(__file__).parent / "output" / "bead_spring_polymer"
    )
    parser.add_argument("--quick", action="store_true", help="a few epochs, few starts")
    options = parser.parse_args(arguments)
    options.output.mkdir(parents=True, exist_ok=True)

    def save(name: str, drawing: object) -> None:
        path = options.output / f"{name}.png"
        path.write_bytes(plots.to_png(drawing))
        print(f"    {path}")

    print("1. Read 20 000 frames, and move them about so that there is something to remove")
    trajectory = _tumbled(pv.load(pv.bundled("polymer_2d.npz")))
    dense = _tumbled(pv.load(pv.bundled("polymer_2d_dense.npz")))
    shown = trajectory.positions[:60]
    bonds, unit = trajectory.bonds, trajectory.units.length

    print("2. Center and align: principal axes turn a chain by half a turn now and then, Procrustes does not")
    principal, axes_report = fit_alignment(trajectory.positions, method="principal_axes")
    procrustes, _ = fit_alignment(trajectory.positions, method="procrustes")
    tracked, _ = track_principal_axes(dense.positions, segments=dense.segments)
    jumps = {
        "principal axes": _largest_jump(align(principal, dense.positions)),
        "tracked axes": _largest_jump(tracked),
        "Procrustes": _largest_jump(align(procrustes, dense.positions)),
    }
    print(
        f"    frames whose axes are nearly undetermined: {axes_report.n_degenerate} of {trajectory.n_frames}"
    )
    for name, jump in jumps.items():
        print(f"    largest move of a bead between two dense frames, {name}: {jump:.2f} {unit}")
    save("alignment_raw", plots.plot_conformations(shown, bonds=bonds, unit=unit))
    save(
        "alignment_principal_axes", plots.plot_conformations(align(principal, shown), bonds=bonds, unit=unit)
    )
    save("alignment_procrustes", plots.plot_conformations(align(procrustes, shown), bonds=bonds, unit=unit))

    print("3. Distance marginals before training: one half of the data against the other, the noise floor")
    halves = pv.distance_marginals(trajectory[::2], trajectory[1::2])
    print(f"    mean W1 over {len(halves.pairs)} pairs: {halves.w1.mean():.4f} {unit}")
    save("marginals_before_training", plots.figure_distance_marginals(halves))

    print(
        "4. Train: three hidden layers of 256, two latent dimensions, mirror image and reversal as exact symmetries"
    )
    training = pv.TrainConfig(epochs=8 if options.quick else 150, augmentation=("mirror", "reversal"))
    result = pv.fit(trajectory, pv.ModelConfig(latent_dim=2, hidden=(256, 256, 256)), training, seed=0)
    model = result.model
    report = pv.reconstruction_report(result, trajectory)
    print(f"    best epoch {result.best_epoch} of {len(result.history)}, {result.seconds:.0f} s")
    print(f"    held-out RMSD {report.rmsd.mean():.3f} {unit}, PCA-2 {report.pca_rmsd.mean():.3f} {unit}")
    save("learning_curves", plots.figure_learning_curves(result.history, best_epoch=result.best_epoch))
    save("reconstruction", plots.plot_reconstruction(report))

    print("5. Follow the dense run through the latent space")
    latent = pv.latent_trajectory(model, dense)
    print(f"    largest step {latent.largest_step:.1%} of the latent's range")
    save("latent_trajectory", plots.figure_latent_trajectory(latent))
    encoded = pv.latent_trajectory(model, trajectory)
    save("latent_map", plots.plot_latent_map(encoded))
    save("linear_maps", plots.figure_linear_maps(linear_maps(model, trajectory, encoded=encoded)))
    first = dense[:4000]
    film = plots.latent_film(pv.latent_trajectory(model, first), first, surface=_surface(encoded), frames=80)
    print(f"    {save_film(film, options.output / 'film.gif', fps=12, overwrite=True)}")

    print("6. Draw new conformations and compare their distances with the data's")
    generated = pv.generate(model, 5000 if options.quick else 20_000, seed=1)
    marginals = pv.distance_marginals(trajectory, generated)
    print(f"    mean W1 {marginals.w1.mean():.4f} {unit}; noise floor {marginals.floor_w1.mean():.4f} {unit}")
    test = trajectory.positions[result.split.test[:4]]
    reconstructed = np.asarray(model.reconstruct(test))
    save(
        "structures",
        plots.figure_structures(
            test, reconstructed=reconstructed, generated=generated.positions[:4], bonds=bonds, unit=unit
        ),
    )
    save("ensembles", plots.figure_ensembles(trajectory, generated))
    save("generated_marginals", plots.figure_distance_marginals(marginals))
    save("generated_errors", plots.plot_distance_errors(marginals))

    starts = 20 if options.quick else 100
    print(
        f"7. Descend to the smallest radius of gyration, in 2 and in 16 latent dimensions, {starts} starts each"
    )
    gyration = _radius_of_gyration(trajectory.positions)
    most_compact = trajectory.positions[int(gyration.argmin())]
    print(f"    most compact frame of the data: {gyration.min():.3f} {unit}")
    compact = pv.minimize_radius_of_gyration(model, starts=starts, seed=2)
    print(f"    latent 2: {compact.n_valid} valid, best {_words(compact.best)} {unit}")
    wide = pv.fit(trajectory, pv.ModelConfig(latent_dim=16), training, seed=0)
    wider = pv.minimize_radius_of_gyration(wide.model, starts=starts, seed=2)
    print(f"    latent 16: {wider.n_valid} valid, best {_words(wider.best)} {unit}")
    save("compact", plots.figure_compact(wider, most_compact, bonds=bonds))
    return {
        "held_out_rmsd": float(report.rmsd.mean()),
        "pca_rmsd": float(report.pca_rmsd.mean()),
        "w1": float(marginals.w1.mean()),
        "floor": float(marginals.floor_w1.mean()),
        "largest_step": latent.largest_step,
        "procrustes_jump": jumps["Procrustes"],
        "principal_axes_jump": jumps["principal axes"],
        "valid_latent_16": float(wider.n_valid),
        "best_latent_16": float("nan") if wider.best is None else wider.best,
        "data_minimum": float(gyration.min()),
        "film_kB": (options.output / "film.gif").stat().st_size / 1000,
    }


def _tumbled(trajectory: pv.Trajectory) -> pv.Trajectory:
    """The same run as a molecule that drifts and turns, slowly enough to follow."""
    phase = np.linspace(0.0, 40.0 * np.pi, trajectory.n_frames)
    cosine, sine = np.cos(phase), np.sin(phase)
    rotation = np.stack([np.stack([cosine, -sine], axis=1), np.stack([sine, cosine], axis=1)], axis=1)
    drift = 5.0 * np.stack([np.cos(phase / 7.0), np.sin(phase / 11.0)], axis=1)
    positions = np.einsum("fij,faj->fai", rotation, trajectory.positions) + drift[:, None, :]
    return trajectory.replace(positions=positions.astype(np.float32))


def _largest_jump(positions: np.ndarray) -> float:
    """Largest move of a bead from one frame to the next."""
    return float(np.linalg.norm(np.diff(positions, axis=0), axis=2).max())


def _radius_of_gyration(positions: np.ndarray) -> np.ndarray:
    centered = positions - positions.mean(axis=1, keepdims=True)
    return np.sqrt((centered**2).sum(axis=2).mean(axis=1))


def _surface(encoded: LatentTrajectory) -> FreeEnergySurface:
    """Free energy along the latent, in kT: what the film's point moves on."""
    return pv.free_energy_surface(encoded, units="kT", kbt=1.0)


def _words(value: float | None) -> str:
    return "none" if value is None else f"{value:.3f}"


if __name__ == "__main__":
    main()
