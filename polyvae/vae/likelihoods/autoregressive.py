"""A likelihood of internal coordinates that places atom after atom, each given z and all atoms placed before it.

    log p(x|z) = sum_i log p(length_i, angle_i, torsion_i | atoms placed before i, z)

Each factor is a mixture: normal in the length and the angle, von Mises in the torsion, independent within a component.
Its numbers come from a small network of that atom's own, which sees the atoms around in the frame that the atom is
placed from. So a chain does not run into itself, and torsions that depend on each other stay together. Log-densities
are exact and all factors are computed at once; drawing goes atom by atom.

The decoder's outputs are two things: a mean conformation, and a context. z reaches every factor through both: beside
the atoms placed so far, a factor sees the mean conformation in the mean conformation's own frame of its atom, so that
where the chain shall go is told in the terms that it is placed in. Train it with a Cartesian term
(`WithCartesianTerm`): that alone fits the mean conformation, and gives the latent something to say that so free a
density could do without.

References:
    Bishop, Mixture density networks, 1994, Aston University NCRG/94/004.
    Germain et al., MADE: masked autoencoder for distribution estimation, 2015, arXiv:1502.03509, for the factors.
"""

import itertools
import math

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray

from polyvae._typing import Frame
from polyvae.features.building import reference_frames
from polyvae.features.internal import InternalCoordinates
from polyvae.vae.likelihoods.bessel import log_scaled_i0
from polyvae.vae.likelihoods.circular import _centered_draw, _direction, _versine
from polyvae.vae.likelihoods.likelihood import Likelihood
from polyvae.vae.likelihoods.local_view import LocalView, fitted_view
from polyvae.vae.likelihoods.mean_conformation import mean_conformation, n_mean_outputs

_HALF_LOG_TWO_PI = 0.5 * math.log(2.0 * math.pi)
_LOG_TWO_PI = math.log(2.0 * math.pi)


