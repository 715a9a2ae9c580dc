"""From a trajectory to what training needs: the split, an untrained model fitted to the training frames, vectors."""

import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from polyvae._arrays import device_array
from polyvae._batching import map_batched
from polyvae._compiled_code import keep_compiled_code
from polyvae.errors import InputError, PolyvaeWarning
from polyvae.features import (
    Cartesian,
    InternalCoordinates,
    bond_tree,
    fit_cartesian,
    fit_geometry_bounds,
    fit_internal,
)
from polyvae.features.bond_check import check_bond_lengths
from polyvae.preprocessing import Alignment, align, fit_alignment
from polyvae.preprocessing.align import align_and_judge, padded_chunks
from polyvae.training.augmentation import symmetry_operations
from polyvae.training.config import TrainConfig
from polyvae.training.correlation_time import correlation_time
from polyvae.training.data import LaggedData, TrainingData, training_weights, unit_mean
from polyvae.training.splitting import Split, blocked_split
from polyvae.training.stored_vectors import StoredVectors
from polyvae.trajectory import Trajectory
from polyvae.trajectory.lag_pairs import lag_pairs
from polyvae.trajectory.mapped import take_rows
from polyvae.trajectory.sampling import spread_rows
from polyvae.vae import VAE, ConformationModel, ModelConfig, Network, SystemInfo, make_vae
from polyvae.vae.inputs import InternalInputs, InvariantInputs, ScaledInputs
from polyvae.vae.vae import initial_internal_likelihood, initial_likelihood

_EXAMPLES = 4000
_VALIDATION_BYTES = 64_000_000
_FEWEST_VALIDATION_FRAMES = 1024
_BRIDGE_FRAMES = 100

