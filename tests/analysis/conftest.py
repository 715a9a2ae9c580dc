"""A small chain in two dimensions, one short fit to it, and a linear model made by hand."""

import equinox as eqx
import jax.numpy as jnp
import numpy as np
import pytest

from polyvae.features import Cartesian, FreeDirections, fit_geometry_bounds
from polyvae.preprocessing import Alignment
from polyvae.training import FitResult, TrainConfig, fit
from polyvae.trajectory import Trajectory
from polyvae.vae import (
    MLP,
    VAE,
    ConformationModel,
    EncoderDecoder,
    ModelConfig,
    PlainInputs,
    StandardNormal,
    SystemInfo,
)
from polyvae.vae.likelihoods import Normal

N_ATOMS = 5


@pytest.fixture(scope="session")
def chain() -> Trajectory:
    """Beads on bonds of about unit length whose angles wander slowly; two runs of 500 frames, turning as a whole."""
    rng = np.random.default_rng(0)
    n_frames = 1000
    angles = np.zeros((n_frames, N_ATOMS - 1))
    for frame in range(1, n_frames):
        angles[frame] = 0.8 * angles[frame - 1] + 0.6 * rng.normal(size=N_ATOMS - 1)
    directions = np.cumsum(0.7 * angles, axis=1) + np.cumsum(0.3 * rng.normal(size=(n_frames, 1)), axis=0)
    lengths = 1.0 + 0.08 * rng.normal(size=angles.shape)
    bonds = lengths[:, :, None] * np.stack([np.cos(directions), np.sin(directions)], axis=2)
    positions = np.concatenate([np.zeros((n_frames, 1, 2)), np.cumsum(bonds, axis=1)], axis=1)
    return Trajectory(
        positions=positions.astype(np.float32),
        bonds=np.stack([np.arange(N_ATOMS - 1), np.arange(1, N_ATOMS)], axis=1),
        times=np.arange(n_frames, dtype=np.float64),
        segments=(500, 500),
    )


@pytest.fixture(scope="session")
def fitted(chain) -> FitResult:
    """A model with a latent as large as the shape space, so that it can move every coordinate."""
    config = TrainConfig(epochs=40, batch_size=64, learning_rate=1e-2, patience=None, gap=0)
    return fit(chain, ModelConfig(latent_dim=6, hidden=(32,)), config, seed=1)


@pytest.fixture(scope="session")
def linear_model() -> tuple[ConformationModel, np.ndarray, np.ndarray]:
    """A linear model of three beads without alignment, with mean and covariance of its positions.

    No alignment; x = scale (W z + noise) + mean, noise of width 0.5, posterior exact but half again as wide.
    """
    rng = np.random.default_rng(2)
    decoder = np.linalg.qr(rng.normal(size=(6, 2)))[0].T * np.array([[1.5], [0.7]])
    sigma, scale, mean = 0.5, 2.0, rng.normal(size=6)
    precision = 1.0 + np.sum(decoder**2, axis=1) / sigma**2
    gain = decoder / sigma**2 / precision[:, None]
    encoder = np.concatenate([gain.T, np.zeros((6, 2))], axis=1)
    log_scale = np.log(1.5) - 0.5 * np.log(precision)
    as_array = lambda values: jnp.asarray(values, jnp.float32)  # noqa: E731
    network = EncoderDecoder(
        encoder=MLP(weights=(as_array(encoder),), biases=(as_array(np.r_[0.0, 0.0, log_scale]),)),
        decoder=MLP(weights=(as_array(decoder),), biases=(jnp.zeros(6),)),
    )
    vae = VAE(
        network=network,
        likelihood=Normal.of(6, sigma=sigma),
        prior=StandardNormal(2),
        inputs=PlainInputs(6),
        latent_dim=2,
    )
    frames = np.random.default_rng(0).normal(size=(10, 3, 2)).astype(np.float32)
    model = ConformationModel(
        alignment=Alignment(method="none", weights=jnp.full(3, 1 / 3)),
        representation=Cartesian(
            directions=FreeDirections(reflectors=jnp.zeros((6, 0)), mixing=jnp.zeros((0, 0))),
            mean=as_array(mean),
            scale=jnp.full(6, scale),
            n_atoms=3,
        ),
        vae=vae,
        geometry=fit_geometry_bounds(frames, None),
        config=ModelConfig(hidden=(1,), alignment="none"),
        system=SystemInfo(n_atoms=3, dims=2, units="reduced"),
    )
    return model, mean, scale**2 * (decoder.T @ decoder + sigma**2 * np.eye(6))


@pytest.fixture(scope="session")
def unbounded_model(linear_model) -> ConformationModel:
    """The linear model without bounds of geometry."""
    model = linear_model[0]
    return eqx.tree_at(lambda model: model.geometry.closest_nonbonded, model, jnp.zeros(()))
