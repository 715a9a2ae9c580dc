"""Normalizing flows as priors, from flowjax (extra `flows`)."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp

from polyvae.errors import MissingDependencyError
from polyvae.vae.priors import FlowPrior

_INTERVAL = 4.0
"""Splines bend the axis between these latent values and leave it straight beyond, where the base density is thin."""
_START = 0.01
"""Factor on the first weights of the last layers, whose answers bend the splines: zero answers leave the base as it
is."""


def spline_flow(latent_dim: int, knots: int, *, seed: int, layers: int = 4, width: int = 32) -> FlowPrior:
    """A masked autoregressive flow of rational-quadratic splines, close to the standard normal at first.

    Args:
        latent_dim: number of latent dimensions.
        knots: of each spline.
        seed: of the weights.
        layers: autoregressive layers.
        width: hidden units of each layer's network.

    Raises:
        MissingDependencyError: if flowjax is not installed.

    References:
        Durkan, Bekasov, Murray & Papamakarios, Neural spline flows, 2019, arXiv:1906.04032.
    """
    try:
        from flowjax.bijections import RationalQuadraticSpline
        from flowjax.distributions import Normal
        from flowjax.flows import masked_autoregressive_flow
    except ImportError as error:
        raise MissingDependencyError(
            "A normalizing flow needs flowjax. Install it with: pip install 'polyvae[flows]'"
        ) from error
    # flowjax mixes integers, Python numbers and arrays of different ranks.
    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        flow = masked_autoregressive_flow(
            jax.random.key(seed),
            base_dist=Normal(jnp.zeros(latent_dim)),
            transformer=RationalQuadraticSpline(knots=knots, interval=_INTERVAL),
            flow_layers=layers,
            nn_width=width,
            nn_depth=1,
        )
    return FlowPrior(flow=jax.tree_util.tree_map_with_path(_faded, flow), size=latent_dim)


def _faded(path: tuple[Any, ...], leaf: Any) -> Any:
    """Weights and biases of the last of the two layers times `_START`, every other leaf as it is."""
    is_last = ".layers[1]" in jax.tree_util.keystr(path)
    return _START * leaf if is_last and eqx.is_inexact_array(leaf) else leaf
