"""The stored index of a Helm repository, and the choice of a chart's version from it.

A stored index stays on the disk: it is mapped, not read, and of its entries only those of the
wanted chart are ever decoded.
"""

import mmap
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO

import msgspec

from services.source.helm.chart_repository import NoSuchChart
from services.source.semver import InvalidVersion, Range, Version

CHART_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,249}")
_UNKNOWN = datetime.min.replace(tzinfo=UTC)


class ChartVersion(msgspec.Struct, frozen=True):
    """The fields of an entry that decide which archive is downloaded."""

    name: str
    version: str
    urls: tuple[str, ...]
    created: str | None = None

    @property
    def made(self) -> datetime:
        """The beginning of time for what is not a time."""
        try:
            made = msgspec.convert(self.created, datetime)
        except msgspec.ValidationError:
            return _UNKNOWN
        return made if made.tzinfo else made.replace(tzinfo=UTC)


class _Stored(msgspec.Struct):
    entries: dict[str, msgspec.Raw]


class InvalidIndex(Exception):
    """Says what is wrong; shows nothing of the content."""


class StoredIndex:
    """Where in the file each chart's entries are."""

    def __init__(self, charts: Mapping[str, msgspec.Raw]) -> None:
        self._charts = charts

    @classmethod
    def open(cls, path: Path) -> "StoredIndex":
        """Raises InvalidIndex when it is not one of ours."""
        try:
            with path.open("rb") as file:
                return cls.of(file)
        except OSError as error:
            raise InvalidIndex(f"the stored index cannot be read: {error}") from error

    @classmethod
    def of(cls, file: BinaryIO) -> "StoredIndex":
        """The file may be closed, and removed, afterwards."""
        try:
            content = memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
            return cls(msgspec.json.decode(content, type=_Stored).entries)
        except (ValueError, msgspec.DecodeError) as error:
            raise InvalidIndex(f"the stored index cannot be read: {error}") from error

    def versions(self, name: str) -> Sequence[ChartVersion]:
        try:
            return msgspec.json.decode(self._charts.get(name, b"[]"), type=list[ChartVersion])
        except msgspec.DecodeError as error:
            raise InvalidIndex(f"the stored index is broken: {error}") from error

    def choose(self, name: str, wanted: str) -> ChartVersion:
        """Raises NoSuchChart."""
        versions = self.versions(name)
        if not versions:
            raise NoSuchChart(f"no chart {name!r} in the index")
        return choose(name, versions, wanted)


def choose(name: str, versions: Sequence[ChartVersion], wanted: str) -> ChartVersion:
    """The exact version if there is one, else the highest in the range, of those the newest."""
    exact = next((entry for entry in versions if entry.version == wanted), None)
    if exact is not None:
        return exact
    try:
        accepted = Range.parse(wanted or "*")
    except InvalidVersion as error:
        raise NoSuchChart(str(error)) from error
    parsed = [(Version.parse(entry.version), entry) for entry in versions]
    candidates = [pair for pair in parsed if accepted.accepts(pair[0])]
    if not candidates:
        raise NoSuchChart(f"no version of chart {name!r} matches {wanted!r}")
    return max(candidates, key=lambda pair: (pair[0], pair[1].made))[1]
