"""What a repository of charts can be asked, whatever its kind."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Protocol, TypeAlias

from services.source.oci.address import Repository
from services.source.oci.manifest import Descriptor

# Called with a chart's manifest before anything of the chart is downloaded; raises when it may not.
SignatureCheck: TypeAlias = Callable[[Repository, Descriptor], Awaitable[None]]


@dataclass(frozen=True)
class Found:
    """A version of a chart; `fetch` downloads its archive, once its signature is good."""

    name: str
    version: str
    fetch: Callable[[SignatureCheck | None], Awaitable[bytes]]


class NoSuchChart(Exception):
    """The repository has no chart, or no version of it, as asked for."""


class ChartRepository(Protocol):
    async def find(self, name: str, wanted: str) -> Found:
        """The exact version if there is one, else the best one of the range.

        Raises NoSuchChart; FetchFailed when the repository cannot be asked.
        """