class Autoregressive(Likelihood):
    """Mixtures of normal and von Mises distributions, one factor an atom, in the order of the bond tree.

    Attributes:
        representation: of the internal coordinates; fixed.
        view: what each factor sees of the atoms placed before.
        guide: what it sees of the mean conformation.
        weights: of the factors' networks, one array a layer, shape (placed, in, out).
        biases: shape (placed, out).
        context_weights: of the context in the first layer, shape (placed, context, hidden).
        n_components: components of each mixture.
    """

    representation: InternalCoordinates
    view: LocalView
    guide: LocalView
    weights: tuple[Float[Array, "placed _ _"], ...]
    biases: tuple[Float[Array, "placed _"], ...]
    context_weights: Float[Array, "placed context hidden"]
    n_components: int = eqx.field(static=True)

    @property
    def n_values(self) -> int:
        """Length of the vector of internal coordinates."""
        return self.representation.n_features

    @property
    def n_mean(self) -> int:
        """Outputs that describe the mean conformation."""
        return n_mean_outputs(self.representation)

    @property
    def n_context(self) -> int:
        """Outputs that reach the factors."""
        return self.context_weights.shape[1]

    @property
    def n_outputs(self) -> int:
        """The mean conformation and the context."""
        return self.n_mean + self.n_context

    def log_prob(self, x: Float[Array, " values"], outputs: Float[Array, " outputs"]) -> Float[Array, ""]:
        """Log p(x|z), nats."""
        return jnp.sum(self._log_factors(self._numbers(x, outputs), *self._by_step(x)))

    def mean(self, outputs: Float[Array, " outputs"]) -> Float[Array, " values"]:
        """The mean conformation; its lengths and angles stay within the range of the data."""
        return mean_conformation(jax.lax.stop_gradient(self.representation), outputs[: self.n_mean])

    def _guidance(self, outputs: Float[Array, " outputs"]) -> Float[Array, "placed inputs"]:
        """What every factor sees of the mean conformation, which the density does not train."""
        representation = jax.lax.stop_gradient(self.representation)
        placed = jax.lax.stop_gradient(representation.placed(self.mean(outputs)))
        return self.guide(placed, *reference_frames(representation.tree, placed))

    def sample(self, outputs: Float[Array, " outputs"], key: PRNGKeyArray) -> Float[Array, " values"]:
        """One draw from p(x|z), atom by atom."""
        representation = self.representation
        n_atoms, dims = representation.reference.shape
        context, guidance = outputs[self.n_mean :], self._guidance(outputs)

        def place(placed: Frame, item: tuple[Array, Array]) -> tuple[Frame, Array]:
            step, step_key = item
            origins, axes = reference_frames(representation.tree, placed)
            inputs = jnp.concatenate([self.view(placed, origins, axes)[step], guidance[step]])
            numbers = self._network(inputs[None], context, slice_at=step)[0]
            values = self._draw(numbers, step, step_key)
            length, angle, torsion = self._physical(values, step)
            if dims == 2:
                local = length * jnp.stack([jnp.cos(torsion), jnp.sin(torsion)])
            else:
                across = length * jnp.sin(angle)
                local = jnp.stack(
                    [-length * jnp.cos(angle), across * jnp.cos(torsion), across * jnp.sin(torsion)]
                )
            values = self._measured(
                values, local, step, inside=(length > 0) & (angle >= 0) & (angle <= jnp.pi)
            )
            position = origins[step] + axes[step] @ local
            return placed.at[step + 1].set(position), values

        steps = jnp.arange(n_atoms - 1)
        keys = jax.random.split(key, n_atoms - 1)
        start = jnp.zeros((n_atoms, dims), context.dtype)
        _, values = jax.lax.scan(place, start, (steps, keys))
        if dims == 2:
            return jnp.concatenate([values[:, 0], values[1:, 2]])
        return jnp.concatenate([values[:, 0], values[1:, 1], values[2:, 2]])

    def _by_step(self, x: Float[Array, " values"]) -> tuple[Array, Array, Array]:
        """Scaled length, scaled angle and torsion of every placed atom, zero where it has none."""
        representation = self.representation
        n_lengths, n_stiff = representation.n_lengths, representation.n_stiff
        angles = x[n_lengths:n_stiff]
        torsions = x[n_stiff:]
        pad = lambda values: jnp.concatenate([jnp.zeros(n_lengths - values.shape[0], x.dtype), values])  # noqa: E731
        return x[:n_lengths], pad(angles), pad(torsions)

    def _physical(self, values: Array, step: Array) -> tuple[Array, Array, Array]:
        """Length, angle and torsion in units of length and radians, of scaled ones."""
        representation = self.representation
        mean, scale, n_lengths = representation.mean, representation.scale, representation.n_lengths
        length = values[0] * scale[step] + mean[step]
        if representation.dims == 2:
            return length, jnp.zeros_like(length), values[2]
        index = jnp.maximum(n_lengths + step - 1, n_lengths)
        # The second atom goes straight along the first axis.
        angle = jnp.where(step == 0, jnp.pi, values[1] * scale[index] + mean[index])
        return length, angle, values[2]

    def _measured(self, values: Array, local: Array, step: Array, *, inside: Array) -> Array:
        """The values of a draw as they are measured: a length below zero or an angle beyond pi says the same as others.

        Atoms that follow are placed by what is measured, and so must say what the draw returns.
        """
        representation = self.representation
        mean, scale, n_lengths = representation.mean, representation.scale, representation.n_lengths
        length = (jnp.linalg.norm(local) - mean[step]) / scale[step]
        angle, torsion = values[1], jnp.arctan2(local[1], local[0])
        if representation.dims == 3:
            index = jnp.maximum(n_lengths + step - 1, n_lengths)
            bend = jnp.arctan2(jnp.hypot(local[1], local[2]), -local[0])
            angle, torsion = (bend - mean[index]) / scale[index], jnp.arctan2(local[2], local[1])
        has_angle, has_torsion = (jnp.asarray(present)[step] for present in self._present())
        angle, torsion = jnp.where(has_angle, angle, 0.0), jnp.where(has_torsion, torsion, 0.0)
        return jnp.where(inside, values, jnp.stack([length, angle, torsion]))

    def _numbers(
        self, x: Float[Array, " values"], outputs: Float[Array, " outputs"]
    ) -> Float[Array, "placed numbers"]:
        """What every factor's network says of one vector."""
        representation = jax.lax.stop_gradient(self.representation)
        placed = representation.placed(x)
        seen = self.view(placed, *reference_frames(representation.tree, placed))
        inputs = jnp.concatenate([seen, self._guidance(outputs)], axis=1)
        return self._network(inputs, outputs[self.n_mean :])

    def _network(self, inputs: Array, context: Array, slice_at: Array | None = None) -> Array:
        """Every factor's own network at its inputs, or that of one factor."""
        weights, biases, context_weights = self.weights, self.biases, self.context_weights
        if slice_at is not None:
            weights, biases, context_weights = jax.tree.map(
                lambda leaf: leaf[slice_at][None], (weights, biases, context_weights)
            )
        signal = jnp.einsum("nf,nfh->nh", inputs, weights[0]) + biases[0]
        signal = signal + jnp.einsum("c,nch->nh", context, context_weights)
        for weight, bias in zip(weights[1:], biases[1:], strict=True):
            signal = jnp.einsum("nf,nfh->nh", jax.nn.silu(signal), weight) + bias
        return signal

    def _components(self, numbers: Float[Array, "*placed numbers"]) -> tuple[Array, ...]:
        """Log-weights, means and logarithms of widths of length and angle, torsion pairs, logarithms of k."""
        parts = numbers.reshape(*numbers.shape[:-1], self.n_components, 8)
        log_weights = jax.nn.log_softmax(parts[..., 0], axis=-1)
        log_scales = 8.0 * jnp.tanh(parts[..., 3:5] / 8.0)
        log_kappa = 10.0 * jnp.tanh(parts[..., 7] / 10.0)
        return log_weights, parts[..., 1:3], log_scales, parts[..., 5:7], log_kappa

    def _present(self) -> tuple[np.ndarray, np.ndarray]:
        """Which placed atoms have an angle and a torsion."""
        steps = np.arange(self.representation.n_lengths)
        if self.representation.dims == 2:
            return np.zeros(len(steps), bool), steps >= 1
        return steps >= 1, steps >= 2

    def _log_factors(
        self, numbers: Float[Array, "placed numbers"], lengths: Array, angles: Array, torsions: Array
    ) -> Float[Array, " placed"]:
        log_weights, means, log_scales, pairs, log_kappa = self._components(numbers)
        stiff = jnp.stack([lengths, angles], axis=1)[:, None, :]
        deviation = (stiff - means) * jnp.exp(-log_scales)
        normal = -0.5 * deviation**2 - log_scales - _HALF_LOG_TWO_PI
        point = jnp.stack([jnp.cos(torsions), jnp.sin(torsions)], axis=1)[:, None, :]
        kappa = jnp.exp(log_kappa)
        circular = -kappa * _versine(jnp.broadcast_to(point, pairs.shape), _direction(pairs))
        circular = circular - log_scaled_i0(kappa) - _LOG_TWO_PI
        has_angle, has_torsion = self._present()
        total = log_weights + normal[..., 0]
        total = total + jnp.where(jnp.asarray(has_angle)[:, None], normal[..., 1], 0.0)
        total = total + jnp.where(jnp.asarray(has_torsion)[:, None], circular, 0.0)
        return jax.nn.logsumexp(total, axis=1)

    def _draw(self, numbers: Float[Array, " numbers"], step: Array, key: PRNGKeyArray) -> Float[Array, " 3"]:
        """Scaled length, scaled angle and torsion of one placed atom, zero where it has none."""
        component_key, normal_key, torsion_key = jax.random.split(key, 3)
        log_weights, means, log_scales, pairs, log_kappa = self._components(numbers)
        chosen = jax.random.categorical(component_key, log_weights)
        noise = jax.random.normal(normal_key, (2,), numbers.dtype)
        stiff = means[chosen] + jnp.exp(log_scales[chosen]) * noise
        direction = _direction(pairs[chosen])
        torsion = jnp.arctan2(direction[1], direction[0])
        torsion = torsion + _centered_draw(torsion_key, jnp.exp(log_kappa[chosen])[None])[0]
        torsion = torsion - 2.0 * jnp.pi * jnp.ceil((torsion - jnp.pi) / (2.0 * jnp.pi))
        has_angle, has_torsion = (jnp.asarray(present)[step] for present in self._present())
        return jnp.stack(
            [stiff[0], jnp.where(has_angle, stiff[1], 0.0), jnp.where(has_torsion, torsion, 0.0)]
        )


