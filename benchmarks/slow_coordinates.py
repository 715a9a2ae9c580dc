"""Slow coordinates against known answers, beside PCA, TICA, a plain VAE, deeptime's VAMPnet and mlcolvar's DeepTICA.

    pip install 'polyvae[bench]'
    python benchmarks/slow_coordinates.py [--case sqrt noise beltway prinz] [--seeds 5] [--quick]
    python benchmarks/slow_coordinates.py --trajectory RUN.xtc --top SYSTEM.pdb --atoms "not element H" --lag-time 10

The systems are those of `slow_systems.py`; each seed draws its own training series, and every coordinate is judged on
one held-out series. All networks have hidden layers of 64 and 64 (100 and 100 for a trajectory), see the same inputs,
and train for the same epochs in the same batches; the epoch is chosen on held-out blocks. VAMP-2 is computed here, from
the latent means on the held-out series, the constant function included. A trajectory is split by polyvae, the test
blocks judge.
"""

import argparse
import itertools
import logging
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from libraries import optional, versions
from slow_systems import Series, beltway, beltway_mode, noise, prinz, prinz_timescales, sqrt_model

import polyvae as pv
from polyvae.preprocessing import kabsch_rotation
from polyvae.training import TrainConfig, fit_vae, make_vae
from polyvae.trajectory.lag_pairs import lag_pairs
from polyvae.vae import ModelConfig
from polyvae.vae.likelihoods import Normal

HIDDEN, BATCH, LEARNING_RATE = (64, 64), 1000, 2e-3
LARGE_HIDDEN = (100, 100)
WEIGHT = 100.0
Coordinate = Callable[[np.ndarray], np.ndarray]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--case", nargs="+", default=list(CASES), choices=CASES)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--quick", action="store_true", help="fewer frames and epochs, to try the script")
    parser.add_argument("--trajectory", type=Path)
    parser.add_argument("--top", type=Path)
    parser.add_argument("--atoms", default=None)
    parser.add_argument("--lag-time", type=int, default=10)
    parser.add_argument("--epochs", type=int, default=60)
    parser.add_argument("--vamp-weight", type=float, default=1000.0)
    parser.add_argument("--representation", default="cartesian", choices=("cartesian", "internal"))
    parser.add_argument("--without-peers", action="store_true", help="leave deeptime and mlcolvar out")
    arguments = parser.parse_args()
    for name in ("lightning", "lightning.pytorch"):
        logging.getLogger(name).setLevel(logging.ERROR)
    warnings.filterwarnings("ignore")
    print(versions("jax", *(() if arguments.without_peers else ("torch", "mlcolvar", "deeptime"))))
    if arguments.trajectory:
        _of_trajectory(arguments)
        return
    for name in arguments.case:
        CASES[name](arguments)


def _sqrt(arguments: argparse.Namespace) -> None:
    frames = 2000 if arguments.quick else 10_000
    held_out = sqrt_model(10 * frames, 1000)
    print(
        "\nsqrt model, two latents, lag 1: VAMP-2 (exact 1.81), squared error of the reconstruction, scaled"
    )
    _compare(
        arguments, sqrt_model, frames, held_out, latent_dim=2, lag_time=1, judge=_scored(1), each_column=True
    )


def _noise(arguments: argparse.Namespace) -> None:
    frames = 2000 if arguments.quick else 10_000
    print("\nslow process beside larger white noise, one latent, lag 1: |correlation| with the slow process")
    _compare(arguments, noise, frames, noise(frames, 1000), latent_dim=1, lag_time=1, judge=_correlated())


def _beltway(arguments: argparse.Namespace) -> None:
    frames = 20_000 if arguments.quick else 100_000
    held_out = beltway(frames, 1000)
    held_out = Series(rows=held_out.rows, slow=beltway_mode(held_out.slow))
    print("\nbeltway, one latent, lag 10: |correlation| with the exact slow eigenfunction, and by ranks")
    _compare(
        arguments, beltway, frames, held_out, latent_dim=1, lag_time=10, judge=_correlated(), walkers=100
    )


