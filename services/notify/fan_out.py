"""Who is to be told: each event, for each Alert that wants it, becomes one delivery in the queue.

A delivery's id is made of the event's and the Alert's, so fanning an event out again after a crash
adds nothing to the queue. The event in it is as its reader gets it, without credentials.
"""

import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Protocol, TypeAlias

from msgspec.structs import replace

from services.notify.courier import unserved
from services.notify.event import merged_metadata, without_token
from services.notify.gating import is_for
from services.notify.matching import is_about_a_source, wants_message, wants_severity
from services.notify.providers import TYPES
from services.notify.reports import DISPATCH_FAILED
from shared.cluster.errors import ApiError, NotFound
from shared.cluster.objects import Manifest, ObjectRef
from shared.messages import AlertRef, Delivery, EventPayload
from shared.resources.meta import NamespacedName
from shared.resources.notification import Alert, Provider
from shared.subjects import DELIVERIES, Stream

log = logging.getLogger(__name__)

METADATA_APPEND_FAILED = "MetadataAppendFailed"
NO_MATCH = "EventSourceUnreadable"

Warn: TypeAlias = Callable[[Alert, str, str], None]  # an Alert, a reason, a message


class Queue(Protocol):
    """The part of `Bus` that is needed here."""

    async def store(
        self, stream: Stream[Delivery], subject: str, body: Delivery, *, message_id: str
    ) -> None: ...


class Objects(Protocol):
    """The part of `Cluster` that is needed here."""

    async def read(self, ref: ObjectRef) -> Manifest | None: ...


@dataclass(frozen=True, kw_only=True)
class FanOut:
    alerts: Callable[[], Iterable[Alert]]
    provider_at: Callable[[NamespacedName], Provider | None]
    objects: Objects
    queue: Queue
    warn: Warn
    across_namespaces: bool = True

    async def __call__(self, event: EventPayload, event_id: str) -> None:
        """Returns when every delivery is in the queue; raises BusError while it takes none."""
        for alert in list(self.alerts()):
            if not alert.spec.suspend and await self._wants(alert, event):
                await self._enqueue(alert, event, event_id)

    async def _wants(self, alert: Alert, event: EventPayload) -> bool:
        if not (wants_severity(alert, event) and wants_message(alert, event)):
            return False
        try:
            return await is_about_a_source(alert, event, self._labels)
        except ApiError as error:
            self.warn(alert, NO_MATCH, f"{event.involved_object.about}: no labels: {error}")
            return False

    async def _labels(self, event: EventPayload) -> Mapping[str, str]:
        involved = event.involved_object
        ref = ObjectRef(involved.api_version, involved.kind, involved.namespace, involved.name)
        found = await self.objects.read(ref)
        if found is None:
            raise NotFound(f"{ref} does not exist")
        labels: Mapping[str, str] = found["metadata"].get("labels") or {}
        return labels

    async def _enqueue(self, alert: Alert, event: EventPayload, event_id: str) -> None:
        provider = self._provider(alert, event)
        if provider is None or provider.spec.suspend:
            return
        if not is_for(provider.spec.type, event):
            about = str(event.involved_object.about)
            extra = {"object": alert.key, "about": about, "type": provider.spec.type}
            log.info("an event is not for this type of provider", extra=extra)
            return
        delivery = Delivery(event=self._outgoing(alert, event), alert=_ref(alert))
        await self.queue.store(
            DELIVERIES,
            DELIVERIES.subject(*provider.key),
            delivery,
            message_id=f"{event_id}/{alert.metadata.uid}",
        )

    def _provider(self, alert: Alert, event: EventPayload) -> Provider | None:
        """None, and a warning on the Alert, when there is none to send this to."""
        key = NamespacedName(alert.metadata.namespace, alert.spec.provider_ref.name)
        about = event.involved_object.about
        provider = self.provider_at(key)
        problem = ""
        if not self.across_namespaces and about.namespace != key.namespace:
            problem = f"can't access '{about}', cross-namespace references have been blocked"
        elif provider is None:
            problem = f"Provider {key} does not exist; create it or change spec.providerRef"
        elif provider.spec.type not in TYPES:
            problem = unserved(provider)
        if problem:
            self.warn(alert, DISPATCH_FAILED, problem)
            return None
        return provider

    def _outgoing(self, alert: Alert, event: EventPayload) -> EventPayload:
        clean = without_token(event)
        merged = merged_metadata(clean, alert.spec.event_metadata, alert.spec.summary)
        if merged.written_twice:
            keys = ", ".join(merged.written_twice)
            self.warn(alert, METADATA_APPEND_FAILED, f"metadata keys set more than once: {keys}")
        return replace(clean, metadata=merged.metadata)


def _ref(alert: Alert) -> AlertRef:
    metadata = alert.metadata
    return AlertRef(namespace=metadata.namespace, name=metadata.name, uid=metadata.uid)
