"""Compact conformations by gradient descent in latent space, bounded so that they stay physical.

Unbounded, the descent finds a structure whose bonds have a third of their length. Three bounds keep it
honest: the latent stays inside the ball that holds 99 % of the prior; geometry outside the data's range
(bonds, mean bond, closest pair) is penalized, ever harder as the descent goes on; and what is reported is
each start's most compact *valid* step, checked against the range itself. A start that never was valid is
counted and not reported.
"""

from dataclasses import dataclass
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float
from scipy.stats import chi2

from polyvae.errors import InputError
from polyvae.features import geometry_violation, radius_of_gyration
from polyvae.trajectory import Trajectory
from polyvae.vae import ConformationModel, Prior, StandardNormal

# Room that a reported structure keeps from the bounds, as a fraction of their width: it must still be valid
# when decoded anew and measured against quantiles of another sample, or of all bonds pooled.
_SPARE = 0.02


@dataclass(frozen=True, kw_only=True)
class OptimizationConfig:
    """Settings of the descent.

    Attributes:
        steps: gradient steps.
        learning_rate: of Adam, in latent units; it decays to a tenth.
        prior_mass: share of the prior inside the ball that the latent must stay in.
        penalty: weight of the geometry penalty at the end, against a radius of gyration counted in units of the
            smallest one in the data; it grows from a hundredth of that.
        margin: distance kept from the bounds during the descent, as a fraction of each bound's width.
    """

    steps: int = 600
    learning_rate: float = 0.05
    prior_mass: float = 0.99
    penalty: float = 10.0
    margin: float = 0.06

    def __post_init__(self) -> None:
        if self.steps < 1:
            raise InputError(f"`steps` must be at least 1; got {self.steps}.")
        if not 0 < self.prior_mass < 1:
            raise InputError(f"`prior_mass` must lie between 0 and 1; got {self.prior_mass}.")
        for name in ("learning_rate", "penalty"):
            if not getattr(self, name) > 0:
                raise InputError(f"`{name}` must be positive; got {getattr(self, name)}.")
        if not 0 <= self.margin < 0.5:
            raise InputError(f"`margin` must lie between 0 and 0.5; got {self.margin}.")


@dataclass(frozen=True, kw_only=True, eq=False)
class OptimizedConformations:
    """Valid conformations found by the descent, most compact first.

    Attributes:
        positions: shape (valid, atoms, dims), unit of length; empty where no start became valid.
        latent: their latent points, shape (valid, latent).
        radius_of_gyration: theirs, shape (valid,).
        start: index of the start that each came from.
        n_starts: number of starts.
        trace: radius of gyration along each descent, shape (starts, steps + 1).
        violation_trace: geometry violation along each descent, 0 where valid, same shape.
        data_minimum: smallest radius of gyration of the training data.
        trajectory: the valid conformations as a trajectory, or None where there are none.
        unit: unit of length.
    """

    positions: np.ndarray
    latent: np.ndarray
    radius_of_gyration: np.ndarray
    start: np.ndarray
    n_starts: int
    trace: np.ndarray
    violation_trace: np.ndarray
    data_minimum: float
    trajectory: Trajectory | None
    unit: str

    @property
    def n_valid(self) -> int:
        """Starts that led to a valid conformation."""
        return len(self.start)

    @property
    def best(self) -> float | None:
        """Smallest valid radius of gyration, or None."""
        return float(self.radius_of_gyration[0]) if self.n_valid else None


def minimize_radius_of_gyration(
    model: ConformationModel,
    *,
    starts: int = 100,
    config: OptimizationConfig | None = None,
    seed: int = 0,
) -> OptimizedConformations:
    """The most compact conformations that the model can decode without leaving the data's geometry.

    Args:
        model: a trained model.
        starts: descents, from draws of the prior.
        config: settings of the descent.
        seed: of the starts.

    Returns:
        Decoder means, all valid by the definition in `polyvae.features.geometry`, sorted by radius of gyration.

    Raises:
        InputError: if `starts` is below 1.
    """
    config = config or OptimizationConfig()
    if starts < 1:
        raise InputError(f"`starts` must be at least 1; got {starts}.")
    prior = model.vae.latent_prior()
    latents = prior.sample(jax.random.key(seed), starts)
    radius = _radius(prior, config.prior_mass)
    found, trace, violations = _descend(model, latents, radius, config)
    gyration, latent = np.asarray(found[0]), np.asarray(found[1])
    order = np.argsort(gyration, kind="stable")
    order = order[np.isfinite(gyration[order])]
    positions = (
        np.asarray(model.decode(latent[order])) if len(order) else np.zeros((0, *_shape(model)), np.float32)
    )
    source = "most compact conformations by descent in latent space"
    return OptimizedConformations(
        positions=positions,
        latent=latent[order],
        radius_of_gyration=gyration[order],
        start=order,
        n_starts=starts,
        trace=np.asarray(trace).T,
        violation_trace=np.asarray(violations).T,
        data_minimum=float(model.geometry.radius_of_gyration_low),
        trajectory=model.system.trajectory(positions, source=source) if len(order) else None,
        unit=model.system.length_units.length,
    )


