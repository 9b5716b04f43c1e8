"""Durable consumers against a real server: nothing is lost, nothing is handled twice."""

import asyncio
from collections import Counter
from datetime import timedelta

from nats.js.errors import NotFoundError

from shared.bus import Bus
from shared.consuming import Received
from shared.durable import DurablePlan, Later
from shared.messages import EventPayload, InvolvedObject
from shared.subjects import EVENTS, event_subject
from tests.support.counted import counted
from tests.support.eventually import eventually
from tests.support.nats_process import NatsProcess

PLAN = DurablePlan(name="notify", subject=EVENTS.subjects, ack_wait=timedelta(seconds=2))


def an_event(message: str, name: str = "shop") -> EventPayload:
    return EventPayload(
        involved_object=InvolvedObject(kind="Kustomization", namespace="team-a", name=name),
        severity="info",
        timestamp="2026-01-02T03:04:05Z",
        message=message,
        reason="Succeeded",
        reporting_controller="kustomize-controller",
    )


async def store(bus: Bus, message: str, message_id: str = "") -> None:
    event = an_event(message)
    await bus.store(EVENTS, event_subject(event), event, message_id=message_id or message)


class Reader:
    """Remembers what it was given; waits where a test has closed the gate."""

    def __init__(self) -> None:
        self.given: list[str] = []
        self.finished: list[str] = []
        self.gate = asyncio.Event()
        self.gate.set()

    async def read(self, received: Received[EventPayload]) -> None:
        self.given.append(received.body.message)
        await self.gate.wait()
        self.finished.append(received.body.message)


async def test_what_is_stored_while_nobody_reads_is_read_later(nats: NatsProcess) -> None:
    reader = Reader()
    async with Bus.connect(nats.url, service="source") as bus:
        await bus.connected()
        for number in range(200):
            await store(bus, str(number))

    async with Bus.connect(nats.url, service="notify") as bus:
        bus.durable(EVENTS, PLAN, reader.read)

        await eventually(lambda: reader.finished, lambda read: len(read) == 200)
    assert reader.given == [str(number) for number in range(200)]


async def test_a_message_stored_twice_is_read_once(nats: NatsProcess) -> None:
    reader = Reader()
    async with Bus.connect(nats.url, service="notify") as bus:
        await bus.connected()
        bus.durable(EVENTS, PLAN, reader.read)
        await store(bus, "first", "id-1")
        await store(bus, "again", "id-1")
        await store(bus, "second", "id-2")

        await eventually(lambda: reader.finished, lambda read: "second" in read)
    assert reader.finished == ["first", "second"]


async def test_a_killed_server_loses_and_repeats_nothing(nats: NatsProcess) -> None:
    reader = Reader()
    async with Bus.connect(nats.url, service="notify") as bus:
        await bus.connected()
        bus.durable(EVENTS, PLAN, reader.read)
        reader.gate.clear()
        for number in range(50):
            await store(bus, str(number))
        await eventually(lambda: len(reader.given), lambda given: given == 50)

        nats.kill()
        reader.gate.set()  # they end, and their acknowledgements go nowhere
        await eventually(lambda: len(reader.finished), lambda read: read == 50)
        await nats.start()
        await bus.connected()
        await store(bus, "after")

        await eventually(lambda: reader.finished, lambda read: "after" in read)
        await eventually(lambda: unacknowledged(nats), lambda left: left == (0, 0), within=20)
    assert Counter(reader.given).most_common(1)[0][1] == 1


async def unacknowledged(nats: NatsProcess) -> tuple[int, int]:
    async with nats.admin() as admin:
        info = await admin.jetstream().consumer_info("EVENTS", "notify")
    return info.num_ack_pending or 0, info.num_pending or 0


