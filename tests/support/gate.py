"""A proxy in front of the API server that misbehaves on command.

Requests pass through until a rule says otherwise; open streams (watches) can be cut or made
silent. The first rule that takes a request decides on it.
"""

import asyncio
import io
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import TypeAlias

import aiohttp
from aiohttp import web

Rule: TypeAlias = Callable[[web.Request], web.Response | None]


class Gate:
    def __init__(self, upstream: str, session: aiohttp.ClientSession) -> None:
        self.seen: list[str] = []  # "METHOD /path" of every request
        self.rules: list[Rule] = []
        self._upstream = upstream
        self._session = session
        self._silent = False
        self._transports: set[asyncio.Transport] = set()
        self._answers: set[aiohttp.ClientResponse] = set()
        self.url = ""

    @classmethod
    @asynccontextmanager
    async def before(cls, upstream: str) -> AsyncIterator["Gate"]:
        """A gate on a free port; certificates of the upstream are not the matter here."""
        connector = aiohttp.TCPConnector(ssl=False, limit=0)
        async with aiohttp.ClientSession(connector=connector, auto_decompress=False) as session:
            gate = cls(upstream, session)
            app = web.Application(client_max_size=64 * 2**20)
            app.router.add_route("*", "/{path:.*}", gate._pass)
            runner = web.AppRunner(
                app, access_log=None, handler_cancellation=True, shutdown_timeout=0.1
            )
            await runner.setup()
            site = web.TCPSite(runner, "127.0.0.1", 0)
            await site.start()
            assert site._server is not None
            gate.url = f"http://127.0.0.1:{site._server.sockets[0].getsockname()[1]}"  # type: ignore[attr-defined]
            try:
                yield gate
            finally:
                gate.cut_streams()
                await runner.cleanup()

    def refuse(self, prefix: str, status: int, times: int, headers: dict[str, str]) -> None:
        """Answer the next `times` requests that start so ("GET /api/v1/") with a status."""
        left = [times]

        def rule(request: web.Request) -> web.Response | None:
            if left[0] == 0 or not f"{request.method} {request.path_qs}".startswith(prefix):
                return None
            left[0] -= 1
            body = {"kind": "Status", "status": "Failure", "code": status, "message": "by the gate"}
            return web.json_response(body, status=status, headers=headers)

        self.rules.append(rule)

    def cut_streams(self) -> None:
        """Reset every open watch."""
        for transport in self._transports:
            transport.abort()

    def end_streams(self) -> None:
        """End every open watch as the server does when its time is over."""
        for answer in self._answers:
            answer.close()

    def silence_streams(self) -> None:
        """From now on swallow what open watches say, without closing them."""
        self._silent = True

    def speak_again(self) -> None:
        """Watches that are opened from now on are heard; the silent ones stay silent."""
        self._silent = False

    @property
    def open_streams(self) -> int:
        return len(self._transports)

    def count(self, prefix: str) -> int:
        return sum(line.startswith(prefix) for line in self.seen)

    async def _pass(self, request: web.Request) -> web.StreamResponse:
        self.seen.append(f"{request.method} {request.path_qs}")
        for rule in self.rules:
            refusal = rule(request)
            if refusal is not None:
                return refusal
        hop_by_hop = {"host", "connection", "transfer-encoding", "content-length"}
        headers = {k: v for k, v in request.headers.items() if k.lower() not in hop_by_hop}
        body = await request.read()
        async with self._session.request(
            request.method,
            self._upstream + request.path_qs,
            headers=headers,
            data=io.BytesIO(body) if body else None,
            timeout=aiohttp.ClientTimeout(total=None),
        ) as answer:
            return await self._relay(request, answer)

    async def _relay(
        self, request: web.Request, answer: aiohttp.ClientResponse
    ) -> web.StreamResponse:
        kept = {
            "Content-Type",
            "Content-Encoding",
            "Retry-After",
            "Warning",
            "Docker-Content-Digest",
        }
        response = web.StreamResponse(
            status=answer.status, headers={k: v for k, v in answer.headers.items() if k in kept}
        )
        await response.prepare(request)
        transport = request.transport
        streaming = "watch=1" in request.query_string
        if streaming and isinstance(transport, asyncio.Transport):
            self._transports.add(transport)
            self._answers.add(answer)
        try:
            muted = False
            async for chunk in answer.content.iter_any():
                muted = muted or (streaming and self._silent)
                if not muted:
                    await response.write(chunk)
        except (ConnectionError, aiohttp.ClientError):
            pass  # either side went away: that is the point of this thing
        finally:
            if isinstance(transport, asyncio.Transport):
                self._transports.discard(transport)
            self._answers.discard(answer)
        return response
