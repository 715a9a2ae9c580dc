"""Ctrl-C and SIGTERM end training between two epochs, so that nothing is lost."""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType


@contextmanager
def graceful_interrupts() -> Iterator[Callable[[], bool]]:
    """Inside, the first SIGINT or SIGTERM is only remembered; a second one acts as it did before.

    Yields:
        A function that tells whether a signal has come. Outside the main thread, where Python cannot catch signals,
        it is always False.
    """
    received = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield received.is_set
        return
    signals = (signal.SIGINT, signal.SIGTERM)
    before = {number: signal.getsignal(number) for number in signals}

    def restore() -> None:
        for number, handler in before.items():
            signal.signal(number, signal.SIG_DFL if handler is None else handler)

    def remember(number: int, frame: FrameType | None) -> None:
        received.set()
        restore()

    for number in signals:
        signal.signal(number, remember)
    try:
        yield received.is_set
    finally:
        restore()
