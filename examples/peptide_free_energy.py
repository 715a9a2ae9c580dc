"""From raw trajectory files to a labelled free energy: alanine dipeptide at 500 K.

    python examples/peptide_free_energy.py [--output DIR] [--quick]

An XTC file and a PDB file, as a simulation leaves them, shipped with polyvae. The example looks at what they hold,
trains a model, draws the free energy along the two latent coordinates and along the backbone torsions φ and ψ,
finds the basins of both, names the latent ones by the φ and ψ that they stand for, and compares the free energy of
φ > 0 above φ < 0 by both. Beside the latent it shows PCA and TICA. `--quick` trains for a few epochs on every
fourth frame.
"""

import argparse
import warnings
from pathlib import Path

import numpy as np

import polyvae as pv
from polyvae import plots
from polyvae.analysis import free_energy_difference, linear_maps
from polyvae.features import observable_of

TEMPERATURE = 500.0
PHI, PSI = "torsion:4-6-8-14", "torsion:6-8-14-16"


def main(arguments: list[str] | None = None) -> dict[str, float]:
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument(
        "--output", type=Path, default=Path(__file__).parent / "output" / "peptide_free_energy"
    )
    parser.add_argument("--quick", action="store_true", help="a few epochs on every fourth frame")
    options = parser.parse_args(arguments)
    options.output.mkdir(parents=True, exist_ok=True)

    def save(name: str, drawing: object) -> None:
        path = options.output / f"{name}.png"
        path.write_bytes(plots.to_png(drawing))
        print(f"    {path}")

    print("1. Look at the files, and read them")
    files = {"top": pv.bundled("alanine_dipeptide.pdb"), "stride": 4 if options.quick else 1}
    inspection = pv.inspect_trajectory(pv.bundled("alanine_dipeptide.xtc"), top=files["top"])
    trajectory = pv.load(pv.bundled("alanine_dipeptide.xtc"), **files)
    print(f"    {inspection.n_frames} frames in the file, {len(inspection.findings)} findings; {trajectory}")

    print("2. Train")
    config = pv.ModelConfig(latent_dim=2, hidden=(64, 64))
    training = pv.TrainConfig(epochs=20 if options.quick else 100, learning_rate=3e-3)
    result = pv.fit(trajectory, config, training, seed=0)
    report = pv.reconstruction_report(result, trajectory)
    print(f"    {result.seconds:.0f} s; {result.diagnosis.sentence}")
    print(f"    held-out RMSD {report.average_rmsd:.4f} nm, PCA-2 {report.average_pca_rmsd:.4f} nm")

    print(
        "3. Free energy along φ and ψ, which a chemist would name, and along the latent, which nobody named"
    )
    phi, psi = (_torsion(name, trajectory) for name in (PHI, PSI))
    latent = pv.latent_trajectory(result.model, trajectory)
    bins = 25 if options.quick else 40
    along_torsions = pv.free_energy_surface(
        np.degrees(np.stack([phi, psi], axis=1)),
        temp=TEMPERATURE,
        periods=(360.0, 360.0),
        num_samples=bins,
        names=("φ (°)", "ψ (°)"),
    )
    along_latent = pv.free_energy_surface(latent, temp=TEMPERATURE, num_samples=bins)
    torsion_basins, latent_basins = (pv.free_energy_basins(each) for each in (along_torsions, along_latent))
    save("free_energy_torsions", plots.plot_free_energy(along_torsions, basins=torsion_basins))
    save("free_energy_latent", plots.plot_free_energy(along_latent, basins=latent_basins))

    print("4. Name the basins of the latent by the torsions of their frames")
    labels = _labels_of_frames(latent, along_latent, latent_basins.labels)
    is_right = np.zeros(len(phi), bool)
    for index, name in enumerate(latent_basins.names):
        inside = labels == index
        middle = [np.degrees(_circular_mean(angle[inside])) for angle in (phi, psi)]
        is_right |= inside & (middle[0] > 0)
        print(
            f"    {name}: {latent_basins.populations[index]:.1%} ± {latent_basins.population_errors[index]:.1%} of the "
            f"frames, around φ {middle[0]:.0f}°, ψ {middle[1]:.0f}°"
        )

    print("5. F(φ > 0) - F(φ < 0), by the basins of the latent and by φ itself")
    agree = float(np.mean(is_right[labels >= 0] == (phi > 0)[labels >= 0]))
    with warnings.catch_warnings():
        # Passages to φ > 0 are rare, and the number of them stands beside the error.
        warnings.simplefilter("ignore", pv.PolyvaeWarning)
        by_latent, by_phi = (
            free_energy_difference(first, second, temp=TEMPERATURE)
            for first, second in (((labels >= 0) & ~is_right, is_right), (phi < 0, phi >= 0))
        )
    for name, found in (("the latent", by_latent), ("φ", by_phi)):
        print(f"    {name}: {found.value:.2f} ± {found.error:.2f} kJ/mol from {found.transitions} passages")
    print(f"    {agree:.2%} of the frames are on the same side by both")

    print("6. What PCA and TICA of the same inputs show")
    maps = linear_maps(result.model, trajectory, encoded=latent, color=PHI)
    assert maps.tica is not None
    on_axis = abs(float(np.corrcoef(maps.tica[:, 0], np.cos(phi[maps.frames] - 1.0))[0, 1]))
    print(f"    largest |correlation| with the latent: PCA {maps.correlation[:, 0].max():.2f}, ", end="")
    print(f"TICA {maps.correlation[:, 1].max():.2f}; the slowest TICA mode follows φ with {on_axis:.2f}")
    save("linear_maps", plots.figure_linear_maps(maps))
    return {
        "frames": trajectory.n_frames,
        "rmsd": report.average_rmsd,
        "pca_rmsd": report.average_pca_rmsd,
        "latent_basins": len(latent_basins),
        "torsion_basins": len(torsion_basins),
        "by_latent": by_latent.value,
        "by_phi": by_phi.value,
        "error": by_phi.error,
        "passages": by_phi.transitions,
        "agree": agree,
        "tica_follows_phi": on_axis,
    }


def _torsion(name: str, trajectory: pv.Trajectory) -> np.ndarray:
    return observable_of(name, n_atoms=trajectory.n_atoms, dims=3, units=trajectory.units).of(
        trajectory.positions
    )


def _labels_of_frames(latent, surface, labels: np.ndarray) -> np.ndarray:
    """Basin of each frame."""
    places = [
        np.clip(np.searchsorted(edges, column, side="right") - 1, 0, len(edges) - 2)
        for edges, column in zip(surface.edges, latent.mean.T, strict=True)
    ]
    return labels[tuple(places)]


def _circular_mean(angles: np.ndarray) -> float:
    return float(np.angle(np.exp(1j * angles).mean()))


if __name__ == "__main__":
    main()
