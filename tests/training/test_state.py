"""A training state as named arrays, and back."""

import jax
import numpy as np
import pytest

from polyvae.errors import InputError
from polyvae.training import TrainConfig
from polyvae.training.plan import plan_for
from polyvae.training.state import restored_state, state_arrays
from polyvae.training.step import initial_state
from polyvae.vae import ModelConfig, make_vae
from polyvae.vae.likelihoods import Normal


@pytest.fixture(scope="module")
def state():
    plan = plan_for(TrainConfig(epochs=2, gradient_clip=0.0), 16, analytic_scale=False)
    return initial_state(make_vae(Normal.of(3), ModelConfig(hidden=(4,)), seed=0), plan, 0.5)


def test_a_state_comes_back_with_the_same_bits(state):
    back = restored_state(state, state_arrays(state))
    assert jax.tree.structure(back) == jax.tree.structure(state)
    for one, other in zip(jax.tree.leaves(state), jax.tree.leaves(back), strict=True):
        assert one.dtype == other.dtype
        np.testing.assert_array_equal(one, other)


def test_every_leaf_has_a_name_of_its_own(state):
    arrays = state_arrays(state)
    assert len(arrays) == len(jax.tree.leaves(state))
    assert ".best_bound" in arrays


def test_the_weight_of_the_divergence_is_part_of_the_state(state):
    assert state_arrays(state)[".log_beta"] == pytest.approx(np.log(0.5), rel=1e-6)


def test_a_missing_leaf_is_named(state):
    arrays = state_arrays(state)
    del arrays[".best_bound"]
    with pytest.raises(InputError, match=r"leaf \.best_bound should be float32\(\); found nothing"):
        restored_state(state, arrays)


def test_a_leaf_of_another_shape_or_type_is_named(state):
    with pytest.raises(InputError, match=r"\.best_epoch should be int32\(\); found float32\(2,\)"):
        restored_state(state, {**state_arrays(state), ".best_epoch": np.zeros(2, np.float32)})
