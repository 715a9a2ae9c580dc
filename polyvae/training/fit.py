"""`fit`: a trajectory and settings in, a trained conformation model out."""

import dataclasses
import hashlib
import json
import time
import warnings
from collections.abc import Callable
from importlib.metadata import version
from typing import Any, Literal

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from polyvae.errors import InputError, PolyvaeWarning, TrainingError
from polyvae.features import fit_cartesian, fit_geometry_bounds
from polyvae.preprocessing import align, fit_alignment
from polyvae.training.augmentation import symmetry_images
from polyvae.training.config import TrainConfig
from polyvae.training.epoch import (
    NOISE_STREAM,
    EpochInputs,
    EpochMetrics,
    EpochPlan,
    initial_state,
    run_epoch,
    trainable,
)
from polyvae.training.interrupts import graceful_interrupts
from polyvae.training.noise import with_residual_covariance
from polyvae.training.results import EpochReport, FitResult, History
from polyvae.training.splitting import Split, autocorrelation_time, blocked_split
from polyvae.training.state import CheckpointStore, TrainingState, restored_state, state_arrays
from polyvae.trajectory import Trajectory, TrajectorySource, load
from polyvae.vae import VAE, ConformationModel, ModelConfig, SystemInfo
from polyvae.vae.vae import initialize_vae

_FEWEST_STEPS = 8

Status = Literal["finished", "early", "interrupted", "diverged"]


