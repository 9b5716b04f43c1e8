"""Libraries that block, on connections that do not."""

import asyncio
import gzip
import io
import threading
from pathlib import Path

import pytest
from aiohttp import web

from penstock.local.certificates import certificates
from services.source.bucket.objects import Bounded, ObjectChanged, StoredObject, StoreError
from services.source.bucket.s3_store import S3Store
from shared.cloud import AwsKeys
from shared.cloud.tokens import Where
from shared.credentials import InvalidCredentials, Proxy, Tls
from shared.web import wire as wires
from shared.web.wire import Wire, WireError
from shared.web.wired_requests import wired_session
from tests.support.eventually import eventually
from tests.support.s3 import ACCESS_KEY, SECRET_KEY, S3Server
from tests.support.served import served


async def test_whoever_waits_is_freed_when_the_wire_closes() -> None:
    async def hang(request: web.Request) -> web.StreamResponse:
        await asyncio.sleep(60)
        raise web.HTTPOk

    ended: list[Exception] = []

    def ask(wire: Wire, url: str) -> None:
        try:
            wire.send("GET", f"{url}/?token=canary", {})
        except WireError as error:
            ended.append(error)

    async with served(hang) as url:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.2), Wire.open() as wire:
                await wire.call(ask, wire, url)
        await eventually(lambda: ended)
    await eventually(
        lambda: [each for each in threading.enumerate() if each.name.startswith("wire")],
        lambda found: not found,
    )

    assert str(ended[0]) == f"{url}: no complete answer in time"


@pytest.mark.parametrize("compressed", [True, False])
async def test_an_answer_that_memory_has_to_hold_is_bounded(
    compressed: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wires, "LARGEST_ANSWER", 1000)

    async def answer(request: web.Request) -> web.Response:
        assert request.headers["Accept-Encoding"] == "identity"
        if compressed:
            content = gzip.compress(bytes(100_000))
            return web.Response(body=content, headers={"Content-Encoding": "gzip"})
        return web.Response(body=bytes(1001))

    async with served(answer) as url, Wire.open() as wire:
        session = wired_session(wire)

        with pytest.raises(WireError, match=r"larger than 1000 bytes|a compressed answer"):
            await wire.call(session.get, url, headers={"Accept-Encoding": "gzip"})


async def test_a_login_follows_no_redirect() -> None:
    asked = []

    async def answer(request: web.Request) -> web.Response:
        asked.append(request.path)
        return web.Response(status=302, headers={"Location": "/elsewhere"})

    async with served(answer) as url, Wire.open() as wire:
        session = wired_session(wire)

        with pytest.raises(Exception, match="redirects"):
            await wire.call(session.get, url, headers={"Authorization": "Bearer x"})

    assert asked == ["/"]


async def test_who_is_trusted_is_said_for_each_wire(tmp_path: Path) -> None:
    keys = certificates(tmp_path)
    trust = Tls(authority=keys.authority.read_text())

    async def answer(request: web.Request) -> web.Response:
        return web.Response(text="hello")

    async with served(answer, keys) as url:
        async with Wire.open(trust) as wire:
            trusted = await wire.call(lambda: wire.send("GET", url, {}).data)
        async with Wire.open() as wire:
            with pytest.raises(WireError, match="certificate verify failed"):
                await wire.call(wire.send, "GET", url, {})
    with pytest.raises(InvalidCredentials):
        async with Wire.open(Tls(authority="none")):
            pass

    assert trusted == b"hello"


@pytest.mark.parametrize("scheme", ["http", "socks5"])
async def test_a_proxy_that_is_away_is_told(scheme: str) -> None:
    async with Wire.open(proxy=Proxy(f"{scheme}://127.0.0.1:1")) as wire:
        with pytest.raises(WireError, match=r"http://s3\.example: "):
            await wire.call(wire.send, "GET", "http://s3.example/shop?sig=canary", {})


def a_store(wire: Wire, s3: S3Server) -> S3Store:
    where = Where("us-east-1", f"http://{s3.address}", path_style=True)
    return S3Store(wire, AwsKeys(ACCESS_KEY, SECRET_KEY), where, "shop", "")


async def test_an_object_that_is_not_what_was_listed_is_told(s3: S3Server) -> None:
    await s3.bucket("shop", {"a": "old", "b": "old"})
    async with Wire.open() as wire:
        store = await wire.call(a_store, wire, s3)
        page = await wire.call(store.page, "")
        await s3.put("shop", {"a": "new"})
        await s3.remove("shop", "b")

        for found in page.objects:
            with pytest.raises(ObjectChanged, match=f"'{found.key}' changed"):
                await wire.call(store.read, found, Bounded(io.BytesIO(), 3, found.key))


async def test_an_object_that_is_longer_than_it_said_is_cut(s3: S3Server) -> None:
    await s3.bucket("shop", {"a": "x" * 100})
    into = io.BytesIO()
    async with Wire.open() as wire:
        store = await wire.call(a_store, wire, s3)

        with pytest.raises(StoreError, match="'a' is larger than 3 bytes"):
            await wire.call(store.read, StoredObject("a", "", 3), Bounded(into, 3, "a"))

    assert into.getvalue() == b""
