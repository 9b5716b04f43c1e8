"""Credentials, several servers, and what an operator reads in the log."""

import asyncio
import json
import logging
from pathlib import Path

import pytest

from penstock.local.ports import free_port
from shared.bus import Bus
from shared.line import BusUnavailable, Line
from shared.messages import About, ReadyChange
from shared.subjects import EVENTS, READY
from tests.support.eventually import eventually
from tests.support.nats_process import NatsProcess, running_nats

USERS = 'authorization { user: kustomize, password: "s3cret-canary" }'


def write(file: Path, password: str) -> None:
    file.write_text(json.dumps({"user": "kustomize", "password": password}))


def told(caplog: pytest.LogCaptureFixture) -> str:
    """All that the log says, fields included."""
    return "\n".join(
        f"{record.levelname} {record.getMessage()} {record.__dict__.get('error', '')}"
        for record in caplog.records
    )


async def test_credentials_may_be_mended_while_the_service_runs(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    login = tmp_path / "login.json"
    with caplog.at_level(logging.DEBUG):
        async with (
            running_nats(tmp_path, USERS) as nats,
            Bus.connect(nats.url, credentials=login, service="kustomize") as bus,
        ):
            await eventually(lambda: "No such file" in told(caplog))
            write(login, "wrong-canary")
            with pytest.raises(BusUnavailable):
                await bus.store(EVENTS, "penstock.event.x", b"{}", message_id="1")

            write(login, "s3cret-canary")
            await bus.connected()

    assert "canary" not in told(caplog)


async def test_an_outage_is_one_line_in_the_log(
    nats: NatsProcess, caplog: pytest.LogCaptureFixture
) -> None:
    async with Bus.connect(nats.url, service="kustomize") as bus:
        await bus.connected()
        caplog.clear()
        nats.kill()
        await eventually(lambda: "going on without" in told(caplog))
        await eventually(lambda: told(caplog).count("does not answer") == 1)
        await nats.start()
        await bus.connected()

    warnings = [record for record in caplog.records if record.levelno >= logging.WARNING]
    assert len(warnings) == 2


@pytest.mark.parametrize("url", ["nats://[", "http://127.0.0.1:1", "nats://127.0.0.1:x", ","])
async def test_an_address_that_is_none_is_said_and_harms_nothing(
    url: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with Bus.connect(url, service="kustomize") as bus:
        await eventually(lambda: "WARNING NATS does not answer" in told(caplog))

        assert not bus.is_connected
    assert "unexpected" not in told(caplog)


async def test_one_of_several_servers_is_enough(nats: NatsProcess) -> None:
    urls = f"nats://127.0.0.1:{free_port()},{nats.url}"

    async with Bus.connect(urls, service="kustomize") as bus:
        await bus.connected()


async def test_a_service_ends_at_once_whatever_nats_does(nats: NatsProcess) -> None:
    async with Bus.connect(nats.url, service="kustomize") as bus:
        await bus.connected()
        bus.hints(READY, [READY.subjects], lambda _: None)
        nats.pause()
        for number in range(100):
            about = About("Kustomization", "x", str(number))
            bus.publish(READY, about, ReadyChange(generation=1, ready=True))
    nats.resume()


async def test_a_subject_that_is_not_allowed_is_said_once_and_harms_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    allowed = (
        "authorization { users: [{ user: kustomize, password: pass, permissions: "
        '{ publish: ["$JS.API.>"], subscribe: ["_INBOX_kustomize.>"] } }] }'
    )
    login = tmp_path / "login.json"
    write(login, "pass")
    async with (
        running_nats(tmp_path, allowed) as nats,
        Bus.connect(nats.url, credentials=login, service="kustomize") as bus,
    ):
        await bus.connected()
        with pytest.raises(BusUnavailable):
            await bus.store(EVENTS, "penstock.event.info.x.y.z", b"{}", message_id="1")

        assert bus.is_connected
        assert "permissions violation" in told(caplog).lower()


async def test_a_cancellation_is_heard_also_when_an_answer_comes_with_it(nats: NatsProcess) -> None:
    async with Line.open(nats.url, credentials=None, service="kustomize") as line:
        await line.connected()

        async def ask_for_ever() -> None:
            while True:
                await line.request("$JS.API.INFO", b"")
                await asyncio.sleep(60)

        for number in range(400):
            asking = asyncio.create_task(ask_for_ever())
            await asyncio.sleep(number * 5e-6)
            asking.cancel()
            ended, _ = await asyncio.wait([asking], timeout=2)

            assert ended, "it waits for ever"
