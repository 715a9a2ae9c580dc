"""Regression on one number: a density, a latent that keeps the points, and a width that must not run away.

    python examples/regression.py [--output DIR] [--seeds 10] [--quick]

1024 points of two normals (512 around -1 with width 0.5, 512 around 1 with width 0.25), one latent dimension, a normal
likelihood with a learned width sigma. Ten seeds are trained side by side in one compiled run and compared with the
law of the points itself, on 100 000 points that training never saw:

* W1 between 100 000 generated points and the law, by its distribution function;
* the exact -log p(x), with the latent integrated on a grid;
* the error of reconstruction, decoder(posterior mean) - x;
* W1 between draws of q(z|x) of unseen points and of the prior, in standard deviations of the prior.

A latent of one dimension can carry any number of nats about such points: with each nat sigma shrinks, and the bound
hardly changes. At beta 1 the run stops at 1.2 nats and an error of 0.15. Named as rate target, 2 nats bring the error
to 0.03 for 0.002 nats of -log p. A standard normal prior asks the networks for the bend between one peak and two; a
mixture of normals as prior takes that off them.

The width. The loss of a point with the residual r is, up to a constant,

    -log p(x|z) = r² / (2 sigma²) + log sigma

with its minimum where sigma is the root mean square of r. With the sign of log sigma turned by mistake, a classic slip,
both terms fall as sigma grows: the loss has no minimum and sigma runs to infinity. On the way there the residual stops
to count, so that decoder and latent learn nothing. The script shows the slip in numbers, and what a width that is too
large does to a VAE.
"""

import argparse
from pathlib import Path

import equinox as eqx
import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure
from scipy.stats import gaussian_kde, norm

import polyvae as pv
from polyvae import plots
from polyvae.training import VAEFit
from polyvae.vae import VAE
from polyvae.vae.likelihoods import Normal

N_POINTS = 1024
N_HELD_OUT = 100_000

_NORMAL = pv.ModelConfig(latent_dim=1, hidden=(64, 64))
_MIXTURE = pv.ModelConfig(latent_dim=1, hidden=(64, 64), prior="mixture", prior_components=8)
_WIDE = "width fixed at 3"
_BEST = "mixture prior, 2 nats"

# Settings of the model, the width, and nats that the latent shall carry.
RUNS = {
    _BEST: (_MIXTURE, Normal.of(1), 2.0),
    "mixture prior, beta 1": (_MIXTURE, Normal.of(1), None),
    "normal prior, 2 nats": (_NORMAL, Normal.of(1), 2.0),
    _WIDE: (_NORMAL, Normal.of(1, sigma=3.0, learn=False), None),
}
_COLORS = {
    _BEST: "#d55e00",
    "mixture prior, beta 1": "#009e73",
    "normal prior, 2 nats": "#0072b2",
    _WIDE: "#7f7f7f",
}
_MEASURES = ("W1", "-log p", "RMSE", "prior W1", "sigma", "rate")

_GRID = np.linspace(-30.0, 30.0, 60_001)
_POINT_GRID = np.linspace(-6.0, 6.0, 3001)
_LATENT_GRID = np.linspace(-8.0, 8.0, 8001)


