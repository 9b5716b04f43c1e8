"""A file server on loopback that hands out artifacts, and what a source says of each."""

import hashlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from aiohttp import web


class ArtifactServer:
    def __init__(self, url: str) -> None:
        self.url = url
        self.requests: list[str] = []
        self._files: dict[str, bytes] = {}

    @classmethod
    @asynccontextmanager
    async def running(cls) -> AsyncIterator["ArtifactServer"]:
        server = cls("")
        app = web.Application()
        app.router.add_get("/{path:.*}", server._answer)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        server.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        try:
            yield server
        finally:
            await runner.cleanup()

    def publish(self, path: str, content: bytes, revision: str) -> dict[str, Any]:
        """The value of `status.artifact`."""
        self._files[path] = content
        return {
            "digest": f"sha256:{hashlib.sha256(content).hexdigest()}",
            "path": path,
            "url": f"{self.url}/{path}",
            "revision": revision,
            "lastUpdateTime": "2026-01-01T00:00:00Z",
            "size": len(content),
        }

    def lose(self, path: str) -> None:
        """As if it had been collected as garbage."""
        del self._files[path]

    async def _answer(self, request: web.Request) -> web.Response:
        path = request.match_info["path"]
        self.requests.append(path)
        if path not in self._files:
            return web.Response(status=404)
        return web.Response(body=self._files[path])
