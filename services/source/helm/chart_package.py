"""What a chart's origin answers: which chart it would be, and, when wanted, its archive."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Package:
    """`packaged`: made by us, and not taken as it was. `dependencies`: how many were fetched."""

    content: bytes
    packaged: bool
    values_files: tuple[str, ...] = ()
    dependencies: int = 0
    verified: bool = False  # its signature is one that the spec asks for


@dataclass(frozen=True)
class Candidate:
    """The chart that the spec means now; `package` fetches and builds it."""

    name: str
    version: str
    package: Callable[[], Awaitable[Package]]
