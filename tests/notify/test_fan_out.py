"""From one event to deliveries: for whom, with what in it, and what is told of it."""

import asyncio
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import pytest

from services.notify.dedupe import Recent
from services.notify.fan_out import FanOut
from services.notify.intake import Intake
from shared.cluster.errors import Forbidden
from shared.cluster.objects import Manifest, ObjectRef
from shared.consuming import Received
from shared.line import BusUnavailable
from shared.messages import Delivery, EventPayload
from shared.resources.notification import Alert, Provider
from shared.subjects import EVENTS, Stream
from tests.support.counted import counted
from tests.support.notifications import (
    GROUP,
    a_provider,
    a_source,
    an_alert,
    an_event,
)
from tests.support.virtual_time import in_virtual_time


class Queue:
    """Takes what is stored; recognises ids, as the stream does."""

    def __init__(self) -> None:
        self.stored: dict[str, tuple[str, Any]] = {}
        self.failures: dict[str, int] = {}  # by message: how often it is refused

    async def store(self, stream: Stream[Any], subject: str, body: Any, *, message_id: str) -> None:
        if self.failures.get(body.event.message, 0) > 0:
            self.failures[body.event.message] -= 1
            raise BusUnavailable("away")
        self.stored.setdefault(message_id, (subject, body))

    def deliveries(self) -> list[Delivery]:
        return [body for _, body in self.stored.values()]

    def subjects(self) -> list[str]:
        return [subject for subject, _ in self.stored.values()]


class World:
    """Everything that a fan-out knows, in memory."""

    def __init__(self, *alerts: Alert, providers: tuple[Provider, ...] = ()) -> None:
        self.alerts = alerts
        self.providers = {p.key: p for p in providers or (a_provider(),)}
        self.labels: Mapping[str, str] | None = {}
        self.weather: Exception | None = None
        self.queue = Queue()
        self.warnings: list[tuple[str, str, str]] = []
        self.across_namespaces = True

    async def read(self, ref: ObjectRef) -> Manifest | None:
        if self.weather is not None:
            raise self.weather
        return None if self.labels is None else {"metadata": {"labels": dict(self.labels)}}

    def warn(self, alert: Alert, reason: str, message: str) -> None:
        self.warnings.append((alert.metadata.name, reason, message))

    @property
    def fan_out(self) -> FanOut:
        return FanOut(
            alerts=lambda: self.alerts,
            provider_at=self.providers.get,
            objects=self,
            queue=self.queue,
            warn=self.warn,
            across_namespaces=self.across_namespaces,
        )

    async def tell(self, event: EventPayload, event_id: str = "e-1") -> None:
        await self.fan_out(event, event_id)


async def test_each_alert_gets_its_own_delivery() -> None:
    world = World(
        an_alert("one"),
        an_alert("two", providerRef={"name": "pager"}),
        an_alert("other", eventSources=[a_source(kind="Bucket")]),
        an_alert("off", suspend=True),
        providers=(a_provider(), a_provider("pager")),
    )

    await world.tell(an_event())

    assert sorted(world.queue.subjects()) == [
        "penstock.delivery.team-a.chat",
        "penstock.delivery.team-a.pager",
    ]
    assert {delivery.alert.name for delivery in world.queue.deliveries()} == {"one", "two"}


async def test_alerts_of_other_namespaces_may_name_the_events() -> None:
    alert = an_alert("ops", "flux-system", eventSources=[a_source(namespace="team-a")])
    world = World(alert, providers=(a_provider(namespace="flux-system"),))

    await world.tell(an_event())

    assert world.queue.subjects() == ["penstock.delivery.flux-system.chat"]


async def test_locked_down_no_alert_reaches_into_another_namespace() -> None:
    alert = an_alert("ops", "flux-system", eventSources=[a_source(namespace="team-a")])
    world = World(alert, providers=(a_provider(namespace="flux-system"),))
    world.across_namespaces = False

    await world.tell(an_event())

    assert world.queue.stored == {}
    assert world.warnings == [
        (
            "ops",
            "NotificationDispatchFailed",
            "can't access 'Kustomization/team-a/shop', "
            "cross-namespace references have been blocked",
        )
    ]


