"""Runs the environment in this process until a signal ends it."""

import asyncio
import contextlib
import logging
import signal
import sys
from collections.abc import Callable

from penstock.local.environment import Environment
from penstock.local.state_folder import StateFolder, exports
from penstock.local.wishes import Wishes
from penstock.trouble import TROUBLE

__all__ = ["TROUBLE", "run"]


def run(folder: StateFolder, wishes: Wishes, *, say: Callable[[str], None]) -> None:
    """Raises AlreadyRunning and the rest of TROUBLE."""
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(message)s")
    asyncio.run(_until_signalled(folder, wishes, say))


async def _until_signalled(folder: StateFolder, wishes: Wishes, say: Callable[[str], None]) -> None:
    loop, this = asyncio.get_running_loop(), asyncio.current_task()
    if this is None:
        raise AssertionError("a coroutine runs in a task")
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(number, this.cancel)
    with contextlib.suppress(asyncio.CancelledError):
        async with Environment(folder.path, wishes, say=say) as environment:
            sys.stdout.write(exports(environment.record, folder.path))
            sys.stdout.flush()
            say("Ctrl-C stops it")
            await loop.create_future()
