"""Keeps a set of processes alive while its context lasts, and stops them last started, first."""

import asyncio
from collections.abc import Callable
from types import TracebackType
from typing import Self

from penstock.local.supervised import Program, Supervised


def _nobody_cares() -> None:
    return None


class Supervisor:
    """`changed` is called whenever the state of one of the processes changed."""

    def __init__(self, changed: Callable[[], None] = _nobody_cares) -> None:
        self._changed = changed
        self._group = asyncio.TaskGroup()
        self._running: dict[Supervised, asyncio.Task[None]] = {}

    async def __aenter__(self) -> Self:
        await self._group.__aenter__()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            for process in reversed(list(self._running)):
                await self.stop(process)
        except BaseException:
            # Somebody is in a hurry: all at once, in no order.
            for task in self._running.values():
                task.cancel()
            raise
        finally:
            # Our tasks are over: what the body raised goes on as it is, not as a group.
            await self._group.__aexit__(None, None, None)

    @property
    def processes(self) -> tuple[Supervised, ...]:
        return tuple(self._running)

    def start(self, program: Program) -> Supervised:
        process = Supervised(program, self._changed)
        self._running[process] = self._group.create_task(process.run(), name=program.name)
        return process

    async def stop(self, process: Supervised) -> None:
        task = self._running[process]
        task.cancel()
        await asyncio.wait([task])
