"""The variational autoencoders of mlcolvar and deeptime beside polyvae's: one polymer, one split, one measure.

    pip install 'polyvae[bench]'
    python benchmarks/peers.py [--seed 0] [--epochs 100]

Every model has two latents and hidden layers of 256, 256 and 256, and is trained on the same superposed frames and
their symmetry images in batches of 256 with Adam at its library's learning rate; the epoch with the best validation
loss counts. Neither peer has a decoder noise, so each gets the best fixed one: the root-mean-square residual on
training frames with latents drawn from the posterior. It makes their losses comparable. Both minimize, per frame,

    a |x - decode(z)|² + b KL(q(z|x) | N(0, 1)),

which is the evidence lower bound with noise σ and the weight β = b / (2 σ² a) of the KL divergence in nats. With D
features and batches of B frames:

* mlcolvar 1.3 averages squares over features and sums KL over latents: a = 1/D, b = beta, so β = beta D / (2 σ²). With
  unit variances, D = 21 and beta = 1, β is above ten, and the latents collapse.
* deeptime 0.4 sums squares over features and over the frames of a batch, and divides the batch's mean KL by D:
  β = beta / (2 σ² D B), practically an autoencoder. `transform` returns a random draw; here its mean is used.
"""

import argparse
import copy
import logging
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from comparison import SYMMETRIES, AlignedFrames, aligned_frames
from libraries import optional, versions
from scipy.special import logsumexp

import polyvae as pv

LATENT = 2
HIDDEN = (256, 256, 256)
BATCH = 256
PATIENCE = 15
DRAWS = 20_000
MLCOLVAR_BETAS = (1.0, 0.1, 0.03, 0.01, 0.003)
DEEPTIME_BETAS = (1.0, 300.0, 1000.0, 3000.0)


@dataclass(frozen=True, kw_only=True, eq=False)
class Peer:
    """A trained model of another library as functions of arrays.

    Attributes:
        name: library, model and settings.
        posterior: features (frames, features) to means and standard deviations of the latents, (frames, latent) each.
        decode: latents (frames, latent) to means of the features.
        kl_weight: b / a of its loss, in squared feature units.
        seconds: wall time of training.
    """

    name: str
    posterior: Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]
    decode: Callable[[np.ndarray], np.ndarray]
    kl_weight: float
    seconds: float


@dataclass(frozen=True, kw_only=True)
class PeerScore:
    """One row of the table.

    Attributes:
        name: library, model and settings.
        beta: weight of the KL divergence in nats per frame that the loss amounts to.
        sigma: standard deviation of the decoder's noise, scaled units; nan where it is not one number.
        log_likelihood: importance-weighted bound of the test frames, nats per frame.
        active_units: latents whose posterior mean has a variance above 0.01 on the test frames.
        w1: mean 1-Wasserstein distance of the pair distances of generated conformations, unit of length.
        seconds: wall time of training.
    """

    name: str
    beta: float
    sigma: float
    log_likelihood: float
    active_units: int
    w1: float
    seconds: float


