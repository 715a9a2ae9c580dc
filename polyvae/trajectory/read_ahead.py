"""Items of an iterator, fetched by a thread while the ones before are worked on."""

import queue
import threading
from collections.abc import Iterable, Iterator
from typing import TypeVar

Item = TypeVar("Item")


def read_ahead(items: Iterable[Item], depth: int = 2) -> Iterator[Item]:
    """The same items in the same order; at most `depth` of them wait, one more is being fetched.

    An exception of the iterator is raised where its item would have come. Closing the generator ends the thread.

    Args:
        items: iterated over in one thread of its own.
        depth: items held ready at most.
    """
    waiting: queue.Queue[tuple[bool, Item | BaseException | None]] = queue.Queue(depth)
    closed = threading.Event()

    def put(entry: tuple[bool, Item | BaseException | None]) -> bool:
        while not closed.is_set():
            try:
                waiting.put(entry, timeout=0.1)
                return True
            except queue.Full:
                continue
        return False

    def fetch() -> None:
        try:
            for item in items:
                if not put((True, item)):
                    return
        except BaseException as error:
            put((False, error))
        else:
            put((False, None))

    thread = threading.Thread(target=fetch, name="polyvae read-ahead", daemon=True)
    thread.start()
    try:
        while True:
            is_item, entry = waiting.get()
            if is_item:
                yield entry  # type: ignore[misc]
            elif entry is None:
                return
            else:
                raise entry  # type: ignore[misc]
    finally:
        closed.set()
        thread.join()
