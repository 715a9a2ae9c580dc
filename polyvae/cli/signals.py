"""SIGTERM as an exception, so that files under way are tidied up, and which signal ended a training run."""

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType


class Interrupted(BaseException):
    """A signal ended the command.

    Attributes:
        number: the number of the signal.
        code: exit code, 128 plus that number.
    """

    def __init__(self, message: str, number: int = signal.SIGINT) -> None:
        super().__init__(message)
        self.number = int(number)
        self.code = 128 + self.number


@contextmanager
def terminable() -> Iterator[None]:
    """Inside, SIGTERM raises `Interrupted` in the main thread."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(number: int, frame: FrameType | None) -> None:
        raise Interrupted("terminated", number)

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL if before is None else before)


@contextmanager
def held_signals() -> Iterator[Callable[[], None]]:
    """Inside, SIGINT and SIGTERM wait until they are asked for: other libraries would not pass them on as they are.

    Yields:
        A function that raises `Interrupted` if a signal has come.
    """
    came: list[int] = []

    def look() -> None:
        if came:
            raise Interrupted("interrupted" if came[0] == signal.SIGINT else "terminated", came[0])

    if threading.current_thread() is not threading.main_thread():
        yield look
        return
    numbers = (signal.SIGINT, signal.SIGTERM)
    before = [signal.signal(number, lambda number, frame: came.append(number)) for number in numbers]
    try:
        yield look
    finally:
        for number, handler in zip(numbers, before, strict=True):
            signal.signal(number, signal.SIG_DFL if handler is None else handler)


@contextmanager
def noted_signal() -> Iterator[Callable[[], int]]:
    """Tells which signal came inside, whoever handled it.

    Yields:
        A function that returns the number of the last SIGINT or SIGTERM, or of SIGINT where none came.
    """
    if threading.current_thread() is not threading.main_thread():
        yield lambda: int(signal.SIGINT)
        return
    read, write = os.pipe()
    for descriptor in (read, write):
        os.set_blocking(descriptor, False)
    # Python writes the number of every signal that it handles into this pipe.
    before = signal.set_wakeup_fd(write, warn_on_full_buffer=False)

    def last() -> int:
        try:
            numbers = [number for number in os.read(read, 4096) if number in (signal.SIGINT, signal.SIGTERM)]
        except BlockingIOError:
            numbers = []
        return numbers[-1] if numbers else int(signal.SIGINT)

    try:
        yield last
    finally:
        signal.set_wakeup_fd(before)
        os.close(read)
        os.close(write)
