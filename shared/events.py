"""Telling what happens to an object: as a Kubernetes Event, and to whoever an Alert names.

`record` returns at once, whatever the API server and NATS do; both sides are worked off in the
background (`shared.event_writer`, `shared.outbox`). Every text passes the redactor first.
"""

import asyncio
import socket
import uuid
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any, Final, Protocol

from shared.bus import Bus
from shared.clock import Now, now, rfc3339
from shared.cluster.errors import ApiError
from shared.event_writer import EventApi, EventWriter
from shared.messages import Body, EventPayload, InvolvedObject
from shared.outbox import Outbox
from shared.redaction import redact
from shared.resources.meta import Resource
from shared.run import Severity
from shared.subjects import EVENTS, event_subject

MESSAGE_LIMIT = 39_000  # characters; the producers' own bound, so that consumers can rely on it
ANNOTATION_PREFIX: Final = "event.toolkit.fluxcd.io/"
LAST_WORDS_SECONDS = 3.0  # for Events that wait when the service ends


class Mailbox(Protocol):
    """The part of `Outbox` that is needed here."""

    def put(self, subject: str, body: Body, *, message_id: str) -> None: ...


class Recorder:
    """Implements `shared.run.Recorder`."""

    def __init__(
        self, writer: EventWriter, mailbox: Mailbox, controller: str, now: Now = now
    ) -> None:
        self._writer = writer
        self._mailbox = mailbox
        self._controller = controller
        self._host = socket.gethostname()
        self._now = now

    @classmethod
    @asynccontextmanager
    async def open(
        cls, api: EventApi, bus: Bus, *, controller: str, state: Path
    ) -> AsyncIterator["Recorder"]:
        """`controller` is the name that Flux's tools know, `source-controller`."""
        writer = EventWriter(api, controller)
        async with Outbox.open(bus, EVENTS, state / "events") as outbox, _working(writer):
            yield cls(writer, outbox, controller)

    @classmethod
    @asynccontextmanager
    async def for_kubernetes(cls, api: EventApi, *, controller: str) -> AsyncIterator["Recorder"]:
        """For objects that nobody can be alerted of."""
        writer = EventWriter(api, controller)
        async with _working(writer):
            yield cls(writer, _Nowhere(), controller)

    @asynccontextmanager
    async def also_as(self, api: EventApi, controller: str) -> AsyncIterator["Recorder"]:
        """For a controller that Flux's tools know as another program; the outbox is the same."""
        writer = EventWriter(api, controller)
        async with _working(writer):
            yield Recorder(writer, self._mailbox, controller, self._now)

    def record(
        self,
        resource: Resource[Any, Any],
        severity: Severity,
        reason: str,
        message: str,
        metadata: Mapping[str, str],
        *,
        in_cluster: bool = True,
    ) -> None:
        """`trace` is told to Kubernetes alone. Keys of `metadata` come without the API group."""
        involved = _involved(resource)
        text = _clip(redact(message))
        notes = _notes(resource, metadata)
        kind = "Warning" if severity == "error" else "Normal"
        if in_cluster:
            self._writer.put(involved, kind, reason, text, notes)
        if severity == "trace":
            return
        event = EventPayload(
            involved_object=involved,
            severity=severity,
            timestamp=rfc3339(self._now()),
            message=text,
            reason=reason,
            metadata=notes,
            reporting_controller=self._controller,
            reporting_instance=self._host,
        )
        self._mailbox.put(event_subject(event), event, message_id=uuid.uuid4().hex)


class _Nowhere:
    def put(self, subject: str, body: Body, *, message_id: str) -> None: ...


@asynccontextmanager
async def _working(writer: EventWriter) -> AsyncIterator[None]:
    async with asyncio.TaskGroup() as tasks:
        writing = tasks.create_task(writer.run(), name="events")
        try:
            yield
        finally:
            writing.cancel()
            await asyncio.wait([writing])
            with suppress(TimeoutError, ApiError):
                async with asyncio.timeout(LAST_WORDS_SECONDS):
                    await writer.flush()


def _involved(resource: Resource[Any, Any]) -> InvolvedObject:
    metadata = resource.metadata
    return InvolvedObject(
        kind=resource.kind,
        namespace=metadata.namespace,
        name=metadata.name,
        uid=metadata.uid,
        api_version=resource.api_version,
        resource_version=metadata.resource_version,
    )


def _notes(resource: Resource[Any, Any], metadata: Mapping[str, str]) -> dict[str, str]:
    """The object's own `event.toolkit.fluxcd.io/` annotations, then what this event says."""
    group = resource.group_kind().group
    asked = {
        key: value
        for key, value in resource.metadata.annotations.items()
        if key.startswith(ANNOTATION_PREFIX)
    }
    told = {f"{group}/{key}": value for key, value in metadata.items()}
    return {key: redact(value) for key, value in (asked | told).items()}


def _clip(message: str) -> str:
    return message if len(message) <= MESSAGE_LIMIT else message[: MESSAGE_LIMIT - 3] + "..."
