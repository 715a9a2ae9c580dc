import pytest

from polyvae.errors import InputError
from polyvae.trajectory.budget import memory_budget


@pytest.mark.parametrize(
    ("memory", "expected"),
    [
        ("2GB", 2e9),
        ("500 MB", 5e8),
        ("1.5GiB", 1.5 * 1024**3),
        ("64kb", 64e3),
        ("2e9", 2e9),
        (1000, 1000),
        (1e6, 1e6),
    ],
)
def test_sizes_as_people_write_them(memory, expected):
    assert memory_budget(memory) == expected


@pytest.mark.parametrize("memory", ["", "much", "-2GB", "0", 0, -5, float("nan"), float("inf"), "1.2.3GB"])
def test_anything_else_is_named(memory):
    with pytest.raises(InputError, match="`memory` must be a positive size"):
        memory_budget(memory)


def test_unsaid_it_is_half_of_the_machine():
    assert 10**8 < memory_budget(None) < 10**14
