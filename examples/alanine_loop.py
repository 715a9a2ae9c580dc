"""A coordinate learned and sampled along, round after round: alanine dipeptide in vacuum at 300 K.

    python examples/alanine_loop.py [--output DIR] [--quick]

At 300 K the molecule stays on one side of φ = 0 for longer than anyone waits. A short simulation at 500 K, which
crosses now and then, teaches the first coordinate; a simulation at 300 K is biased along it (OPES); its frames, with
the weights that take the bias away, teach the next one. The loop ends when the free energy of C7ax above C7eq is the
same in two rounds, within their errors. This is `polyvae loop` with the flags below: kill it at any time and start it
again with `--resume`. `--quick` simulates picoseconds, far too few for a free energy.
"""

import argparse
import json
from pathlib import Path

import numpy as np

import polyvae as pv
from polyvae.cli import main as polyvae
from polyvae.features import observable_of

PHI = "torsion:1-3-4-6"
FLAGS = {
    "full": [
        *("--first-ns", "10", "--round-ns", "5", "--rounds", "4", "--barrier", "50"),
        *("--hidden", "64", "64", "--activation", "tanh", "--epochs", "30", "--learning-rate", "3e-3"),
        *("--kl-warmup", "2"),
    ],
    "quick": [
        *("--first-ns", "0.01", "--round-ns", "0.01", "--rounds", "2", "--barrier", "50"),
        *("--record", "50", "--pace", "50", "--save", "2500", "--points", "31"),
        *("--hidden", "16", "--activation", "tanh", "--epochs", "5", "--learning-rate", "3e-3"),
        *("--kl-warmup", "1", "--batch-size", "64"),
    ],
}


def main(arguments: list[str] | None = None) -> dict[str, float]:
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("--output", type=Path, default=Path(__file__).parent / "output" / "alanine_loop")
    parser.add_argument("--quick", action="store_true", help="picoseconds only")
    parser.add_argument("--resume", action="store_true", help="go on with a loop that was cut short")
    options = parser.parse_args(arguments)
    flags = FLAGS["quick" if options.quick else "full"]
    words = ["loop", "--solvent", "none", "--first-temperature", "500", *flags, "-o", str(options.output)]
    code = polyvae([*words, "--resume"] if options.resume else words)
    if code:
        raise SystemExit(code)

    summary = json.loads((options.output / "summary.json").read_text())
    numbers = {"rounds": len(summary["rounds"]) - 1, "stable": float(summary["stable"])}
    for name in ("free_energy_difference", "error"):
        if summary[name] is not None:
            numbers[name] = summary[name]
    print("\nwhere φ goes, degrees")
    for row in summary["rounds"]:
        frames = pv.load(options.output / f"round_{row['round']}" / "trajectory.npz")
        phi = observable_of(
            PHI, n_atoms=frames.n_atoms, dims=frames.dims, units=frames.units, masses=frames.masses
        ).of(frames.positions)
        quartiles = np.degrees(np.quantile(phi, [0.05, 0.5, 0.95]))
        print(f"  round {row['round']}: 5 % below {quartiles[0]:.0f}, half below {quartiles[1]:.0f}", end="")
        print(f", 95 % below {quartiles[2]:.0f}; {row['frames']} frames worth {row['effective_frames']:.0f}")
        numbers[f"frames_{row['round']}"] = row["frames"]
        numbers[f"worth_{row['round']}"] = row["effective_frames"]
        numbers[f"median_phi_{row['round']}"] = float(quartiles[1])
    return numbers


if __name__ == "__main__":
    main()
