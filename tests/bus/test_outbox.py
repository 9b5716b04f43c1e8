"""Events while NATS comes and goes, and while the process that sends them is killed."""

import asyncio
import json
import os
import shutil
import signal
import sys
from pathlib import Path

from nats.js.errors import NotFoundError

from shared.bus import Bus
from shared.outbox import MEMORY_LIMIT, SAVE_EVERY, Outbox
from shared.subjects import EVENTS, event_subject
from tests.bus.test_durable import an_event
from tests.support.counted import counted
from tests.support.eventually import eventually
from tests.support.nats_process import NatsProcess


def put(outbox: Outbox, number: int) -> None:
    event = an_event(str(number))
    outbox.put(event_subject(event), event, message_id=f"event-{number}")


async def stored(nats: NatsProcess) -> list[str]:
    """The messages in the stream, in its order."""
    async with nats.admin() as admin:
        stream = admin.jetstream()
        state = (await stream.stream_info("EVENTS")).state
        bodies = [
            await stream.get_msg("EVENTS", sequence)
            for sequence in range(state.first_seq, state.last_seq + 1)
        ]
    return [str(json.loads(body.data or b"{}")["message"]) for body in bodies]


async def test_events_pass_through_memory_alone(nats: NatsProcess, tmp_path: Path) -> None:
    async with (
        Bus.connect(nats.url, service="source") as bus,
        Outbox.open(bus, EVENTS, tmp_path / "events") as outbox,
    ):
        await bus.connected()
        for number in range(20):
            put(outbox, number)
        await eventually(lambda: len(outbox) == 0)

        assert list((tmp_path / "events").iterdir()) == []
    assert await stored(nats) == [str(number) for number in range(20)]


async def test_an_event_under_way_is_not_there_yet(nats: NatsProcess, tmp_path: Path) -> None:
    async with (
        Bus.connect(nats.url, service="source") as bus,
        Outbox.open(bus, EVENTS, tmp_path / "events") as outbox,
    ):
        await bus.connected()
        nats.pause()
        put(outbox, 1)
        for _ in range(20):
            await asyncio.sleep(0)
            assert len(outbox) == 1

        nats.resume()
        await eventually(lambda: len(outbox) == 0)
    assert await stored(nats) == ["1"]


async def test_events_of_an_outage_arrive_in_order(nats: NatsProcess, tmp_path: Path) -> None:
    async with (
        Bus.connect(nats.url, service="source") as bus,
        Outbox.open(bus, EVENTS, tmp_path / "events") as outbox,
    ):
        await bus.connected()
        for number in range(100):
            put(outbox, number)
            if number == 30:
                await eventually(lambda: len(outbox) == 0)
                nats.kill()
            if number == 60:
                await eventually(lambda: any((tmp_path / "events").iterdir()))
        await nats.start()
        await eventually(lambda: len(outbox) == 0)

    assert await stored(nats) == [str(number) for number in range(100)]


async def test_a_server_that_dies_again_and_again_gets_everything_once(
    nats: NatsProcess, tmp_path: Path
) -> None:
    async with (
        Bus.connect(nats.url, service="source") as bus,
        Outbox.open(bus, EVENTS, tmp_path / "events") as outbox,
    ):
        await bus.connected()
        for number in range(300):
            put(outbox, number)
            if number % 100 == 50:
                await nats.restart()
        await eventually(lambda: len(outbox) == 0)

    assert await stored(nats) == [str(number) for number in range(300)]


WRITER = """
import asyncio, sys
from pathlib import Path
from shared.bus import Bus
from shared.outbox import Outbox
from shared.subjects import EVENTS
from tests.bus.test_outbox import put

async def main(folder):
    async with (
        Bus.connect("nats://127.0.0.1:1", service="source") as bus,
        Outbox.open(bus, EVENTS, Path(folder)) as outbox,
    ):
        for number in range(50):
            put(outbox, number)
        while outbox._memory:
            await asyncio.sleep(0.01)
        print("saved", flush=True)
        await asyncio.Event().wait()

asyncio.run(main(sys.argv[1]))
"""


