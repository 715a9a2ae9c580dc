"""Student's likelihood against scipy."""

import equinox as eqx
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats
from scipy.integrate import quad

from polyvae.errors import InputError
from polyvae.vae.likelihoods import StudentT


@eqx.filter_jit
def log_prob(likelihood, x, outputs):
    return likelihood.log_prob(x, outputs)


@pytest.mark.parametrize("per_feature", [False, True])
@pytest.mark.parametrize("dof", [1.01, 3.0, 39.0, 41.0, 1e3])
def test_log_density_equals_scipy(dof, per_feature, x64, rng):
    x, mean = 3 * rng.normal(size=(2, 5))
    likelihood = StudentT.of(5, sigma=0.4, degrees_of_freedom=dof, per_feature=per_feature)
    expected = scipy.stats.t.logpdf(x, dof, mean, 0.4).sum()
    assert float(log_prob(likelihood, jnp.asarray(x), jnp.asarray(mean))) == pytest.approx(
        expected, abs=1e-10
    )


def test_the_density_integrates_to_one(x64):
    likelihood = StudentT.of(1, sigma=0.5, degrees_of_freedom=3.0)

    def density(x):
        return np.exp(float(log_prob(likelihood, jnp.asarray([x]), jnp.zeros(1))))

    total = quad(density, -np.inf, np.inf, epsabs=1e-8)[0]
    assert total == pytest.approx(1.0, abs=1e-8)


def test_many_degrees_of_freedom_are_a_normal_in_float32():
    likelihood = StudentT.of(1000, degrees_of_freedom=1e7)
    value = float(log_prob(likelihood, jnp.ones(1000), jnp.zeros(1000)))
    # Rounding of a sum of 1000; a difference of log-gammas of 1e7 would be off by several per entry.
    assert value == pytest.approx(1000 * scipy.stats.norm.logpdf(1.0), rel=1e-5)


def test_a_far_frame_counts_for_less_than_under_a_normal(x64):
    x = jnp.asarray([50.0])
    assert float(log_prob(StudentT.of(1), x, jnp.zeros(1))) > scipy.stats.norm.logpdf(50.0) + 1000


def test_degrees_of_freedom_at_or_below_one_are_refused():
    with pytest.raises(InputError, match="`degrees_of_freedom` must be above 1; got 1"):
        StudentT.of(2, degrees_of_freedom=1.0)
    with pytest.raises(InputError, match="`sigma` must be positive"):
        StudentT.of(2, sigma=-1.0)
