"""`fit`: a trajectory and settings in, a trained conformation model out; `fit_ensemble`: several at once."""

import dataclasses
import hashlib
import json
import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from polyvae.errors import InputError, PolyvaeWarning
from polyvae.features import (
    Cartesian,
    InternalCoordinates,
    bond_tree,
    fit_cartesian,
    fit_geometry_bounds,
    fit_internal,
)
from polyvae.features.internal import check_bond_lengths
from polyvae.preprocessing import Alignment, align, fit_alignment
from polyvae.training.augmentation import symmetry_images
from polyvae.training.config import TrainConfig
from polyvae.training.diagnosis import diagnose
from polyvae.training.epoch import DIAGNOSIS_STREAM, NOISE_STREAM
from polyvae.training.kl_weight import check_warmup
from polyvae.training.loop import Outcome, Resumption, TrainingData, train, train_members, unit_mean
from polyvae.training.noise import with_fitted_noise
from polyvae.training.plan import EpochPlan, plan_for
from polyvae.training.prior_fitting import with_fitted_prior
from polyvae.training.results import EpochReport, FitResult
from polyvae.training.splitting import Split, autocorrelation_time, blocked_split
from polyvae.training.state import CheckpointStore
from polyvae.trajectory import Trajectory, TrajectorySource, load
from polyvae.vae import VAE, ConformationModel, ModelConfig, Network, SystemInfo, make_vae
from polyvae.vae.inputs import InternalInputs, InvariantInputs
from polyvae.vae.vae import initial_internal_likelihood, initial_likelihood

_EXAMPLES = 4000
_BRIDGE_FRAMES = 100

NetworkFactory = Callable[[ConformationModel, int], Network]
"""Makes a network from the model before training, whose alignment and representation are fitted already, and a seed."""


@dataclass(frozen=True, kw_only=True, eq=False)
class _Prepared:
    """An untrained model fitted to the training frames, and the vectors of both parts."""

    model: ConformationModel
    data: TrainingData
    split: Split
    degenerate_frames: np.ndarray
    network: Network | NetworkFactory | None

    def untrained(self, config: ModelConfig, seed: int) -> VAE:
        """The VAE with fresh weights of this seed."""
        vae, network = self.model.vae, self.network
        if network is not None and not isinstance(network, Network) and callable(network):
            network = network(self.model, seed)
        examples = np.asarray(self.data.train[0]) if config.prior == "vamp" else None
        likelihood, representation = vae.likelihood, self.model.representation
        if isinstance(representation, InternalCoordinates):
            counted = _counted(self.data.train, np.asarray(self.data.train_weights))
            likelihood = initial_internal_likelihood(
                config, representation, _some_vectors(counted), seed=seed
            )
        return make_vae(likelihood, config, network=network, inputs=vae.inputs, examples=examples, seed=seed)


def fit(
    trajectory: Trajectory | TrajectorySource | np.ndarray,
    model_config: ModelConfig | None = None,
    train_config: TrainConfig | None = None,
    *,
    seed: int = 0,
    network: Network | NetworkFactory | None = None,
    on_epoch: Callable[[EpochReport], None] | None = None,
    checkpoint: CheckpointStore | None = None,
    resume: bool = False,
) -> FitResult:
    """A conformation model trained on a trajectory by maximizing the evidence lower bound.

    Contiguous blocks of frames are held out for validation and testing; alignment, scaling and the decoder's noise
    are fitted on the training frames alone. Ctrl-C and SIGTERM end training after the epoch at work: the state goes
    to `checkpoint` and the best model so far is returned with status "interrupted".

    Args:
        trajectory: the conformations; positions (frames, atoms, dims) as an array will do.
        model_config: settings of the model.
        train_config: settings of training.
        seed: one seed for weights, split, shuffling and noise. Same seed, same machine: same bits.
        network: your own network with the methods `encode` and `decode` of `polyvae.vae.Network`, in place of the
            perceptrons that `model_config` describes; or a function that makes it from the model before training, whose
            representation is fitted already, and the seed.
        on_epoch: called after every epoch, for a progress display.
        checkpoint: where to keep the state of training between epochs.
        resume: go on from the state in `checkpoint`; the result has the same bits as an uninterrupted run.

    Returns:
        The model of the epoch with the best validation bound, and how it came about.

    Raises:
        InputError: if the data or settings cannot be trained with; the message says how to mend it.
        TrainingError: if the loss was not finite before there was any model to keep.
    """
    started = time.perf_counter()
    model_config, train_config = _checked_settings(model_config, train_config)
    if seed < 0:
        raise InputError(f"`seed` must not be negative; got {seed}.")
    trajectory = trajectory if isinstance(trajectory, Trajectory) else load(trajectory)
    prepared = _prepare(trajectory, model_config, train_config, seed, network)
    fingerprint = _fingerprint(trajectory, model_config, train_config, seed) if checkpoint else {}
    outcome = train(
        prepared.untrained(model_config, seed),
        prepared.data,
        _plan(prepared, model_config, train_config),
        epochs=train_config.epochs,
        beta=model_config.beta,
        seed=seed,
        started=started,
        resumption=Resumption(checkpoint=checkpoint, fingerprint=fingerprint, resume=resume),
        on_epoch=on_epoch,
    )
    return _result(prepared, outcome, model_config, train_config, seed)


