"""From a trajectory to what training needs: the split, an untrained model fitted to the training frames, vectors."""

import warnings
from collections.abc import Callable
from dataclasses import dataclass

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

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
from polyvae.features.internal import check_bond_lengths
from polyvae.preprocessing import Alignment, align, fit_alignment
from polyvae.training.augmentation import symmetry_images
from polyvae.training.config import TrainConfig
from polyvae.training.loop import TrainingData, unit_mean
from polyvae.training.splitting import Split, autocorrelation_time, blocked_split
from polyvae.trajectory import Trajectory
from polyvae.vae import VAE, ConformationModel, ModelConfig, Network, SystemInfo, make_vae
from polyvae.vae.inputs import InternalInputs, InvariantInputs, ScaledInputs
from polyvae.vae.vae import initial_internal_likelihood, initial_likelihood

_EXAMPLES = 4000
_BRIDGE_FRAMES = 100

NetworkFactory = Callable[[ConformationModel, int], Network]
"""Makes a network from the model before training, whose alignment and representation are fitted already, and a seed."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Prepared:
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


def prepare(
    trajectory: Trajectory,
    model_config: ModelConfig,
    train_config: TrainConfig,
    seed: int,
    network: Network | NetworkFactory | None,
) -> Prepared:
    """The split, the model without trained weights, and the features of training and validation frames."""
    keep_compiled_code()
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
    return Prepared(
        model=model,
        data=data,
        split=split,
        degenerate_frames=split.train[np.asarray(report.degenerate)],
        network=network,
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
    return map_batched(representation, canonical, 1024)


def _counted(vectors: jax.Array, weights: np.ndarray | None) -> jax.Array:
    """Vectors of training frames without those of weight zero."""
    return vectors if weights is None or (weights > 0).all() else vectors[:, np.flatnonzero(weights > 0)]


def _some_vectors(train: jax.Array) -> np.ndarray:
    """A few thousand training vectors, spread evenly."""
    flat = train.reshape(-1, train.shape[-1])
    chosen = np.unique(np.linspace(0, len(flat) - 1, min(len(flat), _EXAMPLES)).astype(int))
    return np.asarray(flat[chosen])
