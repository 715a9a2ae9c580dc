"""Held-out log-likelihood of the bundled 2-D polymer under polyvae's models, from the default to a chain decoder.

    python benchmarks/polymer_likelihood.py [--seeds 1]

Importance-weighted bound with 1000 draws on the test frames of each seed's split, nats per frame in units of σ,
beside the rate, the nats that the latent carries. The baselines without a VAE on the same splits and
coordinates are printed by `density_baselines.py`.
"""

import argparse
import time
import warnings

import numpy as np
from chain_network import chain_network

import polyvae as pv
from polyvae.analysis import compare_likelihoods

_AUGMENTATION = ("mirror", "reversal")
_RICH = {"likelihood": "correlated", "posterior": "full"}
MODELS = {
    "default, latent 2": (pv.ModelConfig(), {"epochs": 100}, None),
    "latent 10, correlated noise, full posterior, residual network": (
        pv.ModelConfig(latent_dim=10, network="residual", **_RICH),
        {"epochs": 240, "learning_rate": 3e-3, "kl_warmup": 5, "patience": None},
        None,
    ),
    "the same with a chain decoder": (
        pv.ModelConfig(latent_dim=10, sigma=0.3, **_RICH),
        {"epochs": 150, "learning_rate": 3e-3, "kl_warmup": 5},
        chain_network,
    ),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--only", help="part of a model's name", default="")
    arguments = parser.parse_args()
    trajectory = pv.load(pv.bundled("polymer_2d.npz"))
    print(f"{'model':64s} {'seed':>4s} {'IWAE':>7s} {'rate':>6s} {'Gauss':>7s} {'chain':>7s} {'s':>5s}")
    bounds: dict[str, list[float]] = {}
    for name, (model_config, training, network) in MODELS.items():
        if arguments.only not in name:
            continue
        for seed in range(arguments.seeds):
            started = time.perf_counter()
            settings = pv.TrainConfig(augmentation=_AUGMENTATION, **training)
            result = pv.fit(trajectory, model_config, settings, seed=seed, network=network)
            seconds = time.perf_counter() - started
            likelihood = compare_likelihoods(result, trajectory)
            assert likelihood.chain is not None
            bounds.setdefault(name, []).append(likelihood.model.value)
            print(
                f"{name:64s} {seed:4d} {likelihood.model.value:7.3f} {likelihood.rate:6.2f} "
                f"{likelihood.gaussian.value:7.3f} {likelihood.chain.value:7.3f} {seconds:5.0f}",
                flush=True,
            )
    for name, values in bounds.items():
        print(f"{name:64s} median {np.median(values):7.3f}, {min(values):.3f} to {max(values):.3f}")


if __name__ == "__main__":
    warnings.simplefilter("error")
    main()