NetworkFactory = Callable[[ConformationModel, int], Network]
"""Makes a network from the model before training, whose alignment and representation are fitted already, and a seed."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Prepared:
    """An untrained model fitted to the training frames, the vectors of both parts, and a sample of training vectors.

    The sample has shape (symmetries, frames, features) and no frame of weight zero.
    """

    model: ConformationModel
    data: TrainingData
    examples: np.ndarray
    split: Split
    degenerate_frames: np.ndarray
    network: Network | NetworkFactory | None

    def untrained(self, config: ModelConfig, seed: int) -> VAE:
        """The VAE with fresh weights of this seed."""
        vae, network = self.model.vae, self.network
        if network is not None and not isinstance(network, Network) and callable(network):
            network = network(self.model, seed)
        examples = self.examples[0] if config.prior == "vamp" else None
        likelihood, representation = vae.likelihood, self.model.representation
        if isinstance(representation, InternalCoordinates):
            likelihood = initial_internal_likelihood(
                config, representation, _some_vectors(self.examples), seed=seed
            )
        return make_vae(likelihood, config, network=network, inputs=vae.inputs, examples=examples, seed=seed)


def _split(trajectory: Trajectory, config: TrainConfig, seed: int) -> Split:
    """Blocks dealt out, with a gap of the autocorrelation time of shape observables that need no alignment."""
    time = correlation_time(trajectory)
    return blocked_split(
        trajectory.segments,
        validation_fraction=config.validation_fraction,
        test_fraction=config.test_fraction,
        blocks=config.blocks,
        gap=int(np.ceil(time)) if config.gap is None else config.gap,
        correlation_time=time,
        seed=seed,
    )


def prepare(
    trajectory: Trajectory,
    model_config: ModelConfig,
    train_config: TrainConfig,
    seed: int,
    network: Network | NetworkFactory | None,
    *,
    memory: int = sys.maxsize,
    store: Path | None = None,
) -> Prepared:
    """The split, the model without trained weights, and the vectors of training and validation frames.

    Args:
        trajectory: the data.
        model_config: settings of the model.
        train_config: settings of training.
        seed: of the split and the weights.
        network: your own network, or what makes it, or None.
        memory: bytes that the vectors of the training frames may take; more go into a file.
        store: folder for that file; None for where `tempfile` puts it.
    """
    keep_compiled_code()
    split = _split(trajectory, train_config, seed)
    masses, weights = trajectory.masses, trajectory.weights
    if model_config.mass_weighted and masses is None:
        raise InputError(f"{trajectory.source}: `mass_weighted` needs masses, but the trajectory has none.")
    later = _pairs(trajectory, split, train_config.lag_time)
    train_weights = None if weights is None else weights[split.train]
    _check_weights(trajectory, split, later)
    operations = symmetry_operations(trajectory, train_config.augmentation)
    # Alignment and representation are fitted to a sample; every frame is looked at once more to be made a vector.
    sample = _sample(trajectory, split.train, train_weights)
    sample_weights = None if weights is None else weights[sample]
    some = [image(take_rows(trajectory.positions, sample)) for image in operations]
    alignment, _ = fit_alignment(
        some[0],
        method=model_config.alignment,
        weights=masses if model_config.mass_weighted else None,
        frame_weights=sample_weights,
    )
    canonical = [align(alignment, image) for image in some]
    representation = _representation(model_config, trajectory, alignment, canonical, sample_weights)
    if model_config.latent_dim > representation.n_features:
        raise InputError(
            f"`latent_dim`={model_config.latent_dim} is larger than the {representation.n_features} free coordinates "
            f"of {trajectory.n_atoms} atoms in {trajectory.dims} dimensions. Lower `latent_dim` or select more atoms."
        )
    examples = _counted(np.stack([vectors_of(representation, image) for image in canonical]), sample_weights)
    inputs = None
    if isinstance(representation, InternalCoordinates):
        likelihood = initial_internal_likelihood(model_config, representation, _some_vectors(examples))
        inputs = InternalInputs.fitted(representation, jnp.asarray(examples.reshape(-1, examples.shape[2])))
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
        model = eqx.tree_at(
            lambda tree: tree.vae.inputs, model, _invariant_inputs(model, jnp.asarray(examples))
        )
    degenerate: list[np.ndarray] = []
    train_vectors = _train_vectors(model, trajectory, split.train, operations, degenerate, memory, store)
    held_out = split.validation if later is None else split.validation[later.validation[:, 0]]
    validation, validation_weights = _validation(trajectory, held_out, representation.n_features)

    def vectors_at(frames: np.ndarray) -> Array:
        return device_array(
            vectors_of(representation, align(alignment, take_rows(trajectory.positions, frames)))
        )

    dtype = train_vectors.dtype
    data = TrainingData(
        train=train_vectors,
        validation=vectors_at(validation),
        train_weights=training_weights(
            train_weights, dtype, counted=None if later is None else later.train[:, 0]
        ),
        validation_weights=device_array(unit_mean(validation_weights, len(validation)), dtype),
        lagged=None
        if later is None
        else LaggedData(
            pairs=later.train,
            validation=vectors_at(validation + train_config.lag_time),
            is_target=train_config.lagged_target,
        ),
    )
    return Prepared(
        model=model,
        data=data,
        split=split,
        examples=examples,
        degenerate_frames=np.concatenate(degenerate),
        network=network,
    )


@dataclass(frozen=True, kw_only=True)
class _Pairs:
    """Places of the frames a lag time apart in each part of the split, shape (pairs, 2)."""

    train: np.ndarray
    validation: np.ndarray


def _pairs(trajectory: Trajectory, split: Split, lag_time: int) -> _Pairs | None:
    """The pairs of frames of both parts, or None without a lag time."""
    if lag_time == 0:
        return None
    train, validation = (
        lag_pairs(part, trajectory.segments, lag_time, source=f"{trajectory.source}, {name} frames")
        for name, part in (("training", split.train), ("validation", split.validation))
    )
    return _Pairs(train=train, validation=validation)


def _check_weights(trajectory: Trajectory, split: Split, later: _Pairs | None) -> None:
    """Raise an `InputError` if no frame of a part has weight, of those that are the first of a pair."""
    if trajectory.weights is None:
        return
    train, validation = split.train, split.validation
    if later is not None:
        train, validation = train[later.train[:, 0]], validation[later.validation[:, 0]]
    for name, counted in (("training", train), ("validation", validation)):
        if not trajectory.weights[counted].sum() > 0:
            raise InputError(
                f"{trajectory.source}: all {name} frames have weight zero. Another `seed` or more `blocks` split the "
                "frames differently."
            )


def _invariant_inputs(model: ConformationModel, vectors: jax.Array) -> ScaledInputs:
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


def vectors_of(representation: Cartesian | InternalCoordinates, canonical: np.ndarray) -> np.ndarray:
    """Vectors of canonical frames, chunk by chunk, in the model's precision."""
    dtype = jnp.result_type(float)
    parts = [
        np.asarray(_vectors_of_chunk(representation, device_array(chunk, dtype)))
        for chunk in padded_chunks(canonical)
    ]
    return np.concatenate(parts)[: len(canonical)]