async def test_a_killed_process_loses_none_of_them(nats: NatsProcess, tmp_path: Path) -> None:
    folder = tmp_path / "events"
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        WRITER,
        str(folder),
        stdout=asyncio.subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
    )
    assert process.stdout is not None
    assert await process.stdout.readline() == b"saved\n"
    process.send_signal(signal.SIGKILL)
    await process.wait()

    async with (
        Bus.connect(nats.url, service="source") as bus,
        Outbox.open(bus, EVENTS, folder) as outbox,
    ):
        await eventually(lambda: len(outbox) == 0)
        await eventually(lambda: stored(nats), lambda seen: len(seen) == 50)


async def test_what_a_crash_sends_twice_the_stream_takes_once(
    nats: NatsProcess, tmp_path: Path
) -> None:
    async with Bus.connect(nats.url, service="source") as bus:
        await bus.connected()
        for attempt in ("first", "second"):
            async with Outbox.open(bus, EVENTS, tmp_path / attempt) as outbox:
                put(outbox, 1)
                await eventually(lambda: len(outbox) == 0)

    assert await stored(nats) == ["1"]


async def test_ending_while_nats_is_away_keeps_what_was_put(
    nats: NatsProcess, tmp_path: Path
) -> None:
    async with (
        Bus.connect("", service="source") as nowhere,
        Outbox.open(nowhere, EVENTS, tmp_path / "events") as outbox,
    ):
        put(outbox, 7)

    async with (
        Bus.connect(nats.url, service="source") as bus,
        Outbox.open(bus, EVENTS, tmp_path / "events"),
    ):
        await eventually(lambda: arrived(nats), lambda seen: seen == ["7"])


async def arrived(nats: NatsProcess) -> list[str]:
    try:
        return await stored(nats)
    except NotFoundError:  # the stream is not there yet
        return []


async def test_an_event_on_its_way_to_the_disk_is_still_counted(tmp_path: Path) -> None:
    folder = tmp_path / "events"
    async with (
        Bus.connect("", service="source") as nowhere,
        Outbox.open(nowhere, EVENTS, folder) as outbox,
    ):
        put(outbox, 1)
        while not list(folder.iterdir()):
            assert len(outbox) == 1
            await asyncio.sleep(0)

        await eventually(lambda: not outbox._memory)
        assert len(outbox) == 1


async def test_memory_is_bounded_and_losses_are_counted(tmp_path: Path) -> None:
    before = counted("penstock_outbox_dropped_total")
    async with (
        Bus.connect("", service="source") as bus,
        Outbox.open(bus, EVENTS, tmp_path / "events") as outbox,
    ):
        for number in range(MEMORY_LIMIT + 15):
            put(outbox, number)

        assert len(outbox) == MEMORY_LIMIT
    assert counted("penstock_outbox_dropped_total") == before + 15


async def test_a_disk_that_takes_nothing_costs_only_its_safety(
    nats: NatsProcess, tmp_path: Path
) -> None:
    nats.kill()
    async with (
        Bus.connect(nats.url, service="source") as bus,
        Outbox.open(bus, EVENTS, tmp_path / "events") as outbox,
    ):
        shutil.rmtree(tmp_path / "events")
        for number in range(5):
            put(outbox, number)
        await asyncio.sleep(2 * SAVE_EVERY.total_seconds())  # it has tried to write
        await nats.start()
        await eventually(lambda: len(outbox) == 0)

    assert await stored(nats) == ["0", "1", "2", "3", "4"]


async def test_an_event_over_the_limit_is_dropped_alone(nats: NatsProcess, tmp_path: Path) -> None:
    event = an_event("x" * 600_000)
    async with (
        Bus.connect(nats.url, service="source") as bus,
        Outbox.open(bus, EVENTS, tmp_path / "events") as outbox,
    ):
        outbox.put(event_subject(event), event, message_id="big")
        put(outbox, 1)
        await eventually(lambda: len(outbox) == 0)

    assert await stored(nats) == ["1"]
