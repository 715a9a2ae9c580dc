"""The likelihood of a vector in parts."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from polyvae.errors import InputError
from polyvae.vae.likelihoods import Blocks, Categorical, Normal, PerFrameNormal, VonMises


def _example():
    return Blocks((PerFrameNormal(2, per_feature=False), VonMises.of(2), Categorical(3), Normal.of(1)))


def test_sizes_add_up():
    likelihood = _example()
    assert likelihood.n_values == 2 + 2 + 3 + 1
    assert likelihood.n_outputs == 3 + 4 + 3 + 1


def test_log_density_and_mean_are_those_of_the_parts(x64, rng):
    likelihood = _example()
    outputs = jnp.asarray(rng.normal(size=11))
    x = jnp.asarray([0.1, 0.2, 0.3, -0.4, 0.0, 1.0, 0.0, 0.5])
    pieces = ((x[:2], outputs[:3]), (x[2:4], outputs[3:7]), (x[4:7], outputs[7:10]), (x[7:], outputs[10:]))
    parts = list(zip(likelihood.parts, pieces, strict=True))
    expected = sum(float(part.log_prob(a, b)) for part, (a, b) in parts)
    assert float(likelihood.log_prob(x, outputs)) == pytest.approx(expected, abs=1e-12)
    np.testing.assert_array_equal(
        likelihood.mean(outputs), jnp.concatenate([part.mean(b) for part, (_, b) in parts])
    )


def test_parts_of_one_family_draw_different_noise():
    likelihood = Blocks((Normal.of(3), Normal.of(3)))
    draw = likelihood.sample(jnp.zeros(6), jax.random.key(0))
    assert not np.any(np.isclose(draw[:3], draw[3:]))


def test_blocks_nest(x64, rng):
    flat = Blocks((Normal.of(1), Categorical(2), Normal.of(1, sigma=2.0)))
    nested = Blocks((Normal.of(1), Blocks((Categorical(2), Normal.of(1, sigma=2.0)))))
    x, outputs = jnp.asarray(rng.normal(size=(2, 4)))
    assert float(nested.log_prob(x, outputs)) == pytest.approx(float(flat.log_prob(x, outputs)), abs=1e-14)


def test_every_part_is_refitted():
    likelihood = Blocks((Normal.of(1), Normal.of(1)))
    x = jnp.asarray([[2.0, 0.5], [-2.0, 0.5]])
    fitted = likelihood.refitted(x, jnp.zeros((2, 2)), jnp.ones(2))
    np.testing.assert_allclose(np.exp(jax.tree.leaves(fitted)), [2.0, 0.5], rtol=1e-6)


def test_no_parts_are_refused():
    with pytest.raises(InputError, match="`parts` must hold at least one likelihood"):
        Blocks(())
