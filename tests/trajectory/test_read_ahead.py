"""Items come in order, errors where they happen, and the thread ends."""

import threading

import pytest

from polyvae.trajectory.read_ahead import read_ahead


def readers() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "polyvae read-ahead"]


def test_items_come_in_order():
    assert list(read_ahead(range(100))) == list(range(100))
    assert readers() == []


def test_some_are_ready_before_they_are_asked_for():
    fetched = threading.Event()

    def items():
        yield 0
        yield 1
        fetched.set()
        yield 2

    ahead = read_ahead(items(), depth=2)
    assert next(ahead) == 0
    assert fetched.wait(10)
    assert list(ahead) == [1, 2]


def test_an_error_is_raised_in_its_place():
    def items():
        yield 1
        raise OSError("disk")

    ahead = read_ahead(items())
    assert next(ahead) == 1
    with pytest.raises(OSError, match="disk"):
        next(ahead)
    assert readers() == []


def test_closing_ends_the_thread():
    ahead = read_ahead(iter(range(10**9)), depth=1)
    assert next(ahead) == 0
    ahead.close()
    assert readers() == []
