"""Categories: a latent that informs, and probabilities that are right, both at once.

    python examples/categorical.py [--output DIR] [--seeds 10] [--quick]

1024 points of two normals (512 around -1 with width 0.5, 512 around 1 with width 0.25), sorted into 32 classes: one-hot
vectors, and one latent dimension. A categorical decoder can put any probabilities into its biases, so it needs no
latent to describe the data. The ways to train it, ten seeds of each side by side in one compiled run:

* `beta` 1 with its full weight from the start. The latent collapses: every posterior equals the prior. Generated
  classes are as frequent as those of the data, but reconstruction is a guess.
* `beta` 1, warmed up over half of the run, in a wider network. At beta 1 the bound hardly tells a model that uses its
  latent from one that does not, as long as both describe the data (here by hundredths of a nat); the way there
  decides. This latent stays informative, but nothing holds it: its rate falls until the learning rate is spent.
* `beta` 0.9 on the same way holds it: informative and calibrated at once.
* `beta` 0.2, the usual rebalancing. Reconstruction is right, but the aggregate posterior leaves the prior, so that
  generated classes are not as frequent as those of the data. The rate exceeds the entropy of the data, the most that a
  latent can say about a class; what is above it is this mismatch.
* the same with a mixture prior fitted to the aggregate posterior afterwards, which repairs that.
* a rate target of 2.5 nats, which finds a weight near 0.9 by itself.

Model probabilities p(x) are integrals of p(z) p(x|z) over z on a fine grid, so that no number has sampling noise of its
own. Total variation is half the sum of absolute differences between two distributions.
"""

import argparse
from pathlib import Path

import equinox as eqx
import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure

import polyvae as pv
from polyvae import plots
from polyvae.training import VAEFit, fit_prior
from polyvae.vae import VAE
from polyvae.vae.likelihoods import Categorical

N_CLASSES = 32
N_POINTS = 1024

_SMALL = pv.ModelConfig(latent_dim=1, hidden=(16,))
_WIDE = pv.ModelConfig(latent_dim=1, hidden=(32, 32))
_MIXTURE = pv.ModelConfig(prior="mixture", prior_components=16)

_COLLAPSED, _REBALANCED, _SMALL_BETA = "beta 1", "beta 0.9, warmed up", "beta 0.2, warmed up"
_FITTED = "beta 0.2, prior fitted"
_WARMED_UP = {"epochs": 400, "learning_rate": 0.01, "kl_warmup": 200}

# Network, beta, and the settings that differ from run to run.
RUNS = {
    # A large learning rate: near its end the collapse has no slope to follow, only noise.
    _COLLAPSED: (_SMALL, 1.0, {"epochs": 300, "learning_rate": 0.1, "kl_warmup": 0}),
    "beta 1, warmed up": (_WIDE, 1.0, _WARMED_UP),
    _REBALANCED: (_WIDE, 0.9, _WARMED_UP),
    _SMALL_BETA: (_WIDE, 0.2, _WARMED_UP),
    "rate target 2.5": (_WIDE, 0.2, {**_WARMED_UP, "kl_warmup": 100, "rate_target": 2.5}),
}
_COLORS = {
    _COLLAPSED: "#7f7f7f",
    "beta 1, warmed up": "#cc79a7",
    _REBALANCED: "#d55e00",
    _SMALL_BETA: "#0072b2",
    "rate target 2.5": "#009e73",
    _FITTED: "#56b4e9",
}
_LATENT_GRID = np.linspace(-8.0, 8.0, 16_001)


