"""A likelihood of angles: the von Mises distribution, the circle's counterpart of the normal.

References:
    Mardia & Jupp, Directional statistics, 1999, doi:10.1002/9780470316979.
    Best & Fisher, Efficient simulation of the von Mises distribution, Appl. Stat. 28, 152 (1979), doi:10.2307/2346732,
    for draws. We depart from it: half angles keep every digit at large concentration, and zero is no special case.
    Banerjee et al., Clustering on the unit hypersphere using von Mises-Fisher distributions, JMLR 6, 1345 (2005), for
    the start of the refit.
"""

import math
from typing import Literal

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from polyvae.errors import InputError
from polyvae.vae.likelihoods.bessel import bessel_ratio_complement, log_scaled_i0
from polyvae.vae.likelihoods.likelihood import Likelihood

_LOG_TWO_PI = math.log(2.0 * math.pi)
# A pair of outputs shorter than this has no direction.
_SHORTEST = 1e-12
_SMALLEST_MEAN_COSINE = 5e-4
_NEWTON_STEPS = 8


class VonMises(Likelihood):
    """Independent angles in radians, log p = k cos(x - m) - log(2 pi I0(k)); the outputs are a pair (a, b) for each.

    The pair points in the mean direction, (a, b) = |(a, b)| (cos m, sin m), so no output jumps where an angle passes
    from pi to -pi. The concentration k is shared by all frames and the length of the pair means nothing, or it is
    that length, for each frame: then log p = a cos x + b sin x - log(2 pi I0(k)). A pair of length zero points to 0.

    Attributes:
        log_concentration: natural logarithm of each angle's k, for "shared"; otherwise None.
        size: number of angles.
        concentration: where k comes from.
        learn: a shared k is trained and refitted; otherwise it stays as it is.
    """

    log_concentration: Float[Array, " values"] | None
    size: int = eqx.field(static=True)
    concentration: Literal["shared", "per-frame"] = eqx.field(static=True, default="shared")
    learn: bool = eqx.field(static=True, default=True)

    def __check_init__(self):
        if self.concentration not in ("shared", "per-frame"):
            raise InputError(f"`concentration` must be 'shared' or 'per-frame'; got {self.concentration!r}.")
        if (self.log_concentration is None) != (self.concentration == "per-frame"):
            raise InputError("`log_concentration` must be an array for 'shared' and None for 'per-frame'.")

    @classmethod
    def of(
        cls,
        n_values: int,
        *,
        concentration: Literal["shared", "per-frame"] = "shared",
        kappa: float = 1.0,
        learn: bool = True,
    ) -> "VonMises":
        """The likelihood of `n_values` angles.

        Args:
            n_values: number of angles.
            concentration: "shared" by all frames, or "per-frame" from the decoder.
            kappa: shared concentration to start from, or to stay at; about 1/sigma² of a narrow peak in radians.
            learn: a shared concentration is trained and refitted.

        Raises:
            InputError: if `kappa` is not positive or `concentration` is no known kind.
        """
        if not kappa > 0:
            raise InputError(f"`kappa` must be positive; got {kappa}.")
        shared = jnp.full(n_values, math.log(kappa), jnp.result_type(float))
        return cls(
            log_concentration=None if concentration == "per-frame" else shared,
            size=n_values,
            concentration=concentration,
            learn=learn,
        )

    @property
    def n_values(self) -> int:
        """Number of angles."""
        return self.size

    @property
    def n_outputs(self) -> int:
        """A pair for each angle."""
        return 2 * self.size

    def log_prob(self, x: Float[Array, " values"], outputs: Float[Array, " outputs"]) -> Float[Array, ""]:
        """Log p(x|z), nats."""
        point = jnp.stack([jnp.cos(x), jnp.sin(x)], axis=-1)
        pairs = outputs.reshape(self.size, 2)
        kappa = self._kappa(pairs)
        if self.concentration == "shared":
            kappa = kappa if self.learn else jax.lax.stop_gradient(kappa)
            aligned = -kappa * _versine(point, _direction(pairs))
        else:
            aligned = jnp.sum(pairs * point, axis=-1) - kappa
        return jnp.sum(aligned - log_scaled_i0(kappa)) - self.size * _LOG_TWO_PI

    def mean(self, outputs: Float[Array, " outputs"]) -> Float[Array, " values"]:
        """Mean direction of each angle, in (-pi, pi]."""
        direction = _direction(outputs.reshape(self.size, 2))
        angle = jnp.arctan2(direction[:, 1], direction[:, 0])
        return jnp.where(angle <= -jnp.pi, -angle, angle)

    def sample(self, outputs: Float[Array, " outputs"], key: PRNGKeyArray) -> Float[Array, " values"]:
        """One draw from p(x|z), angles in (-pi, pi]; draws have no derivative."""
        angle = self.mean(outputs) + _centered_draw(key, self._kappa(outputs.reshape(self.size, 2)))
        return angle - 2.0 * jnp.pi * jnp.ceil((angle - jnp.pi) / (2.0 * jnp.pi))

    def refitted(
        self,
        x: Float[Array, "frames values"],
        outputs: Float[Array, "frames outputs"],
        weights: Float[Array, " frames"],
    ) -> "VonMises":
        """The likelihood whose shared k solves I1(k)/I0(k) = R, the weighted mean cosine of x about the mean direction.

        R is taken as 0.0005 where it is smaller: the density then differs from the uniform one by 0.1 %. Where R is one
        no finite k is best, and the old one stays.
        """
        if self.log_concentration is None or not self.learn:
            return self
        point = jnp.stack([jnp.cos(x), jnp.sin(x)], axis=-1)
        versine = _versine(point, _direction(outputs.reshape(-1, self.size, 2)))
        spread = jnp.matmul(weights / jnp.sum(weights), versine, precision="highest")
        exact = spread == 0
        log_kappa = _log_kappa(jnp.where(exact, 0.5, spread))
        log_kappa = jnp.where(exact, self.log_concentration, log_kappa)
        return eqx.tree_at(lambda tree: tree.log_concentration, self, log_kappa)

    def _kappa(self, pairs: Float[Array, "values 2"]) -> Float[Array, " values"]:
        if self.log_concentration is not None:
            return jnp.exp(self.log_concentration)
        square = jnp.sum(pairs**2, axis=-1)
        positive = square > _SHORTEST**2
        return jnp.where(positive, jnp.sqrt(jnp.where(positive, square, 1.0)), 0.0)