def initial_autoregressive(
    representation: InternalCoordinates,
    examples: np.ndarray,
    *,
    n_components: int = 8,
    hidden: tuple[int, ...] = (64, 64),
    n_context: int = 32,
    seed: int = 0,
) -> Autoregressive:
    """The likelihood with fresh weights; components of torsions start at quantiles of the data.

    Args:
        representation: of the internal coordinates.
        examples: vectors of training frames, shape (frames, features); some thousand are enough.
        n_components: components of each mixture.
        hidden: widths of the hidden layers of each factor's network.
        n_context: numbers through which z reaches the factors.
        seed: of the weights.
    """
    rng = np.random.default_rng([seed, 11])
    dtype = jnp.result_type(float)
    n_atoms = representation.n_atoms
    positions, origins, axes = _placed_with_frames(representation, jnp.asarray(examples, dtype))
    placed = np.asarray(positions, np.float64)
    frames = (placed, np.asarray(origins, np.float64), np.asarray(axes, np.float64))
    view, guide = (fitted_view(representation, *frames, earlier=earlier) for earlier in (True, False))
    torsions = examples[:, representation.n_stiff :]
    widths = (view.mean.shape[1] + guide.mean.shape[1], *hidden, 8 * n_components)
    weights, biases = [], []
    for layer, (n_in, n_out) in enumerate(itertools.pairwise(widths)):
        last = layer == len(widths) - 2
        gain = 0.1 if last else (1.0 if layer == 0 else 1.6765)
        weights.append(rng.normal(size=(n_atoms - 1, n_in, n_out)) * gain / np.sqrt(n_in))
        biases.append(np.zeros((n_atoms - 1, n_out)))
    biases[-1] = _start_components(torsions, n_atoms - 1, n_components, rng).reshape(n_atoms - 1, -1)
    context = rng.normal(size=(n_atoms - 1, n_context, hidden[0])) / np.sqrt(n_context)
    as_array = lambda array: jnp.asarray(array, dtype)  # noqa: E731
    return Autoregressive(
        representation=representation,
        view=view,
        guide=guide,
        weights=tuple(map(as_array, weights)),
        biases=tuple(map(as_array, biases)),
        context_weights=as_array(context),
        n_components=n_components,
    )


