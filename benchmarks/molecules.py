"""Internal coordinates on a molecule: handedness, bonds, backbone torsions, clashes and reconstruction.

    python benchmarks/molecules.py [run.xtc --top system.pdb] [--atoms SELECTION] [--latent 2] [--epochs 30] [--seeds 1]

Without a trajectory it takes the bundled alanine dipeptide. Generated conformations against the data:

* centers of the wrong hand in 100 000 conformations;
* 1-Wasserstein distance W1 of bond lengths and angles, each divided by its standard deviation in the data;
* from `pv.score_ensemble`, of 20 000 conformations: W1 of pair distances, Jensen-Shannon divergence of the joint
  histogram of φ and ψ in 60 x 60 bins, each beside the same between halves of the data; clashes, as a share of all
  pairs without a bond, beside those of the data;
* the share of frames in each basin of the first residue that has both torsions, beside that of the data and its
  standard error from 20 blocks of time: right-handed helices (φ < 0, ψ from -100 to 50 degrees), extended (φ < 0, any
  other ψ) and left-handed (φ > 0);
* RMSD of held-out frames, beside PCA of the same dimension.
"""

import argparse
import time

import mdtraj
import numpy as np
from scipy.stats import wasserstein_distance

import polyvae as pv
from polyvae.analysis.scoring.connectivity import Connectivity, connectivity
from polyvae.analysis.scoring.geometry import angles, distances, handedness
from polyvae.trajectory import to_mdtraj

N_GENERATED = 100_000
N_SCORED = 20_000
CONSTANT = 0.99
HELIX = np.radians([-100.0, 50.0])
BASINS = ("helical", "extended", "left-handed")
BLOCKS = 20


def main() -> None:
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("trajectory", nargs="?")
    parser.add_argument("--top")
    parser.add_argument("--atoms")
    parser.add_argument("--latent", type=int, default=2)
    parser.add_argument("--epochs", type=int, default=30)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--cartesian-weight", type=float, default=2.0)
    arguments = parser.parse_args()
    path = arguments.trajectory or pv.bundled("alanine_dipeptide.xtc")
    top = arguments.top or (None if arguments.trajectory else pv.bundled("alanine_dipeptide.pdb"))
    trajectory = pv.load(path, top=top, atoms=arguments.atoms)
    print(trajectory)
    for seed in range(arguments.seeds):
        print(f"\nlatent {arguments.latent}, seed {seed}")
        for name, value in _row(trajectory, seed, arguments).items():
            print(f"{name:52s} {value:10.4f}", flush=True)


def _row(trajectory: pv.Trajectory, seed: int, arguments: argparse.Namespace) -> dict[str, float]:
    cpu = time.process_time()
    result = pv.fit(
        trajectory,
        pv.ModelConfig(
            latent_dim=arguments.latent,
            hidden=(256, 256),
            representation="internal",
            cartesian_weight=arguments.cartesian_weight,
        ),
        pv.TrainConfig(epochs=arguments.epochs, learning_rate=3e-3, kl_warmup=5),
        seed=seed,
    )
    cpu = time.process_time() - cpu
    rebuilt = pv.reconstruction_report(result, trajectory)
    generated = pv.generate(result.model, N_GENERATED, seed=seed)
    score = pv.score_ensemble(trajectory, generated[:N_SCORED], torsion_bins=60, bootstrap=20)
    rows = {row.name: row for row in score.rows}
    graph = connectivity(trajectory.bonds, trajectory.n_atoms, trajectory.masses)
    n_pairs = trajectory.n_atoms * (trajectory.n_atoms - 1) // 2 - len(graph.bonds)
    clashes = rows["clashes_per_frame"]
    data, made = (_coordinates(frames) for frames in (trajectory, generated))
    bonds = _relative_w1(distances(data, graph.bonds), distances(made, graph.bonds))
    bends = _relative_w1(angles(data, graph.angles), angles(made, graph.angles))
    maps = [row for row in score.rows if row.name.startswith("ramachandran")]
    basins = list(zip(BASINS, _in_basins(trajectory), _in_basins(generated), strict=True))
    return {
        "RMSD": rebuilt.average_rmsd,
        "RMSD, PCA": rebuilt.average_pca_rmsd,
        "RMSD / PCA": rebuilt.ratio,
        "W1 of pair distances / floor": rows["pair_distance_w1_mean"].value
        / rows["pair_distance_w1_mean"].floor,
        "bonds, W1 / deviation, mean": float(bonds.mean()),
        "bonds, W1 / deviation, largest": float(bonds.max()),
        "angles, W1 / deviation, mean": float(bends.mean()),
        "angles, W1 / deviation, largest": float(bends.max()),
        "centers of the wrong hand": _wrong_hands(graph, data, made),
        "clashing pairs, %": 100 * clashes.value / n_pairs,
        "clashing pairs of the data, %": 100 * (clashes.baseline or 0.0) / n_pairs,
        **{f"{row.name}, nats": row.value for row in maps},
        **{f"{row.name}, halves of the data, nats": row.floor for row in maps},
        **{
            f"share {name}{words}": value
            for name, of_data, of_made in basins
            for words, value in (
                ("", float(of_made.mean())),
                (", data", float(of_data.mean())),
                (", data, standard error", _block_error(of_data)),
            )
        },
        "rate, nats": float(result.diagnosis.rate),
        "training, s": result.seconds,
        "training, start-up, diagnosis and prior, CPU s": cpu,
    }


def _in_basins(trajectory: pv.Trajectory) -> np.ndarray:
    """Which basin the first residue with both torsions is in, shape (basins, frames)."""
    frames = to_mdtraj(trajectory)
    phi_atoms, phi = mdtraj.compute_phi(frames)
    psi_atoms, psi = mdtraj.compute_psi(frames)
    # φ is C N CA C and ψ is N CA C N: the residues that have both share their CA.
    _, of_phi, of_psi = np.intersect1d(phi_atoms[:, 2], psi_atoms[:, 1], return_indices=True)
    phi, psi = phi[:, of_phi[0]], psi[:, of_psi[0]]
    in_helix = (psi > HELIX[0]) & (psi < HELIX[1])
    return np.stack([(phi <= 0) & in_helix, (phi <= 0) & ~in_helix, phi > 0])


def _block_error(inside: np.ndarray) -> float:
    """Standard error of a share, from blocks of time."""
    blocks = [block.mean() for block in np.array_split(inside, BLOCKS)]
    return float(np.std(blocks, ddof=1) / np.sqrt(BLOCKS))


def _coordinates(trajectory: pv.Trajectory) -> np.ndarray:
    """Positions as (dims, atoms, frames)."""
    return np.ascontiguousarray(np.moveaxis(trajectory.positions, (0, 2), (2, 0)))


def _relative_w1(data: np.ndarray, made: np.ndarray) -> np.ndarray:
    """W1 of each row, divided by its standard deviation in the data."""
    return np.array(
        [
            wasserstein_distance(of_data, of_made) / of_data.std()
            for of_data, of_made in zip(data, made, strict=True)
        ]
    )


def _wrong_hands(graph: Connectivity, data: np.ndarray, made: np.ndarray) -> int:
    """Centers, over all generated conformations, that have not the hand that the data keep in 99 % of the frames."""
    mean = handedness(data, graph.centers).mean(axis=1)
    constant = np.abs(mean) >= 2 * CONSTANT - 1
    hands = handedness(made, graph.centers[constant])
    return int(np.sum(hands != np.sign(mean[constant])[:, None]))


if __name__ == "__main__":
    main()
