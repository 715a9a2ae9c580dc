"""The variational autoencoder and the model that wraps it from raw positions to latent and back."""

from polyvae.vae.config import ModelConfig
from polyvae.vae.conformation_model import ConformationModel, SystemInfo
from polyvae.vae.distributions import (
    kl_from_standard_normal,
    normal_log_density,
    standard_normal_log_density,
)
from polyvae.vae.networks import MLP
from polyvae.vae.objectives import ElboTerms, elbo_terms, importance_weighted_bound
from polyvae.vae.vae import VAE, Posterior

__all__ = [
    "MLP",
    "VAE",
    "ConformationModel",
    "ElboTerms",
    "ModelConfig",
    "Posterior",
    "SystemInfo",
    "elbo_terms",
    "importance_weighted_bound",
    "kl_from_standard_normal",
    "normal_log_density",
    "standard_normal_log_density",
]
