"""A namespace's notification objects on a real API server, and a producer of events about them."""

import base64
import uuid
from typing import Any

from shared.bus import Bus
from shared.cluster.client import Cluster
from shared.cluster.objects import Gvk, Manifest, ObjectRef
from shared.messages import EventPayload
from shared.subjects import EVENTS, event_subject
from tests.support.notifications import an_event
from tests.support.sink import Sink

GROUP = "notification.toolkit.fluxcd.io"


class Fleet:
    def __init__(self, cluster: Cluster, namespace: str) -> None:
        self.cluster = cluster
        self.namespace = namespace

    async def create(self, kind: str, name: str, spec: Any, version: str = "v1beta3") -> None:
        await self.cluster.create(
            {
                "apiVersion": f"{GROUP}/{version}",
                "kind": kind,
                "metadata": {"name": name, "namespace": self.namespace},
                "spec": spec,
            }
        )

    async def secret(
        self, name: str, labels: dict[str, str] | None = None, /, **values: str
    ) -> None:
        data = {key: base64.b64encode(value.encode()).decode() for key, value in values.items()}
        await self.cluster.apply(
            {
                "apiVersion": "v1",
                "kind": "Secret",
                "metadata": {
                    "name": name,
                    "namespace": self.namespace,
                    "labels": labels or {},
                },
                "data": data,
            },
            manager="tests",
        )

    async def alerting(self, sink: Sink, **provider: Any) -> None:
        """A Provider `chat` that leads to the sink, and an Alert on all Kustomizations."""
        spec = {"type": "generic", "address": sink.url, **provider}
        await self.create("Provider", "chat", spec)
        sources = [{"kind": "Kustomization", "name": "*"}]
        await self.create(
            "Alert", "all", {"providerRef": {"name": "chat"}, "eventSources": sources}
        )

    def event(self, message: str, name: str = "shop", **more: Any) -> EventPayload:
        return an_event(message, name=name, namespace=self.namespace, **more)

    async def happens(self, bus: Bus, message: str, name: str = "shop") -> None:
        event = self.event(message, name)
        await bus.store(EVENTS, event_subject(event), event, message_id=uuid.uuid4().hex)

    async def status(self, kind: str, name: str, version: str = "v1") -> Manifest:
        ref = ObjectRef(f"{GROUP}/{version}", kind, self.namespace, name)
        found = await self.cluster.read(ref)
        status: Manifest = (found or {}).get("status", {})
        return status

    async def ready(self, name: str) -> tuple[str, str, str]:
        conditions = (await self.status("Receiver", name)).get("conditions", [])
        return next(
            ((c["status"], c["reason"], c["message"]) for c in conditions if c["type"] == "Ready"),
            ("", "", ""),
        )

    async def events_on(self, kind: str, name: str) -> list[Manifest]:
        found = await self.cluster.list(Gvk("v1", "Event"), self.namespace)
        return [
            event
            for event in found
            if (event["involvedObject"]["kind"], event["involvedObject"]["name"]) == (kind, name)
        ]
