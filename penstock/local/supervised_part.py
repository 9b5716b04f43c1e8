"""A part of the local environment: a folder, and processes that live while its context lasts."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from contextlib import AsyncExitStack
from pathlib import Path
from types import TracebackType
from typing import Self

from penstock.local.private_files import private_folder
from penstock.local.supervised import Supervised
from penstock.local.supervisor import Supervisor


class SupervisedPart(ABC):
    def __init__(self, folder: Path, changed: Callable[[], None]) -> None:
        """`changed` is called whenever the state of one of the processes changed."""
        self.folder = folder.absolute()
        self.supervisor = Supervisor(changed)
        self._stack = AsyncExitStack()

    @abstractmethod
    async def _start(self) -> None:
        """Raising ends what was started before."""

    async def __aenter__(self) -> Self:
        private_folder(self.folder)
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(self.supervisor)
            await self._start()
            self._stack = stack.pop_all()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._stack.__aexit__(kind, error, trace)

    @property
    def processes(self) -> tuple[Supervised, ...]:
        return self.supervisor.processes
