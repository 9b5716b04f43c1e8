"""Deliveries by the service as a process, with a real API server, NATS server and sink."""

import asyncio
import json
import uuid
from collections import Counter

import aiohttp
import msgspec

from shared.bus import Bus
from tests.support.eventually import eventually
from tests.support.fleet import Fleet
from tests.support.nats_process import NatsProcess
from tests.support.service_process import ServiceProcess
from tests.support.sink import Received, Sink, always, taken


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
