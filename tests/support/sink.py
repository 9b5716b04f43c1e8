"""An HTTP server on loopback that remembers what it was sent and answers as a test says."""

import json
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from aiohttp import web


@dataclass(frozen=True)
class Received:
    method: str
    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class Sink:
    def __init__(self) -> None:
        self.url = ""
        self.requests: list[Received] = []
        self.answer: Callable[[Received], Awaitable[web.Response]] = taken

    async def handle(self, request: web.Request) -> web.Response:
        received = Received(
            request.method, request.raw_path, dict(request.headers), await request.read()
        )
        self.requests.append(received)
        return await self.answer(received)


async def taken(_: Received) -> web.Response:
    return web.Response(text="ok")


def always(
    status: int, text: str = "", **headers: str
) -> Callable[[Received], Awaitable[web.Response]]:
    named = {name.replace("_", "-"): value for name, value in headers.items()}

    async def answer(_: Received) -> web.Response:
        return web.Response(status=status, text=text, headers=named)

    return answer


@asynccontextmanager
async def running_sink(
    port: int = 0, tls: ssl.SSLContext | None = None, host: str = "127.0.0.1"
) -> AsyncIterator[Sink]:
    sink = Sink()
    app = web.Application(client_max_size=8 * 2**20)
    app.router.add_route("*", "/{path:.*}", sink.handle)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    try:
        site = web.TCPSite(runner, host, port, ssl_context=tls)
        await site.start()
        (address,) = runner.addresses
        sink.url = f"{'https' if tls else 'http'}://{host}:{address[1]}"
        yield sink
    finally:
        await runner.cleanup()
