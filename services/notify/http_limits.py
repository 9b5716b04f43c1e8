"""What both HTTP doors refuse before they think: too large, too slow, or packed.

Bodies are read as they are: a compressed one could unfold to any size, so none is accepted.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import TypeAlias

from aiohttp import web
from prometheus_client import Histogram

from shared.serving import listening
from shared.settings import Address


@dataclass(frozen=True)
class Limits:
    body_bytes: int = 3 * 2**20
    headers_within: timedelta = timedelta(seconds=10)
    body_within: timedelta = timedelta(seconds=30)


LIMITS = Limits()
Answer: TypeAlias = Callable[[web.Request, bytes], Awaitable[web.StreamResponse]]
Admit: TypeAlias = Callable[[web.Request], None]


@dataclass(frozen=True)
class Door:
    """`admit` sees the head of a request and may raise a refusal; `answer` gets the body too."""

    admit: Admit
    answer: Answer
    durations: Histogram
    limits: Limits = LIMITS

    @asynccontextmanager
    async def open(self, address: Address) -> AsyncIterator[None]:
        app = web.Application(client_max_size=self.limits.body_bytes)
        app.router.add_route("*", "/{path:.*}", self._counted)
        within = self.limits.headers_within.total_seconds()
        async with listening(app, address, keepalive_timeout=within):
            yield

    async def _counted(self, request: web.Request) -> web.StreamResponse:
        began, code = time.monotonic(), 500
        try:
            response = await self._respond(request)
            code = response.status
        except web.HTTPException as refusal:
            code = refusal.status
            raise
        finally:
            method = request.method if request.method in {"GET", "POST"} else "other"
            self.durations.labels(method, str(code)).observe(time.monotonic() - began)
        return response

    async def _respond(self, request: web.Request) -> web.StreamResponse:
        self.admit(request)
        if request.method != "POST":
            raise web.HTTPMethodNotAllowed(request.method, ["POST"])
        if request.headers.get("Content-Encoding", "identity") != "identity":
            raise web.HTTPUnsupportedMediaType(text="send the body without Content-Encoding\n")
        return await self.answer(request, await self._body(request))

    async def _body(self, request: web.Request) -> bytes:
        try:
            async with asyncio.timeout(self.limits.body_within.total_seconds()):
                return await request.read()
        except TimeoutError:
            raise web.HTTPRequestTimeout(text="the body took too long\n") from None
