"""Modified Bessel functions on a scale that neither overflows nor loses digits, entry by entry.

With A(k) = I1(k) / I0(k), the mean cosine of an angle with concentration k.
"""

import jax
import jax.numpy as jnp
from jax.scipy.special import i0e, i1e
from jaxtyping import Array, Float

_LARGE = 100.0
_N_TERMS = 9


def _asymptotic_coefficients() -> tuple[float, ...]:
    """Coefficients c_m of A(k) = sum_m c_m k^-m, from A' = 1 - A/k - A²."""
    terms = [1.0]
    for m in range(1, _N_TERMS + 1):
        products = sum(terms[i] * terms[m - i] for i in range(1, m))
        terms.append(((m - 2) * terms[m - 1] - products) / 2)
    return tuple(terms)


_COEFFICIENTS = _asymptotic_coefficients()


def bessel_ratio_complement(k: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
    """1 - I1(k) / I0(k), to the last digits for large k too, where the difference would cancel."""
    inverse = 1.0 / jnp.where(k > _LARGE, k, _LARGE)
    series = jnp.zeros_like(k)
    for coefficient in reversed(_COEFFICIENTS[1:]):
        series = (series - coefficient) * inverse
    moderate = jnp.where(k > _LARGE, 0.0, k)
    return jnp.where(k > _LARGE, series, 1.0 - i1e(moderate) / i0e(moderate))


@jax.custom_jvp
def log_scaled_i0(k: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
    """Log(I0(k)) - k, with the derivative A(k) - 1, for k that are not negative but for rounding."""
    return jnp.log(i0e(k)) + (jnp.abs(k) - k)


@log_scaled_i0.defjvp
def _log_scaled_i0_jvp(primals, tangents):
    (k,), (change,) = primals, tangents
    return log_scaled_i0(k), -bessel_ratio_complement(k) * change
