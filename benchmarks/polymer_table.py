"""The bundled 2-D polymer at latent 2: polyvae beside PCA, the textbook network and models without a latent.

    python benchmarks/polymer_table.py [--seeds 5] [--epochs 100]

Held-out figures come from the test blocks of each seed's split. W1 is the mean over all 66 pair distances of
20 000 generated conformations against all frames; its noise floor is the same number between two halves of
the data. The largest latent step is taken on the dense run, as a fraction of the range of that latent
dimension.
"""

import argparse
import warnings

import jax
import jax.numpy as jnp
import numpy as np
from textbook import Textbook

import polyvae as pv
from polyvae.analysis import GaussianChain, GaussianModel, compare_likelihoods
from polyvae.preprocessing import align, kabsch_rmsd

AUGMENTATION = ("mirror", "reversal")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--epochs", type=int, default=100)
    parser.add_argument("--textbook-epochs", type=int, default=250)
    arguments = parser.parse_args()
    trajectory = pv.load(pv.bundled("polymer_2d.npz"))
    dense = pv.load(pv.bundled("polymer_2d_dense.npz"))
    rows = []
    for seed in range(arguments.seeds):
        rows.append(_row(trajectory, dense, seed, arguments.epochs, arguments.textbook_epochs))
        print(f"seed {seed}:", {name: round(value, 4) for name, value in rows[-1].items()}, flush=True)
    print(f"\n{'figure':44s} {'median':>9s} {'min':>9s} {'max':>9s}")
    for name in rows[0]:
        values = [row[name] for row in rows]
        print(f"{name:44s} {np.median(values):9.4f} {min(values):9.4f} {max(values):9.4f}")


def _row(
    trajectory: pv.Trajectory, dense: pv.Trajectory, seed: int, epochs: int, textbook_epochs: int
) -> dict[str, float]:
    training = pv.TrainConfig(epochs=epochs, augmentation=AUGMENTATION)
    result = pv.fit(trajectory, pv.ModelConfig(latent_dim=2), training, seed=seed)
    model, split = result.model, result.split
    reconstruction = pv.reconstruction_report(result, trajectory)
    likelihood = compare_likelihoods(result, trajectory)
    generated = pv.distance_marginals(trajectory, pv.generate(model, 20_000, seed=seed))
    train, validation = (trajectory.positions[part] for part in (split.train, split.validation))
    chain = GaussianChain.fit(model, align(model.alignment, train), align(model.alignment, validation))
    gaussian = GaussianModel.fit(np.asarray(model.features(train)), np.asarray(model.features(validation)))
    vectors = gaussian.sample(20_000, jax.random.key(seed))
    textbook = Textbook(train, latent_dim=2, seed=seed, epochs=textbook_epochs)
    test = trajectory.positions[split.test]
    textbook_rmsd = np.asarray(kabsch_rmsd(jnp.asarray(textbook.reconstruct(test)), jnp.asarray(test)))
    textbook_latent = textbook.encode(dense.positions)
    textbook_steps = np.abs(np.diff(textbook_latent, axis=0)).max(axis=0) / np.ptp(textbook_latent, axis=0)

    def w1(positions: np.ndarray) -> float:
        return float(
            pv.distance_marginals(trajectory, trajectory.replace(positions=np.asarray(positions))).w1.mean()
        )

    assert likelihood.chain is not None
    return {
        "held-out RMSD, polyvae": float(reconstruction.rmsd.mean()),
        "held-out RMSD, PCA-2": float(reconstruction.pca_rmsd.mean()),
        "held-out RMSD, textbook": float(textbook_rmsd.mean()),
        "W1, noise floor": float(generated.floor_w1.mean()),
        "W1, polyvae": float(generated.w1.mean()),
        "W1, textbook": w1(textbook.generate(20_000, seed)),
        "W1, Gaussian chain (no latent)": w1(chain.sample(20_000, jax.random.key(seed))),
        "W1, full-covariance Gaussian (no latent)": w1(jax.vmap(model.representation.positions)(vectors)),
        "largest step, polyvae": pv.latent_trajectory(model, dense).largest_step,
        "largest step, textbook": float(textbook_steps.max()),
        "log-likelihood, polyvae": float(likelihood.model),
        "log-likelihood, full-covariance Gaussian": float(likelihood.gaussian),
        "log-likelihood, Gaussian chain": float(likelihood.chain),
        "rate, nats": likelihood.rate,
        "training, s": result.seconds,
    }


if __name__ == "__main__":
    warnings.simplefilter("error")
    main()
