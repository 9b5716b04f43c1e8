"""A Helm repository on loopback, as any web server serves one."""

import hashlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import yaml
from aiohttp import web

from tests.support.charts import a_chart


@dataclass
class ChartServer:
    url: str = ""
    index: Any = field(default_factory=lambda: {"apiVersion": "v1", "entries": {}})
    charts: dict[str, bytes] = field(default_factory=dict)
    authorization: str = ""
    modified: str = ""  # of the index, instead of an ETag
    unmodified: int = 0  # how often the index was not sent again
    seen: list[tuple[str, str]] = field(default_factory=list)  # path and Authorization

    def publish(self, name: str, version: str, content: bytes | None = None, **more: Any) -> None:
        path = f"{name}-{version}.tgz"
        self.charts[path] = a_chart(name, version) if content is None else content
        entry = {"name": name, "version": version, "urls": [path], **more}
        self.index["entries"].setdefault(name, []).append(entry)

    def asked(self, path: str) -> int:
        return [seen for seen, _ in self.seen].count(path)

    async def answer(self, request: web.Request) -> web.StreamResponse:
        given = request.headers.get("Authorization", "")
        self.seen.append((request.path, given))
        if self.authorization and given != self.authorization:
            raise web.HTTPUnauthorized
        if request.path == "/index.yaml":
            return self._index(request)
        content = self.charts.get(request.path.removeprefix("/"))
        if content is None:
            raise web.HTTPNotFound
        return web.Response(body=content)

    def _index(self, request: web.Request) -> web.Response:
        text = self.index if isinstance(self.index, str) else yaml.safe_dump(self.index)
        if self.modified and request.headers.get("If-Modified-Since") == self.modified:
            self.unmodified += 1
            return web.Response(status=304)
        if self.modified:
            return web.Response(text=text, headers={"Last-Modified": self.modified})
        etag = f'"{hashlib.sha256(text.encode()).hexdigest()}"'
        if request.headers.get("If-None-Match") == etag:
            self.unmodified += 1
            return web.Response(status=304)
        return web.Response(text=text, headers={"ETag": etag})


@asynccontextmanager
async def chart_server() -> AsyncIterator[ChartServer]:
    server = ChartServer()
    app = web.Application()
    app.router.add_get("/{path:.*}", server.answer)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    server.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield server
    finally:
        await runner.cleanup()
