"""Answers whether a process serves, without a client library in between."""

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator

from penstock.local.ports import LOOPBACK
from penstock.local.supervised import Probe

PATIENCE_SECONDS = 2.0


def http_answers(port: int, path: str, tls: ssl.SSLContext | None = None) -> Probe:
    """Is there an HTTP server that answers 200 to a GET?"""

    async def probe() -> bool:
        async with _connection(port, tls) as (reader, writer):
            writer.write(f"GET {path} HTTP/1.0\r\nHost: {LOOPBACK}\r\n\r\n".encode())
            line = await reader.readline()
            return line.split()[1:2] == [b"200"]

    return _patient(probe)


def greets(port: int, greeting: bytes) -> Probe:
    """Is there a server that speaks first, and says this?"""

    async def probe() -> bool:
        async with _connection(port) as (reader, _):
            return (await reader.read(len(greeting))) == greeting

    return _patient(probe)


def _patient(probe: Probe) -> Probe:
    async def answered() -> bool:
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                return await probe()
        except (OSError, TimeoutError):
            return False

    return answered


@contextlib.asynccontextmanager
async def _connection(
    port: int, tls: ssl.SSLContext | None = None
) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    reader, writer = await asyncio.open_connection(LOOPBACK, port, ssl=tls)
    try:
        yield reader, writer
    finally:
        writer.close()
