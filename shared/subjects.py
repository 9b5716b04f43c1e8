"""The names of everything that goes over NATS, and how much of it is kept. Nothing else spells one.

    penstock.<happening>.<kind>.<namespace>.<name>

Stable tokens come first, so that a subscriber narrows from the left. Tokens that come from names
are escaped reversibly: no name, however hostile, changes a subject's shape or reaches another's.
Who an event is about is read from its subject, which the server checks; never from its body.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Generic, TypeVar

from shared.messages import (
    About,
    ArtifactReady,
    Body,
    Delivery,
    EventPayload,
    ReadyChange,
    ReconcileRequest,
)

ROOT = "penstock"
_PLAIN = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-")
_EMPTY = "="  # cannot be the start of an escape: those have two digits


def token(name: str) -> str:
    """One subject token: letters, digits and `-` stay, `.` becomes `_`, the rest `=XX`."""
    return "".join(_escape(character) for character in name) or _EMPTY


def _escape(character: str) -> str:
    if character in _PLAIN:
        return character
    if character == ".":
        return "_"
    return "".join(f"={byte:02X}" for byte in character.encode("utf-8", "surrogatepass"))


def untoken(text: str) -> str:
    """The name behind a token; raises ValueError for text that `token` never writes."""
    raw = b"" if text == _EMPTY else _unescape(text)
    name = raw.decode("utf-8", "surrogatepass")
    if token(name) != text:
        raise ValueError(f"not an escaped name: {text!r}")
    return name


def _unescape(text: str) -> bytes:
    start, *escapes = text.replace("_", ".").split("=")
    return start.encode() + b"".join(
        bytes.fromhex(escape[:2]) + escape[2:].encode() for escape in escapes
    )


BodyT = TypeVar("BodyT", bound=Body)
MIB = 1024 * 1024


@dataclass(frozen=True, kw_only=True, eq=False)
class Stream(Generic[BodyT]):
    """One JetStream stream: its subjects, what they carry, and what it keeps."""

    name: str
    happening: str
    body: type[BodyT]
    owners: frozenset[str]  # the services that may change its settings
    settings: Mapping[str, Any] = field(default_factory=dict)

    @property
    def subjects(self) -> str:
        return f"{ROOT}.{self.happening}.>"

    def subject(self, *names: str) -> str:
        return ".".join([ROOT, self.happening, *map(token, names)])

    def about(self, about: About) -> str:
        return self.subject(*about)

    def every(self, kind: str) -> str:
        """The subjects of all objects of one kind."""
        return f"{self.subject(kind)}.>"

    def names_in(self, subject: str) -> tuple[str, ...]:
        """The names that a subject of this stream was made of; raises ValueError for others."""
        prefix = f"{ROOT}.{self.happening}."
        if not subject.startswith(prefix):
            raise ValueError(f"{subject!r} is no subject of {self.name}")
        return tuple(untoken(part) for part in subject.removeprefix(prefix).split("."))


def event_subject(event: EventPayload) -> str:
    return EVENTS.subject(event.severity, *event.involved_object.about)


def _limits(*, mebibytes: int, kept: timedelta, memory: bool, **more: Any) -> dict[str, Any]:
    return {
        "retention": "limits",
        "storage": "memory" if memory else "file",
        "discard": "old",
        "max_bytes": mebibytes * MIB,
        "max_age": nanoseconds(kept),
        "max_msg_size": MAX_BODY_BYTES + 16 * 1024,  # headers count too
        **more,
    }


def nanoseconds(duration: timedelta) -> int:
    return (duration // timedelta(microseconds=1)) * 1000


# What one message may hold; NATS itself refuses more than 1 MiB. An event's message has 39,000
# characters at most, its metadata are annotations: 256 KiB together.
MAX_BODY_BYTES = 512 * 1024

# A doubled message is recognised by its id for this long: longer than any restart of NATS or of a
# service, short enough that the server's table of ids stays small.
DUPLICATE_WINDOW = timedelta(hours=1)


# Hints live in memory: the API server holds the truth, so losing them costs time only, and the
# server's fsync per message (wanted for EVENTS) would be paid for nothing. 32 MiB hold the last
# message of some 50,000 objects.
def _hints(mebibytes: int) -> dict[str, Any]:
    return _limits(
        mebibytes=mebibytes,
        kept=timedelta(days=1),
        memory=True,
        max_msgs_per_subject=1,
        duplicate_window=nanoseconds(timedelta(minutes=1)),
    )


ARTIFACTS = Stream(
    name="ARTIFACTS",
    happening="artifact",
    body=ArtifactReady,
    owners=frozenset({"source"}),
    settings=_hints(32),
)
READY = Stream(
    name="READY",
    happening="ready",
    body=ReadyChange,
    owners=frozenset({"kustomize", "helm"}),
    settings=_hints(32),
)
REQUESTS = Stream(
    name="REQUESTS",
    happening="request",
    body=ReconcileRequest,
    owners=frozenset({"notify"}),
    settings=_hints(8),
)

# Events are the record of what happened: on disk, and for a week, so that a notify service that
# was away over a weekend misses nothing. At 1 KiB an event, 256 MiB are a quarter of a million.
EVENTS = Stream(
    name="EVENTS",
    happening="event",
    body=EventPayload,
    owners=frozenset({"notify"}),
    settings=_limits(
        mebibytes=256,
        kept=timedelta(days=7),
        memory=False,
        duplicate_window=nanoseconds(DUPLICATE_WINDOW),
    ),
)

# A work queue: a delivery is gone once its provider took it. The limit per subject is a limit per
# provider, so one that never answers loses its own oldest and nobody else's.
DELIVERIES = Stream(
    name="DELIVERIES",
    happening="delivery",
    body=Delivery,
    owners=frozenset({"notify"}),
    settings=_limits(
        mebibytes=256,
        kept=timedelta(days=7),
        memory=False,
        max_msgs_per_subject=20_000,
        duplicate_window=nanoseconds(DUPLICATE_WINDOW),
    )
    | {"retention": "workqueue"},
)

STREAMS: tuple[Stream[Any], ...] = (ARTIFACTS, READY, REQUESTS, EVENTS, DELIVERIES)


@dataclass(frozen=True, kw_only=True)
class Bucket:
    """A key-value or object bucket; both are streams under the server's own subjects."""

    name: str
    stream: str
    subjects: tuple[str, ...]
    users: frozenset[str]


# Digests of what was applied and of our managed fields after it; lost, one full pass rebuilds it.
APPLIED = Bucket(
    name="applied",
    stream="KV_applied",
    subjects=("$KV.applied.>",),
    users=frozenset({"kustomize", "helm"}),
)
# Packed artifacts and path indexes by digest; HTTP serves the same bytes.
ARTIFACT_BLOBS = Bucket(
    name="artifacts",
    stream="OBJ_artifacts",
    subjects=("$O.artifacts.C.>", "$O.artifacts.M.>"),
    users=frozenset({"source", "kustomize", "helm"}),
)