async def test_the_reader_gets_merged_metadata_and_no_token() -> None:
    event = an_event(
        metadata={
            f"{GROUP}/token": "t",
            f"{GROUP}/revision": "main@sha1:1",
            "event.toolkit.fluxcd.io/team": "shop",
        }
    )
    world = World(an_alert(eventMetadata={"env": "prod", "team": "alert"}))

    await world.tell(event)

    (delivery,) = world.queue.deliveries()
    assert delivery.event.metadata == {"revision": "main@sha1:1", "team": "alert", "env": "prod"}
    assert world.warnings == [
        ("all", "MetadataAppendFailed", "metadata keys set more than once: team")
    ]


async def test_fanned_out_again_after_a_crash_nothing_is_told_twice() -> None:
    world = World(an_alert("one"), an_alert("two"))

    await world.tell(an_event(), "e-1")
    await world.tell(an_event(), "e-1")

    assert len(world.queue.stored) == 2


async def test_a_missing_provider_is_told_on_the_alert() -> None:
    world = World(an_alert(providerRef={"name": "absent"}))

    await world.tell(an_event())

    ((name, reason, message),) = world.warnings
    assert (name, reason) == ("all", "NotificationDispatchFailed")
    assert message.startswith("Provider team-a/absent does not exist")


async def test_a_type_that_is_not_served_is_told_on_the_alert() -> None:
    world = World(an_alert(), providers=(a_provider(type="telegram"),))

    await world.tell(an_event())

    assert world.queue.stored == {}
    assert "type telegram, which is not served" in world.warnings[0][2]


async def test_a_suspended_provider_is_silent() -> None:
    world = World(an_alert(), providers=(a_provider(suspend=True),))

    await world.tell(an_event())

    assert (world.queue.stored, world.warnings) == ({}, [])


async def test_labels_are_those_of_the_object_as_it_is() -> None:
    world = World(an_alert(eventSources=[a_source(matchLabels={"app": "shop"})]))

    await world.tell(an_event(), "e-1")
    world.labels = {"app": "shop"}
    await world.tell(an_event(), "e-2")

    assert list(world.queue.stored) == ["e-2/u-all"]


@pytest.mark.parametrize("weather", [Forbidden("no right to read"), None])
async def test_an_object_that_cannot_be_read_matches_nothing_and_is_told(
    weather: Exception | None,
) -> None:
    world = World(an_alert(eventSources=[a_source(matchLabels={"app": "shop"})]))
    world.weather, world.labels = weather, None

    await world.tell(an_event())

    assert world.queue.stored == {}
    assert [reason for _, reason, _ in world.warnings] == ["EventSourceUnreadable"]


async def test_chat_does_not_hear_of_commit_statuses() -> None:
    event = an_event(metadata={f"{GROUP}/commit_status": "update"})
    world = World(
        an_alert("chat"),
        an_alert("machine", providerRef={"name": "machine"}),
        providers=(a_provider(type="slack"), a_provider("machine")),
    )

    await world.tell(event)

    assert world.queue.subjects() == ["penstock.delivery.team-a.machine"]


def an_intake(world: World) -> Intake:
    return Intake(world.queue, world.fan_out, Recent(lambda: 0.0))


def from_nats(event: EventPayload, message_id: str, *names: str) -> Received[EventPayload]:
    subject = names or (event.severity, *event.involved_object.about)
    return Received(tuple(subject), event, message_id, datetime(2026, 1, 2, tzinfo=UTC), 1)


async def test_the_same_happening_from_two_producers_is_told_once() -> None:
    world = World(an_alert())
    intake = an_intake(world)

    await intake.take(from_nats(an_event(), "1"))
    await intake.take(from_nats(an_event(), "2"))

    assert list(world.queue.stored) == ["1/u-all"]


async def test_an_event_in_anothers_name_is_passed_over() -> None:
    world = World(an_alert())
    before = counted("penstock_dead_letters_total", stream=EVENTS.name)

    await an_intake(world).take(
        from_nats(an_event(), "1", "info", "GitRepository", "team-a", "shop")
    )
    await an_intake(world).take(
        from_nats(an_event(), "2", "error", "Kustomization", "team-a", "shop")
    )

    assert world.queue.stored == {}
    assert counted("penstock_dead_letters_total", stream=EVENTS.name) == before + 2


def test_while_the_queue_is_away_events_wait_in_order() -> None:
    async def scenario() -> list[str]:
        world = World(an_alert())
        intake = an_intake(world)
        world.queue.failures = {"0": 3, "2": 1}

        await asyncio.gather(*(intake.take(from_nats(an_event(str(n)), str(n))) for n in range(5)))

        return [delivery.event.message for delivery in world.queue.deliveries()]

    assert in_virtual_time(scenario()) == ["0", "1", "2", "3", "4"]
