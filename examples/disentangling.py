"""Disentangling: three known factors behind a synthetic polymer, and one latent dimension for each.

    python examples/disentangling.py [--output DIR] [--seeds 10] [--quick]

A chain with rungs is stretched, bent and twisted by three independent factors, turned and shifted at random, with a
little noise on every bead. Four kinds of VAE are trained on its aligned frames, ten seeds of each side by side. How
far single latent dimensions follow single factors is measured on held-out frames by the mutual-information gap (MIG),
beside PCA and the gap that shuffled factors show.

A larger beta alone disentangles here, since the three motions are orthogonal with unequal variances, and the diagonal
posterior prefers latent dimensions along them. But it pays in reconstruction. Penalizing the total correlation of the
latent dimensions reaches more for less.
"""

import argparse
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

import polyvae as pv
from polyvae import plots
from polyvae.analysis import PCA, mutual_information_gap
from polyvae.simulation import deformed_polymer

KINDS = {
    "ELBO (beta 1)": (1.0, 0.0),
    "beta 4": (4.0, 0.0),
    "beta 16": (16.0, 0.0),
    "total correlation 16": (1.0, 16.0),
}

# Not those on which the weight 16 was chosen.
_SEEDS = range(10, 110)
_QUICK = ("ELBO (beta 1)", "total correlation 16")


def main(arguments: list[str] | None = None) -> dict[str, float]:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path, default=Path(__file__).parent / "output" / "disentangling")
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--quick", action="store_true", help="two kinds, two seeds, fewer frames and epochs")
    options = parser.parse_args(arguments)
    options.output.mkdir(parents=True, exist_ok=True)
    n_frames, epochs, seeds = (2000, 60, 2) if options.quick else (6000, 150, options.seeds)
    kinds = {name: KINDS[name] for name in (_QUICK if options.quick else KINDS)}

    polymer = deformed_polymer(n_frames, seed=0, rigid_motion=True)
    config = pv.ModelConfig(latent_dim=3, hidden=(64, 64), sigma=0.3, residual="isotropic")
    gaps: dict[str, list[float]] = {}
    rmsd: dict[str, list[float]] = {}
    best: tuple[float, np.ndarray] = (-1.0, np.zeros((3, 3)))
    floor = pca_gap = 0.0
    for name, (beta, correlation) in kinds.items():
        training = pv.TrainConfig(
            epochs=epochs,
            learning_rate=2e-3,
            patience=None,
            kl_warmup=0,
            gap=0,
            total_correlation=correlation,
        )
        results = pv.fit_ensemble(
            polymer.trajectory, config, training, seeds=_SEEDS[:seeds], betas=[beta] * seeds
        )
        test = results[0].split.test
        frames, factors = polymer.trajectory[test], polymer.factors[test]
        gaps[name], rmsd[name] = [], []
        for result in results:
            latent = pv.latent_trajectory(result.model, frames).mean
            gap = mutual_information_gap(latent, factors, bins=10)
            floor = gap.noise_floor
            gaps[name].append(float(gap))
            rmsd[name].append(float(pv.reconstruction_report(result, polymer.trajectory).rmsd.mean()))
            if correlation and float(gap) > best[0]:
                best = (float(gap), gap.information)
        if not pca_gap:
            model, split = results[0].model, results[0].split
            pca = PCA.fit(np.asarray(model.features(polymer.trajectory.positions[split.train])), 3)
            coordinates = np.asarray(pca.encode(model.features(frames.positions)))
            pca_gap = float(mutual_information_gap(coordinates, factors, bins=10))

    print(f"{'held-out frames':24s} {'MIG median':>10s} {'min':>6s} {'max':>6s}   {'RMSD (σ)':>8s}")
    for name, values in gaps.items():
        row = (
            f"{np.median(values):10.3f} {min(values):6.3f} {max(values):6.3f}   {np.median(rmsd[name]):8.4f}"
        )
        print(f"{name:24s} {row}")
    print(f"{'PCA':24s} {pca_gap:10.3f}")
    print(f"{'shuffled factors':24s} {floor:10.3f}")
    path = options.output / "information.png"
    path.write_bytes(plots.to_png(_figure(gaps, pca_gap, floor, best[1], polymer.names)))
    print(path)
    return {
        **{f"mig, {name}": float(np.median(values)) for name, values in gaps.items()},
        **{f"rmsd, {name}": float(np.median(values)) for name, values in rmsd.items()},
        "mig, PCA": pca_gap,
        "floor": floor,
    }


@plots.style()
def _figure(
    gaps: dict[str, list[float]], pca: float, floor: float, information: np.ndarray, names: tuple[str, ...]
) -> plt.Figure:
    """Gaps of every seed, and the information of the best seed with the total correlation penalized."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(6.8, 3.2), width_ratios=(1.5, 1.0))
    for place, values in enumerate(gaps.values()):
        left.plot(np.full(len(values), place), values, "o", color="#d55e00", markersize=4, alpha=0.6)
        left.plot([place - 0.25, place + 0.25], [np.median(values)] * 2, color="#36454f")
    left.axhline(pca, color="#009e73", linewidth=1.0, label="PCA")
    left.axhline(floor, color="#9a9a9a", linewidth=1.0, linestyle="--", label="shuffled factors")
    left.set_xticks(range(len(gaps)), [name.replace(" ", "\n", 1) for name in gaps])
    left.set_ylim(0.0, 1.0)
    left.set_ylabel("mutual-information gap")
    left.legend(loc="upper left")
    image = right.imshow(information, cmap="cividis", vmin=0.0)
    right.set_xticks(range(3), names)
    right.set_yticks(range(3), ["z₁", "z₂", "z₃"])
    right.set_title("Best seed, total correlation 16")
    figure.colorbar(image, ax=right, label="information (nats)")
    return figure


if __name__ == "__main__":
    main()
