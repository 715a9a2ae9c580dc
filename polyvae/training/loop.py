"""The loop over epochs: one model, or several of one shape as members of one compiled run.

It knows vectors only. `fit` makes them from a trajectory, `fit_vae` takes them as they are.
"""

import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from polyvae._arrays import device_array
from polyvae.errors import InputError, PolyvaeWarning, TrainingError
from polyvae.training.config import TrainConfig
from polyvae.training.course import Course
from polyvae.training.data import TrainingData
from polyvae.training.devices import SharedBatches, on_one_device
from polyvae.training.epoch import run_epoch, run_epoch_of_members
from polyvae.training.interrupts import graceful_interrupts
from polyvae.training.plan import EpochPlan
from polyvae.training.results import EpochReport, History, Status
from polyvae.training.state import CheckpointStore, TrainingState, restored_state, state_arrays
from polyvae.training.step import EpochInputs, EpochMetrics, initial_state, trainable
from polyvae.training.stored_vectors import StoredVectors
from polyvae.vae import VAE

_COLUMNS = (
    "train_log_likelihood",
    "train_kl",
    "validation_log_likelihood",
    "validation_kl",
    "train_bound",
    "validation_bound",
    "sigma",
    "beta",
)


@dataclass(kw_only=True)
class Outcome:
    """How the training of one model ended."""

    vae: VAE
    best_epoch: int = 0
    status: Status = "finished"
    curves: list[dict[str, Any]] = field(default_factory=list)
    seconds: float = 0.0
    startup_seconds: float = 0.0

    def history(self) -> History:
        """The learning curves."""
        columns: dict[str, np.ndarray] = {
            name: np.asarray([row[name] for row in self.curves], np.float64) for name in _COLUMNS
        }
        for name in ("train_kl", "validation_kl"):
            columns[name] = columns[name].reshape(len(self.curves), -1)
        return History(**columns)

    def course(self, config: TrainConfig) -> Course | None:
        """What the diagnosis asks about the training; None where no epoch ended.

        Args:
            config: settings of training.
        """
        if not self.curves:
            return None
        return Course(
            config=config,
            rate=float(np.sum(self.curves[self.best_epoch - 1]["train_kl"])),
            beta=np.array([row["beta"] for row in self.curves]),
            bounds=np.array([row["validation_bound"] for row in self.curves]),
        )


@dataclass(frozen=True, kw_only=True)
class Resumption:
    """Where the state of a run is kept, and what must be the same for it to go on."""

    checkpoint: CheckpointStore | None = None
    fingerprint: dict[str, Any] = field(default_factory=dict)
    resume: bool = False


def train(
    vae: VAE,
    data: TrainingData,
    plan: EpochPlan,
    *,
    epochs: int,
    beta: float,
    seed: int,
    started: float,
    resumption: Resumption | None = None,
    on_epoch: Callable[[EpochReport], None] | None = None,
) -> Outcome:
    """One trained model.

    Args:
        vae: the untrained model.
        data: vectors and weights.
        plan: settings.
        epochs: at most.
        beta: weight of the KL divergence.
        seed: of shuffling and noise.
        started: clock reading from which start-up counts.
        resumption: checkpoints, if any.
        on_epoch: called after every epoch.

    Raises:
        TrainingError: if the loss was not finite before there was any model to keep.
    """
    resumption = resumption or Resumption()
    _, static = trainable(vae)
    inputs = _inputs(data, jax.random.key(seed), static)
    state = initial_state(vae, plan, beta)
    outcome = Outcome(vae=vae)
    if resumption.resume:
        state, outcome.curves = _resumed(state, resumption)

    def keep(state: TrainingState) -> None:
        if resumption.checkpoint is not None:
            # A copy: the list goes on growing, and a store may keep what it is given.
            metadata = {"fingerprint": resumption.fingerprint, "curves": list(outcome.curves)}
            resumption.checkpoint.save(state_arrays(state), metadata)

    shared = None
    if plan.devices > 1:
        shared = SharedBatches.over(plan.devices)
        inputs, state = shared.everywhere(on_host(inputs)), shared.everywhere(state)
    clock = _Clock(started)
    with graceful_interrupts() as interrupted:
        while len(outcome.curves) < epochs:
            if _is_over(outcome.curves, int(state.best_epoch), plan):
                outcome.status = "early"
                break
            state, metrics = run_epoch(inputs, state, plan, shared)
            row = _rows(metrics, None)[0]
            if not _is_finite(row):
                outcome.status = "diverged"
                break
            outcome.curves.append(row)
            clock.tick()
            if on_epoch is not None:
                on_epoch(_report(outcome, int(state.best_epoch), epochs, clock))
            if resumption.checkpoint is not None and len(outcome.curves) % resumption.checkpoint.every == 0:
                keep(state)
            if interrupted():
                outcome.status = "interrupted"
                break
    if outcome.status != "diverged":
        keep(state)
    outcome.seconds, outcome.startup_seconds = clock.seconds, clock.startup
    if shared is not None:
        state = on_one_device(state)
    return _finished(outcome, state, static, plan, data.remedy)


