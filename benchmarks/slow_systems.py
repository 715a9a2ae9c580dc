r"""Time series whose slow coordinate is known: what `slow_coordinates.py` trains on.

* "sqrt": a hidden two-state chain that stays with probability 0.95, seen through noise whose mean winds around a root
  (the `sqrt_model` of deeptime): the exact VAMP-2 at lag 1 is 1 + 0.9² = 1.81.
* "prinz": diffusion in the four wells of Prinz et al., 2011, doi:10.1063/1.3565032, by Euler-Maruyama; its timescales
  are those of the transition matrix of a fine grid, made from the same integrator's Gaussian steps.
* "noise": a slow process of standard deviation 0.3 beside white noise of standard deviation 1.
* "beltway": a ring road with two lanes. Going around it is the largest motion and quick; changing lanes, over a
  barrier, is small and slow.
"""

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

_PRINZ_STEP = 1e-5
_PRINZ_STEPS = 500
_LANES = (1.0, 1.4)
_LANE_STEP = 2e-3
_LANE_STEPS = 10
_LANE_BARRIER = 4.0
_TURN = 1.5


@dataclass(frozen=True, kw_only=True, eq=False)
class Series:
    """A time series and its slow coordinate.

    Attributes:
        rows: what is observed, shape (frames, dims).
        slow: the slow coordinate at every frame, up to a monotonic map.
    """

    rows: np.ndarray
    slow: np.ndarray


def sqrt_model(n_frames: int, seed: int) -> Series:
    """The hidden chain is the slow coordinate."""
    rng = np.random.default_rng(seed)
    flips = rng.random(n_frames) < 0.05
    states = (rng.integers(2) + np.cumsum(flips)) % 2
    # Means and covariances of deeptime's sqrt_model.
    rows = np.stack(
        [
            np.sqrt(30.0) * rng.normal(size=n_frames),
            1.0 - 2.0 * states + np.sqrt(0.015) * rng.normal(size=n_frames),
        ],
        axis=1,
    )
    rows[:, 1] += np.sqrt(np.abs(rows[:, 0]))
    return Series(rows=rows, slow=states.astype(float))


def noise(n_frames: int, seed: int) -> Series:
    """An autoregressive process of correlation 0.95 beside white noise of more than three times its width."""
    from scipy.signal import lfilter

    rng = np.random.default_rng(seed)
    slow = lfilter([np.sqrt(1 - 0.95**2)], [1.0, -0.95], rng.normal(size=n_frames + 500))[500:]
    return Series(rows=np.stack([rng.normal(size=n_frames), 0.3 * slow], axis=1), slow=slow)


def beltway(n_frames: int, seed: int, walkers: int = 100) -> Series:
    """Two lanes of a ring; several walkers follow one another, `n_frames` // `walkers` frames each."""
    rng = np.random.default_rng(seed)
    middle, half = np.mean(_LANES), (_LANES[1] - _LANES[0]) / 2
    length = n_frames // walkers
    radius = rng.choice(_LANES, walkers) + 0.05 * rng.normal(size=walkers)
    angle = rng.uniform(-np.pi, np.pi, walkers)
    radii, angles = np.empty((length, walkers)), np.empty((length, walkers))
    for frame in range(length):
        for _ in range(_LANE_STEPS):
            x = (radius - middle) / half
            force = -4.0 * _LANE_BARRIER * x * (x**2 - 1.0) / half
            radius = (
                radius
                + _LANE_STEP * force * half**2
                + half * np.sqrt(2 * _LANE_STEP) * rng.normal(size=walkers)
            )
        angle = angle + _TURN * rng.normal(size=walkers)
        radii[frame], angles[frame] = radius, angle
    r, a = radii.T.reshape(-1), angles.T.reshape(-1)
    return Series(rows=np.stack([r * np.cos(a), r * np.sin(a)], axis=1), slow=r)


def beltway_mode(radius: np.ndarray) -> np.ndarray:
    """The exact slow eigenfunction at some radii, from the transition matrix of the radial steps."""
    middle, half = np.mean(_LANES), (_LANES[1] - _LANES[0]) / 2
    grid = np.linspace(-2.2, 2.2, 441)
    drift = grid - _LANE_STEP * 4.0 * _LANE_BARRIER * grid * (grid**2 - 1.0)
    _, functions = _slow_part(grid, drift, 2.0 * _LANE_STEP, steps=_LANE_STEPS)
    return np.interp((radius - middle) / half, grid, functions[:, 1])


def prinz(n_frames: int, seed: int, walkers: int = 1000) -> Series:
    """Diffusion in four wells; walkers start in equilibrium and follow one another, `n_frames` // `walkers` each."""
    rng = np.random.default_rng(seed)
    grid = np.linspace(-1.2, 1.2, 2401)
    weight = np.exp(-_prinz_potential(grid))
    start = rng.choice(grid, walkers, p=weight / weight.sum()) + 0.0005 * rng.uniform(-1, 1, walkers)

    def step(x: jax.Array, key: jax.Array) -> tuple[jax.Array, None]:
        noise = np.sqrt(2 * _PRINZ_STEP) * jax.random.normal(key, x.shape, x.dtype)
        return x - _PRINZ_STEP * jax.vmap(jax.grad(_prinz_potential))(x) + noise, None

    def frame(x: jax.Array, key: jax.Array) -> tuple[jax.Array, jax.Array]:
        return jax.lax.scan(step, x, jax.random.split(key, _PRINZ_STEPS))[0], x

    keys = jax.random.split(jax.random.key(seed), n_frames // walkers)
    rows = np.asarray(jax.jit(lambda x: jax.lax.scan(frame, x, keys)[1])(jnp.asarray(start, jnp.float32)))
    flat = rows.T.reshape(-1)
    return Series(rows=flat[:, None], slow=flat)


def _prinz_potential(x: Any) -> Any:
    """In kT; works on NumPy and JAX arrays."""
    wells = (
        0.8 * jnp.exp(-80 * x**2) + 0.2 * jnp.exp(-80 * (x - 0.5) ** 2) + 0.5 * jnp.exp(-40 * (x + 0.5) ** 2)
    )
    return 4.0 * (x**8 + wells)


def prinz_timescales(count: int = 3) -> np.ndarray:
    """Exact implied timescales of the Prinz potential, in frames."""
    grid = np.linspace(-1.2, 1.2, 801)
    force = -np.asarray(jax.vmap(jax.grad(_prinz_potential))(jnp.asarray(grid, jnp.float32)), np.float64)
    values, _ = _slow_part(grid, grid + _PRINZ_STEP * force, 2.0 * _PRINZ_STEP, steps=_PRINZ_STEPS)
    return -1.0 / np.log(values[1 : count + 1])


def _slow_part(
    grid: np.ndarray, drift: np.ndarray, variance: float, *, steps: int
) -> tuple[np.ndarray, np.ndarray]:
    """Eigenvalues and right eigenfunctions of so many Gaussian steps from the points of a grid, largest first."""
    # Nyström's method: the rule of midpoints is exact to rounding where a step is wider than two cells.
    kernel = np.exp(-((grid[None, :] - drift[:, None]) ** 2) / (2.0 * variance))
    matrix = np.linalg.matrix_power(kernel / kernel.sum(axis=1, keepdims=True), steps)
    values, functions = np.linalg.eig(matrix)
    order = np.argsort(-values.real)[:6]
    return values.real[order], functions[:, order].real