def main(arguments: list[str] | None = None) -> dict[str, float]:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--output", type=Path, default=Path(__file__).parent / "output" / "categorical")
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--quick", action="store_true", help="two runs, three seeds, fewer epochs")
    options = parser.parse_args(arguments)
    options.output.mkdir(parents=True, exist_ok=True)
    names = (_COLLAPSED, _REBALANCED) if options.quick else tuple(RUNS)
    seeds = range(3 if options.quick else options.seeds)

    one_hot, edges = _data(np.random.default_rng(0))
    frequencies = one_hot.mean(axis=0)
    true = _class_probabilities(edges)
    seen = frequencies > 0
    entropy = float(-np.sum(frequencies[seen] * np.log(frequencies[seen])))

    fits = {name: _trained(name, one_hot, seeds, shorter=4 if options.quick else 1) for name in names}
    models = {name: [fit.vae for fit in of_name] for name, of_name in fits.items()}
    if not options.quick:
        models[_FITTED] = [
            fit_prior(vae, one_hot, _MIXTURE, seed=seed)
            for seed, vae in zip(seeds, models[_SMALL_BETA], strict=True)
        ]
    scores = {name: [_scores(vae, one_hot, frequencies) for vae in vaes] for name, vaes in models.items()}

    print(f"{len(seeds)} seeds, median (min..max)")
    print(
        f"{'':24s}{'total variation':>26s}{'top-1 reconstruction':>26s}{'-log p(x) (nats)':>26s}{'rate (nats)':>24s}"
    )
    for name, of_name in scores.items():
        columns = (_words([score[column] for score in of_name]) for column in ("tv", "top-1", "nll", "rate"))
        print(f"{name:24s}" + "".join(f"{words:>25s} " for words in columns))
    floor = _total_variation_floor(true, np.random.default_rng(1))
    print(f"{'two samples of 1024':24s}{floor:11.4f}")
    print(f"{'data and their law':24s}{_total_variation(frequencies, true):11.4f}")
    print(f"{'always the same class':24s}{'':26s}{frequencies.max():11.4f}")
    print(f"{'entropy of the data':24s}{'':52s}{entropy:11.4f}")
    collapsed = [fit.diagnosis for fit in fits[_COLLAPSED]]
    means = [float(diagnosis.encoder_mean[0]) for diagnosis in collapsed]
    widths = [float(diagnosis.encoder_sd[0]) for diagnosis in collapsed]
    print(f"\nEncoder at beta 1: mean {_words(means)}, standard deviation {_words(widths)}")
    for name, of_name in fits.items():
        print(f"{name}: {of_name[0].diagnosis.sentence}")

    for name, drawing in (
        ("marginals", _figure_marginals(models, frequencies, true, edges)),
        ("balance", _figure_balance(scores, models[_REBALANCED][0], edges, floor)),
    ):
        path = options.output / f"{name}.png"
        path.write_bytes(plots.to_png(drawing))
        print(path)
    numbers = {
        f"{column}, {name}": float(np.median([score[column] for score in of_name]))
        for name, of_name in scores.items()
        for column in of_name[0]
    }
    return {
        **numbers,
        "entropy": entropy,
        "floor": floor,
        "collapsed": float(np.mean([diagnosis.status == "collapsed" for diagnosis in collapsed])),
        "healthy": float(np.mean([fit.diagnosis.status == "healthy" for fit in fits[_REBALANCED]])),
        "encoder mean": float(np.median(means)),
        "encoder sd": float(np.median(widths)),
    }


