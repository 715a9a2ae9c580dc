"""Score somebody else's ensemble: two simple generators of alanine dipeptide, judged by the same numbers.

    python examples/score_ensemble.py [--output DIR] [--quick]

An ensemble can come from anywhere, as long as it is a file of the same atoms. The example writes two, as PDB and
XTC, that stand for what other programs make: a Gaussian of the aligned coordinates, as normal modes and elastic
networks give, and an "augmented" ensemble, training frames with a little noise on every atom. It reads them back
and scores both, and the other half of the data, against one half: every number with its error, its noise floor and
a verdict. The Gaussian has stretched bonds and clashes; the noisy copies have the right torsions and the right
size, but wrong bonds, and the test of memorization tells whether they are copies. `--quick` takes fewer frames.
"""

import argparse
from pathlib import Path

import numpy as np

import polyvae as pv
from polyvae import plots
from polyvae.preprocessing import align, fit_alignment

NOISE = 0.01
"""Standard deviation of the noise on every coordinate of a copy, nm."""

ROWS = (
    "pair_distance_w1_mean",
    "bond_w1_mean",
    "angle_w1_mean",
    "ramachandran_js",
    "radius_of_gyration_w1",
    "clashes_per_frame",
    "precision",
    "novelty_ratio",
    "training_copies",
)


def main(arguments: list[str] | None = None) -> dict[str, float]:
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("--output", type=Path, default=Path(__file__).parent / "output" / "score_ensemble")
    parser.add_argument("--quick", action="store_true", help="fewer frames")
    options = parser.parse_args(arguments)
    options.output.mkdir(parents=True, exist_ok=True)
    stride, n = (10, 800) if options.quick else (1, 5000)

    print("1. The reference: one half of the data, in blocks; the other half is what was trained on")
    trajectory = pv.load(
        pv.bundled("alanine_dipeptide.xtc"), top=pv.bundled("alanine_dipeptide.pdb"), stride=stride
    )
    block = np.arange(trajectory.n_frames) * 20 // trajectory.n_frames
    reference, training = trajectory[block % 2 == 0], trajectory[block % 2 == 1]

    print("2. Somebody else's ensembles, as files")
    rng = np.random.default_rng(0)
    for name, positions in (
        ("gaussian", _gaussian(training.positions, n, rng)),
        ("noisy_copies", _noisy_copies(training.positions, n, rng)),
    ):
        ensemble = pv.Trajectory(positions=positions, topology=trajectory.topology)
        pv.save_trajectory(ensemble[:1], options.output / f"{name}.pdb", overwrite=True)
        pv.save_trajectory(ensemble, options.output / f"{name}.xtc", overwrite=True)
        print(f"    {options.output / name}.xtc")

    print("3. Read them back and score them")
    numbers: dict[str, float] = {}
    scores = {}
    for name in ("gaussian", "noisy_copies"):
        ensemble = pv.load(options.output / f"{name}.xtc", top=options.output / f"{name}.pdb")
        scores[name] = pv.score_ensemble(reference, ensemble, training=training, seed=0)
        path = options.output / f"{name}.png"
        path.write_bytes(plots.to_png(plots.figure_score(scores[name])))
        print(f"    {path}")
    scores["data"] = pv.score_ensemble(reference, training, seed=0)
    print("    " + scores["gaussian"].table().replace("\n", "\n    "))

    print("4. Side by side: value and verdict")
    print(f"    {'':26s}" + "".join(f"{name:>28s}" for name in scores))
    for row in ROWS:
        cells = []
        for name, score in scores.items():
            found = next((each for each in score.rows if each.name == row), None)
            if found is None:
                cells.append("not scored")
                continue
            cells.append(f"{found.value:.4g} {found.verdict}")
            numbers[f"{name}, {row}"] = found.value
            numbers[f"{name}, {row}, floor"] = found.floor
        print(f"    {row:26s}" + "".join(f"{cell:>28s}" for cell in cells))
    return numbers


def _gaussian(positions: np.ndarray, n: int, rng: np.random.Generator) -> np.ndarray:
    """Draws of one normal distribution with mean and covariance of the aligned frames."""
    onto_mean, _ = fit_alignment(positions, method="procrustes")
    rows = align(onto_mean, positions).reshape(len(positions), -1).astype(np.float64)
    draws = rng.multivariate_normal(rows.mean(axis=0), np.cov(rows.T), size=n, method="eigh")
    return draws.reshape(n, *positions.shape[1:]).astype(np.float32)


def _noisy_copies(positions: np.ndarray, n: int, rng: np.random.Generator) -> np.ndarray:
    """Frames drawn with replacement, and noise on every atom."""
    frames = positions[rng.integers(len(positions), size=n)]
    return (frames + NOISE * rng.normal(size=frames.shape)).astype(np.float32)


if __name__ == "__main__":
    main()
