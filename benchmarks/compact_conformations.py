"""R_g minimization on the bundled 2-D polymer, 100 starts, judged by an independent check.

    python benchmarks/compact_conformations.py [--seeds 3] [--epochs 200]

A structure counts as valid when every bond lies within the 0.5 to 99.5 % quantiles of that bond in the data
and of all bonds pooled, its mean bond is at least the data's 1st percentile, and no two beads are closer than
the closest two in the data.
"""

import argparse

import numpy as np

import polyvae as pv


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=200)
    arguments = parser.parse_args()
    trajectory = pv.load(pv.bundled("polymer_2d.npz"))
    training = pv.TrainConfig(epochs=arguments.epochs, augmentation=("mirror", "reversal"))
    print(
        f"{'latent':>6s} {'seed':>4s} {'reported':>8s} {'valid':>6s} {'best R_g':>9s} {'data min':>9s} {'ratio':>6s}"
    )
    for latent_dim in (16, 2):
        for seed in range(arguments.seeds):
            result = pv.fit(trajectory, pv.ModelConfig(latent_dim=latent_dim), training, seed=seed)
            compact = pv.minimize_radius_of_gyration(result.model, starts=100, seed=seed)
            valid = is_valid(compact.positions, trajectory.positions)
            gyration = radius_of_gyration(compact.positions)
            best, smallest = gyration[valid].min(), radius_of_gyration(trajectory.positions).min()
            print(
                f"{latent_dim:6d} {seed:4d} {compact.n_valid:8d} {valid.sum():6d} {best:9.3f} {smallest:9.3f} "
                f"{best / smallest:6.2f}",
                flush=True,
            )


def radius_of_gyration(positions: np.ndarray) -> np.ndarray:
    centered = positions - positions.mean(axis=1, keepdims=True)
    return np.sqrt((centered**2).sum(axis=2).mean(axis=1))


def _bonds(positions: np.ndarray) -> np.ndarray:
    return np.linalg.norm(np.diff(positions, axis=1), axis=2)


def _closest(positions: np.ndarray) -> np.ndarray:
    first, second = np.triu_indices(positions.shape[1], 1)
    return np.linalg.norm(positions[:, first] - positions[:, second], axis=2).min(axis=1)


def is_valid(positions: np.ndarray, data: np.ndarray) -> np.ndarray:
    bonds, known = _bonds(positions), _bonds(data)
    per_bond, pooled = np.quantile(known, (0.005, 0.995), axis=0), np.quantile(known, (0.005, 0.995))
    low, high = np.maximum(per_bond[0], pooled[0]), np.minimum(per_bond[1], pooled[1])
    inside = ((bonds >= low) & (bonds <= high)).all(axis=1)
    stretched = bonds.mean(axis=1) >= np.quantile(known.mean(axis=1), 0.01)
    return inside & stretched & (_closest(positions) >= _closest(data).min())


if __name__ == "__main__":
    main()