def fit_ensemble(
    trajectory: Trajectory | TrajectorySource | np.ndarray,
    model_config: ModelConfig | None = None,
    train_config: TrainConfig | None = None,
    *,
    seeds: Sequence[int] = (0, 1, 2, 3, 4),
    betas: Sequence[float] | None = None,
    split_seed: int = 0,
    network: NetworkFactory | None = None,
) -> list[FitResult]:
    """Several models of one shape, trained side by side in one compiled run on the same split of the frames.

    They differ by the seed of weights, shuffling and noise, and by `beta` where `betas` says so. Each comes out as it
    would alone, to rounding.

    Args:
        trajectory: the conformations.
        model_config: settings that the models share.
        train_config: settings of training.
        seeds: one a model.
        betas: weight of the KL divergence, one a model; None takes `model_config.beta` for all.
        split_seed: of the split into training, validation and test frames.
        network: a function that makes your own network from the model before training and a seed.

    Returns:
        One result a seed, in their order.

    Raises:
        InputError: if the data or settings cannot be trained with, or `betas` and `seeds` differ in length.
        TrainingError: if a loss was not finite before there was any model to keep.
    """
    started = time.perf_counter()
    model_config, train_config = _checked_settings(model_config, train_config)
    if not seeds or min(seeds) < 0:
        raise InputError(f"`seeds` must hold at least one number, none negative; got {list(seeds)}.")
    configs = [model_config] * len(seeds)
    if betas is not None:
        if len(betas) != len(seeds):
            raise InputError(
                f"`betas` needs one number for each of the {len(seeds)} `seeds`; got {len(betas)}. Repeat a seed to "
                "train it at several betas."
            )
        configs = [dataclasses.replace(model_config, beta=beta) for beta in betas]
    trajectory = trajectory if isinstance(trajectory, Trajectory) else load(trajectory)
    prepared = _prepare(trajectory, model_config, train_config, split_seed, network)
    outcomes = train_members(
        [prepared.untrained(config, seed) for config, seed in zip(configs, seeds, strict=True)],
        prepared.data,
        _plan(prepared, model_config, train_config),
        epochs=train_config.epochs,
        betas=[config.beta for config in configs],
        seeds=seeds,
        started=started,
    )
    return [
        _result(prepared, outcome, config, train_config, seed)
        for outcome, config, seed in zip(outcomes, configs, seeds, strict=True)
    ]


def _checked_settings(
    model_config: ModelConfig | None, train_config: TrainConfig | None
) -> tuple[ModelConfig, TrainConfig]:
    model_config = model_config or ModelConfig()
    train_config = train_config or TrainConfig()
    for name, config, kind in (
        ("model_config", model_config, ModelConfig),
        ("train_config", train_config, TrainConfig),
    ):
        if not isinstance(config, kind):
            raise InputError(
                f"`{name}` must be a {kind.__name__}; got a {type(config).__name__}. The order is "
                "fit(trajectory, ModelConfig(...), TrainConfig(...))."
            )
    check_warmup(train_config)
    return model_config.resolved(), train_config


def _plan(prepared: _Prepared, model_config: ModelConfig, train_config: TrainConfig) -> EpochPlan:
    return plan_for(
        train_config,
        prepared.data.train.shape[1],
        analytic_scale=model_config.decoder_scale == "analytic",
    )


