"""An HTTP proxy on loopback: it notes who it was asked for, and may lead elsewhere."""

import asyncio
import base64
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from urllib.parse import urlsplit


@dataclass
class ForwardProxy:
    """`leads_to` answers for every host but this one, where it is set."""

    url: str = ""
    login: str = ""  # "name:password", when it wants one
    leads_to: tuple[str, int] | None = None
    seen: list[str] = field(default_factory=list)  # "host:port"

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError, asyncio.IncompleteReadError):
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
            method, target, _ = head.split("\r\n", 1)[0].split(" ")
            if not self._may(head):
                writer.write(b"HTTP/1.1 407 Who are you\r\nContent-Length: 0\r\n\r\n")
            elif method == "CONNECT":
                await self._tunnel(target, reader, writer)
            else:
                await self._relay(method, target, head, reader, writer)
        writer.close()

    def _may(self, head: str) -> bool:
        expected = base64.b64encode(self.login.encode()).decode()
        return not self.login or f"basic {expected}".lower() in head.lower()

    async def _tunnel(
        self, target: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        there_reader, there_writer = await self._there(target)
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
        await _both_ways(reader, writer, there_reader, there_writer)

    async def _relay(
        self,
        method: str,
        target: str,
        head: str,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> None:
        parts = urlsplit(target)
        there_reader, there_writer = await self._there(f"{parts.hostname}:{parts.port or 80}")
        path = parts._replace(scheme="", netloc="").geturl() or "/"
        lines = [line for line in head.split("\r\n")[1:] if not line.lower().startswith("proxy-")]
        there_writer.write("\r\n".join([f"{method} {path} HTTP/1.1", *lines]).encode("latin-1"))
        await _both_ways(reader, writer, there_reader, there_writer)

    async def _there(self, target: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        self.seen.append(target)
        host, _, port = target.rpartition(":")
        if self.leads_to and host != "127.0.0.1":
            host, port = self.leads_to[0], str(self.leads_to[1])
        return await asyncio.open_connection(host, int(port))


async def _both_ways(
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
    there_reader: asyncio.StreamReader,
    there_writer: asyncio.StreamWriter,
) -> None:
    await asyncio.gather(_copy(reader, there_writer), _copy(there_reader, writer))


async def _copy(source: asyncio.StreamReader, into: asyncio.StreamWriter) -> None:
    with suppress(ConnectionError):
        while piece := await source.read(65536):
            into.write(piece)
            await into.drain()
    into.close()


@asynccontextmanager
async def forward_proxy(
    login: str = "", leads_to: tuple[str, int] | None = None
) -> AsyncIterator[ForwardProxy]:
    proxy = ForwardProxy(login=login, leads_to=leads_to)
    server = await asyncio.start_server(proxy.serve, "127.0.0.1", 0)
    host, port = server.sockets[0].getsockname()
    proxy.url = f"http://{host}:{port}"
    try:
        yield proxy
    finally:
        server.close()
