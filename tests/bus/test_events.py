"""What is told of an object, and how often it is written down."""

import asyncio
import re
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from shared.cluster.errors import AlreadyExists, ApiError, Forbidden, NotFound, Unreachable
from shared.cluster.objects import Manifest, ObjectRef, ref_of
from shared.event_writer import WAITING, EventWriter
from shared.events import MESSAGE_LIMIT, Recorder
from shared.messages import Body, EventPayload
from shared.redaction import register
from shared.resources.notification import Provider
from tests.support.counted import counted
from tests.support.eventually import eventually


class EventStore:
    """The API server's Events, in memory; `weather` is raised instead of serving."""

    def __init__(self) -> None:
        self.events: dict[str, Manifest] = {}
        self.requests = 0
        self.weather: ApiError | None = None

    async def create(self, manifest: Manifest) -> Manifest:
        self._count()
        ref = ref_of(manifest)
        if ref.name in self.events:
            raise AlreadyExists("it is there")
        self.events[ref.name] = manifest
        return manifest

    async def merge_patch(self, ref: ObjectRef, patch: Manifest) -> Manifest:
        self._count()
        if ref.name not in self.events:
            raise NotFound("it is not there")
        event = self.events[ref.name]
        event |= {**patch, "metadata": event["metadata"] | patch["metadata"]}
        return event

    def _count(self) -> None:
        self.requests += 1
        if self.weather is not None:
            raise self.weather

    def counts(self) -> list[int]:
        return [event["count"] for event in self.events.values()]


class Mailbox:
    def __init__(self) -> None:
        self.posted: list[tuple[str, EventPayload, str]] = []

    def put(self, subject: str, body: Body, *, message_id: str) -> None:
        assert isinstance(body, EventPayload)
        self.posted.append((subject, body, message_id))


class World:
    def __init__(self) -> None:
        self.time = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
        self.store = EventStore()
        self.mailbox = Mailbox()
        self.writer = EventWriter(self.store, "notification-controller", self.now)
        self.recorder = Recorder(self.writer, self.mailbox, "notification-controller", self.now)

    def now(self) -> datetime:
        return self.time

    def happens(self, message: str = "it broke", severity: Any = "error", **metadata: str) -> None:
        self.recorder.record(a_provider(), severity, "Failed", message, metadata)


@pytest.fixture
def world() -> World:
    return World()


def a_provider(name: str = "chat") -> Provider:
    return Provider.from_object(
        {
            "metadata": {
                "name": name,
                "namespace": "team-a",
                "uid": "u-1",
                "resourceVersion": "7",
            },
            "spec": {"type": "generic"},
        }
    )


async def test_an_event_names_its_object_and_who_reports(world: World) -> None:
    world.happens(revision="main@sha1:1")
    await world.writer.flush()

    (event,) = world.store.events.values()
    assert event["involvedObject"] == {
        "kind": "Provider",
        "namespace": "team-a",
        "name": "chat",
        "uid": "u-1",
        "apiVersion": "notification.toolkit.fluxcd.io/v1beta3",
        "resourceVersion": "7",
    }
    assert (event["type"], event["reason"], event["message"]) == ("Warning", "Failed", "it broke")
    assert event["source"]["component"] == event["reportingComponent"] == "notification-controller"
    assert event["metadata"]["namespace"] == "team-a"
    assert event["metadata"]["annotations"] == {
        "notification.toolkit.fluxcd.io/revision": "main@sha1:1"
    }


async def test_the_same_event_is_posted_to_nats_under_its_own_id(world: World) -> None:
    world.happens(revision="main@sha1:1")
    world.happens(revision="main@sha1:1")

    (subject, event, first_id), (_, _, second_id) = world.mailbox.posted
    assert subject == "penstock.event.error.Provider.team-a.chat"
    assert event.metadata == {"notification.toolkit.fluxcd.io/revision": "main@sha1:1"}
    assert event.timestamp == "2026-01-02T03:04:05Z"
    assert first_id != second_id


async def test_a_trace_is_for_kubernetes_alone(world: World) -> None:
    world.happens(severity="trace")
    await world.writer.flush()

    assert world.mailbox.posted == []
    assert [event["type"] for event in world.store.events.values()] == ["Normal"]


async def test_annotations_of_the_object_travel_with_it(world: World) -> None:
    provider = a_provider()
    asked = {"event.toolkit.fluxcd.io/team": "shop", "other.io/x": "no"}
    provider.metadata.annotations.update(asked)

    world.recorder.record(provider, "info", "Succeeded", "fine", {})

    assert world.mailbox.posted[0][1].metadata == {"event.toolkit.fluxcd.io/team": "shop"}