def _result(
    prepared: _Prepared, outcome: Outcome, model_config: ModelConfig, train_config: TrainConfig, seed: int
) -> FitResult:
    """The trained model with its noise and prior fitted, diagnosed."""
    key = jax.random.key(seed)
    data = prepared.data
    vae = with_fitted_noise(outcome.vae, model_config, data, jax.random.fold_in(key, NOISE_STREAM))
    if model_config.prior_training == "after" and model_config.prior != "normal":
        vae = with_fitted_prior(vae, model_config, data, seed=seed)
    history = outcome.history()
    beta = model_config.beta
    if train_config.rate_target is not None and len(history):
        beta = float(history.beta[outcome.best_epoch - 1])
    model = eqx.tree_at(lambda tree: tree.vae, prepared.model, vae, is_leaf=lambda leaf: leaf is None)
    return FitResult(
        model=dataclasses.replace(model, config=model_config),
        diagnosis=diagnose(
            vae,
            data.train[0],
            weights=data.train_weights,
            beta=beta,
            key=jax.random.fold_in(key, DIAGNOSIS_STREAM),
            trained_likelihood=outcome.vae.likelihood,
            course=outcome.course(train_config),
        ),
        history=history,
        best_epoch=outcome.best_epoch,
        split=prepared.split,
        train_config=train_config,
        seed=seed,
        status=outcome.status,
        degenerate_frames=prepared.degenerate_frames,
        seconds=outcome.seconds,
        startup_seconds=outcome.startup_seconds,
        versions={name: version(name) for name in ("polyvae", "jax", "jaxlib", "equinox", "optax", "numpy")},
    )