def _data(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """One-hot rows of the points' classes, shape (points, classes), and the edges of the classes."""
    half = N_POINTS // 2
    points = np.concatenate([rng.normal(-1.0, 0.5, half), rng.normal(1.0, 0.25, half)])
    edges = np.histogram_bin_edges(points, bins=N_CLASSES)
    classes = np.searchsorted(edges[1:-1], points, side="right")
    return np.eye(N_CLASSES, dtype=np.float32)[classes], edges


def _class_probabilities(edges: np.ndarray) -> np.ndarray:
    """What the frequencies scatter around; the outermost classes reach to infinity."""
    inner = jnp.asarray(edges[1:-1])
    below = 0.5 * jax.scipy.stats.norm.cdf(inner, -1.0, 0.5) + 0.5 * jax.scipy.stats.norm.cdf(
        inner, 1.0, 0.25
    )
    return np.diff(np.concatenate([[0.0], np.asarray(below, np.float64), [1.0]]))


def _trained(name: str, one_hot: np.ndarray, seeds: range, *, shorter: int) -> list[VAEFit]:
    """All seeds of one run."""
    model, beta, settings = RUNS[name]
    settings = settings | {key: settings[key] // shorter for key in ("epochs", "kl_warmup")}
    return pv.fit_vae_ensemble(
        [pv.make_vae(Categorical(N_CLASSES), model, seed=seed) for seed in seeds],
        one_hot,
        pv.TrainConfig(batch_size=32, patience=None, **settings),
        betas=[beta] * len(seeds),
        seeds=list(seeds),
        # The task is to describe these points, so that they also choose the epoch; eight draws of z for each,
        # since the bounds of epochs differ by less than the noise of one.
        validation=np.tile(one_hot, (8, 1)),
    )


def _scores(vae: VAE, one_hot: np.ndarray, frequencies: np.ndarray) -> dict[str, float]:
    marginal = _marginal(vae)
    rows = jnp.asarray(one_hot)
    posterior = vae.encode(rows)
    guesses = np.argmax(vae.decode(posterior.mean), axis=1)
    rate = vae.latent_prior().kl(posterior, posterior.sample(jax.random.key(0)))
    return {
        "tv": _total_variation(marginal, frequencies),
        "top-1": float(np.mean(guesses == one_hot.argmax(axis=1))),
        "nll": float(-np.sum(frequencies * np.log(marginal))),
        "rate": float(jnp.mean(jnp.sum(rate, axis=1))),
    }


@eqx.filter_jit
def _on_grid(vae: VAE, grid: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Weight of each grid point under the prior, and p(x|z) there."""
    return jax.nn.softmax(jax.vmap(vae.latent_prior().log_prob)(grid)), vae.decode(grid)


def _marginal(vae: VAE) -> np.ndarray:
    """Integral of p(z) p(x|z) over z, one number a class."""
    weights, probabilities = _on_grid(vae, jnp.asarray(_LATENT_GRID[:, None], jnp.float32))
    return np.asarray(weights, np.float64) @ np.asarray(probabilities, np.float64)


def _total_variation(first: np.ndarray, second: np.ndarray) -> float:
    return float(0.5 * np.abs(first - second).sum())


def _total_variation_floor(true: np.ndarray, rng: np.random.Generator) -> float:
    """Mean total variation between two samples as large as the data."""
    first, second = rng.multinomial(N_POINTS, true, size=(2, 1000)) / N_POINTS
    return float(0.5 * np.abs(first - second).sum(axis=1).mean())


def _words(values: list[float]) -> str:
    return f"{np.median(values):.4f} ({min(values):.4f}..{max(values):.4f})"


@plots.style()
def _figure_marginals(
    models: dict[str, list[VAE]], frequencies: np.ndarray, true: np.ndarray, edges: np.ndarray
) -> Figure:
    """Frequencies of the data under what each run generates, first seed."""
    rows = -(-len(models) // 2)
    figure, panels = plt.subplots(
        rows, 2, figsize=(6.8, 1.5 * rows + 0.6), sharex=True, sharey=True, squeeze=False
    )
    centers = 0.5 * (edges[1:] + edges[:-1])
    for axes, (name, vaes) in zip(panels.flat, models.items(), strict=False):
        axes.bar(centers, frequencies, width=np.diff(edges), color="#d0d5d8", label="data")
        axes.plot(centers, true, ".", color="#36454f", markersize=3, label="their law")
        axes.stairs(_marginal(vaes[0]), edges, color=_COLORS[name], linewidth=1.4)
        axes.set_title(name)
    panels[0, 0].legend(loc="upper left")
    for axes in panels[-1]:
        axes.set_xlabel("point (class = bin)")
    figure.supylabel("probability (line: model)", fontsize=9)
    return figure


@plots.style()
def _figure_balance(
    scores: dict[str, list[dict[str, float]]], vae: VAE, edges: np.ndarray, floor: float
) -> Figure:
    """Reconstruction against total variation, every seed; and the decoder of the rebalanced run."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(6.8, 3.2), width_ratios=(1.25, 1.0))
    for name, of_name in scores.items():
        left.plot(
            [score["tv"] for score in of_name],
            [score["top-1"] for score in of_name],
            "o",
            color=_COLORS[name],
            markersize=4,
            alpha=0.7,
            label=name,
        )
    left.axvline(floor, color="#9a9a9a", linewidth=1.0, linestyle="--")
    left.text(
        floor * 0.93,
        0.5,
        "two samples of 1024",
        rotation=90,
        ha="right",
        va="center",
        fontsize=8,
        color="#6a6a6a",
    )
    left.set_xscale("log")
    left.set_ylim(0.0, 1.02)
    left.set_xlabel("total variation between model and data")
    left.set_ylabel("top-1 reconstruction")
    left.legend(loc="lower left", bbox_to_anchor=(0.0, 0.2))
    grid = jnp.linspace(-3.0, 3.0, 401)[:, None]
    image = right.pcolormesh(
        np.asarray(grid[:, 0]),
        0.5 * (edges[1:] + edges[:-1]),
        np.asarray(vae.decode(grid)).T,
        cmap="cividis",
        vmin=0,
        vmax=1,
    )
    image.set_rasterized(True)
    right.set_xlabel("latent z")
    right.set_ylabel("point (class = bin)")
    right.set_title(f"Decoder, {_REBALANCED}")
    figure.colorbar(image, ax=right, label="p(class | z)")
    return figure


if __name__ == "__main__":
    main()
