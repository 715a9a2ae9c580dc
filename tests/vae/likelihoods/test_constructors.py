"""`.of` of every normal family, and the lengths that make no vector."""

import numpy as np
import pytest

from polyvae.errors import InputError
from polyvae.vae.likelihoods import (
    Blocks,
    Categorical,
    CorrelatedNormal,
    LowRankNormal,
    Normal,
    PerFrameNormal,
    StudentT,
)


def test_each_family_is_made_with_its_length():
    assert PerFrameNormal.of(4).n_outputs == 5
    assert PerFrameNormal.of(4, per_feature=True).n_outputs == 8
    np.testing.assert_allclose(CorrelatedNormal.of(3, sigma=0.5).covariance, 0.25 * np.eye(3), rtol=1e-6)
    low = LowRankNormal.of(5, rank=2, sigma=0.5, learn=False)
    assert (low.n_values, low.factor.shape, low.learn) == (5, (5, 2), False)
    np.testing.assert_allclose(np.exp(low.log_scale), 0.5, rtol=1e-6)
    # A factor of zeros would have no gradient.
    assert np.all(np.diagonal(low.factor) == np.float32(0.05))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Normal.of(0), "`n_values` must be at least 1, the length of the vector; got 0"),
        (lambda: StudentT.of(0), "`n_values` must be at least 1"),
        (lambda: PerFrameNormal.of(-1), "`n_values` must be at least 1"),
        (lambda: CorrelatedNormal.of(0), "`n_values` must be at least 1"),
        (lambda: LowRankNormal.of(3, rank=3), "`rank` must be between 1 and n_values - 1 = 2; got 3"),
        (lambda: Categorical(1), "`n_classes` must be at least 2; got 1"),
    ],
)
def test_lengths_without_a_vector_are_refused(make, message):
    with pytest.raises(InputError, match=message):
        make()


def test_a_part_that_is_no_likelihood_is_named():
    # Made without its fields' types, which the tests' type checker would refuse first.
    blocks = object.__new__(Blocks)
    object.__setattr__(blocks, "parts", (Normal.of(1), Normal))
    with pytest.raises(InputError, match="part 1 is the class Normal"):
        blocks.__check_init__()