def _radius(prior: Prior, mass: float) -> float:
    """Radius of the ball around the origin that holds this share of the prior."""
    if isinstance(prior, StandardNormal):
        return float(np.sqrt(chi2.ppf(mass, prior.latent_dim)))
    lengths = np.linalg.norm(np.asarray(prior.sample(jax.random.key(0), 10_000)), axis=1)
    return float(np.quantile(lengths, mass))


def _shape(model: ConformationModel) -> tuple[int, int]:
    return model.system.n_atoms, model.system.dims


def _starts_at_once(model: ConformationModel) -> int:
    """Descents run together: the matrix of all pair distances of each must fit the processor's memory."""
    return int(np.clip(4_000_000 // model.system.n_atoms**2, 1, 128))


@eqx.filter_jit
def _descend(
    model: ConformationModel,
    latents: Float[Array, "starts latent"],
    radius: float,
    config: OptimizationConfig,
) -> tuple[tuple[Array, Array], Array, Array]:
    """Best valid (radius of gyration, latent) of each start, and the traces, shape (steps + 1, starts)."""
    schedule = optax.exponential_decay(config.learning_rate, config.steps, 0.1)
    optimizer = optax.adam(schedule)
    unit = model.geometry.radius_of_gyration_low

    def evaluate(latent: Array) -> tuple[Array, Array, Array]:
        frame = model.representation.positions(model.vae.decode(latent))
        gyration = radius_of_gyration(frame, model.geometry.masses)
        near = geometry_violation(model.geometry, frame, margin=config.margin)
        return gyration, near, geometry_violation(model.geometry, frame, margin=_SPARE)

    def inside(latent: Array) -> Array:
        length = jnp.sqrt(jnp.maximum(jnp.sum(latent**2), 1e-12))
        return latent * jnp.minimum(1.0, radius / length)

    def cost(latent: Array, weight: Array) -> tuple[Array, tuple[Array, Array]]:
        gyration, near, violation = evaluate(latent)
        return gyration / unit + weight * near, (gyration, violation)

    def keep(
        best: tuple[Array, Array], gyration: Array, violation: Array, latent: Array
    ) -> tuple[Array, Array]:
        better = (violation <= 0.0) & (gyration < best[0])
        return jnp.where(better, gyration, best[0]), jnp.where(better, latent, best[1])

    def descend(latent: Array) -> tuple[tuple[Array, Array], Array, Array]:
        def step(carry: Any, progress: Array) -> tuple[Any, tuple[Array, Array]]:
            latent, state, best = carry
            weight = config.penalty * 100.0 ** (progress - 1.0)
            gradient, (gyration, violation) = jax.grad(cost, has_aux=True)(latent, weight)
            best = keep(best, gyration, violation, latent)
            # Optax mixes integer counters with floats, which strict promotion forbids.
            with jax.numpy_dtype_promotion("standard"):
                updates, state = optimizer.update(gradient, state)
            return (inside(latent + updates), state, best), (gyration, violation)

        latent = inside(latent)
        start = (latent, optimizer.init(latent), (jnp.asarray(jnp.inf, latent.dtype), latent))
        progress = jnp.linspace(0.0, 1.0, config.steps, dtype=latent.dtype)
        (latent, _, best), (gyrations, violations) = jax.lax.scan(step, start, progress)
        gyration, _, violation = evaluate(latent)
        best = keep(best, gyration, violation, latent)
        return best, jnp.append(gyrations, gyration), jnp.append(violations, violation)

    best, gyrations, violations = jax.lax.map(descend, latents, batch_size=_starts_at_once(model))
    return best, gyrations.T, violations.T