def train_members(
    vaes: Sequence[VAE],
    data: TrainingData,
    plan: EpochPlan,
    *,
    epochs: int,
    betas: Sequence[float],
    seeds: Sequence[int],
    started: float,
) -> list[Outcome]:
    """Several models of one shape trained side by side on the same vectors, each as it would be alone.

    Args:
        vaes: the untrained models.
        data: vectors and weights.
        plan: settings.
        epochs: at most.
        betas: weight of the KL divergence for each model.
        seeds: of shuffling and noise for each model.
        started: clock reading from which start-up counts.

    Raises:
        TrainingError: if a loss was not finite before there was any model to keep.
    """
    if plan.devices > 1:
        raise InputError(
            f"`devices`={plan.devices} is for one model; several that train side by side share one device. Set "
            "`devices=1`, or train the models one after another."
        )
    statics = [trainable(vae)[1] for vae in vaes]
    keys = jnp.stack([jax.random.key(seed) for seed in seeds])
    inputs = _inputs(data, keys, statics[0])
    states = [initial_state(vae, plan, beta) for vae, beta in zip(vaes, betas, strict=True)]
    state = jax.tree.map(lambda *leaves: jnp.stack(leaves), *states)
    del states
    outcomes = [Outcome(vae=vae) for vae in vaes]
    running = set(range(len(vaes)))
    clock = _Clock(started)
    with graceful_interrupts() as interrupted:
        for _ in range(epochs):
            state, metrics = run_epoch_of_members(inputs, state, plan)
            best = np.asarray(state.best_epoch)
            for member, row in enumerate(_rows(metrics, len(vaes))):
                if member not in running:
                    continue
                if not _is_finite(row):
                    outcomes[member].status = "diverged"
                    running.discard(member)
                    continue
                outcomes[member].curves.append(row)
                if len(outcomes[member].curves) < epochs and _is_over(
                    outcomes[member].curves, int(best[member]), plan
                ):
                    outcomes[member].status = "early"
                    running.discard(member)
            clock.tick()
            if not running:
                break
            if interrupted():
                for member in running:
                    outcomes[member].status = "interrupted"
                break
    finished = []
    for member, outcome in enumerate(outcomes):
        outcome.seconds, outcome.startup_seconds = clock.seconds, clock.startup
        mine = jax.tree.map(lambda leaf, member=member: leaf[member], state)
        finished.append(_finished(outcome, mine, statics[member], plan, data.remedy))
    return finished


class _Clock:
    """Start-up time until the end of the first epoch, then the time and pace of the rest."""

    def __init__(self, started: float) -> None:
        self.started, self.begun = started, time.perf_counter()
        self.epochs, self.startup = 0, 0.0

    def tick(self) -> None:
        self.epochs += 1
        if self.epochs == 1:
            self.begun = time.perf_counter()
            self.startup = self.begun - self.started

    @property
    def seconds(self) -> float:
        return time.perf_counter() - self.begun

    @property
    def since_start(self) -> float:
        return time.perf_counter() - self.started

    @property
    def pace(self) -> float:
        return self.seconds / (self.epochs - 1) if self.epochs > 1 else 0.0


def _inputs(data: TrainingData, key: Array, static: Any) -> EpochInputs:
    return EpochInputs(
        train=data.train,
        train_weights=data.train_weights,
        n_frames=data.n_dealt,
        validation=data.validation,
        validation_weights=data.validation_weights,
        key=key,
        static=static,
        pairs=None if data.lagged is None else device_array(data.lagged.pairs),
        validation_lagged=None if data.lagged is None else data.lagged.validation,
    )


