"""Choose the latent size and beta: rate, distortion and held-out likelihood of the bead-spring polymer in space.

    python examples/latent_size.py [--output DIR] [--quick]

A larger latent rebuilds better and costs more nats. The example trains models over a grid of latent sizes and
betas side by side, draws what each nat buys beside the best that any linear model can do, and then asks the
question that decides: how likely are frames that no model has seen? That number, the importance-weighted log-
likelihood, compares models of any size on one scale, with a Gaussian and with the Gaussian chain, which have no
latent at all. The size to take is the smallest whose likelihood is within two standard errors of the best.
`--quick` takes few frames, epochs and samples.
"""

import argparse
from pathlib import Path

import numpy as np

import polyvae as pv
from polyvae import plots
from polyvae.analysis import LikelihoodComparison, compare_likelihoods, fit_baselines, rate_distortion


def main(arguments: list[str] | None = None) -> dict[str, float]:
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("--output", type=Path, default=Path(__file__).parent / "output" / "latent_size")
    parser.add_argument("--quick", action="store_true", help="few frames, epochs and samples")
    options = parser.parse_args(arguments)
    options.output.mkdir(parents=True, exist_ok=True)
    quick = options.quick
    stride, epochs, samples, frames = (10, 20, 20, 200) if quick else (1, 60, 500, 1000)
    sizes, betas = ((1, 4), (0.3, 1.0)) if quick else ((1, 2, 4, 8, 16), (0.1, 0.3, 1.0, 3.0))

    print("1. Rate and distortion over latent size and beta")
    trajectory = pv.load(pv.bundled("polymer_3d.npz"), stride=stride)
    config = pv.ModelConfig(hidden=(64, 64))
    training = pv.TrainConfig(epochs=epochs, learning_rate=2e-3, kl_warmup=5)
    sweep = rate_distortion(trajectory, config, training, betas=betas, latent_dims=sizes)
    print("    latent  beta     rate   distortion    least rate of a Gaussian   active")
    for row in range(len(sweep.beta)):
        print(
            f"    {sweep.latent_dim[row]:6d} {sweep.beta[row]:5.2g} {sweep.rate[row]:8.2f} "
            f"{sweep.distortion[row]:12.3f} {sweep.gaussian_rate_at_distortion[row]:27.2f} {sweep.active_units[row]:8d}"
        )
    path = options.output / "rate_distortion.png"
    path.write_bytes(plots.to_png(plots.plot_rate_distortion(sweep)))
    print(f"    {path}")

    print("2. Log-likelihood of held-out frames, nats per frame")
    families: dict[str, dict[int | float, LikelihoodComparison]] = {f"β {beta:g}": {} for beta in betas}
    baselines = None
    for size in sizes:
        results = pv.fit_ensemble(
            trajectory,
            pv.ModelConfig(latent_dim=size, hidden=(64, 64)),
            training,
            seeds=[0] * len(betas),
            betas=betas,
        )
        for (name, family), result in zip(families.items(), results, strict=True):
            baselines = baselines or fit_baselines(result, trajectory)
            family[size] = compare_likelihoods(
                result, trajectory, baselines=baselines, samples=samples, max_frames=frames, seed=1
            )
            found = family[size].model
            print(f"    {name}, {size:2d} latent dimensions: {found.value:8.3f} ± {found.standard_error:.3f}")
    one = families[f"β {betas[0]:g}"][sizes[0]]
    print(f"    one Gaussian: {one.gaussian.value:.3f}")
    if one.chain is not None:
        print(f"    Gaussian chain: {one.chain.value:.3f}")
    path = options.output / "likelihoods.png"
    path.write_bytes(plots.to_png(plots.plot_likelihoods(families)))
    print(f"    {path}")

    every = {(name, size): each for name, family in families.items() for size, each in family.items()}
    best = max(every, key=lambda key: every[key].model.value)
    chosen = min((key for key in every if _as_good(every[key], every[best])), key=lambda key: key[1])
    print(
        f"3. Best: {best[0]}, {best[1]} dimensions. Smallest that is as good: {chosen[0]}, {chosen[1]} dimensions"
    )
    return {
        **{f"{name}, {size}": each.model.value for (name, size), each in every.items()},
        "Gaussian": one.gaussian.value,
        "chain": float("nan") if one.chain is None else one.chain.value,
        "best": best[1],
        "chosen": chosen[1],
        "largest rate": float(sweep.rate.max()),
        **{
            f"rate, β {beta:g}, {size}": float(rate)
            for beta, size, rate in zip(sweep.beta, sweep.latent_dim, sweep.rate, strict=True)
        },
        **{
            f"distortion, β {beta:g}, {size}": float(distortion)
            for beta, size, distortion in zip(sweep.beta, sweep.latent_dim, sweep.distortion, strict=True)
        },
    }


def _as_good(one: LikelihoodComparison, best: LikelihoodComparison) -> bool:
    """Whether the mean difference on the same frames is within two standard errors."""
    difference = best.model.per_frame - one.model.per_frame
    return bool(difference.mean() <= 2.0 * difference.std() / np.sqrt(len(difference)))


if __name__ == "__main__":
    main()
