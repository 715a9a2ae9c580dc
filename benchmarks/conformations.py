"""Internal coordinates on the bundled polymers: how good are generated and rebuilt conformations at each latent size?

    python benchmarks/conformations.py [--seeds 5] [--latent 2 4 8] [--system polymer_2d.npz polymer_3d.npz] [--compact]

Beside the mean W1 over all pair distances stand its noise floor (data half against data half) and baselines: a
probabilistic PCA of the same dimension, the Gaussian chain without latent, and the textbook network. RMSD is that of
held-out frames, beside PCA of the same dimension after generalized Procrustes superposition. Overlaps are generated
frames with a pair closer than any in the data; W1 is given before and after they are drawn anew. With `--compact` a
model of latent 16 is trained as well and its radius of gyration minimized from 100 starts.

The weight of the Cartesian term is chosen for each latent size: few latents need it to say as much as they can of the
shape, and so does a descent to compact shapes; eight say enough for both ends, and a larger weight broadens the bonds.
"""

import argparse
import time
import warnings

import jax
import jax.numpy as jnp
import numpy as np
from textbook import Textbook

import polyvae as pv
from polyvae.analysis import PCA, GaussianChain
from polyvae.preprocessing import align, kabsch_rmsd

SYMMETRIES = {"polymer_2d.npz": ("mirror", "reversal"), "polymer_3d.npz": ("reversal",)}
N_GENERATED = 20_000
CARTESIAN_WEIGHT = {
    "polymer_2d.npz": {2: 4.0, 4: 4.0, 8: 0.7, 16: 5.0},
    "polymer_3d.npz": {2: 6.0, 4: 4.0, 8: 0.7, 16: 5.0},
}


def main() -> None:
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--latent", type=int, nargs="*", default=[2, 4, 8])
    parser.add_argument("--system", nargs="+", default=list(SYMMETRIES))
    parser.add_argument("--epochs", type=int, default=36)
    parser.add_argument("--textbook-epochs", type=int, default=250)
    parser.add_argument("--textbook-seeds", type=int, default=1, help="the textbook network takes longest")
    parser.add_argument("--compact", action="store_true")
    arguments = parser.parse_args()
    for system in arguments.system:
        trajectory = pv.load(pv.bundled(system))
        for latent_dim in arguments.latent:
            rows = []
            for seed in range(arguments.seeds):
                rows.append(_row(trajectory, system, latent_dim, seed, arguments))
                print(f"{system} latent {latent_dim} seed {seed}:", _text(rows[-1]), flush=True)
            _summarize(f"{system}, latent {latent_dim}", rows)
        if arguments.compact:
            _summarize(
                f"{system}, latent 16, compact",
                [_compact(trajectory, system, seed) for seed in range(arguments.seeds)],
            )


def _fit(trajectory: pv.Trajectory, system: str, latent_dim: int, seed: int, epochs: int) -> pv.FitResult:
    model = pv.ModelConfig(
        latent_dim=latent_dim,
        hidden=(256, 256),
        representation="internal",
        cartesian_weight=CARTESIAN_WEIGHT[system].get(latent_dim, 2.0),
    )
    training = pv.TrainConfig(epochs=epochs, learning_rate=3e-3, kl_warmup=5, augmentation=SYMMETRIES[system])
    return pv.fit(trajectory, model, training, seed=seed)


