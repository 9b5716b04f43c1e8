"""The HTTP door for events: what it takes, and what it makes of everything else."""

import asyncio
import io
import json
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from services.notify.dedupe import Recent
from services.notify.event_server import event_door
from services.notify.intake import Intake
from shared.bus import TooLarge
from shared.line import BusError, BusUnavailable
from shared.messages import EventPayload
from shared.subjects import Stream
from tests.support.doors import IMPATIENT, dribble, opened
from tests.support.notifications import GROUP, an_event


class Kept:
    """The EVENTS stream, in memory."""

    def __init__(self) -> None:
        self.events: list[tuple[str, EventPayload]] = []
        self.weather: BusError | None = None

    async def store(self, stream: Stream[Any], subject: str, body: Any, *, message_id: str) -> None:
        if self.weather is not None:
            raise self.weather
        self.events.append((subject, body))


class Client:
    def __init__(self, url: str, session: aiohttp.ClientSession) -> None:
        self.url = url
        self._session = session

    async def post(self, body: Any, path: str = "/", **more: Any) -> int:
        raw = json.dumps(body).encode() if isinstance(body, dict) else body
        async with self._session.post(self.url + path, data=raw, **more) as response:
            await response.read()
            return response.status

    async def status(self, method: str) -> int:
        async with self._session.request(method, self.url + "/") as response:
            return response.status


async def nobody(event: EventPayload, event_id: str) -> None:
    raise AssertionError("over HTTP events are kept, not fanned out")


@pytest.fixture
def kept() -> Kept:
    return Kept()


@pytest.fixture
async def client(kept: Kept) -> AsyncIterator[Client]:
    intake = Intake(kept, nobody, Recent(asyncio.get_running_loop().time))
    async with opened(event_door(intake, IMPATIENT)) as url, aiohttp.ClientSession() as session:
        yield Client(url, session)


def a_body(**changes: Any) -> dict[str, Any]:
    body: dict[str, Any] = msgspec.to_builtins(an_event())
    return body | changes


async def test_an_event_is_kept_and_accepted(client: Client, kept: Kept) -> None:
    metadata = {f"{GROUP}/revision": "r", f"{GROUP}/digest": "d", "foreign/x": "y"}

    assert await client.post(a_body(metadata=metadata)) == 202

    ((subject, event),) = kept.events
    assert subject == "penstock.event.info.Kustomization.team-a.shop"
    assert event.metadata == {f"{GROUP}/revision": "r"}


async def test_fields_that_we_do_not_know_pass(client: Client) -> None:
    assert await client.post(a_body(new={"field": [1, None]})) == 202


async def test_a_repetition_is_refused_for_a_while(client: Client, kept: Kept) -> None:
    assert [await client.post(a_body()) for _ in range(3)] == [202, 429, 429]
    assert await client.post(a_body(metadata={f"{GROUP}/token": "again"})) == 202
    assert len(kept.events) == 2


async def test_what_cannot_be_kept_is_not_accepted(client: Client, kept: Kept) -> None:
    kept.weather = BusUnavailable("away")
    assert await client.post(a_body()) == 503

    kept.weather = None
    assert await client.post(a_body()) == 202


async def test_what_is_too_large_to_be_kept_is_refused(client: Client, kept: Kept) -> None:
    kept.weather = TooLarge("over the limit")

    assert await client.post(a_body()) == 413


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"null",
        b"[]",
        b"{",
        b"\xff\xfe",
        b"{}",
        b"[" * 100_000,
        b'{"a":' * 50_000,
        json.dumps(a_body(severity="trace")).encode(),
        json.dumps(a_body(involvedObject=None)).encode(),
        json.dumps(a_body(message="\ud800")).encode(),
        json.dumps(a_body(metadata={"a": 1})).encode(),
        json.dumps(a_body(metadata="x")).encode(),
    ],
    ids=lambda body: repr(body[:20]),
)
async def test_a_bad_body_is_refused(client: Client, kept: Kept, body: bytes) -> None:
    assert await client.post(body) == 400
    assert kept.events == []


async def test_a_body_over_the_limit_is_refused(client: Client) -> None:
    assert await client.post(io.BytesIO(b"x" * (IMPATIENT.body_bytes + 1))) == 413


async def test_an_endless_body_is_refused(client: Client) -> None:
    async def endless() -> AsyncIterator[bytes]:
        while True:
            yield b"x" * 65536

    async with aiohttp.ClientSession() as session:
        try:
            async with session.post(client.url, data=endless()) as response:
                assert response.status == 413
        except (aiohttp.ClientError, ConnectionError):
            pass  # closed in the middle of the stream: refused all the same
    assert await client.post(a_body()) == 202


async def test_packed_bodies_are_refused(client: Client) -> None:
    assert await client.post(b"x", headers={"Content-Encoding": "gzip"}) == 415


@pytest.mark.parametrize(
    ("path", "status"), [("/x", 404), ("//", 404), ("/hook/1", 404), ("/?a=b", 202)]
)
async def test_there_is_one_path(client: Client, path: str, status: int) -> None:
    assert await client.post(a_body(), path) == status


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "OPTIONS", "PATCH"])
async def test_there_is_one_method(client: Client, method: str) -> None:
    assert await client.status(method) == 405


@pytest.mark.parametrize(
    "head",
    [
        b"",
        b"POST / HTTP/1.1\r\nHost: x\r\nX-",
        b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n400\r\n",
    ],
    ids=["silence", "head", "body", "chunk"],
)
async def test_slow_callers_are_closed_and_hold_up_nobody(client: Client, head: bytes) -> None:
    slow = [asyncio.ensure_future(dribble(client.url, head)) for _ in range(200)]
    await asyncio.sleep(0)

    assert await client.post(a_body()) == 202
    answers = await asyncio.wait_for(asyncio.gather(*slow), 20)

    assert {answer[9:12] for answer in answers} <= {b"", b"400", b"408"}


async def test_headers_are_bounded(client: Client) -> None:
    async with aiohttp.ClientSession() as session:
        try:
            async with session.post(client.url, headers={"X": "y" * 300_000}) as response:
                assert response.status == 400
        except (aiohttp.ClientError, ConnectionError):
            pass  # closed before it was all sent: refused all the same


MUTATIONS = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=5,
)


@settings(
    max_examples=300,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    changes=st.dictionaries(st.sampled_from(sorted(a_body())), MUTATIONS, max_size=3),
    involved=st.dictionaries(
        st.sampled_from(sorted(a_body()["involvedObject"])), MUTATIONS, max_size=2
    ),
)
async def test_no_body_upsets_it(
    client: Client, changes: dict[str, Any], involved: dict[str, Any]
) -> None:
    body = a_body()
    body["involvedObject"] |= involved

    assert await client.post(body | changes) in {202, 400, 429}