def main(arguments: list[str] | None = None) -> dict[str, float]:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--output", type=Path, default=Path(__file__).parent / "output" / "regression")
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--quick", action="store_true", help="two runs, three seeds, fewer epochs")
    options = parser.parse_args(arguments)
    options.output.mkdir(parents=True, exist_ok=True)
    names = (_BEST, _WIDE) if options.quick else tuple(RUNS)
    seeds = range(3 if options.quick else options.seeds)

    rng = np.random.default_rng(0)
    half = N_POINTS // 2
    points = rng.permutation(np.concatenate([rng.normal(-1.0, 0.5, half), rng.normal(1.0, 0.25, half)]))
    held_out = _draws_of_law(N_HELD_OUT, rng)

    fits = {name: _trained(name, points, seeds, epochs=60 if options.quick else 200) for name in names}
    scores = {
        name: [_scores(fit.vae, held_out, seed) for seed, fit in zip(seeds, of_name, strict=True)]
        for name, of_name in fits.items()
    }
    floors = _floors(points, held_out, rng)

    print(f"{len(seeds)} seeds, median (min..max); -log p and rate in nats")
    print(f"{'':24s}" + "".join(f"{name:>24s}" for name in _MEASURES))
    for name, of_name in scores.items():
        print(
            f"{name:24s}"
            + "".join(f"{_words([row[column] for row in of_name]):>24s}" for column in _MEASURES)
        )
    for name, (distance, nats) in floors.items():
        print(f"{name:24s}{distance:8.4f}{'':16s}" + ("" if np.isnan(nats) else f"{nats:8.4f}"))
    first, second = np.sort(rng.normal(size=(2, N_HELD_OUT)), axis=1)
    print(f"{'two samples of a prior':24s}{'':72s}{np.abs(first - second).mean():8.4f}")
    print(f"{'always the mean':24s}{'':48s}{held_out.std():8.4f}")
    for name, of_name in fits.items():
        print(f"{name}: {of_name[0].diagnosis.sentence}")

    residual = float(points.std())
    right, wrong = (_descended_width(residual, sign=sign) for sign in (1.0, -1.0))
    print(f"\nThe sign of log sigma, with residuals of root mean square {residual:.3f}")
    print(f"{'sigma':>10s}{'r²/2sigma² + log sigma':>26s}{'r²/2sigma² - log sigma':>26s}")
    for sigma in (0.3, residual, 3.0, 30.0, 300.0, 3000.0):
        print(
            f"{sigma:10.4g}{_width_loss(sigma, residual, 1.0):26.3f}{_width_loss(sigma, residual, -1.0):26.3f}"
        )
    print(f"sigma after 100 steps of gradient descent: right sign {right:.4f}, wrong sign {wrong:.4g}")

    for name, drawing in (
        ("density", _figure_density(fits, points, held_out)),
        ("width", _figure_width(fits, residual)),
    ):
        path = options.output / f"{name}.png"
        path.write_bytes(plots.to_png(drawing))
        print(path)
    learned = np.array([fit.history.sigma for fit in fits[_BEST]])
    return {
        **{
            f"{column}, {name}": float(np.median([row[column] for row in of_name]))
            for name, of_name in scores.items()
            for column in (*_MEASURES, "mass")
        },
        **{f"W1, {name}": distance for name, (distance, _) in floors.items()},
        **{f"-log p, {name}": nats for name, (_, nats) in floors.items()},
        "largest sigma": float(learned.max()),
        "right sign": right,
        "wrong sign": wrong,
        "residual": residual,
        "too wide": float(np.mean([fit.diagnosis.cause == "noise too wide" for fit in fits[_WIDE]])),
    }


def _trained(name: str, points: np.ndarray, seeds: range, *, epochs: int) -> list[VAEFit]:
    """All seeds of one run."""
    config, likelihood, rate = RUNS[name]
    rows = points[:, None].astype(np.float32)
    return pv.fit_vae_ensemble(
        [pv.make_vae(likelihood, config, seed=seed) for seed in seeds],
        rows,
        pv.TrainConfig(
            epochs=epochs, batch_size=64, learning_rate=0.01, kl_warmup=20, rate_target=rate, patience=None
        ),
        seeds=list(seeds),
        # Every point trains; what that costs on unseen ones is in the table.
        validation=np.tile(rows, (4, 1)),
    )


def _scores(vae: VAE, held_out: np.ndarray, seed: int) -> dict[str, float]:
    generating, encoding, drawing = jax.random.split(jax.random.key(seed), 3)
    log_density = np.asarray(_log_density(vae), np.float64)
    rows = jnp.asarray(held_out[:, None], jnp.float32)
    posterior = vae.encode(rows)
    latent = posterior.sample(encoding)
    prior = vae.latent_prior()
    draws = np.sort(np.asarray(prior.sample(drawing, len(rows)), np.float64)[:, 0])
    aggregate = np.sort(np.asarray(latent, np.float64)[:, 0])
    residual = np.asarray(vae.decode(posterior.mean) - rows, np.float64)
    return {
        "W1": _distance_from_law(np.asarray(_generated(vae, generating), np.float64)),
        "-log p": float(-np.interp(held_out, _POINT_GRID, log_density).mean()),
        "RMSE": float(np.sqrt(np.mean(residual**2))),
        "prior W1": float(np.abs(aggregate - draws).mean() / draws.std()),
        "sigma": _sigma(vae),
        "rate": float(jnp.mean(jnp.sum(prior.kl(posterior, latent), axis=1))),
        "mass": float(np.trapezoid(np.exp(log_density), _POINT_GRID)),
    }


