"""What the answers of a provider mean, and what must be mended before it can be asked."""

import asyncio
from datetime import timedelta
from typing import Any

import pytest
from aiohttp import web

from services.notify.courier import Obsolete
from services.notify.posting import Refused, Rejected, Unavailable
from shared.cluster.errors import Unreachable
from shared.resources.notification import Provider
from tests.support.desk import KEY, NOW, Desk
from tests.support.notifications import a_provider, an_event
from tests.support.sink import Received, Sink, always, running_sink


@pytest.mark.parametrize(
    ("status", "ending"),
    [
        (500, Unavailable),
        (502, Unavailable),
        (408, Unavailable),
        (429, Unavailable),
        (400, Rejected),
        (413, Rejected),
        (422, Rejected),
        (401, Refused),
        (403, Refused),
        (404, Refused),
        (410, Refused),
    ],
)
async def test_what_an_answer_means(
    desk: Desk, sink: Sink, status: int, ending: type[Exception]
) -> None:
    sink.answer = always(status, "because")

    with pytest.raises(ending, match=rf"127\.0\.0\.1 answered {status}: because"):
        await desk.send(address=sink.url)


@pytest.mark.parametrize("status", [200, 201, 202, 204])
async def test_any_2xx_is_success(desk: Desk, sink: Sink, status: int) -> None:
    sink.answer = always(status)

    await desk.send(address=sink.url)


@pytest.mark.parametrize(
    ("text", "pause"),
    [
        ("7", timedelta(seconds=7)),
        ("Fri, 02 Jan 2026 00:01:00 GMT", timedelta(minutes=1)),
        ("Fri, 02 Jan 2026 00:00:00 GMT", timedelta(0)),
        ("Thu, 01 Jan 2026 00:00:00 GMT", timedelta(0)),
        ("9" * 400, timedelta(minutes=15)),
        ("soon", None),
        ("-1", None),
        ("", None),
    ],
)
async def test_retry_after_is_understood(
    desk: Desk, sink: Sink, text: str, pause: timedelta | None
) -> None:
    sink.answer = always(503, Retry_After=text)

    with pytest.raises(Unavailable) as caught:
        await desk.send(address=sink.url)

    assert caught.value.retry_after == pause


async def test_redirects_are_not_followed(desk: Desk, sink: Sink) -> None:
    async with running_sink() as elsewhere:
        sink.answer = always(307, Location=elsewhere.url)

        with pytest.raises(Refused, match="redirects are not followed"):
            await desk.send(address=sink.url, **desk.secret(headers="Authorization: Bearer abc"))

        assert elsewhere.requests == []


async def test_a_provider_that_hangs_costs_its_timeout(desk: Desk, sink: Sink) -> None:
    async def hang(_: Received) -> web.Response:
        await asyncio.sleep(30)
        return web.Response()

    sink.answer = hang

    with pytest.raises(Unavailable, match=r"no answer within 0\.2s"):
        await desk.send(address=sink.url, timeout="200ms")


async def test_nobody_there(desk: Desk) -> None:
    with pytest.raises(Unavailable, match=r"127\.0\.0\.1: no connection"):
        await desk.send(address="http://127.0.0.1:1/")


async def test_a_huge_answer_is_not_read_to_its_end(desk: Desk, sink: Sink) -> None:
    sink.answer = always(500, "x" * 5_000_000)

    with pytest.raises(Unavailable) as caught:
        await desk.send(address=sink.url)

    assert len(str(caught.value)) < 400


@pytest.mark.parametrize(
    ("spec", "names"),
    [
        ({"address": ""}, "spec.address"),
        ({"address": "ftp://x/"}, "http://"),
        ({"address": "http://[x/"}, "address"),
        ({"address": "http://" + "a" * 3000}, "2048"),
        ({"secretRef": {"name": "absent"}}, "team-a/absent does not exist"),
        ({"certSecretRef": {"name": "absent"}}, "spec.certSecretRef"),
        ({"proxySecretRef": {"name": "absent"}}, "spec.proxySecretRef"),
        ({"proxy": "socks5://x"}, "proxy"),
        ({"timeout": "soon"}, "spec.timeout"),
    ],
)
async def test_what_must_be_mended_is_named(desk: Desk, spec: dict[str, Any], names: str) -> None:
    with pytest.raises(Refused, match=names):
        await desk.send(**spec)


@pytest.mark.parametrize(
    ("values", "names"),
    [
        ({"headers": "- a"}, "mapping"),
        ({"headers": "{"}, "YAML"),
        ({"headers": 'X: "a\\r\\nEvil: 1"'}, "control"),
    ],
)
async def test_a_secret_that_is_none_is_named_and_not_shown(
    desk: Desk, sink: Sink, values: dict[str, str], names: str
) -> None:
    with pytest.raises(Refused, match=names):
        await desk.send(address=sink.url, **desk.secret(**values))

    assert sink.requests == []


async def test_a_secret_that_cannot_be_read_is_read_again_later(desk: Desk) -> None:
    ref = desk.secret(token="x")
    desk.weather = Unreachable("the API server is away")

    with pytest.raises(Unavailable, match="Secret cannot be read"):
        await desk.send(**ref)


async def test_a_type_that_is_not_served_is_named(desk: Desk) -> None:
    with pytest.raises(Rejected, match=r"has type discord, which is not served"):
        await desk.send(type="discord")


async def test_a_suspended_provider_gets_nothing(desk: Desk, sink: Sink) -> None:
    with pytest.raises(Obsolete):
        await desk.send(address=sink.url, suspend=True)

    assert sink.requests == []


async def test_a_deleted_provider_gets_nothing(desk: Desk) -> None:
    with pytest.raises(Obsolete):
        await desk.courier.attempt(KEY, an_event(), NOW)


async def test_a_new_provider_gets_nothing_of_its_predecessors(desk: Desk, sink: Sink) -> None:
    provider = a_provider(address=sink.url)
    created = "2026-01-02T00:00:00Z"
    desk.provider = Provider.from_object(
        {
            "metadata": {"name": "chat", "namespace": "team-a", "creationTimestamp": created},
            "spec": {"type": "generic", "address": provider.spec.address},
        }
    )

    with pytest.raises(Obsolete):
        await desk.courier.attempt(KEY, an_event(), NOW - timedelta(minutes=6))
    await desk.courier.attempt(KEY, an_event(), NOW - timedelta(minutes=4))

    assert len(sink.requests) == 1
