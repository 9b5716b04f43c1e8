"""Counts what goes through a TCP connection, in both directions, as a network would see it."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class CountingProxy:
    def __init__(self, host: str, port: int) -> None:
        self.bytes = 0
        self.port = 0
        self._upstream = (host, port)

    def url_of(self, url: str) -> str:
        """The same URL, by way of this proxy."""
        host, port = self._upstream
        return url.replace(f"{host}:{port}", f"127.0.0.1:{self.port}")

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        theirs, ours = await asyncio.open_connection(*self._upstream)
        with contextlib.suppress(ConnectionError):
            await asyncio.gather(self._pump(reader, ours), self._pump(theirs, writer))

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while piece := await reader.read(64 * 1024):
                self.bytes += len(piece)
                writer.write(piece)
                await writer.drain()
        finally:
            writer.close()


@asynccontextmanager
async def counting(url: str) -> AsyncIterator[CountingProxy]:
    """Before the server of this URL."""
    host, _, port = url.removeprefix("http://").partition("/")[0].partition(":")
    proxy = CountingProxy(host, int(port))
    server = await asyncio.start_server(proxy._serve, "127.0.0.1", 0)
    proxy.port = server.sockets[0].getsockname()[1]
    async with server:
        yield proxy
