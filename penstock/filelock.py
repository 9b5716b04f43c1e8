"""One process at a time: an advisory lock on a file, given back when its holder dies."""

import contextlib
import fcntl
import time
from collections.abc import Callable, Iterator
from pathlib import Path

POLL_SECONDS = 0.2


@contextlib.contextmanager
def exclusive(path: Path, while_waiting: Callable[[], None] = lambda: None) -> Iterator[None]:
    """Waits as long as it takes; `while_waiting` is called at every look."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as file:
        while not _taken(file.fileno()):
            while_waiting()
            time.sleep(POLL_SECONDS)
        yield


def _taken(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
