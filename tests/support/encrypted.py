"""TLS in front of a plain server, with certificates of one's own."""

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from penstock.local.certificates import Certificates


@asynccontextmanager
async def encrypted(
    plain_url: str, keys: Certificates, context: ssl.SSLContext | None = None
) -> AsyncIterator[str]:
    """The same server, by https; `context` decides more about who may come."""
    host, port = plain_url.removeprefix("http://").split(":")
    if context is None:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(keys.server, keys.server_key)

    async def pipe(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, ssl.SSLError):
            while piece := await reader.read(65536):
                writer.write(piece)
                await writer.drain()
            if writer.can_write_eof():
                writer.write_eof()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection(host, int(port))
        with contextlib.closing(writer), contextlib.closing(back):
            sending = asyncio.ensure_future(pipe(reader, back))
            await pipe(there, writer)
            sending.cancel()

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context)
    async with server:
        yield f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}"
