"""The service as a process, with a real API server, a real NATS server and a real sink."""

import asyncio
import base64
import json
import uuid
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
import pytest

from penstock.local.control_plane import ControlPlane
from services.notify.receiver_types import webhook_path
from shared.bus import Bus
from shared.cluster.client import Cluster
from shared.cluster.objects import Gvk, Manifest, ObjectRef
from shared.messages import EventPayload
from shared.subjects import EVENTS, event_subject
from tests.support.eventually import eventually
from tests.support.holding import held
from tests.support.nats_process import NatsProcess, running_nats
from tests.support.notifications import an_event
from tests.support.service_process import ServiceProcess, running_service
from tests.support.sink import Received, Sink, always, running_sink, taken

GROUP = "notification.toolkit.fluxcd.io"
MODULE = "services.notify"


@pytest.fixture
async def nats(tmp_path: Path) -> AsyncIterator[NatsProcess]:
    async with running_nats(tmp_path) as server:
        yield server


@pytest.fixture
async def sink() -> AsyncIterator[Sink]:
    async with running_sink() as sink:
        yield sink


@pytest.fixture
async def service(
    control_plane: ControlPlane, cluster: Cluster, nats: NatsProcess, tmp_path: Path
) -> AsyncIterator[ServiceProcess]:
    environment = {"KUBECONFIG": str(control_plane.kubeconfig), "NATS_URL": nats.url}
    async with running_service(MODULE, tmp_path, environment) as service:
        yield service