async def test_repetitions_count_one_event_up(world: World) -> None:
    for _ in range(3):
        world.happens()
        await world.writer.flush()
        world.time += timedelta(minutes=5)

    (event,) = world.store.events.values()
    assert event["count"] == 3
    assert event["firstTimestamp"] == "2026-01-02T03:04:05Z"
    assert event["lastTimestamp"] == "2026-01-02T03:14:05Z"


async def test_another_message_is_another_event(world: World) -> None:
    world.happens("one")
    world.happens("two")
    await world.writer.flush()

    assert world.store.counts() == [1, 1]


async def test_after_an_hour_it_is_a_new_event(world: World) -> None:
    world.happens()
    await world.writer.flush()
    world.time += timedelta(hours=1, seconds=1)
    world.happens()
    await world.writer.flush()

    assert world.store.counts() == [1, 1]


async def test_an_event_that_expired_is_written_anew(world: World) -> None:
    world.happens()
    await world.writer.flush()
    world.store.events.clear()
    world.happens()
    await world.writer.flush()

    assert world.store.counts() == [1]


async def test_what_happens_while_the_api_server_is_away_is_one_request_later(
    world: World,
) -> None:
    world.store.weather = Unreachable("away")
    for _ in range(100):
        world.happens()
        with pytest.raises(Unreachable):
            await world.writer.flush()
    world.store.weather = None
    world.store.requests = 0

    await world.writer.flush()

    assert (world.store.counts(), world.store.requests) == ([100], 1)


async def test_an_answer_that_was_lost_makes_no_second_event(world: World) -> None:
    create = world.store.create

    async def create_and_lose(manifest: Manifest) -> Manifest:
        await create(manifest)
        world.store.create = create  # type: ignore[method-assign]
        raise Unreachable("the answer is lost")

    world.store.create = create_and_lose  # type: ignore[method-assign]
    world.happens()
    with pytest.raises(Unreachable):
        await world.writer.flush()
    await world.writer.flush()

    assert world.store.counts() == [1]


async def test_a_refused_event_does_not_hold_up_others(world: World) -> None:
    world.store.weather = Forbidden("the namespace is terminating")
    world.happens("refused")
    await world.writer.flush()
    world.store.weather = None
    world.happens("taken")
    await world.writer.flush()

    assert [event["message"] for event in world.store.events.values()] == ["taken"]


async def test_what_waits_is_bounded_and_counted(world: World) -> None:
    before = counted("penstock_events_dropped_total")

    for number in range(WAITING + 5):
        world.happens(str(number))
    await world.writer.flush()

    assert len(world.store.events) == WAITING
    assert "0" not in {event["message"] for event in world.store.events.values()}
    assert counted("penstock_events_dropped_total") == before + 5


async def test_the_writer_survives_an_outage(world: World) -> None:
    world.store.weather = Unreachable("away")
    world.happens()
    async with asyncio.TaskGroup() as tasks:
        writing = tasks.create_task(world.writer.run())
        await eventually(lambda: world.store.requests)
        world.store.weather = None
        world.happens("another")
        await eventually(lambda: len(world.store.events) == 2)
        writing.cancel()


async def test_secrets_are_masked_in_every_sink(world: World) -> None:
    register("hunter2-canary")

    world.happens(
        "no access with hunter2-canary at https://joe:pass@git.example/", x="hunter2-canary"
    )
    await world.writer.flush()

    told = repr(world.store.events) + repr(world.mailbox.posted)
    assert "hunter2" not in told
    assert "joe" not in told


async def test_a_long_message_is_cut(world: World) -> None:
    world.happens("é" * 50_000)

    message = world.mailbox.posted[0][1].message
    assert (len(message), message[-4:]) == (MESSAGE_LIMIT, "é...")


@pytest.mark.parametrize("name", ["a", "a" * 253, "a." * 126 + "a", "x" * 230 + "-.-.-.-.-"])
async def test_event_names_are_legal(world: World, name: str) -> None:
    world.recorder.record(a_provider(name), "info", "Succeeded", "fine", {})
    await world.writer.flush()

    (event_name,) = world.store.events
    label = r"[a-z0-9]([-a-z0-9]*[a-z0-9])?"
    assert re.fullmatch(rf"{label}(\.{label})*", event_name)
    assert len(event_name) <= 253
