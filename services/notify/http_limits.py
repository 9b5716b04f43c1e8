"""What both HTTP doors refuse before they think: too large, too slow, or packed.

Bodies are read as they are: a compressed one could unfold to any size, so none is accepted.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import timedelta

from aiohttp import web
from prometheus_client import Histogram

from shared.serving import listening
from shared.settings import Address

BODY_LIMIT = 3 * 2**20
HEADERS_WITHIN = timedelta(seconds=10)
BODY_WITHIN = timedelta(seconds=30)

Answer = Callable[[web.Request], Awaitable[web.StreamResponse]]


def limited(answer: Answer, durations: Histogram) -> web.Application:
    """An application that answers every path with `answer`, and counts how it went."""

    async def counted(request: web.Request) -> web.StreamResponse:
        began = time.monotonic()
        code = 500
        try:
            response = await answer(request)
            code = response.status
        except web.HTTPException as refusal:
            code = refusal.status
            raise
        else:
            return response
        finally:
            method = request.method if request.method in {"GET", "POST"} else "other"
            durations.labels(method, str(code)).observe(time.monotonic() - began)

    app = web.Application(client_max_size=BODY_LIMIT)
    app.router.add_route("*", "/{path:.*}", counted)
    return app


@asynccontextmanager
async def serving(app: web.Application, address: Address) -> AsyncIterator[None]:
    async with listening(app, address, keepalive_timeout=HEADERS_WITHIN.total_seconds()):
        yield


async def body_of(request: web.Request) -> bytes:
    """Raises the refusal that fits."""
    if request.headers.get("Content-Encoding", "identity") != "identity":
        raise web.HTTPUnsupportedMediaType(text="send the body without Content-Encoding\n")
    try:
        async with asyncio.timeout(BODY_WITHIN.total_seconds()):
            return await request.read()
    except TimeoutError:
        raise web.HTTPRequestTimeout(text="the body took too long\n") from None
