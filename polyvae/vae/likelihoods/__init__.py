"""Families of distributions p(x|z): what the decoder's numbers mean."""

from polyvae.vae.likelihoods.autoregressive import Autoregressive, initial_autoregressive
from polyvae.vae.likelihoods.blocks import Blocks
from polyvae.vae.likelihoods.cartesian_term import WithCartesianTerm
from polyvae.vae.likelihoods.categorical import Categorical, check_one_hot
from polyvae.vae.likelihoods.circular import VonMises
from polyvae.vae.likelihoods.correlated import CorrelatedNormal
from polyvae.vae.likelihoods.likelihood import Likelihood
from polyvae.vae.likelihoods.local_view import LocalView
from polyvae.vae.likelihoods.low_rank import LowRankNormal
from polyvae.vae.likelihoods.normal import Normal, PerFrameNormal
from polyvae.vae.likelihoods.rotation import RotationNormal
from polyvae.vae.likelihoods.student_t import StudentT

__all__ = [
    "Autoregressive",
    "Blocks",
    "Categorical",
    "CorrelatedNormal",
    "Likelihood",
    "LocalView",
    "LowRankNormal",
    "Normal",
    "PerFrameNormal",
    "RotationNormal",
    "StudentT",
    "VonMises",
    "WithCartesianTerm",
    "check_one_hot",
    "initial_autoregressive",
]
