"""An event on its way through notify: checked, then stripped to what may go out.

Producers are trusted with little: names must be names, because requests to the API server are made
with them, and what is too long is cut with a notice.
"""

import re
from dataclasses import dataclass
from typing import Final

from msgspec.structs import replace

from shared.events import ANNOTATION_PREFIX, MESSAGE_LIMIT
from shared.messages import EventPayload

INFO, ERROR = "info", "error"
CUT_NOTICE = "\n... (cut by notification-controller)"
_KIND = re.compile(r"[A-Za-z][A-Za-z0-9]{0,62}")
_LABEL = r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?"
_NAMESPACE = re.compile(_LABEL)
_NAME = re.compile(r"[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?")
_API_VERSION = re.compile(r"([a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?/)?v[a-z0-9]{1,62}")
# Flux drops these two: a checksum says nothing to a reader.
_DROPPED: Final = ("checksum", "digest")
_TOKEN: Final = "token"  # noqa: S105  (a metadata key: it marks a repetition as wanted)


class MalformedEvent(ValueError):
    """Names the field and its value."""


def checked(event: EventPayload) -> EventPayload:
    """The same event with a bounded message; raises MalformedEvent."""
    involved = event.involved_object
    _require("involvedObject.kind", involved.kind, _KIND)
    _require("involvedObject.namespace", involved.namespace, _NAMESPACE)
    _require("involvedObject.name", involved.name, _NAME)
    _require("involvedObject.apiVersion", involved.api_version, _API_VERSION)
    if event.severity not in {INFO, ERROR}:
        raise MalformedEvent(f"severity {event.severity[:80]!r}: expected info or error")
    if not event.reason or len(event.reason) > 1024:
        raise MalformedEvent("reason: expected 1 to 1024 characters")
    if len(event.message) <= MESSAGE_LIMIT:
        return event
    return replace(event, message=event.message[: MESSAGE_LIMIT - len(CUT_NOTICE)] + CUT_NOTICE)


def _require(field: str, value: str, pattern: re.Pattern[str]) -> None:
    if not pattern.fullmatch(value):
        raise MalformedEvent(f"{field} {value[:80]!r}: not a legal value")


def with_known_metadata(event: EventPayload) -> EventPayload:
    """Only keys of the object's group and of `event.toolkit.fluxcd.io` count."""
    group = event.involved_object.group
    prefixes = (ANNOTATION_PREFIX, f"{group}/")
    dropped = {f"{group}/{name}" for name in _DROPPED}
    kept = {
        key: value
        for key, value in event.metadata.items()
        if key.startswith(prefixes) and key not in dropped
    }
    return replace(event, metadata=kept)


def own_metadata(event: EventPayload, name: str) -> str | None:
    """What the object's controller says under `<group>/<name>`."""
    return event.metadata.get(f"{event.involved_object.group}/{name}")


def without_token(event: EventPayload) -> EventPayload:
    key = f"{event.involved_object.group}/{_TOKEN}"
    return replace(event, metadata={k: v for k, v in event.metadata.items() if k != key})


@dataclass(frozen=True)
class Merged:
    metadata: dict[str, str]
    written_twice: tuple[str, ...]


def merged_metadata(event: EventPayload, added: dict[str, str], summary: str | None) -> Merged:
    """What a reader gets, without prefixes; of a key written twice the last one counts.

    The order: the object's annotations, the Alert's eventMetadata, its summary, and what the
    object's own controller says.
    """
    group = f"{event.involved_object.group}/"
    layers = (
        _stripped(event.metadata, ANNOTATION_PREFIX),
        added,
        {"summary": summary} if summary else {},
        _stripped(event.metadata, group),
    )
    merged: dict[str, str] = {}
    twice: list[str] = []
    for layer in layers:
        twice += merged.keys() & layer.keys()
        merged |= layer
    return Merged(merged, tuple(sorted(set(twice))))


def _stripped(metadata: dict[str, str], prefix: str) -> dict[str, str]:
    return {
        key.removeprefix(prefix): value
        for key, value in metadata.items()
        if key.startswith(prefix) and key != prefix
    }