def _sigma(vae: VAE) -> float:
    assert isinstance(vae.likelihood, Normal)
    return float(jnp.exp(vae.likelihood.log_scale))


@eqx.filter_jit
def _log_density(vae: VAE) -> jax.Array:
    """Logarithm of the integral of p(z) p(x|z) over z, at the points of a grid."""
    latent = jnp.asarray(_LATENT_GRID[:, None], jnp.float32)
    log_prior = jax.nn.log_softmax(jax.vmap(vae.latent_prior().log_prob)(latent))
    outputs = vae.outputs(latent)

    def at(point: jax.Array) -> jax.Array:
        rows = jnp.broadcast_to(point[None, None], latent.shape)
        return jax.nn.logsumexp(log_prior + jax.vmap(vae.log_likelihood)(rows, outputs))

    return jax.lax.map(at, jnp.asarray(_POINT_GRID, jnp.float32), batch_size=50)


@eqx.filter_jit
def _generated(vae: VAE, key: jax.Array) -> jax.Array:
    latent_key, noise_key = jax.random.split(key)
    latent = vae.latent_prior().sample(latent_key, N_HELD_OUT)
    return jax.vmap(vae.sample)(latent, jax.random.split(noise_key, N_HELD_OUT))[:, 0]


def _draws_of_law(n: int, rng: np.random.Generator) -> np.ndarray:
    return np.where(rng.random(n) < 0.5, rng.normal(-1.0, 0.5, n), rng.normal(1.0, 0.25, n))


def _law(points: np.ndarray) -> np.ndarray:
    """Density that the points are drawn from."""
    return 0.5 * norm.pdf(points, -1.0, 0.5) + 0.5 * norm.pdf(points, 1.0, 0.25)


def _distance_from_law(sample: np.ndarray) -> float:
    """W1, the integral of the difference between distribution functions."""
    law = 0.5 * norm.cdf(_GRID, -1.0, 0.5) + 0.5 * norm.cdf(_GRID, 1.0, 0.25)
    empirical = np.searchsorted(np.sort(sample), _GRID, side="right") / len(sample)
    return float(np.trapezoid(np.abs(empirical - law), _GRID))


def _floors(
    points: np.ndarray, held_out: np.ndarray, rng: np.random.Generator
) -> dict[str, tuple[float, float]]:
    """W1 from the law and -log p of unseen points, for what needs no VAE."""
    weight, means, widths = _two_normals(points)
    which = (rng.random(N_HELD_OUT) > weight).astype(int)
    kernels = gaussian_kde(points, "silverman")
    smooth = np.interp(held_out, _POINT_GRID, kernels(_POINT_GRID))
    densities = weight * norm.pdf(held_out, means[0], widths[0]) + (1.0 - weight) * norm.pdf(
        held_out, means[1], widths[1]
    )
    return {
        "law of the points": (
            _distance_from_law(_draws_of_law(N_HELD_OUT, rng)),
            -np.log(_law(held_out)).mean(),
        ),
        "the 1024 points": (_distance_from_law(points), float("nan")),
        "two normals, fitted": (
            _distance_from_law(rng.normal(means[which], widths[which])),
            -np.log(densities).mean(),
        ),
        "kernel density": (
            _distance_from_law(kernels.resample(N_HELD_OUT, seed=rng)[0]),
            -np.log(smooth).mean(),
        ),
        "one normal, fitted": (
            _distance_from_law(rng.normal(points.mean(), points.std(), N_HELD_OUT)),
            -norm.logpdf(held_out, points.mean(), points.std()).mean(),
        ),
    }


def _two_normals(points: np.ndarray) -> tuple[float, np.ndarray, np.ndarray]:
    """Weight of the first, means and widths of the likeliest mixture of two normals, by expectation maximization."""
    weight, means, widths = 0.5, np.quantile(points, [0.25, 0.75]), np.full(2, points.std())
    for _ in range(200):
        joint = np.array([weight, 1.0 - weight]) * norm.pdf(points[:, None], means, widths)
        shares = joint / joint.sum(axis=1, keepdims=True)
        total = shares.sum(axis=0)
        weight, means = float(total[0] / len(points)), shares.T @ points / total
        widths = np.sqrt((shares * (points[:, None] - means) ** 2).sum(axis=0) / total)
    return weight, means, widths


