"""A notify door on a free port, and what callers with bad manners do to it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta

from penstock.local.ports import free_port
from services.notify.http_limits import Door, Limits
from shared.settings import Address

IMPATIENT = Limits(
    headers_within=timedelta(milliseconds=700), body_within=timedelta(milliseconds=700)
)


@asynccontextmanager
async def opened(door: Door) -> AsyncIterator[str]:
    """Its URL."""
    port = free_port()
    async with door.open(Address("127.0.0.1", port)):
        yield f"http://127.0.0.1:{port}"


async def dribble(url: str, head: bytes) -> bytes:
    """Send a head, then a byte now and then; all that comes back until the other side closes."""
    host, port = url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(head)

    async def keep_on() -> None:
        while True:
            await asyncio.sleep(0.2)
            writer.write(b"x")

    more = asyncio.ensure_future(keep_on())
    try:
        return await reader.read()
    except ConnectionError:
        return b""
    finally:
        more.cancel()
        writer.close()