def _row(
    trajectory: pv.Trajectory, system: str, latent_dim: int, seed: int, arguments: argparse.Namespace
) -> dict[str, float]:
    cpu = time.process_time()
    result = _fit(trajectory, system, latent_dim, seed, arguments.epochs)
    cpu = time.process_time() - cpu
    model, split = result.model, result.split
    train = trajectory.positions[split.train]
    rebuilt = pv.reconstruction_report(result, trajectory)
    generated = pv.generate(model, N_GENERATED, seed=seed)
    whole = pv.generate(model, N_GENERATED, seed=seed, reject_overlaps=True)
    marginals = pv.distance_marginals(trajectory, generated)
    ratios = _bond_spread(generated) / _bond_spread(trajectory)
    floor = float(marginals.floor_w1.mean())

    def w1(positions: np.ndarray) -> float:
        ensemble = trajectory.replace(positions=np.asarray(positions, np.float32), times=None, segments=())
        return float(pv.distance_marginals(trajectory, ensemble).w1.mean()) / floor

    features = np.asarray(model.cartesian_features(train))
    linear = _linear_draws(features, latent_dim, seed)
    validation = trajectory.positions[split.validation]
    chain = GaussianChain.fit(model, align(model.alignment, train), align(model.alignment, validation))
    textbook_w1 = textbook_rmsd = np.nan
    if seed < arguments.textbook_seeds:
        textbook = Textbook(train, latent_dim=latent_dim, seed=seed, epochs=arguments.textbook_epochs)
        test = jnp.asarray(trajectory.positions[split.test])
        textbook_rmsd = float(
            jnp.mean(kabsch_rmsd(jnp.asarray(textbook.reconstruct(np.asarray(test))), test))
        )
        textbook_w1 = w1(textbook.generate(N_GENERATED, seed))
    return {
        "W1 / floor": marginals.ratio_to_floor,
        "W1 / floor, overlaps drawn anew": pv.distance_marginals(trajectory, whole).ratio_to_floor,
        "W1 / floor, probabilistic PCA": w1(jax.vmap(model.cartesian.positions)(linear)),
        "W1 / floor, Gaussian chain": w1(chain.sample(N_GENERATED, jax.random.key(seed))),
        "W1 / floor, textbook": textbook_w1,
        "overlapping frames": _overlapping(generated, trajectory),
        "smallest bond spread / data's": float(ratios.min()),
        "largest bond spread / data's": float(ratios.max()),
        "RMSD": rebuilt.average_rmsd,
        "RMSD, PCA": rebuilt.average_pca_rmsd,
        "RMSD, textbook": textbook_rmsd,
        "RMSD / PCA": rebuilt.ratio,
        "rate, nats": float(result.diagnosis.rate),
        "training, s": result.seconds,
        "start-up, s": result.startup_seconds,
        "training, start-up, diagnosis and prior, CPU s": cpu,
    }


def _bond_spread(trajectory: pv.Trajectory) -> np.ndarray:
    assert trajectory.bonds is not None
    ends = trajectory.positions[:, trajectory.bonds]
    return np.linalg.norm(ends[:, :, 0] - ends[:, :, 1], axis=2).std(axis=0)


def _overlapping(generated: pv.Trajectory, trajectory: pv.Trajectory) -> float:
    """Share of generated frames with two beads that are not bonded closer than any such two of the data."""
    first, second = np.triu_indices(trajectory.n_atoms, 2)

    def closest(positions: np.ndarray) -> np.ndarray:
        return np.linalg.norm(positions[:, first] - positions[:, second], axis=2).min(axis=1)

    return float(np.mean(closest(generated.positions) < closest(trajectory.positions).min()))


def _linear_draws(features: np.ndarray, latent_dim: int, seed: int) -> jax.Array:
    """Draws of probabilistic PCA: normal along the components, one width for all other directions."""
    pca = PCA.fit(features, latent_dim)
    rng = np.random.default_rng(seed)
    latent = rng.normal(size=(N_GENERATED, latent_dim)) * np.sqrt(np.asarray(pca.variances))
    rest = np.square(features - np.asarray(pca.decode(pca.encode(jnp.asarray(features)))))
    noise = np.sqrt(rest.sum(axis=1).mean() / (features.shape[1] - latent_dim))
    directions = np.asarray(pca.components)
    scatter = noise * rng.normal(size=(N_GENERATED, features.shape[1]))
    scatter -= (scatter @ directions.T) @ directions
    return jnp.asarray(np.asarray(pca.decode(jnp.asarray(latent, jnp.float32))) + scatter, jnp.float32)


def _compact(trajectory: pv.Trajectory, system: str, seed: int) -> dict[str, float]:
    result = _fit(trajectory, system, 16, seed, 40)
    found = pv.minimize_radius_of_gyration(result.model, starts=100, seed=seed)
    return {
        "valid starts of 100": found.n_valid,
        "best / smallest in the data": (found.best or np.nan) / found.data_minimum,
        "median / smallest in the data": float(np.median(found.radius_of_gyration)) / found.data_minimum,
    }


def _summarize(name: str, rows: list[dict[str, float]]) -> None:
    print(f"\n{name:44s} {'median':>9s} {'min':>9s} {'max':>9s}")
    for figure in rows[0]:
        values = [row[figure] for row in rows if np.isfinite(row[figure])] or [np.nan]
        print(f"{figure:44s} {np.median(values):9.4f} {min(values):9.4f} {max(values):9.4f}", flush=True)
    print()


def _text(row: dict[str, float]) -> str:
    return ", ".join(f"{name} {value:.3g}" for name, value in row.items())


if __name__ == "__main__":
    warnings.simplefilter("error")
    main()