def _direction(pairs: Float[Array, "*batch 2"]) -> Float[Array, "*batch 2"]:
    """Unit vectors along the pairs; (1, 0), with no gradient, for those without a direction."""
    square = jnp.sum(pairs**2, axis=-1, keepdims=True)
    positive = square > _SHORTEST**2
    unit = pairs * jax.lax.rsqrt(jnp.where(positive, square, 1.0))
    fallback = jnp.zeros_like(pairs).at[..., 0].set(1.0)
    return jnp.where(positive, unit, fallback)


def _versine(point: Float[Array, "*batch 2"], direction: Float[Array, "*batch 2"]) -> Float[Array, "*batch"]:
    """1 - cos of the angle between unit vectors, without the cancellation at small angles."""
    return 0.5 * jnp.sum((point - direction) ** 2, axis=-1)


def _log_kappa(spread: Float[Array, " values"]) -> Float[Array, " values"]:
    """Log of the k with 1 - I1(k)/I0(k) = spread, in (0, 1), by Newton steps on the log-odds."""
    cosine = jnp.maximum(1.0 - spread, _SMALLEST_MEAN_COSINE)
    spread = jnp.minimum(spread, 1.0 - _SMALLEST_MEAN_COSINE)

    def log_odds(log_kappa):
        complement = bessel_ratio_complement(jnp.exp(log_kappa))
        return jnp.log1p(-complement) - jnp.log(complement)

    def step(_, log_kappa):
        # The log-odds are nearly linear in log k: slope 1 at both ends, at most 1.6 between.
        value, slope = jax.jvp(log_odds, (log_kappa,), (jnp.ones_like(log_kappa),))
        return log_kappa - (value - jnp.log(cosine) + jnp.log(spread)) / slope

    start = jnp.log(cosine * (2.0 - cosine**2) / (spread * (2.0 - spread)))
    return jax.lax.fori_loop(0, _NEWTON_STEPS, step, start)


def _centered_draw(key: PRNGKeyArray, kappa: Float[Array, " values"]) -> Float[Array, " values"]:
    """Angles with density proportional to exp(kappa cos), by rejection from a wrapped Cauchy distribution.

    With g = 2k + sqrt(1 + 4k²) the best envelope has tan(x/2) = tan(u/2)/sqrt(g), u uniform, and a draw is kept with
    probability c exp(1 - c), c = (1 + 1/g)/2 + 2k sin²(x/2). This accepts all at k = 0 and two of three at large k.
    """
    growth = 2.0 * kappa + jnp.sqrt(1.0 + 4.0 * kappa**2)

    def propose(state):
        key, angle, done = state
        key, proposal_key, accept_key = jax.random.split(key, 3)
        half = jax.random.uniform(proposal_key, kappa.shape, kappa.dtype, -jnp.pi / 2, jnp.pi / 2)
        half = jnp.arctan2(jnp.sin(half) * jax.lax.rsqrt(growth), jnp.cos(half))
        excess = 0.5 * (1.0 + 1.0 / growth) + 2.0 * kappa * jnp.sin(half) ** 2
        uniform = jax.random.uniform(accept_key, kappa.shape, kappa.dtype)
        # Said as "not rejected", a concentration that is not a number ends the loop, too.
        accepted = ~(uniform > excess * jnp.exp(1.0 - excess))
        return key, jnp.where(done, angle, 2.0 * half), done | accepted

    start = (key, jnp.zeros_like(kappa), jnp.zeros(kappa.shape, bool))
    return jax.lax.while_loop(lambda state: ~jnp.all(state[2]), propose, start)[1]