class Fleet:
    """A namespace's objects, and a producer of events about them."""

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

    async def secret(self, name: str, **values: str) -> None:
        data = {key: base64.b64encode(value.encode()).decode() for key, value in values.items()}
        await self.cluster.apply(
            {
                "apiVersion": "v1",
                "kind": "Secret",
                "metadata": {"name": name, "namespace": self.namespace},
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


@pytest.fixture
def fleet(cluster: Cluster, namespace: str) -> Fleet:
    return Fleet(cluster, namespace)


@pytest.fixture
async def bus(nats: NatsProcess) -> AsyncIterator[Bus]:
    async with held(Bus.connect(nats.url, service="kustomize")) as bus:
        await bus.connected()
        yield bus


def messages(sink: Sink) -> list[str]:
    return [request.json["message"] for request in sink.requests]


async def test_an_event_reaches_the_provider_of_an_alert(
    service: ServiceProcess, fleet: Fleet, bus: Bus, sink: Sink
) -> None:
    await fleet.secret("keys", headers="Authorization: Bearer abc")
    await fleet.alerting(sink, secretRef={"name": "keys"})

    await eventually(lambda: told(fleet, bus, sink), every=0.2)

    request = sink.requests[0]
    assert request.json["involvedObject"]["namespace"] == fleet.namespace
    assert request.headers["Authorization"] == "Bearer abc"
    assert request.headers["gotk-component"] == "kustomize-controller"


async def told(fleet: Fleet, bus: Bus, sink: Sink) -> list[Received]:
    """Something new happens until the sink hears of it: an Alert is known a moment after it is
    created."""
    await fleet.happens(bus, uuid.uuid4().hex)
    return sink.requests


async def warmed_up(fleet: Fleet, bus: Bus, sink: Sink) -> None:
    await fleet.alerting(sink)
    await eventually(lambda: told(fleet, bus, sink), every=0.2)
    await eventually(lambda: settled(sink))
    sink.requests.clear()


async def settled(sink: Sink) -> bool:
    """No more arrives."""
    before = len(sink.requests)
    await asyncio.sleep(0.3)
    return len(sink.requests) == before


async def test_a_provider_that_is_down_loses_nothing_and_gets_nothing_twice(
    service: ServiceProcess, fleet: Fleet, bus: Bus, sink: Sink
) -> None:
    await warmed_up(fleet, bus, sink)
    sink.answer = always(503)
    sent = [(f"{name} {number}", name) for number in range(20) for name in ("a", "b", "c")]

    for message, name in sent:
        await fleet.happens(bus, message, name)
    await eventually(lambda: len(sink.requests) > 2)
    refused = len(sink.requests)
    sink.answer = taken
    await eventually(lambda: len(sink.requests) >= refused + len(sent), within=30)

    arrived = messages(sink)[-len(sent) :]
    for name in ("a", "b", "c"):
        mine = [message for message in arrived if message.startswith(name)]
        assert mine == [message for message, about in sent if about == name]


async def test_one_provider_down_delays_no_other(
    service: ServiceProcess, fleet: Fleet, bus: Bus, sink: Sink
) -> None:
    await warmed_up(fleet, bus, sink)
    await fleet.create("Provider", "dead", {"type": "generic", "address": "http://127.0.0.1:1/"})
    sources = [{"kind": "Kustomization", "name": "*"}]
    await fleet.create("Alert", "dead", {"providerRef": {"name": "dead"}, "eventSources": sources})
    for number in range(50):
        await fleet.happens(bus, str(number))

    await eventually(lambda: len(sink.requests) == 50, within=5)


async def test_a_killed_service_loses_none_of_what_was_on_its_way(
    service: ServiceProcess, fleet: Fleet, bus: Bus, sink: Sink
) -> None:
    await warmed_up(fleet, bus, sink)
    sent = [f"{number:04}" for number in range(300)]

    for message in sent:
        await fleet.happens(bus, message, f"object-{int(message) % 7}")
    await eventually(lambda: len(sink.requests) > 20)
    service.kill()
    await service.start()
    await eventually(lambda: set(sent) <= set(messages(sink)), within=30)

    repeated = [message for message, count in Counter(messages(sink)).items() if count > 1]
    assert len(repeated) <= 16  # what was under way at that moment, and no more
    for remainder in range(7):
        mine = [m for m in dict.fromkeys(messages(sink)) if int(m) % 7 == remainder]
        assert mine == sorted(mine)


async def test_events_of_a_service_that_was_away_are_told_when_it_is_back(
    service: ServiceProcess, fleet: Fleet, bus: Bus, sink: Sink
) -> None:
    await warmed_up(fleet, bus, sink)
    assert service.stop() == 0
    for number in range(10):
        await fleet.happens(bus, str(number))

    await service.start()
    await eventually(lambda: len(sink.requests) == 10)

    assert messages(sink) == [str(number) for number in range(10)]


async def test_nats_killed_in_between_loses_nothing(
    service: ServiceProcess, fleet: Fleet, bus: Bus, sink: Sink, nats: NatsProcess
) -> None:
    await warmed_up(fleet, bus, sink)
    sink.answer = always(503)
    for number in range(30):
        await fleet.happens(bus, str(number), f"object-{number % 3}")
    await eventually(lambda: len(sink.requests) > 2)

    await nats.restart()
    refused = len(sink.requests)
    sink.answer = taken
    await eventually(
        lambda: set(messages(sink)[refused:]) == {str(n) for n in range(30)}, within=40
    )

    assert max(Counter(messages(sink)[refused + 1 :]).values()) <= 2


async def test_over_http_an_event_is_accepted_only_when_it_is_safe(
    service: ServiceProcess, fleet: Fleet, bus: Bus, sink: Sink, nats: NatsProcess
) -> None:
    await warmed_up(fleet, bus, sink)
    nats.kill()

    assert await eventually(lambda: post_event(service, fleet, "away"), lambda s: s == 503) == 503
    await nats.start()
    await eventually(lambda: post_event(service, fleet, "away"), lambda s: s == 202, every=0.2)
    await eventually(lambda: messages(sink) == ["away"], within=30)


async def post_event(service: ServiceProcess, fleet: Fleet, message: str) -> int:
    body = msgspec.json.encode(fleet.event(message))
    async with (
        aiohttp.ClientSession() as session,
        session.post(service.url("EVENTS_ADDR") + "/", data=body) as answer,
    ):
        return answer.status


async def test_a_failed_delivery_is_told_on_the_alert_without_the_token(
    service: ServiceProcess, fleet: Fleet, bus: Bus, sink: Sink
) -> None:
    token = "xoxb-canary-0123456789"
    sink.answer = always(403, f"the token {token} is not allowed")
    await fleet.secret("keys", token=token, address=f"{sink.url}/services/{token}")
    await fleet.alerting(sink, type="slack", secretRef={"name": "keys"})
    await eventually(lambda: told(fleet, bus, sink), every=0.2)

    (event, *_) = await eventually(lambda: fleet.events_on("Alert", "all"))

    assert (event["type"], event["reason"]) == ("Warning", "NotificationDispatchFailed")
    assert event["message"].endswith("127.0.0.1 answered 403: the token *** is not allowed")
    assert event["source"]["component"] == "notification-controller"
    assert token not in json.dumps(await fleet.events_on("Alert", "all"))
    assert token not in service.log.read_text()


async def test_a_type_that_is_not_served_is_told_on_the_provider(
    service: ServiceProcess, fleet: Fleet
) -> None:
    await fleet.create("Provider", "chat", {"type": "discord", "address": "https://x.example/"})

    (event,) = await eventually(lambda: fleet.events_on("Provider", "chat"))

    assert (event["type"], event["reason"]) == ("Warning", "UnsupportedType")


async def test_finalizers_of_another_installation_do_not_hold_a_provider(
    service: ServiceProcess, fleet: Fleet
) -> None:
    for kind in ("Provider", "Alert"):
        spec: Any = {"type": "generic", "address": "http://x.example/"}
        if kind == "Alert":
            spec = {"providerRef": {"name": "x"}, "eventSources": []}
        await fleet.cluster.create(
            {
                "apiVersion": f"{GROUP}/v1beta3",
                "kind": kind,
                "metadata": {
                    "name": "old",
                    "namespace": fleet.namespace,
                    "finalizers": ["finalizers.fluxcd.io"],
                },
                "spec": spec,
            }
        )
        ref = ObjectRef(f"{GROUP}/v1beta3", kind, fleet.namespace, "old")
        await fleet.cluster.delete(ref)

        await eventually(lambda ref=ref: is_gone(fleet, ref))  # type: ignore[misc]


async def is_gone(fleet: Fleet, ref: ObjectRef) -> bool:
    return await fleet.cluster.read(ref) is None


SOURCE = {"kind": "GitRepository", "name": "shop"}


async def test_a_receiver_gets_a_path_and_a_webhook_on_it_requests_a_run(
    service: ServiceProcess, fleet: Fleet
) -> None:
    await fleet.secret("token", token="t0ken")
    spec = {"type": "generic", "secretRef": {"name": "token"}, "resources": [SOURCE]}
    await fleet.create("Receiver", "hook", spec, "v1")
    source = ObjectRef("source.toolkit.fluxcd.io/v1", "GitRepository", fleet.namespace, "shop")
    await fleet.cluster.create(
        {
            "apiVersion": source.api_version,
            "kind": source.kind,
            "metadata": {"name": "shop", "namespace": fleet.namespace},
            "spec": {"url": "https://git.example/shop", "interval": "1h"},
        }
    )

    path = webhook_path("t0ken", "hook", fleet.namespace)
    ready = await eventually(lambda: fleet.ready("hook"), lambda seen: seen[0] == "True")
    assert ready == ("True", "Succeeded", f"Receiver initialized for path: {path}")
    assert (await fleet.status("Receiver", "hook"))["webhookPath"] == path
    (event,) = await eventually(lambda: fleet.events_on("Receiver", "hook"))
    assert event["message"] == "Reconciliation finished, next run in 10m"

    async with (
        aiohttp.ClientSession() as session,
        session.post(service.url("RECEIVER_ADDR") + path) as answer,
    ):
        assert answer.status == 200
    found = await fleet.cluster.read(source)
    assert "reconcile.fluxcd.io/requestedAt" in (found or {})["metadata"]["annotations"]


async def test_a_receiver_without_its_token_says_so_and_recovers(
    service: ServiceProcess, fleet: Fleet
) -> None:
    spec = {"type": "generic", "secretRef": {"name": "token"}, "resources": [SOURCE]}
    await fleet.create("Receiver", "hook", spec, "v1")

    await eventually(
        lambda: fleet.ready("hook"), lambda seen: seen[:2] == ("False", "TokenNotFound")
    )
    assert "webhookPath" not in await fleet.status("Receiver", "hook")

    await fleet.secret("token", token="t0ken")
    await eventually(lambda: fleet.ready("hook"), lambda seen: seen[0] == "True")


@pytest.mark.parametrize(
    ("changes", "names"),
    [
        ({"type": "github"}, "spec.type"),
        ({"resourceFilter": "true"}, "spec.resourceFilter"),
        ({"resources": [{**SOURCE, "filter": "true"}]}, "spec.resources[0].filter"),
    ],
)
async def test_what_a_receiver_cannot_have_is_named_and_final(
    service: ServiceProcess, fleet: Fleet, changes: dict[str, Any], names: str
) -> None:
    spec = {"type": "generic", "secretRef": {"name": "token"}, "resources": [SOURCE], **changes}
    await fleet.secret("token", token="t0ken")
    await fleet.create("Receiver", "hook", spec, "v1")

    seen = await eventually(lambda: fleet.ready("hook"), lambda seen: seen[0] == "False")
    conditions = (await fleet.status("Receiver", "hook"))["conditions"]

    assert seen[1] == "UnsupportedField"
    assert names in seen[2]
    assert ("Stalled", "True") in {(c["type"], c["status"]) for c in conditions}