@eqx.filter_jit
def _vectors_of_chunk(
    representation: Cartesian | InternalCoordinates, canonical: Float[Array, "frames atoms dims"]
) -> Float[Array, "frames features"]:
    if isinstance(representation, InternalCoordinates):
        return map_batched(representation, canonical, 1024)
    return representation.of_many(canonical.reshape(len(canonical), -1))


def _sample(trajectory: Trajectory, train: np.ndarray, weights: np.ndarray | None) -> np.ndarray:
    """All training frames, or where they are many a sample of those that count, spread evenly."""
    frame_bytes = trajectory.positions[:1].nbytes
    if len(spread_rows(len(train), frame_bytes)) == len(train):
        return train
    counted = train if weights is None else train[weights > 0]
    return counted[spread_rows(len(counted), frame_bytes)]


def _train_vectors(
    model: ConformationModel,
    trajectory: Trajectory,
    frames: np.ndarray,
    operations: Sequence[Callable[[np.ndarray], np.ndarray]],
    degenerate: list[np.ndarray],
    memory: int,
    store: Path | None,
) -> jax.Array | StoredVectors:
    """Vectors of the training frames under every symmetry, on the device where they fit, else in a file.

    Args:
        model: has the alignment and the representation.
        trajectory: the data.
        frames: the training frames.
        operations: the symmetries, the identity first.
        degenerate: is filled with those of the frames whose orientation is not determined.
        memory: bytes that the vectors may take.
        store: folder for the file.
    """

    def pieces(image: Callable[[np.ndarray], np.ndarray]) -> Iterator[np.ndarray]:
        done = 0
        for chunk in trajectory.position_chunks(frames):
            if image is operations[0]:
                judged = align_and_judge(model.alignment, image(chunk))
                degenerate.append(frames[done + np.flatnonzero(judged.degenerate)])
                done += len(chunk)
                canonical = judged.positions
            else:
                canonical = align(model.alignment, image(chunk))
            yield vectors_of(model.representation, canonical)

    shape = (len(operations), len(frames), model.representation.n_features)
    dtype = np.dtype(jnp.result_type(float))
    images = [pieces(image) for image in operations]
    if dtype.itemsize * int(np.prod(shape, dtype=np.int64)) > memory:
        return StoredVectors.written(images, shape, dtype, store)
    vectors = np.empty(shape, dtype)
    for image, parts in zip(vectors, images, strict=True):
        done = 0
        for part in parts:
            image[done : done + len(part)] = part
            done += len(part)
    # Nobody else knows the array: it need not be copied.
    return jax.device_put(vectors)


def _validation(
    trajectory: Trajectory, frames: np.ndarray, n_features: int
) -> tuple[np.ndarray, np.ndarray | None]:
    """The validation frames that epochs are compared by, and their weights: all, or 64 MB of vectors of them."""
    weights = trajectory.weights
    most = max(_FEWEST_VALIDATION_FRAMES, _VALIDATION_BYTES // (4 * n_features))
    if len(frames) > most:
        if weights is not None:
            frames = frames[weights[frames] > 0]
        frames = frames[np.unique(np.linspace(0, len(frames) - 1, min(len(frames), most)).astype(int))]
    return frames, None if weights is None else weights[frames]


def _counted(vectors: np.ndarray, weights: np.ndarray | None) -> np.ndarray:
    """Vectors of shape (symmetries, frames, features) without those of weight zero."""
    return vectors if weights is None or (weights > 0).all() else vectors[:, np.flatnonzero(weights > 0)]


def _some_vectors(examples: np.ndarray) -> np.ndarray:
    """A few thousand training vectors, spread evenly."""
    flat = examples.reshape(-1, examples.shape[-1])
    chosen = np.unique(np.linspace(0, len(flat) - 1, min(len(flat), _EXAMPLES)).astype(int))
    return flat[chosen]
