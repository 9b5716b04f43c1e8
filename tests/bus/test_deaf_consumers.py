"""A consumer that the server forgot is noticed by the silence, in virtual time."""

import asyncio

import msgspec
import pytest

from shared.consuming import DEAF_AFTER, Lost, frames
from shared.line import Inbox, Silence
from tests.support.virtual_time import in_virtual_time


class Server:
    """Takes requests for batches; a test answers into the inbox."""

    def __init__(self) -> None:
        self.inbox = Inbox("_INBOX.x")
        self.batches: list[int] = []

    async def send(self, subject: str, body: bytes, reply: str = "") -> None:
        assert (subject, reply) == ("$JS.API.CONSUMER.MSG.NEXT.EVENTS.notify", "_INBOX.x")
        self.batches.append(msgspec.json.decode(body)["batch"])

    async def says(self, status: str = "", description: str = "") -> None:
        headers = {"Status": status, "Description": description} if status else {}
        await self.inbox.receive(Message(headers))  # type: ignore[arg-type]

    async def read(self) -> None:
        """Until the consumer is given up."""

        async def ten() -> int:
            return 10

        async for _ in frames(self, self.inbox, "EVENTS.notify", ten):  # type: ignore[arg-type]
            pass


class Message:
    def __init__(self, headers: dict[str, str]) -> None:
        self.subject, self.reply, self.data, self.headers = "s", "r", b"", headers


def seconds() -> float:
    return asyncio.get_running_loop().time()


def test_silence_is_noticed() -> None:
    async def scenario() -> float:
        with pytest.raises(Silence):
            await Server().read()
        return seconds()

    assert in_virtual_time(scenario()) == pytest.approx(DEAF_AFTER.total_seconds())


def test_heartbeats_are_signs_of_life() -> None:
    async def scenario() -> float:
        server = Server()

        async def beat() -> None:
            for _ in range(20):
                await asyncio.sleep(5)
                await server.says("100", "Idle Heartbeat")

        with pytest.raises(Silence):
            await asyncio.gather(server.read(), beat())
        return seconds()

    assert in_virtual_time(scenario()) == pytest.approx(100 + DEAF_AFTER.total_seconds())


@pytest.mark.parametrize("status", ["404", "408"])
def test_an_ended_batch_is_asked_for_again(status: str) -> None:
    async def scenario() -> list[int]:
        server = Server()
        await server.says()
        await server.says(status)
        with pytest.raises(Silence):
            await server.read()
        return server.batches

    assert in_virtual_time(scenario()) == [10, 10]


@pytest.mark.parametrize(("status", "why"), [("409", "Consumer Deleted"), ("503", "No Responders")])
def test_a_consumer_that_is_gone_is_left_at_once(status: str, why: str) -> None:
    async def scenario() -> None:
        server = Server()
        await server.says(status, why)
        with pytest.raises(Lost, match=why):
            await server.read()

    in_virtual_time(scenario())