def on_host(inputs: EpochInputs) -> EpochInputs:
    """The same with the training vectors in the memory of the host."""
    if isinstance(inputs.train, StoredVectors):
        return inputs
    return eqx.tree_at(lambda tree: tree.train, inputs, StoredVectors(np.asarray(inputs.train)))


def _is_over(curves: list[dict[str, Any]], best_epoch: int, plan: EpochPlan) -> bool:
    """Whether patience has ended: epochs since the best one; none before the first candidate."""
    return plan.patience is not None and best_epoch >= 0 and len(curves) - 1 - best_epoch >= plan.patience


def _is_finite(row: dict[str, Any]) -> bool:
    return all(np.isfinite(value).all() for name, value in row.items() if name not in ("sigma", "beta"))


def _rows(metrics: EpochMetrics, members: int | None) -> list[dict[str, Any]]:
    """One row of the learning curves for each model, as plain numbers."""
    host = jax.device_get(metrics)
    if members is None:
        host = jax.tree.map(lambda leaf: leaf[None], host)
    return [
        {
            "train_log_likelihood": float(host.train.log_likelihood[member]),
            "train_kl": [float(value) for value in host.train.kl[member]],
            "validation_log_likelihood": float(host.validation.log_likelihood[member]),
            "validation_kl": [float(value) for value in host.validation.kl[member]],
            "train_bound": float(host.train_bound[member]),
            "validation_bound": float(host.validation_bound[member]),
            "sigma": float(host.sigma[member]),
            "beta": float(host.beta[member]),
        }
        for member in range(members or 1)
    ]


def _report(outcome: Outcome, best_epoch: int, epochs: int, clock: _Clock) -> EpochReport:
    last = outcome.curves[-1]
    return EpochReport(
        epoch=len(outcome.curves),
        epochs=epochs,
        train_bound=last["train_bound"],
        validation_bound=last["validation_bound"],
        best_epoch=best_epoch + 1,
        seconds=clock.since_start,
        seconds_left=clock.pace * (epochs - len(outcome.curves)),
    )


def _finished(
    outcome: Outcome, state: TrainingState, static: Any, plan: EpochPlan, input_remedy: str
) -> Outcome:
    """The outcome with the parameters of the best epoch."""
    best_epoch = int(state.best_epoch)
    if outcome.status == "diverged":
        remedy = (
            f"Lower `learning_rate` (now {plan.learning_rate}) or `gradient_clip` (now {plan.gradient_clip})"
        )
        if best_epoch < 0:
            raise TrainingError(
                f"The loss was not finite before any epoch ended well, so there is no model. {remedy}, or "
                f"{input_remedy}."
            )
        warnings.warn(
            f"The loss was not finite in epoch {len(outcome.curves) + 1}; the model of the best epoch before is kept. "
            f"{remedy}.",
            PolyvaeWarning,
            stacklevel=4,
        )
    best = state.best_parameters if best_epoch >= 0 else state.parameters
    outcome.vae = eqx.combine(best, static)
    outcome.best_epoch = best_epoch + 1 if best_epoch >= 0 else len(outcome.curves)
    return outcome


def _resumed(state: TrainingState, resumption: Resumption) -> tuple[TrainingState, list[dict[str, Any]]]:
    if resumption.checkpoint is None:
        raise InputError("`resume=True` needs a `checkpoint` to resume from.")
    kept = resumption.checkpoint.load()
    if kept is None:
        return state, []
    arrays, metadata = kept
    theirs = metadata["fingerprint"]
    for name, value in resumption.fingerprint.items():
        if theirs.get(name) != value:
            raise InputError(
                f"Cannot resume: the checkpoint was made with {_difference(name, theirs.get(name), value)}. "
                "Use the settings and data of the first run, or start anew."
            )
    return restored_state(state, arrays), [dict(row) for row in metadata["curves"]]


def _difference(name: str, theirs: Any, ours: Any) -> str:
    """The settings that differ, and no others, as "epochs=100, this run has 200"."""
    if isinstance(theirs, dict) and isinstance(ours, dict):
        changed = [key for key in ours if theirs.get(key) != ours[key]]
        return "; ".join(_difference(key, theirs.get(key), ours[key]) for key in changed)
    return f"{name}={theirs!r}, this run has {ours!r}"
