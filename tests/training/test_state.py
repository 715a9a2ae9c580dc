"""A training state as named arrays, and back."""

import jax
import numpy as np
import pytest

from polyvae.errors import InputError
from polyvae.training.epoch import EpochPlan, initial_state
from polyvae.training.state import restored_state, state_arrays
from polyvae.vae import ModelConfig
from polyvae.vae.vae import initialize_vae


@pytest.fixture(scope="module")
def state():
    plan = EpochPlan(
        batch_size=4,
        steps=2,
        total_steps=4,
        warmup_steps=0,
        learning_rate=1e-3,
        schedule="cosine",
        gradient_clip=0.0,
        beta=1.0,
    )
    return initial_state(initialize_vae(ModelConfig(hidden=(4,)), 3, seed=0), plan)


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


def test_a_missing_leaf_is_named(state):
    arrays = state_arrays(state)
    del arrays[".best_bound"]
    with pytest.raises(InputError, match=r"leaf \.best_bound should be float32\(\); found nothing"):
        restored_state(state, arrays)


def test_a_leaf_of_another_shape_or_type_is_named(state):
    with pytest.raises(InputError, match=r"\.best_epoch should be int32\(\); found float32\(2,\)"):
        restored_state(state, {**state_arrays(state), ".best_epoch": np.zeros(2, np.float32)})
