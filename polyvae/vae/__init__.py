"""The variational autoencoder and the model that wraps it from raw positions to latent and back."""

from polyvae.vae.config import ModelConfig
from polyvae.vae.conformation_model import ConformationModel, SystemInfo
from polyvae.vae.decomposition import log_aggregate, prior_mismatch, total_correlation
from polyvae.vae.distributions import (
    kl_from_standard_normal,
    normal_log_density,
    standard_normal_log_density,
)
from polyvae.vae.inputs import Inputs, InvariantInputs, PeriodicInputs, PlainInputs
from polyvae.vae.likelihoods import Likelihood
from polyvae.vae.networks import MLP, EncoderDecoder, Network, initialize_mlp
from polyvae.vae.objectives import (
    ElboTerms,
    Objective,
    elbo_terms,
    importance_weighted_bound,
    objective_terms,
)
from polyvae.vae.posteriors import DiagonalNormal, FullNormal, Posterior
from polyvae.vae.priors import (
    AnisotropicNormal,
    FlowPrior,
    NormalMixture,
    Prior,
    SparsePrior,
    StandardNormal,
    VampPrior,
)
from polyvae.vae.vae import VAE, make_vae

__all__ = [
    "MLP",
    "VAE",
    "AnisotropicNormal",
    "ConformationModel",
    "DiagonalNormal",
    "ElboTerms",
    "EncoderDecoder",
    "FlowPrior",
    "FullNormal",
    "Inputs",
    "InvariantInputs",
    "Likelihood",
    "ModelConfig",
    "Network",
    "NormalMixture",
    "Objective",
    "PeriodicInputs",
    "PlainInputs",
    "Posterior",
    "Prior",
    "SparsePrior",
    "StandardNormal",
    "SystemInfo",
    "VampPrior",
    "elbo_terms",
    "importance_weighted_bound",
    "initialize_mlp",
    "kl_from_standard_normal",
    "log_aggregate",
    "make_vae",
    "normal_log_density",
    "objective_terms",
    "prior_mismatch",
    "standard_normal_log_density",
    "total_correlation",
]