def _prinz(arguments: argparse.Namespace) -> None:
    """Timescales of three latents that see 24 Gaussian functions of x."""
    frames = 50_000 if arguments.quick else 200_000
    lag_time = 5
    exact = prinz_timescales()
    n_held_out = frames if arguments.quick else 3_000_000
    held_out = prinz(n_held_out, 1000, walkers=n_held_out // 1000)
    print(f"\nPrinz potential, three latents, lag {lag_time}: timescales in frames; exact {_numbers(exact)}")

    def judge(coordinate: Coordinate, series: Series) -> tuple[float, ...]:
        times = _timescales(coordinate(series.rows), lag_time, walkers=len(series.rows) // 1000)
        return (*times, float(np.max(np.abs(times / exact - 1.0))))

    def features(n_frames: int, seed: int) -> Series:
        series = prinz(n_frames, seed, walkers=n_frames // 1000)
        return Series(rows=_gaussians(series.rows), slow=series.slow)

    held_out = Series(rows=_gaussians(held_out.rows), slow=held_out.slow)
    _compare(
        arguments,
        features,
        frames,
        held_out,
        latent_dim=3,
        lag_time=lag_time,
        judge=judge,
        walkers=frames // 1000,
        # 24 functions of one number have many nats to offer for being rebuilt.
        weight=1000.0,
    )


CASES = {"sqrt": _sqrt, "noise": _noise, "beltway": _beltway, "prinz": _prinz}


def _compare(
    arguments: argparse.Namespace,
    draw: Callable[[int, int], Series],
    frames: int,
    held_out: Series,
    *,
    latent_dim: int,
    lag_time: int,
    judge: Callable[[Coordinate, Series], tuple[float, ...]],
    walkers: int = 1,
    each_column: bool = False,
    weight: float = WEIGHT,
) -> None:
    """One line a side: the median over seeds of each number, and its range."""
    epochs = 5 if arguments.quick else 60
    rows: dict[str, list[tuple[float, ...]]] = {}
    for seed in range(arguments.seeds):
        series = draw(frames, seed)
        # One scale keeps the proportions of large and small motions, which PCA and a plain VAE go by.
        mean, scale = series.rows.mean(axis=0), series.rows.std(axis=0 if each_column else None)
        vectors = ((series.rows - mean) / scale).astype(np.float32)
        scaled = Series(rows=((held_out.rows - mean) / scale).astype(np.float32), slow=held_out.slow)
        segments = (frames // walkers,) * walkers
        settings = {"latent_dim": latent_dim, "epochs": epochs, "seed": seed}
        sides: dict[str, Coordinate] = {
            "PCA": _pca(vectors, latent_dim),
            "TICA": _tica(vectors, segments, lag_time, latent_dim),
            "plain VAE": _vae(vectors, segments, lag_time, weight=0.0, **settings),
            "polyvae": _vae(vectors, segments, lag_time, weight=weight, **settings),
        }
        if not arguments.without_peers:
            sides["VAMPnet"] = _vampnet(vectors, segments, lag_time, **settings)
            sides["DeepTICA"] = _deeptica(vectors, segments, lag_time, **settings)
        for name, coordinate in sides.items():
            rows.setdefault(name, []).append(judge(coordinate, scaled))
    for name, numbers in rows.items():
        middle, low, high = (f(np.array(numbers), axis=0) for f in (np.median, np.min, np.max))
        print(
            f"{name:10s}",
            "   ".join(f"{m:.4g} ({a:.4g} to {b:.4g})" for m, a, b in zip(middle, low, high, strict=True)),
            flush=True,
        )


def _scored(lag_time: int) -> Callable[[Coordinate, Series], tuple[float, ...]]:
    def judge(coordinate: Coordinate, series: Series) -> tuple[float, ...]:
        latent = coordinate(series.rows)
        rebuilt = getattr(coordinate, "rebuilt", None)
        error = float(np.mean((rebuilt(series.rows) - series.rows) ** 2)) if rebuilt else np.nan
        return vamp_2(latent[:-lag_time], latent[lag_time:]), error

    return judge


def _correlated() -> Callable[[Coordinate, Series], tuple[float, ...]]:
    def judge(coordinate: Coordinate, series: Series) -> tuple[float, ...]:
        from scipy.stats import spearmanr

        latent = coordinate(series.rows)[:, 0]
        return abs(float(np.corrcoef(latent, series.slow)[0, 1])), abs(
            float(spearmanr(latent, series.slow)[0])
        )

    return judge


def vamp_2(first: np.ndarray, second: np.ndarray) -> float:
    """VAMP-2 of a coordinate's values at both ends of pairs, plus 1 for the constant function."""
    first, second = (np.asarray(values, np.float64) - np.mean(values, axis=0) for values in (first, second))
    left, right = (np.linalg.cholesky(values.T @ values) for values in (first, second))
    whole = np.linalg.solve(right, np.linalg.solve(left, first.T @ second).T)
    return 1.0 + float(np.sum(whole**2))


def _timescales(latent: np.ndarray, lag_time: int, *, walkers: int) -> np.ndarray:
    """Implied timescales of the reversible model on a latent, in frames."""
    parts = np.asarray(latent, np.float64).reshape(walkers, -1, latent.shape[1])
    first, second = (
        part.reshape(-1, latent.shape[1]) for part in (parts[:, :-lag_time], parts[:, lag_time:])
    )
    values = _eigen(first, second)[0]
    return -lag_time / np.log(values)


def _eigen(first: np.ndarray, second: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Eigenvalues, largest first, and eigenvectors of the symmetrized lagged covariance."""
    from scipy.linalg import eigh

    mean = (first.mean(axis=0) + second.mean(axis=0)) / 2
    first, second = first - mean, second - mean
    lagged = first.T @ second
    together = first.T @ first + second.T @ second
    values, vectors = eigh(lagged + lagged.T, together + 1e-10 * np.trace(together) * np.eye(len(together)))
    return values[::-1], vectors[:, ::-1]


def _gaussians(x: np.ndarray) -> np.ndarray:
    centers = np.linspace(-1.15, 1.15, 24)
    return np.exp(-0.5 * ((x - centers[None, :]) / 0.1) ** 2).astype(np.float32)


def _numbers(values: np.ndarray) -> str:
    return ", ".join(f"{value:.4g}" for value in values)


def _pca(vectors: np.ndarray, latent_dim: int) -> Coordinate:
    axes = np.linalg.svd(vectors - vectors.mean(axis=0), full_matrices=False)[2][:latent_dim]
    return lambda rows: rows @ axes.T


def _tica(vectors: np.ndarray, segments: tuple[int, ...], lag_time: int, latent_dim: int) -> Coordinate:
    pairs = lag_pairs(np.arange(len(vectors)), segments, lag_time)
    doubled = vectors.astype(np.float64)
    axes = _eigen(doubled[pairs[:, 0]], doubled[pairs[:, 1]])[1][:, :latent_dim]
    return lambda rows: rows @ axes


class _Encoder:
    """The latent means of a VAE, and what it rebuilds from them."""

    def __init__(self, vae: Any) -> None:
        self.encode = jax.jit(lambda rows: vae.encode(rows).mean)
        self.decode = jax.jit(lambda rows: vae.decode(vae.encode(rows).mean))

    def __call__(self, rows: np.ndarray) -> np.ndarray:
        return _in_pieces(self.encode, rows)

    def rebuilt(self, rows: np.ndarray) -> np.ndarray:
        return _in_pieces(self.decode, rows)


def _in_pieces(function: Callable[[Any], Any], rows: np.ndarray, size: int = 50_000) -> np.ndarray:
    return np.concatenate(
        [np.asarray(function(jnp.asarray(rows[i : i + size]))) for i in range(0, len(rows), size)]
    )


def _vae(
    vectors: np.ndarray,
    segments: tuple[int, ...],
    lag_time: int,
    *,
    weight: float,
    latent_dim: int,
    epochs: int,
    seed: int,
) -> Coordinate:
    lag = {"lag_time": lag_time, "vamp_weight": weight} if weight else {}
    config = TrainConfig(
        epochs=epochs,
        batch_size=BATCH,
        learning_rate=LEARNING_RATE,
        kl_warmup=min(10, epochs - 1),
        patience=None,
        **lag,
    )
    likelihood = Normal.of(vectors.shape[1], per_feature=True)
    vae = make_vae(likelihood, ModelConfig(latent_dim=latent_dim, hidden=HIDDEN), seed=seed)
    return _Encoder(fit_vae(vae, vectors, config, segments=segments, seed=seed).vae)


def _blocks(segments: tuple[int, ...], lag_time: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Pairs of frames to train on and to choose the epoch by, in contiguous blocks."""
    n_frames = sum(segments)
    rng = np.random.default_rng([seed, 7])
    held = rng.permutation(20)[:2]
    block = np.arange(n_frames) * 20 // n_frames
    parts = (np.flatnonzero(~np.isin(block, held)), np.flatnonzero(np.isin(block, held)))
    train, validation = (part[lag_pairs(part, segments, lag_time)] for part in parts)
    return train, validation


def _perceptron(torch: Any, widths: list[int]) -> Any:
    layers: list[Any] = []
    for a, b in itertools.pairwise(widths):
        layers += [torch.nn.Linear(a, b), torch.nn.SiLU()]
    return torch.nn.Sequential(*layers[:-1])


def _vampnet(
    vectors: np.ndarray,
    segments: tuple[int, ...],
    lag_time: int,
    *,
    latent_dim: int,
    epochs: int,
    seed: int,
    pairs: tuple[np.ndarray, np.ndarray] | None = None,
    hidden: tuple[int, ...] = HIDDEN,
) -> Coordinate:
    """Deeptime's VAMPnet as its documentation trains it; the epoch with the best validation score is kept."""
    torch, deep = optional("torch"), optional("deeptime.decomposition.deep")
    torch.manual_seed(seed)
    train, validation = pairs or _blocks(segments, lag_time, seed)
    lobe = _perceptron(torch, [vectors.shape[1], *hidden, latent_dim])
    net = deep.VAMPNet(lobe, learning_rate=LEARNING_RATE)
    data = torch.utils.data.TensorDataset(*(torch.from_numpy(vectors[rows]) for rows in train.T))
    loader = torch.utils.data.DataLoader(data, batch_size=BATCH, shuffle=True, drop_last=True)
    held = [torch.from_numpy(vectors[rows]) for rows in validation.T]
    best, kept = -np.inf, None
    for _ in range(epochs):
        net.fit(loader, n_epochs=1)
        with torch.no_grad():
            score = vamp_2(*(lobe.eval()(rows).numpy() for rows in held))
        lobe.train()
        if score > best:
            best, kept = score, {name: value.clone() for name, value in lobe.state_dict().items()}
    lobe.load_state_dict(kept)
    return lambda rows: lobe.eval()(torch.from_numpy(rows)).detach().numpy()


def _deeptica(
    vectors: np.ndarray,
    segments: tuple[int, ...],
    lag_time: int,
    *,
    latent_dim: int,
    epochs: int,
    seed: int,
    pairs: tuple[np.ndarray, np.ndarray] | None = None,
    hidden: tuple[int, ...] = HIDDEN,
) -> Coordinate:
    """Mlcolvar's DeepTICA as its documentation trains it, with its own early choice of the best epoch."""
    torch, lightning = optional("torch"), optional("lightning")
    cvs, tools = optional("mlcolvar.cvs"), optional("mlcolvar.data")
    torch.manual_seed(seed)
    train, validation = pairs or _blocks(segments, lag_time, seed)
    both = np.concatenate([train, validation])
    ones = torch.ones(len(both))
    dataset = tools.DictDataset(
        {
            "data": torch.from_numpy(vectors[both[:, 0]]),
            "data_lag": torch.from_numpy(vectors[both[:, 1]]),
            "weights": ones,
            "weights_lag": ones,
        }
    )
    module = tools.DictModule(
        dataset,
        lengths=[len(train), len(validation)],
        batch_size=[BATCH, len(validation)],
        random_split=False,
        shuffle=[True, False],
    )
    options = {"optimizer": {"lr": LEARNING_RATE}, "nn": {"activation": "tanh"}}
    model = cvs.DeepTICA([vectors.shape[1], *hidden, latent_dim], n_cvs=latent_dim, options=options)
    best: dict[str, Any] = {"score": -np.inf}

    class Keeper(lightning.Callback):
        def on_validation_end(self, trainer: Any, pl_module: Any) -> None:
            score = -float(trainer.callback_metrics["valid_loss"])
            if score > best["score"] and not trainer.sanity_checking:
                best.update(score=score, state={k: v.clone() for k, v in pl_module.state_dict().items()})

    trainer = lightning.Trainer(
        max_epochs=epochs,
        accelerator="cpu",
        callbacks=[Keeper()],
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
    )
    trainer.fit(model, module)
    model.load_state_dict(best["state"])
    model.eval()
    return lambda rows: model(torch.from_numpy(rows)).detach().numpy()


def _of_trajectory(arguments: argparse.Namespace) -> None:
    """VAMP-2 on test blocks, reconstruction and generated distances of one model; the peers' VAMP-2 beside it."""
    trajectory = pv.load(arguments.trajectory, top=arguments.top, atoms=arguments.atoms)
    lag_time, epochs = arguments.lag_time, 5 if arguments.quick else arguments.epochs
    print(
        f"\n{trajectory}, two latents, lag {lag_time} frames, weight {arguments.vamp_weight:g}, {epochs} epochs"
    )
    print("seed  side        VAMP-2 train  test   RMSD (nm)  time; scores of 20 000 generated frames below")
    for seed in range(arguments.seeds):
        started = time.perf_counter()
        config = pv.ModelConfig(
            latent_dim=2,
            hidden=LARGE_HIDDEN,
            prior="mixture",
            prior_training="after",
            representation=arguments.representation,
        )
        training = pv.TrainConfig(
            epochs=epochs,
            batch_size=BATCH,
            learning_rate=LEARNING_RATE,
            patience=None,
            lag_time=lag_time,
            vamp_weight=arguments.vamp_weight,
            test_fraction=0.2,
        )
        result = pv.fit(trajectory, config, training, seed=seed)
        seconds = time.perf_counter() - started
        split, model = result.split, result.model
        pairs = {
            name: part[lag_pairs(part, trajectory.segments, lag_time)]
            for name, part in (("train", split.train), ("validation", split.validation), ("test", split.test))
        }

        def scores(latent: np.ndarray, pairs: dict[str, np.ndarray] = pairs) -> str:
            return "  ".join(
                f"{vamp_2(latent[pairs[n][:, 0]], latent[pairs[n][:, 1]]):.3f}" for n in ("train", "test")
            )

        latent = pv.latent_trajectory(model, trajectory).mean
        generated = pv.generate(model, 20_000, seed=seed)
        quality = pv.score_ensemble(trajectory[split.test], generated)
        print(
            f"{seed:4d}  polyvae     {scores(latent)}  {_rmsd(model, trajectory.positions[split.test]):.4f}  "
            f"{seconds:.0f} s",
            flush=True,
        )
        for row in quality.rows:
            print(f"      {row.name:24s} {row.value:.4g} (floor {row.floor}) {row.unit}  {row.verdict}")
        if arguments.without_peers:
            continue
        vectors = np.asarray(model.cartesian_features(trajectory.positions), np.float32)
        for name, side in (("VAMPnet", _vampnet), ("DeepTICA", _deeptica)):
            started = time.perf_counter()
            coordinate = side(
                vectors,
                trajectory.segments,
                lag_time,
                latent_dim=2,
                epochs=epochs,
                seed=seed,
                pairs=(pairs["train"], pairs["validation"]),
                hidden=LARGE_HIDDEN,
            )
            print(
                f"{seed:4d}  {name:11s} {scores(coordinate(vectors))}  {time.perf_counter() - started:.0f} s",
                flush=True,
            )


def _rmsd(model: pv.ConformationModel, positions: np.ndarray) -> float:
    """Mean RMSD of frames and what the latent means rebuild, after superposition."""
    rebuilt = np.asarray(model.reconstruct(positions))
    one, other = (values - values.mean(axis=1, keepdims=True) for values in (positions, rebuilt))
    turns = np.asarray(jax.vmap(kabsch_rotation)(jnp.asarray(other), jnp.asarray(one)))
    moved = np.einsum("nij,naj->nai", turns, other)
    return float(np.mean(np.sqrt(np.mean(np.sum((one - moved) ** 2, axis=2), axis=1))))


if __name__ == "__main__":
    main()
