"""`fit`: a trajectory and settings in, a trained conformation model out; `fit_ensemble`: several at once."""

import dataclasses
import hashlib
import json
import os
import time
from collections.abc import Callable, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import numpy as np

from polyvae.errors import InputError
from polyvae.training.config import TrainConfig
from polyvae.training.diagnosis import diagnose
from polyvae.training.kl_weight import check_lagged_target, check_warmup
from polyvae.training.loop import Outcome, Resumption, train, train_members
from polyvae.training.noise import with_fitted_noise
from polyvae.training.plan import EpochPlan, plan_for
from polyvae.training.preparation import NetworkFactory, Prepared, prepare
from polyvae.training.prior_fitting import with_fitted_prior
from polyvae.training.results import EpochReport, FitResult
from polyvae.training.state import CheckpointStore
from polyvae.training.step import DIAGNOSIS_STREAM, NOISE_STREAM
from polyvae.trajectory import Trajectory, TrajectorySource, load
from polyvae.trajectory.budget import memory_budget
from polyvae.trajectory.loading import load_source
from polyvae.vae import ModelConfig, Network


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
    memory: str | int | float | None = None,
    store: str | os.PathLike[str] | None = None,
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
        memory: the most that the training vectors may take in memory, and the frames of a `TrajectorySource`, each in
            bytes or as text such as "2GB"; None for half of the machine's memory. What takes more is kept in files,
            and the result has the same bits.
        store: folder for these files; frames stay in it for the next time. None takes temporary ones.

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
    check_lagged_target(train_config, model_config.beta)
    budget = memory_budget(memory)
    if isinstance(trajectory, TrajectorySource):
        trajectory = load_source(trajectory, memory=budget, store=store)
    elif not isinstance(trajectory, Trajectory):
        trajectory = load(trajectory)
    prepared = prepare(
        trajectory,
        model_config,
        train_config,
        seed,
        network,
        memory=budget,
        store=None if store is None else Path(store),
    )
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
    check_lagged_target(train_config, *(config.beta for config in configs))
    if isinstance(trajectory, TrajectorySource):
        trajectory = trajectory.load()
    elif not isinstance(trajectory, Trajectory):
        trajectory = load(trajectory)
    # Every member sees the frames in an order of its own: they are kept in memory.
    prepared = prepare(trajectory, model_config, train_config, split_seed, network)
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


def _plan(prepared: Prepared, model_config: ModelConfig, train_config: TrainConfig) -> EpochPlan:
    return plan_for(
        train_config,
        prepared.data.n_dealt,
        analytic_scale=model_config.decoder_scale == "analytic",
    )


def _result(
    prepared: Prepared, outcome: Outcome, model_config: ModelConfig, train_config: TrainConfig, seed: int
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
    some, targets, weights = data.to_diagnose()
    return FitResult(
        model=dataclasses.replace(model, config=model_config),
        diagnosis=diagnose(
            vae,
            some,
            weights=weights,
            beta=beta,
            key=jax.random.fold_in(key, DIAGNOSIS_STREAM),
            trained_likelihood=outcome.vae.likelihood,
            targets=targets,
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
        "data": trajectory.source_hash or _positions_hash(trajectory),
        "jax": version("jax"),
    }
    # As it looks after a round trip through a file: tuples have become lists.
    return json.loads(json.dumps(fingerprint))


def _positions_hash(trajectory: Trajectory) -> str:
    digest = hashlib.sha256()
    for chunk in trajectory.position_chunks():
        digest.update(np.ascontiguousarray(chunk).data)
    return digest.hexdigest()