def _split(trajectory: Trajectory, config: TrainConfig, seed: int) -> Split:
    """Blocks dealt out, with a gap of the autocorrelation time of shape observables that need no alignment."""
    positions = trajectory.positions
    centered = positions - positions.mean(axis=1, keepdims=True)
    gyration = np.sqrt(np.mean(np.sum(centered.astype(np.float64) ** 2, axis=2), axis=1))
    ends = [(0, trajectory.n_atoms - 1), (0, trajectory.n_atoms // 2), (trajectory.n_atoms // 2, -1)]
    distances = [np.linalg.norm(positions[:, a] - positions[:, b], axis=1) for a, b in ends]
    time = autocorrelation_time(np.stack([gyration, *distances], axis=1), trajectory.segments)
    return blocked_split(
        trajectory.segments,
        validation_fraction=config.validation_fraction,
        test_fraction=config.test_fraction,
        blocks=config.blocks,
        gap=int(np.ceil(time)) if config.gap is None else config.gap,
        correlation_time=time,
        seed=seed,
    )


def _prepare(
    trajectory: Trajectory,
    model_config: ModelConfig,
    train_config: TrainConfig,
    seed: int,
    network: Network | NetworkFactory | None,
) -> _Prepared:
    """The split, the model without trained weights, and the features of training and validation frames."""
    split = _split(trajectory, train_config, seed)
    masses, weights = trajectory.masses, trajectory.weights
    if model_config.mass_weighted and masses is None:
        raise InputError(f"{trajectory.source}: `mass_weighted` needs masses, but the trajectory has none.")
    train_weights, validation_weights = (
        None if weights is None else weights[part] for part in (split.train, split.validation)
    )
    for name, part in (("training", train_weights), ("validation", validation_weights)):
        if part is not None and not part.sum() > 0:
            raise InputError(
                f"{trajectory.source}: all {name} frames have weight zero. Another `seed` or more `blocks` split the "
                "frames differently."
            )
    images = [image[split.train] for image in symmetry_images(trajectory, train_config.augmentation)]
    alignment, report = fit_alignment(
        images[0],
        method=model_config.alignment,
        weights=masses if model_config.mass_weighted else None,
        frame_weights=train_weights,
    )
    canonical = [align(alignment, image) for image in images]
    representation = _representation(model_config, trajectory, alignment, canonical, train_weights)
    if model_config.latent_dim > representation.n_features:
        raise InputError(
            f"`latent_dim`={model_config.latent_dim} is larger than the {representation.n_features} free coordinates "
            f"of {trajectory.n_atoms} atoms in {trajectory.dims} dimensions. Lower `latent_dim` or select more atoms."
        )
    train_vectors = jnp.stack([_vectors(representation, image) for image in canonical])
    inputs = None
    if isinstance(representation, InternalCoordinates):
        counted = _counted(train_vectors, train_weights)
        likelihood = initial_internal_likelihood(model_config, representation, _some_vectors(counted))
        inputs = InternalInputs.fitted(representation, counted.reshape(-1, counted.shape[-1]))
    else:
        likelihood = initial_likelihood(model_config, representation.n_features, trajectory.dims)
    model = ConformationModel(
        alignment=alignment,
        representation=representation,
        vae=make_vae(likelihood, model_config, inputs=inputs, seed=seed),
        geometry=fit_geometry_bounds(trajectory.positions, trajectory.bonds, masses, weights=weights),
        config=model_config,
        system=SystemInfo.of(trajectory),
    )
    if model_config.likelihood == "rotation":
        model = eqx.tree_at(lambda tree: tree.vae.inputs, model, _invariant_inputs(model, train_vectors))
    validation_vectors = _vectors(representation, align(alignment, trajectory.positions[split.validation]))
    dtype = train_vectors.dtype
    data = TrainingData(
        train=train_vectors,
        validation=validation_vectors,
        train_weights=jnp.asarray(unit_mean(train_weights, len(split.train)), dtype),
        validation_weights=jnp.asarray(unit_mean(validation_weights, len(split.validation)), dtype),
    )
    return _Prepared(
        model=model,
        data=data,
        split=split,
        degenerate_frames=split.train[np.asarray(report.degenerate)],
        network=network,
    )


def _invariant_inputs(model: ConformationModel, vectors: jax.Array) -> InvariantInputs:
    """What no rotation changes of the training vectors, with mean 0 and variance 1."""
    dims = model.system.dims
    modes = np.asarray(model.cartesian.basis, np.float64)[::dims, ::dims]
    return InvariantInputs.unscaled(modes.T, dims).scaled_to(vectors.reshape(-1, vectors.shape[-1]))


def _representation(
    config: ModelConfig,
    trajectory: Trajectory,
    alignment: Alignment,
    canonical: list[np.ndarray],
    weights: np.ndarray | None,
) -> Cartesian | InternalCoordinates:
    """The representation that the settings name, fitted to the canonical training frames and their mirror images."""
    weights = None if weights is None else np.tile(weights, len(canonical))
    cartesian = fit_cartesian(alignment, lambda: canonical, scaling=config.scaling, weights=weights)
    if config.likelihood == "rotation":
        # Turned at random, frames have no mean; what is left of it in a sample would break the symmetry.
        return eqx.tree_at(lambda tree: tree.mean, cartesian, jnp.zeros_like(cartesian.mean))
    if config.representation == "cartesian":
        return cartesian
    if trajectory.bond_source == "distances":
        warnings.warn(
            f"{trajectory.source}: the topology lacks bonds, so internal coordinates follow bonds that were found by "
            "distance in the first frame. Check them, or give `bonds` when loading.",
            PolyvaeWarning,
            stacklevel=2,
        )
    tree = bond_tree(
        trajectory.bonds,
        trajectory.n_atoms,
        positions=canonical[0][:_BRIDGE_FRAMES],
        source=trajectory.source,
    )
    check_bond_lengths(
        tree,
        trajectory.positions,
        box=trajectory.box,
        weights=trajectory.weights,
        source=trajectory.source,
    )
    assert alignment.reference is not None
    return fit_internal(
        tree,
        cartesian,
        np.asarray(alignment.reference),
        lambda: canonical,
        weights=weights,
        source=trajectory.source,
    )


def _vectors(representation: Cartesian | InternalCoordinates, canonical: np.ndarray) -> jax.Array:
    """Vectors of canonical frames: for Cartesian ones one product for all frames, in the model's precision."""
    dtype = jnp.result_type(float)
    if isinstance(representation, InternalCoordinates):
        return _internal_vectors(representation, jnp.asarray(canonical, dtype))
    flat = jnp.asarray(canonical, dtype).reshape(len(canonical), -1)
    coordinates = jnp.matmul(flat, representation.basis.T, precision="highest")
    return (coordinates - representation.mean[None, :]) / representation.scale[None, :]


@eqx.filter_jit
def _internal_vectors(representation: InternalCoordinates, canonical: jax.Array) -> jax.Array:
    return jax.lax.map(representation, canonical, batch_size=1024)


def _counted(vectors: jax.Array, weights: np.ndarray | None) -> jax.Array:
    """Vectors of training frames without those of weight zero."""
    return vectors if weights is None or (weights > 0).all() else vectors[:, np.flatnonzero(weights > 0)]


def _some_vectors(train: jax.Array) -> np.ndarray:
    """A few thousand training vectors, spread evenly."""
    flat = train.reshape(-1, train.shape[-1])
    chosen = np.unique(np.linspace(0, len(flat) - 1, min(len(flat), _EXAMPLES)).astype(int))
    return np.asarray(flat[chosen])


def _fingerprint(
    trajectory: Trajectory, model_config: ModelConfig, train_config: TrainConfig, seed: int
) -> dict[str, Any]:
    """What must be the same for a run to go on from a checkpoint."""
    fingerprint = {
        "model": dataclasses.asdict(model_config),
        "training": dataclasses.asdict(train_config),
        "seed": seed,
        "frames": trajectory.n_frames,
        "atoms": trajectory.n_atoms,
        "data": trajectory.source_hash or hashlib.sha256(trajectory.positions.tobytes()).hexdigest(),
        "jax": version("jax"),
    }
    # As it looks after a round trip through a file: tuples have become lists.
    return json.loads(json.dumps(fingerprint))
