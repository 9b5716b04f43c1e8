"""Proxies on loopback that write down what they are asked: HTTP (forward and CONNECT) and SOCKS5.

Both know every host: `localhost`, 127.0.0.1 and names that do not exist lead to loopback. So what
arrives at a server under an invented name came through the proxy, which resolved it.
"""

import asyncio
import base64
import contextlib
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import ClassVar
from urllib.parse import urlsplit


@dataclass
class ProxyServer:
    scheme: ClassVar[str] = "http"
    login: tuple[str, str] | None = None
    tls: ssl.SSLContext | None = None
    port: int = 0
    seen: list[str] = field(default_factory=list)  # hosts with ports, in order
    heads: list[bytes] = field(default_factory=list)
    hangs: bool = False
    tasks: set[asyncio.Task[None]] = field(default_factory=set)

    @property
    def address(self) -> str:
        return f"{'https' if self.tls else self.scheme}://127.0.0.1:{self.port}"

    def secret(self) -> dict[str, str]:
        username, password = self.login or ("", "")
        login = {"username": username, "password": password} if self.login else {}
        return {"address": self.address, **login}

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self.tasks.add(task)
        ends = (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError, ssl.SSLError)
        with contextlib.closing(writer), contextlib.suppress(*ends):
            if self.hangs:
                await asyncio.Event().wait()
            await self.connect(reader, writer)

    async def connect(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        self.heads.append(head)
        method, target, _ = head.split(b"\r\n")[0].decode().split()
        if self.login and not _knows(self.login, head):
            asks = b'Proxy-Authenticate: Basic realm="proxy"\r\nContent-Length: 0\r\n'
            writer.write(b"HTTP/1.1 407 Who are you\r\n" + asks + b"\r\n")
            return
        if method == "CONNECT":
            await self.tunnel(target, b"HTTP/1.1 200 Connected\r\n\r\n", reader, writer)
        else:
            await self.forward(method, target, head, reader, writer)

    async def tunnel(
        self,
        target: str,
        answer: bytes,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> None:
        """The answer goes out together with the server's first words, if it speaks first."""
        self.seen.append(target)
        port = int(target.rpartition(":")[2])
        said, there = await asyncio.open_connection("127.0.0.1", port)
        first = b""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(0.05):
                first = await said.read(1024)
        writer.write(answer + first)
        await _both(reader, there, said, writer)

    async def forward(
        self,
        method: str,
        target: str,
        head: bytes,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> None:
        parts = urlsplit(target)
        self.seen.append(f"{parts.hostname}:{parts.port}")
        said, there = await asyncio.open_connection("127.0.0.1", parts.port)
        path = parts._replace(scheme="", netloc="").geturl()
        lines = [line for line in head.split(b"\r\n")[1:-2] if not _is_of_the_hop(line)]
        first = f"{method} {path} HTTP/1.1".encode()
        there.write(b"\r\n".join((first, *lines, b"Connection: close", b"", b"")))
        await _both(reader, there, said, writer)


@dataclass
class SocksServer(ProxyServer):
    scheme: ClassVar[str] = "socks5"
    refusal: int = 0  # a code of RFC 1928

    async def connect(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        _, count = await reader.readexactly(2)
        methods = await reader.readexactly(count)
        method = 2 if self.login else 0
        writer.write(bytes([5, method if method in methods else 255]))
        if method not in methods:
            return
        if self.login and not await self._logged_in(reader, writer):
            return
        _, _, _, kind = await reader.readexactly(4)
        if kind == 3:
            (length,) = await reader.readexactly(1)
            host = (await reader.readexactly(length)).decode()
        else:
            host = ".".join(map(str, await reader.readexactly(4)))
        port = int.from_bytes(await reader.readexactly(2), "big")
        answer = bytes([5, self.refusal, 0, 1, 127, 0, 0, 1, 0, 0])
        if self.refusal:
            writer.write(answer)
            return
        await self.tunnel(f"{host}:{port}", answer, reader, writer)

    async def _logged_in(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        texts = []
        await reader.readexactly(1)
        for _ in range(2):
            (length,) = await reader.readexactly(1)
            texts.append((await reader.readexactly(length)).decode())
        is_known = tuple(texts) == self.login
        writer.write(bytes([1, 0 if is_known else 1]))
        return is_known


@asynccontextmanager
async def running(proxy: ProxyServer) -> AsyncIterator[None]:
    server = await asyncio.start_server(proxy.serve, "127.0.0.1", 0, ssl=proxy.tls)
    proxy.port = server.sockets[0].getsockname()[1]
    try:
        yield
    finally:
        for task in proxy.tasks:
            task.cancel()
        await asyncio.gather(*proxy.tasks, return_exceptions=True)
        server.close()


def _knows(login: tuple[str, str], head: bytes) -> bool:
    pair = base64.b64encode(":".join(login).encode())
    return b"proxy-authorization: basic " + pair.lower() in head.lower()


def _is_of_the_hop(line: bytes) -> bool:
    return line.lower().startswith((b"proxy-", b"connection:"))


async def _both(
    reader: asyncio.StreamReader,
    there: asyncio.StreamWriter,
    said: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
) -> None:
    sending = asyncio.ensure_future(_carry(reader, there))
    try:
        await _carry(said, writer)
    finally:
        sending.cancel()
        there.close()


async def _carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(ConnectionError, ssl.SSLError):
        while piece := await reader.read(65536):
            writer.write(piece)
            await writer.drain()
