"""Shows whoever waits for a long step that it lives: a line at its start, one each ten seconds.

Standard library only: `penstock.bootstrap` needs it before anything is installed.
"""

import contextlib
import subprocess
import sys
import time
from collections.abc import Callable

SAY_EVERY_SECONDS = 10.0


class Progress:
    """Lines on standard error."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._began = time.monotonic()
        self._said = float("-inf")

    def say(self, what: str, *, now: bool = False) -> None:
        """At most once in ten seconds, unless it must be said `now`."""
        if not now and time.monotonic() - self._said < SAY_EVERY_SECONDS:
            return
        self._said = time.monotonic()
        elapsed = int(self._said - self._began)
        sys.stderr.write(f"{self._name}: {what} ({elapsed} s)\n")
        sys.stderr.flush()

    def wait_for(self, process: "subprocess.Popen[bytes]", what: Callable[[], str]) -> None:
        """Until it ends; it is ended when we are."""
        try:
            while process.poll() is None:
                self.say(what())
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(timeout=1)
        except BaseException:
            process.terminate()
            raise