async def test_a_slow_reader_is_not_given_the_same_again(nats: NatsProcess) -> None:
    reader = Reader()
    reader.gate.clear()
    async with Bus.connect(nats.url, service="notify") as bus:
        await bus.connected()
        bus.durable(EVENTS, PLAN, reader.read)
        await store(bus, "slow")
        await eventually(lambda: reader.given)

        await asyncio.sleep(2 * PLAN.ack_wait.total_seconds())  # the fact waited for is a silence
        deliveries = await redelivered(nats)
        reader.gate.set()

    assert deliveries == 0


async def redelivered(nats: NatsProcess) -> int:
    async with nats.admin() as admin:
        info = await admin.jetstream().consumer_info("EVENTS", "notify")
    return info.num_redelivered or 0


async def test_no_more_than_the_plan_says_are_in_flight(nats: NatsProcess) -> None:
    reader = Reader()
    reader.gate.clear()
    plan = DurablePlan(name="notify", subject=EVENTS.subjects, max_in_flight=3)
    async with Bus.connect(nats.url, service="notify") as bus:
        await bus.connected()
        for number in range(10):
            await store(bus, str(number))
        bus.durable(EVENTS, plan, reader.read)
        await eventually(lambda: len(reader.given), lambda given: given == 3)
        await store(bus, "last")

        assert len(reader.given) == 3

        reader.gate.set()
        await eventually(lambda: len(reader.finished), lambda read: read == 11)


async def test_what_a_reader_puts_off_comes_again(nats: NatsProcess) -> None:
    attempts: list[int] = []

    async def twice(received: Received[EventPayload]) -> None:
        attempts.append(received.deliveries)
        if received.deliveries < 3:
            raise Later(timedelta(milliseconds=50))

    async with Bus.connect(nats.url, service="notify") as bus:
        await bus.connected()
        bus.durable(EVENTS, PLAN, twice)
        await store(bus, "put off")

        await eventually(lambda: attempts, lambda seen: seen == [1, 2, 3])


async def test_a_reader_that_breaks_gets_it_again_and_others_are_not_held_up(
    nats: NatsProcess,
) -> None:
    seen: list[str] = []

    async def brittle(received: Received[EventPayload]) -> None:
        seen.append(received.body.message)
        if received.body.message == "bad" and received.deliveries == 1:
            raise RuntimeError("broke")

    async with Bus.connect(nats.url, service="notify") as bus:
        await bus.connected()
        bus.durable(EVENTS, PLAN, brittle)
        await store(bus, "bad")
        await store(bus, "good")

        await eventually(lambda: seen, lambda messages: messages == ["bad", "good", "bad"])


async def test_garbage_goes_to_the_dead_and_never_comes_back(nats: NatsProcess) -> None:
    before = counted("penstock_dead_letters_total", stream="EVENTS")
    reader = Reader()
    async with Bus.connect(nats.url, service="notify") as bus, nats.admin() as admin:
        await bus.connected()
        bus.durable(EVENTS, PLAN, reader.read)
        await store(bus, "before")
        for body in (b"", b"null", b'{"severity":"info"}', b"[" * 100_000):
            await admin.publish("penstock.event.info.Garbage.x.y", body)
        await store(bus, "after")

        await eventually(lambda: reader.finished, lambda read: read == ["before", "after"])
        await eventually(lambda: unacknowledged(nats), lambda left: left == (0, 0))
    assert counted("penstock_dead_letters_total", stream="EVENTS") == before + 4


async def test_a_deleted_consumer_goes_on_where_it_was(nats: NatsProcess) -> None:
    reader = Reader()
    async with Bus.connect(nats.url, service="notify") as bus, nats.admin() as admin:
        await bus.connected()
        bus.durable(EVENTS, PLAN, reader.read)
        await store(bus, "before")
        await eventually(lambda: reader.finished)

        await admin.jetstream().delete_consumer("EVENTS", "notify")
        await store(bus, "after")

        await eventually(lambda: reader.finished, lambda read: "after" in read)
    assert reader.given == ["before", "after"]


