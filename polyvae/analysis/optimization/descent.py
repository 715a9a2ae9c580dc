"""Many descents in one compiled loop: Adam in latent space on observable, broken geometry and lost density.

Each descent keeps its best *valid* step: geometry inside the data's range and latent inside the region of trust.
"""

from typing import Any, Literal

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float

from polyvae._batching import map_batched
from polyvae._typing import LatentVector, LatentVectors
from polyvae.analysis.optimization.config import OptimizationConfig
from polyvae.analysis.optimization.trust import Trust
from polyvae.features import Observable, geometry_violation
from polyvae.vae import ConformationModel

# Room that a reported structure keeps from the bounds, as a fraction of their width: it must still be valid
# when decoded anew and measured against quantiles of another sample, or of all bonds pooled.
_SPARE = 0.02

# The penalty of broken geometry grows from some share of its weight, over this part of the steps. The share differs
# from start to start: with a small one chains pass through themselves and fold further, with a large one they do not
# tangle.
_SMALLEST_SHARE, _LARGEST_SHARE, _GROWTH = 1e-5, 1e-1, 0.7
_LAST_RATE = 0.05

Goal = Literal["minimize", "maximize", "target"]


class Aim(eqx.Module):
    """What a descent wants of the observable.

    Attributes:
        goal: lowest, highest, or nearest to the target.
        target: the value wanted; without meaning for the other goals.
        scale: what the observable is counted in.
    """

    goal: Goal = eqx.field(static=True)
    target: Float[Array, ""]
    scale: Float[Array, ""]

    @classmethod
    def of(cls, goal: Goal, *, target: float = 0.0, scale: float) -> "Aim":
        """The aim with plain numbers as arrays, so that another target compiles nothing anew."""
        dtype = jnp.result_type(float)
        return cls(goal, jnp.asarray(target, dtype), jnp.asarray(scale, dtype))

    def loss(self, value: Float[Array, ""]) -> Float[Array, ""]:
        """What the gradient follows, no unit."""
        if self.goal == "target":
            return ((value - self.target) / self.scale) ** 2
        return value / self.scale if self.goal == "minimize" else -value / self.scale

    def rank(self, value: Any) -> Any:
        """What a better value has less of, in the unit of the observable."""
        if self.goal == "target":
            return abs(value - self.target)
        return value if self.goal == "minimize" else -value


class Descents(eqx.Module):
    """What came of all starts.

    Attributes:
        value: observable of the best valid step, infinite where no step was valid, shape (starts,).
        latent: its latent point, shape (starts, latent).
        log_density: of that point under the region of trust, nats, shape (starts,).
        values: observable after every step, shape (starts, steps + 1).
        violations: geometry violation likewise, plus the excess over the region of trust; 0 where valid.
    """

    value: Array
    latent: Array
    log_density: Array
    values: Array
    violations: Array


@eqx.filter_jit
def value_and_slope(
    model: ConformationModel, observable: Observable, latents: LatentVectors
) -> tuple[Float[Array, " points"], Float[Array, " points"]]:
    """Observable of decoded latent points, and the length of its gradient with respect to the latent."""

    def one(latent: LatentVector) -> tuple[Array, Array]:
        def decoded(point: LatentVector) -> Array:
            return observable(model.representation.positions(model.vae.decode(point)))

        value, gradient = jax.value_and_grad(decoded)(latent)
        return value, jnp.sqrt(jnp.sum(gradient**2))

    return map_batched(one, latents, _starts_at_once(model))


@eqx.filter_jit
def descend(
    model: ConformationModel,
    observable: Observable,
    latents: LatentVectors,
    trust: Trust,
    aim: Aim,
    config: OptimizationConfig,
) -> Descents:
    """All descents.

    Args:
        model: a trained model.
        observable: of the decoded frame.
        latents: where they start, shape (starts, latent).
        trust: where they may go.
        aim: what they want.
        config: steps, learning rate, penalty and margin.
    """
    optimizer = optax.adam(optax.exponential_decay(config.learning_rate, config.steps, _LAST_RATE))

    def evaluate(latent: LatentVector) -> tuple[Array, Array, Array]:
        frame = model.representation.positions(model.vae.decode(latent))
        near = geometry_violation(model.geometry, frame, margin=config.margin)
        violation = geometry_violation(model.geometry, frame, margin=_SPARE)
        return (
            observable(frame),
            near + trust.excess(latent, room=True),
            violation + trust.excess(latent, room=False),
        )

    def cost(latent: LatentVector, weight: Array) -> tuple[Array, tuple[Array, Array]]:
        value, near, violation = evaluate(latent)
        return aim.loss(value) + weight * near, (value, violation)

    def keep(best: tuple[Array, Array], value: Array, violation: Array, latent: Array) -> tuple[Array, Array]:
        better = (violation <= 0.0) & (aim.rank(value) < aim.rank(best[0]))
        # The first valid step has nothing to be compared with: maximizing, infinity would be the best of all.
        better = better | ((violation <= 0.0) & jnp.isfinite(value) & ~jnp.isfinite(best[0]))
        return jnp.where(better, value, best[0]), jnp.where(better, latent, best[1])

    def one(start: tuple[LatentVector, Array]) -> tuple[Array, Array, Array, Array, Array]:
        latent, first_share = start

        def step(carry: Any, progress: Array) -> tuple[Any, tuple[Array, Array]]:
            latent, state, best = carry
            weight = config.penalty * first_share ** jnp.maximum(1.0 - progress / _GROWTH, 0.0)
            gradient, (value, violation) = jax.grad(cost, has_aux=True)(latent, weight)
            best = keep(best, value, violation, latent)
            # Optax mixes integer counters with floats, which strict promotion forbids.
            with jax.numpy_dtype_promotion("standard"):
                updates, state = optimizer.update(trust.along(latent, gradient), state)
            return (trust.inside(latent + updates), state, best), (value, violation)

        latent = trust.inside(latent)
        carry = (latent, optimizer.init(latent), (jnp.asarray(jnp.inf, latent.dtype), latent))
        progress = jnp.linspace(0.0, 1.0, config.steps, dtype=latent.dtype)
        (latent, _, best), (values, violations) = jax.lax.scan(step, carry, progress)
        value, _, violation = evaluate(latent)
        best = keep(best, value, violation, latent)
        return (
            *best,
            trust.log_prob(best[1]),
            jnp.append(values, value),
            jnp.append(violations, violation),
        )

    shares = jnp.geomspace(_SMALLEST_SHARE, _LARGEST_SHARE, latents.shape[0], dtype=latents.dtype)
    return Descents(*map_batched(one, (latents, shares), _starts_at_once(model)))


def _starts_at_once(model: ConformationModel) -> int:
    """Descents run together: the matrix of all pair distances of each must fit the processor's memory."""
    return int(np.clip(4_000_000 // model.system.n_atoms**2, 1, 128))
