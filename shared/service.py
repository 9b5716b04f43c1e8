"""From `python -m services.<name>` to a running service, and from SIGTERM to a clean end."""

import asyncio
import signal
import sys
from collections.abc import Awaitable, Callable

from shared import log, settings
from shared.cluster.connection import ConnectionSettingsError
from shared.settings import SettingError, Settings

Start = Callable[[Settings], Awaitable[None]]


def run_service(start: Start) -> None:
    """Run until SIGTERM or SIGINT cancels `start`; exits with 1 when it cannot be configured."""
    try:
        chosen = settings.load()
        log.configure(chosen.log_level)
        asyncio.run(_until_signalled(start, chosen))
    except (SettingError, ConnectionSettingsError) as error:
        sys.exit(f"{type(error).__name__}: {error}")


async def _until_signalled(start: Start, chosen: Settings) -> None:
    async def work() -> None:
        await start(chosen)

    loop = asyncio.get_running_loop()
    async with asyncio.TaskGroup() as group:
        task = group.create_task(work())
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, task.cancel)