def mlcolvar_vae(
    train: np.ndarray, validation: np.ndarray, seed: int, *, beta: float, epochs: int = 100
) -> Peer:
    """The `VariationalAutoEncoderCV` of mlcolvar, trained by Lightning; it standardizes every feature itself.

    Args:
        train: feature vectors, shape (images, frames, features).
        validation: feature vectors for early stopping.
        seed: of weights and batches.
        beta: the argument of that name.
        epochs: how often each frame is seen under one image or another, at most; fifteen times without a better
            validation loss end training.
    """
    torch, lightning = optional("torch"), optional("lightning")
    cvs, data = optional("mlcolvar.cvs"), optional("mlcolvar.data")
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    torch.manual_seed(seed)
    flat = train.reshape(-1, train.shape[-1])
    frames = torch.tensor(np.concatenate([flat, validation]), dtype=torch.float32)
    module = data.DictModule(
        data.DictDataset({"data": frames}),
        lengths=[len(flat), len(validation)],
        batch_size=[BATCH, len(validation)],
        random_split=False,
        shuffle=[True, False],
    )
    network = cvs.VariationalAutoEncoderCV(LATENT, [train.shape[-1], *HIDDEN], beta=beta)
    best = _best_weights(lightning, copy.deepcopy(network.state_dict()))
    stopping = lightning.pytorch.callbacks.EarlyStopping("valid_loss", patience=-(-PATIENCE // len(train)))
    started = time.perf_counter()
    trainer = lightning.Trainer(
        max_epochs=-(-epochs // len(train)),
        accelerator="cpu",
        callbacks=[best, stopping],
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(network, module)
    network.load_state_dict(best.weights)
    network.eval()

    def encode(batch: Any) -> tuple[Any, Any]:
        hidden = network.encoder(network.norm_in(batch))
        return network.mean_nn(hidden), network.log_var_nn(hidden).clamp(min=-15)

    return Peer(
        name=f"mlcolvar VAE, beta {beta:g}",
        posterior=_posterior(torch, encode),
        decode=_decoder(torch, network.get_decoder(return_normalization=True)),
        kl_weight=beta * train.shape[-1],
        seconds=time.perf_counter() - started,
    )


def _best_weights(lightning: Any, weights: dict[str, Any]) -> Any:
    """A Lightning callback that keeps the weights of the epoch with the lowest validation loss."""

    class BestWeights(lightning.Callback):
        def __init__(self) -> None:
            self.weights, self.loss = weights, np.inf

        def on_validation_epoch_end(self, trainer: Any, pl_module: Any) -> None:
            loss = float(trainer.callback_metrics["valid_loss"])
            if loss < self.loss and not trainer.sanity_checking:
                self.weights, self.loss = copy.deepcopy(pl_module.state_dict()), loss

    return BestWeights()


def deeptime_tvae(
    train: np.ndarray,
    validation: np.ndarray,
    seed: int,
    *,
    index: np.ndarray,
    lag: int = 0,
    beta: float = 1.0,
    epochs: int = 100,
) -> Peer:
    """The `TVAE` of deeptime, which decodes the frame one lag later; with lag 0 it is a plain VAE.

    Args:
        train: feature vectors, shape (images, frames, features).
        validation: feature vectors, contiguous in time, for early stopping.
        seed: of weights and batches.
        index: frame numbers of the training frames; a pair never spans held-out frames.
        lag: frames between input and target.
        beta: the argument of that name.
        epochs: passes over the frames, each under a random image, at most; fifteen without a better validation loss
            end training.
    """
    torch = optional("torch")
    deep, tools = optional("deeptime.decomposition.deep"), optional("deeptime.util.torch")
    torch.manual_seed(seed)
    n_features = train.shape[-1]
    encoder = deep.TVAEEncoder([n_features, *HIDDEN, LATENT])
    decoder = tools.MLP([LATENT, *HIDDEN, n_features])
    estimator = deep.TVAE(encoder, decoder, beta=beta)
    starts = np.flatnonzero(index[lag:] - index[: len(index) - lag] == lag)
    batches = _Pairs(torch, train, starts, lag, seed)
    pair = [
        torch.tensor(part, dtype=torch.float32)
        for part in (validation[: len(validation) - lag], validation[lag:])
    ]
    best, best_loss, waited = (copy.deepcopy(encoder), copy.deepcopy(decoder)), np.inf, 0
    started = time.perf_counter()
    for _ in range(epochs):
        estimator.fit(batches, n_epochs=1)
        encoder.eval()
        decoder.eval()
        with torch.no_grad():
            loss = float(estimator.evaluate_loss(*pair))
        waited += 1
        if loss < best_loss:
            best, best_loss, waited = (copy.deepcopy(encoder), copy.deepcopy(decoder)), loss, 0
        if waited == PATIENCE:
            break
    return Peer(
        name=f"deeptime TVAE, lag {lag}, beta {beta:g}",
        posterior=_posterior(torch, best[0].eval()),
        decode=_decoder(torch, best[1].eval()),
        kl_weight=beta / (n_features * BATCH),
        seconds=time.perf_counter() - started,
    )


class _Pairs:
    """Shuffled batches of frames and their successors, as deeptime's `fit` takes them, each under a random image."""

    def __init__(self, torch: Any, train: np.ndarray, starts: np.ndarray, lag: int, seed: int) -> None:
        self._tensor, self._frames = torch.from_numpy, np.asarray(train, np.float32)
        self._starts, self._lag, self._rng = starts, lag, np.random.default_rng(seed)

    def __iter__(self) -> Iterator[tuple[Any, Any]]:
        order = self._rng.permutation(self._starts)
        for first in range(0, len(order) - BATCH + 1, BATCH):
            rows = order[first : first + BATCH]
            image = self._rng.integers(len(self._frames), size=BATCH)
            pair = self._frames[image, rows], self._frames[image, rows + self._lag]
            yield self._tensor(pair[0]), self._tensor(pair[1])


def _posterior(
    torch: Any, encode: Callable[[Any], tuple[Any, Any]]
) -> Callable[..., tuple[np.ndarray, np.ndarray]]:
    """A torch encoder to means and log-variances, as a function of arrays to means and standard deviations."""

    def posterior(features: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        with torch.no_grad():
            mean, log_variance = encode(torch.tensor(features, dtype=torch.float32))
        return mean.numpy().astype(np.float64), np.exp(0.5 * log_variance.numpy().astype(np.float64))

    return posterior


def _decoder(torch: Any, network: Callable[[Any], Any]) -> Callable[[np.ndarray], np.ndarray]:
    def decode(latent: np.ndarray) -> np.ndarray:
        with torch.no_grad():
            return network(torch.tensor(latent, dtype=torch.float32)).numpy()

    return decode


def residual_scale(peer: Peer, features: np.ndarray, seed: int) -> float:
    """The best fixed noise of the decoder: root-mean-square residual with latents drawn from the posterior."""
    mean, scale = peer.posterior(features)
    latent = mean + scale * np.random.default_rng(seed).standard_normal(mean.shape)
    return float(np.sqrt(np.mean((features - peer.decode(latent)) ** 2, dtype=np.float64)))


def importance_weighted_bound(
    peer: Peer, features: np.ndarray, sigma: float, seed: int, *, samples: int = 1000
) -> np.ndarray:
    """Log-likelihood of each frame by importance sampling from the posterior, nats in units of the features.

    References:
        Burda, Grosse & Salakhutdinov, Importance weighted autoencoders, 2016, arXiv:1509.00519.
    """
    rng = np.random.default_rng(seed)
    bounds = []
    for chunk in np.array_split(features, -(-len(features) * samples // 50_000)):
        mean, scale = peer.posterior(chunk)
        noise = rng.standard_normal((samples, *mean.shape))
        latent = mean + scale * noise
        decoded = peer.decode(latent.reshape(-1, mean.shape[1])).reshape(samples, *chunk.shape)
        square = np.sum((chunk - decoded) ** 2, axis=2, dtype=np.float64)
        n = chunk.shape[1]
        likelihood = -0.5 * square / sigma**2 - n * np.log(sigma) - 0.5 * n * np.log(2 * np.pi)
        # Prior over posterior: the constants of the two normals cancel.
        ratio = np.sum(0.5 * (noise**2 - latent**2) + np.log(scale), axis=2)
        bounds.append(logsumexp(likelihood + ratio, axis=0) - np.log(samples))
    return np.concatenate(bounds)


def pair_distance_error(trajectory: pv.Trajectory, positions: np.ndarray) -> float:
    """Mean 1-Wasserstein distance over all atom pairs of conformations from the data, unit of length."""
    generated = trajectory.replace(positions=np.asarray(positions, np.float32))
    return float(pv.distance_marginals(trajectory, generated).w1.mean())


def score(peer: Peer, frames: AlignedFrames, trajectory: pv.Trajectory, seed: int) -> PeerScore:
    """A peer measured as polyvae measures itself: with z ~ N(0, 1), and draws from the decoder, not its means."""
    sigma = residual_scale(peer, frames.train[0], seed)
    bound = importance_weighted_bound(peer, frames.test, sigma, seed)
    rng = np.random.default_rng(seed)
    decoded = peer.decode(rng.standard_normal((DRAWS, LATENT)))
    generated = frames.positions(decoded + sigma * rng.standard_normal(decoded.shape))
    return PeerScore(
        name=peer.name,
        beta=peer.kl_weight / (2 * sigma**2),
        sigma=sigma,
        log_likelihood=float(np.mean(bound)) + frames.log_volume,
        active_units=int(np.sum(np.var(peer.posterior(frames.test)[0], axis=0) > 0.01)),
        w1=pair_distance_error(trajectory, generated),
        seconds=peer.seconds,
    )


def best_beta(
    fit: Callable[[float], Peer], betas: Sequence[float], validation: np.ndarray, seed: int
) -> list[Peer]:
    """The peer with the library's own beta, the first of `betas`, and the one that validation frames like best."""
    peers = [fit(beta) for beta in betas]
    values = [
        float(
            np.mean(
                importance_weighted_bound(
                    p, validation, residual_scale(p, validation, seed), seed, samples=100
                )
            )
        )
        for p in peers
    ]
    best = int(np.argmax(values))
    return [peers[0]] if best == 0 else [peers[0], peers[best]]


def polyvae_row(
    trajectory: pv.Trajectory,
    model_config: pv.ModelConfig,
    train_config: pv.TrainConfig,
    *,
    seed: int = 0,
    name: str,
) -> PeerScore:
    """The row of polyvae, by its public functions."""
    result = pv.fit(trajectory, model_config, train_config, seed=seed)
    test = trajectory[result.split.test]
    return PeerScore(
        name=name,
        beta=model_config.beta,
        sigma=float("nan"),
        log_likelihood=float(pv.log_likelihood(result.model, test, samples=1000)),
        active_units=int(np.sum(np.var(pv.latent_trajectory(result.model, test).mean, axis=0) > 0.01)),
        w1=float(pv.distance_marginals(trajectory, pv.generate(result.model, DRAWS, seed=seed)).w1.mean()),
        seconds=result.seconds,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--epochs", type=int, default=100)
    parser.add_argument("--skip-polyvae", action="store_true", help="only the other libraries")
    arguments = parser.parse_args()
    seed, epochs = arguments.seed, arguments.epochs
    print(versions("polyvae", "mlcolvar", "deeptime", "torch", "lightning", "numpy"))
    trajectory = pv.load(pv.bundled("polymer_2d.npz"))
    frames = aligned_frames(trajectory, seed=seed)
    train, validation, index = frames.train, frames.validation, frames.train_index
    floor = pv.distance_marginals(trajectory, trajectory).floor_w1.mean()
    print(
        f"seed {seed}, {train.shape[1]} training and {len(frames.test)} test frames; noise floor of W1 {floor:.4f} σ\n"
    )
    print(f"{'model':36s} {'β, nats':>9s} {'noise':>7s} {'log p(x)':>9s} {'active':>6s} {'W1':>7s} {'s':>5s}")
    if not arguments.skip_polyvae:
        training = pv.TrainConfig(epochs=epochs, augmentation=SYMMETRIES)  # pyright: ignore[reportArgumentType]
        _print(
            polyvae_row(trajectory, pv.ModelConfig(latent_dim=LATENT), training, seed=seed, name="polyvae")
        )
    fits: list[tuple[Callable[[float], Peer], Sequence[float]]] = [
        (lambda beta: mlcolvar_vae(train, validation, seed, beta=beta, epochs=epochs), MLCOLVAR_BETAS),
        (
            lambda beta: deeptime_tvae(train, validation, seed, index=index, lag=1, beta=beta, epochs=epochs),
            (1.0,),
        ),
        (
            lambda beta: deeptime_tvae(train, validation, seed, index=index, beta=beta, epochs=epochs),
            DEEPTIME_BETAS,
        ),
    ]
    for fit, betas in fits:
        for peer in best_beta(fit, betas, validation, seed):
            _print(score(peer, frames, trajectory, seed))


def _print(row: PeerScore) -> None:
    numbers = (
        f"{row.beta:9.3g} {row.sigma:7.3f} {row.log_likelihood:9.3f} {row.active_units:6d} {row.w1:7.4f}"
    )
    print(f"{row.name:36s} {numbers} {row.seconds:5.0f}", flush=True)


if __name__ == "__main__":
    warnings.simplefilter("error", pv.PolyvaeWarning)
    # mlcolvar's own default sets it off.
    warnings.filterwarnings("ignore", message="A torch.generator was provided")
    main()