@eqx.filter_jit
def _placed_with_frames(
    representation: InternalCoordinates, vectors: Float[Array, "frames values"]
) -> tuple[Array, Array, Array]:
    """Positions in the order of placement, and what each atom is placed from; compiled once for all seeds."""

    def one(vector: Array) -> tuple[Array, Array, Array]:
        placed = representation.placed(vector)
        return placed, *reference_frames(representation.tree, placed)

    return jax.vmap(one)(vectors)


def _start_components(
    torsions: np.ndarray, n_placed: int, n_components: int, rng: np.random.Generator
) -> np.ndarray:
    """Biases of the last layer, shape (placed, components, 8)."""
    start = np.zeros((n_placed, n_components, 8))
    start[..., 1:3] = 0.1 * rng.normal(size=(n_placed, n_components, 2))
    start[..., 5] = 1.0
    first = n_placed - torsions.shape[1]
    shares = (np.arange(n_components) + 0.5) / n_components
    for index in range(torsions.shape[1]):
        values = np.sort(torsions[:, index])
        gaps = np.diff(np.append(values, values[0] + 2 * np.pi))
        cut = int(np.argmax(gaps)) + 1
        # The circle is cut where no torsion is.
        values = np.concatenate([values[cut:], values[:cut] + 2 * np.pi])
        centers = np.quantile(values, shares)
        width = max(np.std(values) / n_components, np.ptp(values) / (2 * n_components), 1e-3)
        start[first + index, :, 5], start[first + index, :, 6] = np.cos(centers), np.sin(centers)
        start[first + index, :, 7] = np.clip(-2 * np.log(2 * width), -2.0, 9.0)
    return start