async def test_what_is_in_hand_is_not_given_again_by_a_new_consumer(nats: NatsProcess) -> None:
    reader = Reader()
    async with Bus.connect(nats.url, service="notify") as bus, nats.admin() as admin:
        await bus.connected()
        bus.durable(EVENTS, PLAN, reader.read)
        reader.gate.clear()
        for number in range(5):
            await store(bus, str(number))
        await eventually(lambda: len(reader.given) == 5)

        await admin.jetstream().delete_consumer("EVENTS", "notify")
        await eventually(lambda: handed_out(nats), lambda pending: pending == 5)
        reader.gate.set()

        await eventually(lambda: unacknowledged(nats), lambda left: left == (0, 0))
    assert reader.given == ["0", "1", "2", "3", "4"]


async def handed_out(nats: NatsProcess) -> int:
    async with nats.admin() as admin:
        try:
            info = await admin.jetstream().consumer_info("EVENTS", "notify")
        except NotFoundError:
            return 0
    return info.num_ack_pending or 0


async def test_a_deleted_stream_comes_back(nats: NatsProcess) -> None:
    reader = Reader()
    async with Bus.connect(nats.url, service="notify") as bus, nats.admin() as admin:
        await bus.connected()
        bus.durable(EVENTS, PLAN, reader.read)
        await store(bus, "before")
        await eventually(lambda: reader.finished)

        await admin.jetstream().delete_stream("EVENTS")
        await store(bus, "after")

        await eventually(lambda: reader.finished, lambda read: read == ["before", "after"])


async def test_a_new_consumer_looks_back_only_so_far(nats: NatsProcess) -> None:
    reader = Reader()
    plan = DurablePlan(name="notify", subject=EVENTS.subjects, look_back=timedelta(0))
    async with Bus.connect(nats.url, service="notify") as bus:
        await bus.connected()
        await store(bus, "old")

        bus.durable(EVENTS, plan, reader.read)
        await eventually(lambda: has_consumer(nats))
        await store(bus, "new")
        await eventually(lambda: reader.finished)

    assert reader.given == ["new"]


async def has_consumer(nats: NatsProcess) -> bool:
    async with nats.admin() as admin:
        return bool(await admin.jetstream().consumers_info("EVENTS"))


async def test_a_plan_that_changed_is_carried_out(nats: NatsProcess) -> None:
    reader = Reader()
    async with Bus.connect(nats.url, service="notify") as bus:
        bus.durable(EVENTS, PLAN, reader.read)
        await bus.connected()
        await store(bus, "one")
        await eventually(lambda: reader.finished)

    roomy = DurablePlan(name="notify", subject=EVENTS.subjects, max_in_flight=200)
    async with Bus.connect(nats.url, service="notify") as bus:
        bus.durable(EVENTS, roomy, reader.read)
        await bus.connected()
        await store(bus, "two")
        await eventually(lambda: reader.finished, lambda read: read == ["one", "two"])
        async with nats.admin() as admin:
            info = await admin.jetstream().consumer_info("EVENTS", "notify")

    assert info.config is not None
    assert info.config.max_ack_pending == 200


async def test_what_a_dead_process_had_in_hand_comes_first(nats: NatsProcess) -> None:
    """In its place, and without waiting for the server to miss the dead."""
    plan = DurablePlan(
        name="notify", subject=EVENTS.subjects, fresh=True, ack_wait=timedelta(minutes=10)
    )
    dead, living = Reader(), Reader()
    async with Bus.connect(nats.url, service="notify") as bus:
        bus.durable(EVENTS, plan, dead.read)
        await bus.connected()
        await store(bus, "done")
        await eventually(lambda: dead.finished)
        await eventually(lambda: unacknowledged(nats), lambda left: left == (0, 0))
        dead.gate.clear()
        for number in range(5):
            await store(bus, str(number))
        await eventually(lambda: len(dead.given) == 6)

        async with Bus.connect(nats.url, service="notify") as other:
            await store(bus, "new")
            other.durable(EVENTS, plan, living.read)
            await eventually(lambda: "new" in living.finished)

    assert living.given[:6] == ["0", "1", "2", "3", "4", "new"]
