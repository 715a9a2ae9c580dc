"""When the free-energy differences of rounds are stable, and their mean."""

import numpy as np
import pytest

from polyvae.analysis import FreeEnergyDifference, FreeEnergyRounds


def rounds(*estimates):
    return FreeEnergyRounds(
        rounds=tuple(range(1, len(estimates) + 1)),
        differences=tuple(
            None
            if each is None
            else FreeEnergyDifference(
                value=each[0], error=each[1], units="kJ/mol", populations=(0.5, 0.5), transitions=each[2]
            )
            for each in estimates
        ),
    )


@pytest.mark.parametrize(
    ("estimates", "is_stable"),
    [
        ([(9.0, 0.5, 20), (9.5, 0.5, 20)], True),
        # Twice the standard error of the difference is 1.41.
        ([(9.0, 0.5, 20), (10.4, 0.5, 20)], True),
        ([(9.0, 0.5, 20), (10.5, 0.5, 20)], False),
        ([(9.0, 0.5, 20), (9.0, 1.5, 20)], False),
        ([(9.0, 0.5, 20), (9.0, np.inf, 20)], False),
        ([(9.0, 0.5, 20), (9.0, 0.5, 9)], False),
        ([(9.0, 0.5, 20), None], False),
        ([(9.0, 0.5, 20)], False),
        ([], False),
        ([(20.0, 0.1, 20), (9.0, 0.5, 20), (9.5, 0.5, 20)], True),
    ],
)
def test_the_last_two_rounds_must_agree_within_their_errors(estimates, is_stable):
    assert rounds(*estimates).is_stable(tolerance=1.0, round_trips=5) is is_stable


def test_rounds_are_combined_by_the_inverse_of_their_variances():
    mean, error = rounds((99.0, 0.1, 20), (8.0, 1.0, 20), (10.0, 0.5, 20)).combined()
    assert mean == pytest.approx((8.0 + 4 * 10.0) / 5)
    assert error == pytest.approx(5**-0.5)
    assert np.isnan(rounds(None, None).combined()).all()