def fit(
    trajectory: Trajectory | TrajectorySource | np.ndarray,
    model_config: ModelConfig | None = None,
    train_config: TrainConfig | None = None,
    *,
    seed: int = 0,
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
    if seed < 0:
        raise InputError(f"`seed` must not be negative; got {seed}.")
    if not isinstance(trajectory, Trajectory):
        trajectory = load(trajectory)
    if trajectory.weights is not None:
        warnings.warn(
            f"{trajectory.source}: frame weights are kept with the trajectory but training counts every frame alike.",
            PolyvaeWarning,
            stacklevel=2,
        )
    split = _split(trajectory, train_config, seed)
    model, train, validation, degenerate = _prepare(trajectory, split, model_config, train_config, seed)
    plan = _plan(model_config, train_config, train.shape[1])
    key = jax.random.key(seed)
    _, static = trainable(model.vae)
    inputs = EpochInputs(train=train, validation=validation, key=key, static=static)
    state = initial_state(model.vae, plan)
    fingerprint = _fingerprint(trajectory, model_config, train_config, seed)
    curves: list[list[Any]] = []
    if resume:
        state, curves = _resumed(state, checkpoint, fingerprint)

    def keep(state: TrainingState) -> None:
        if checkpoint is not None:
            # A copy: the list goes on growing, and a store may keep what it is given.
            checkpoint.save(state_arrays(state), {"fingerprint": fingerprint, "curves": list(curves)})

    state, status, seconds, startup = _train(
        inputs, state, plan, train_config, curves, keep, checkpoint, on_epoch, started
    )
    if int(state.best_epoch) < 0:
        if status == "diverged":
            raise TrainingError(
                "The loss was not finite before any epoch ended well, so there is no model. Lower `learning_rate` "
                f"(now {train_config.learning_rate}) or `gradient_clip`, or look at the input with `polyvae inspect`."
            )
        best = state.parameters
    else:
        best = state.best_parameters
    vae: VAE = eqx.combine(best, static)
    if model_config.residual == "covariance":
        vae = with_residual_covariance(vae, train, validation, jax.random.fold_in(key, NOISE_STREAM))
    return FitResult(
        model=eqx.tree_at(lambda tree: tree.vae, model, vae),
        history=_history(curves, model_config),
        best_epoch=int(state.best_epoch) + 1 if int(state.best_epoch) >= 0 else len(curves),
        split=split,
        train_config=train_config,
        seed=seed,
        status=status,
        degenerate_frames=degenerate,
        seconds=seconds,
        startup_seconds=startup,
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
    trajectory: Trajectory, split: Split, model_config: ModelConfig, train_config: TrainConfig, seed: int
) -> tuple[ConformationModel, jax.Array, jax.Array, np.ndarray]:
    """An untrained model fitted to the training frames, and the features of both parts."""
    masses = trajectory.masses
    if model_config.mass_weighted and masses is None:
        raise InputError(f"{trajectory.source}: `mass_weighted` needs masses, but the trajectory has none.")
    images = [image[split.train] for image in symmetry_images(trajectory, train_config.augmentation)]
    alignment, report = fit_alignment(
        images[0],
        method=model_config.alignment,
        weights=masses if model_config.mass_weighted else None,
    )
    canonical = [align(alignment, image) for image in images]
    representation = fit_cartesian(alignment, lambda: canonical, scaling=model_config.scaling)
    if model_config.latent_dim > representation.n_features:
        raise InputError(
            f"`latent_dim`={model_config.latent_dim} is larger than the {representation.n_features} free coordinates "
            f"of {trajectory.n_atoms} atoms in {trajectory.dims} dimensions. Lower `latent_dim` or select more atoms."
        )
    model = ConformationModel(
        alignment=alignment,
        representation=representation,
        vae=initialize_vae(model_config, representation.n_features, seed=seed),
        geometry=fit_geometry_bounds(trajectory.positions, trajectory.bonds, masses),
        config=model_config,
        system=SystemInfo.of(trajectory),
    )
    train = jnp.stack([_vectors(model, image) for image in canonical])
    validation = _vectors(model, align(alignment, trajectory.positions[split.validation]))
    return model, train, validation, split.train[np.asarray(report.degenerate)]


def _vectors(model: ConformationModel, canonical: np.ndarray) -> jax.Array:
    """Scaled features of canonical frames: one product for all frames, in the model's precision."""
    representation = model.representation
    flat = jnp.asarray(canonical, representation.basis.dtype).reshape(len(canonical), -1)
    coordinates = jnp.matmul(flat, representation.basis.T, precision="highest")
    return (coordinates - representation.mean[None, :]) / representation.scale[None, :]


def _plan(model_config: ModelConfig, train_config: TrainConfig, n_train: int) -> EpochPlan:
    # Few frames make many small batches rather than one large one: an epoch must move the weights.
    batch_size = min(train_config.batch_size, max(1, n_train // _FEWEST_STEPS))
    steps = n_train // batch_size
    return EpochPlan(
        batch_size=batch_size,
        steps=steps,
        total_steps=steps * train_config.epochs,
        warmup_steps=steps * min(train_config.kl_warmup, train_config.epochs - 1),
        learning_rate=train_config.learning_rate,
        schedule=train_config.schedule,
        gradient_clip=train_config.gradient_clip,
        beta=model_config.beta,
    )


def _train(
    inputs: EpochInputs,
    state: TrainingState,
    plan: EpochPlan,
    config: TrainConfig,
    curves: list[list[Any]],
    keep: Callable[[TrainingState], None],
    checkpoint: CheckpointStore | None,
    on_epoch: Callable[[EpochReport], None] | None,
    started: float,
) -> tuple[TrainingState, Status, float, float]:
    """Epochs until the last, until patience ends, or until a signal or a loss that is not finite."""
    status: Status = "finished"
    first_epoch = len(curves)
    startup, begun = 0.0, time.perf_counter()
    with graceful_interrupts() as interrupted:
        while len(curves) < config.epochs:
            if config.patience is not None and _waited(state) >= config.patience:
                status = "early"
                break
            state, metrics = run_epoch(inputs, state, plan)
            row = _row(metrics)
            if not np.isfinite([row[0], row[2], *row[1], *row[3]]).all():
                status = "diverged"
                warnings.warn(
                    f"The loss was not finite in epoch {len(curves) + 1}; the model of the best epoch before is kept. "
                    f"Lower `learning_rate` (now {config.learning_rate}) or `gradient_clip` (now "
                    f"{config.gradient_clip}).",
                    PolyvaeWarning,
                    stacklevel=3,
                )
                break
            curves.append(row)
            now = time.perf_counter()
            if len(curves) == first_epoch + 1:
                startup, begun = now - started, now
            done = len(curves) - first_epoch - 1
            if on_epoch is not None:
                rate = (now - begun) / done if done else 0.0
                on_epoch(_report(curves, state, plan, config, now - started, rate))
            if checkpoint is not None and len(curves) % checkpoint.every == 0:
                keep(state)
            if interrupted():
                status = "interrupted"
                break
    if status != "diverged":
        keep(state)
    return state, status, time.perf_counter() - begun, startup


def _waited(state: TrainingState) -> int:
    """Epochs since the best one; 0 before the first candidate."""
    best = int(state.best_epoch)
    return int(state.epoch) - 1 - best if best >= 0 else 0


def _row(metrics: EpochMetrics) -> list[Any]:
    host = jax.device_get(metrics)
    return [
        float(host.train.log_likelihood),
        [float(value) for value in host.train.kl],
        float(host.validation.log_likelihood),
        [float(value) for value in host.validation.kl],
        float(host.sigma),
    ]


def _report(
    curves: list[list[Any]],
    state: TrainingState,
    plan: EpochPlan,
    config: TrainConfig,
    seconds: float,
    rate: float,
) -> EpochReport:
    last = curves[-1]
    return EpochReport(
        epoch=len(curves),
        epochs=config.epochs,
        train_bound=last[0] - plan.beta * sum(last[1]),
        validation_bound=last[2] - plan.beta * sum(last[3]),
        best_epoch=int(state.best_epoch) + 1,
        seconds=seconds,
        seconds_left=rate * (config.epochs - len(curves)),
    )


def _history(curves: list[list[Any]], config: ModelConfig) -> History:
    columns = list(zip(*curves, strict=True)) if curves else [[], [], [], [], []]
    shape = (len(curves), config.latent_dim)
    return History(
        train_log_likelihood=np.asarray(columns[0], np.float64),
        train_kl=np.asarray(columns[1], np.float64).reshape(shape),
        validation_log_likelihood=np.asarray(columns[2], np.float64),
        validation_kl=np.asarray(columns[3], np.float64).reshape(shape),
        sigma=np.asarray(columns[4], np.float64),
        beta=config.beta,
    )


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


def _resumed(
    state: TrainingState, checkpoint: CheckpointStore | None, fingerprint: dict[str, Any]
) -> tuple[TrainingState, list[list[Any]]]:
    if checkpoint is None:
        raise InputError("`resume=True` needs a `checkpoint` to resume from.")
    kept = checkpoint.load()
    if kept is None:
        return state, []
    arrays, metadata = kept
    theirs = metadata["fingerprint"]
    for name, value in fingerprint.items():
        if theirs.get(name) != value:
            raise InputError(
                f"Cannot resume: the checkpoint was made with {_difference(name, theirs.get(name), value)}. "
                "Use the settings and data of the first run, or start anew."
            )
    return restored_state(state, arrays), [list(row) for row in metadata["curves"]]


def _difference(name: str, theirs: Any, ours: Any) -> str:
    """The settings that differ, and no others, as "epochs=100, this run has 200"."""
    if isinstance(theirs, dict) and isinstance(ours, dict):
        changed = [key for key in ours if theirs.get(key) != ours[key]]
        return "; ".join(_difference(key, theirs.get(key), ours[key]) for key in changed)
    return f"{name}={theirs!r}, this run has {ours!r}"
