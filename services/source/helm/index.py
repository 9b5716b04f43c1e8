"""A Helm repository's index: what a server sent, reduced to the charts that can be used.

Entries that break the rules are dropped, as Helm does, so that one bad chart does not take away the
others. The rest is kept as it came, as JSON.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any

import msgspec
import orjson

from services.source.semver import InvalidVersion, Range, Version
from shared.documents import DocumentError, load

CHART_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,249}")


class ChartVersion(msgspec.Struct, frozen=True):
    """The fields of an entry that decide which archive is downloaded."""

    name: str
    version: str
    urls: tuple[str, ...]
    created: str = ""


class _Stored(msgspec.Struct):
    entries: dict[str, list[ChartVersion]]


class InvalidIndex(Exception):
    """Says what is missing; shows nothing of the content."""


class NoSuchChart(Exception):
    """The index has no chart, or no version of it, as asked for."""


def normalised(raw: bytes) -> bytes:
    """The index as it is stored; raises InvalidIndex."""
    parsed = _parse(raw)
    entries = parsed.get("entries") if isinstance(parsed, dict) else None
    if not isinstance(parsed, dict) or not isinstance(entries, dict):
        raise InvalidIndex("it has no entries")
    kept = {name: list(_valid(name, versions)) for name, versions in entries.items()}
    whole = {**parsed, "entries": {name: versions for name, versions in kept.items() if versions}}
    try:
        return orjson.dumps(whole)
    except TypeError as error:
        raise InvalidIndex("it nests too deep") from error


def stored_entries(content: bytes) -> Mapping[str, list[ChartVersion]]:
    """Of a stored index; raises InvalidIndex when it is not one of ours."""
    try:
        return msgspec.json.decode(content, type=_Stored).entries
    except msgspec.DecodeError as error:
        raise InvalidIndex(f"the stored index is broken: {error}") from error


def choose(entries: Mapping[str, list[ChartVersion]], name: str, wanted: str) -> ChartVersion:
    """The exact version if there is one, else the highest in the range, of those the newest."""
    versions = entries.get(name)
    if not versions:
        raise NoSuchChart(f"no chart {name!r} in the index")
    exact = next((entry for entry in versions if entry.version == wanted), None)
    if exact is not None:
        return exact
    try:
        accepted = Range.parse(wanted)
    except InvalidVersion as error:
        raise NoSuchChart(str(error)) from error
    parsed = [(Version.parse(entry.version), entry) for entry in versions]
    candidates = [pair for pair in parsed if accepted.accepts(pair[0])]
    if not candidates:
        raise NoSuchChart(f"no version of chart {name!r} matches {wanted!r}")
    return max(candidates, key=lambda pair: (pair[0], pair[1].created))[1]


def _parse(raw: bytes) -> Any:
    if raw.lstrip()[:1] == b"{":
        try:
            return orjson.loads(raw)
        except orjson.JSONDecodeError:
            pass  # a YAML flow mapping also begins so
    try:
        return load(raw)
    except DocumentError as error:
        raise InvalidIndex(str(error)) from error


def _valid(name: str, versions: Any) -> Iterator[dict[str, Any]]:
    for entry in versions if isinstance(versions, list) else ():
        if isinstance(entry, dict) and entry.get("name") == name and _is_usable(entry):
            yield entry


def _is_usable(entry: dict[str, Any]) -> bool:
    version, urls = entry.get("version"), entry.get("urls")
    if not isinstance(version, str) or not isinstance(urls, list) or not urls:
        return False
    created = entry.get("created", "")
    texts = [entry["name"], created, *urls]
    return (
        all(isinstance(text, str) for text in texts)
        and CHART_NAME.fullmatch(entry["name"]) is not None
        and Version.is_valid(version)
    )
