"""Keeps a set of processes alive while its context lasts, and stops them last started, first."""

import asyncio
from collections.abc import Callable, Coroutine
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
        self._known: dict[str, tuple[Supervised, asyncio.Task[None]]] = {}
        self._companions: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Self:
        await self._group.__aenter__()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for task in self._companions:
            task.cancel()
        try:
            for name in reversed(list(self._known)):
                await self.stop(name)
        except BaseException:
            # Somebody is in a hurry: all at once, in no order.
            for _, task in self._known.values():
                task.cancel()
            raise
        finally:
            # Our tasks are over: what the body raised goes on as it is, not as a group.
            await self._group.__aexit__(None, None, None)

    @property
    def processes(self) -> tuple[Supervised, ...]:
        return tuple(process for process, _ in self._known.values())

    def start(self, program: Program) -> Supervised:
        """A program that was stopped keeps its place in the order."""
        process = Supervised(program, self._changed)
        task = self._group.create_task(process.run(), name=program.name)
        self._known[program.name] = (process, task)
        return process

    async def stop(self, name: str) -> None:
        """It stays stopped."""
        _, task = self._known[name]
        task.cancel()
        await asyncio.wait([task])

    def accompany(self, work: Coroutine[None, None, None]) -> None:
        """Something of our own that runs as long as the processes do."""
        self._companions.append(self._group.create_task(work))