def _width_loss(sigma: float | np.ndarray, residual: float, sign: float) -> float | np.ndarray:
    """Loss of a width, nats a point; the sign is 1, and -1 is the slip."""
    return 0.5 * (residual / sigma) ** 2 + sign * np.log(sigma)


def _descended_width(residual: float, *, sign: float) -> float:
    """Width after 100 steps of gradient descent on its logarithm, from 1."""
    log_sigma = 0.0
    for _ in range(100):
        log_sigma -= 0.1 * (sign - (residual * np.exp(-log_sigma)) ** 2)
    return float(np.exp(log_sigma))


def _words(values: list[float]) -> str:
    return f"{np.median(values):.4f} ({min(values):.3f}..{max(values):.3f})"


@plots.style()
def _figure_density(fits: dict[str, list[VAEFit]], points: np.ndarray, held_out: np.ndarray) -> Figure:
    """Densities of the first seeds over the points; latent and decoder of the best run."""
    figure, (left, middle, right) = plt.subplots(1, 3, figsize=(6.8, 2.7), width_ratios=(1.3, 1.0, 1.0))
    left.hist(points, bins=40, density=True, color="#d0d5d8", label=f"{N_POINTS} points")
    for name, of_name in fits.items():
        density = np.exp(np.asarray(_log_density(of_name[0].vae), np.float64))
        left.plot(_POINT_GRID, density, color=_COLORS[name], label=name)
    left.plot(_POINT_GRID, _law(_POINT_GRID), "--", color="#36454f", linewidth=1.0, label="their law")
    left.set_xlim(-3.2, 2.4)
    left.set_ylim(0.0, 1.6)
    left.set_yticks([0.0, 0.5, 1.0, 1.5])
    left.set_xlabel("x")
    left.set_ylabel("density")
    left.legend(loc="upper left", fontsize=7)

    vae = fits[_BEST][0].vae
    prior = vae.latent_prior()
    latent = vae.encode(jnp.asarray(held_out[:, None], jnp.float32)).sample(jax.random.key(0))
    grid = jnp.linspace(jnp.min(latent), jnp.max(latent), 401)[:, None]
    middle.hist(np.asarray(latent)[:, 0], bins=80, density=True, color="#d0d5d8", label="q(z), unseen points")
    middle.plot(np.asarray(grid), np.exp(jax.vmap(prior.log_prob)(grid)), color="#d55e00", label="prior")
    middle.set_ylim(0.0, 1.35 * middle.get_ylim()[1])
    middle.set_xlabel("latent z")
    middle.set_ylabel("density")
    middle.legend(loc="upper left", fontsize=7)
    decoded, sigma = np.asarray(vae.decode(grid))[:, 0], _sigma(vae)
    right.plot(np.asarray(grid), decoded, color="#d55e00")
    right.fill_between(
        np.asarray(grid)[:, 0], decoded - sigma, decoded + sigma, color="#d55e00", alpha=0.25, linewidth=0
    )
    right.set_xlabel("latent z")
    right.set_ylabel("decoder's mean ± sigma")
    return figure


@plots.style()
def _figure_width(fits: dict[str, list[VAEFit]], residual: float) -> Figure:
    """The loss of a width under both signs, and the widths of all seeds while they are trained."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(6.8, 2.7))
    sigma = np.geomspace(0.2, 1e4, 400)
    left.plot(sigma, _width_loss(sigma, residual, 1.0), color="#d55e00", label="+ log sigma")
    left.plot(sigma, _width_loss(sigma, residual, -1.0), color="#7f7f7f", label="− log sigma, the slip")
    left.plot(residual, _width_loss(residual, residual, 1.0), "o", color="#36454f", markersize=4)
    left.set_xscale("log")
    left.set_xlabel("sigma")
    left.set_ylabel("loss (nats)")
    left.legend(loc="upper center")
    for name, of_name in fits.items():
        for seed, fit in enumerate(of_name):
            epochs = np.arange(1, len(fit.history) + 1)
            label = name if seed == 0 else None
            right.plot(epochs, fit.history.sigma, color=_COLORS[name], linewidth=0.8, alpha=0.6, label=label)
    right.set_yscale("log")
    right.set_ylim(0.03, 20.0)
    right.set_yticks([0.1, 1.0, 10.0], ["0.1", "1", "10"])
    right.set_xlabel("epoch")
    right.set_ylabel("sigma")
    right.legend(loc="upper right", fontsize=7, ncols=2)
    return figure


if __name__ == "__main__":
    main()
