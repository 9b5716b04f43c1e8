"""Serves artifacts over HTTP: whole files by their exact path, and nothing else.

No listing, no other methods, nothing outside the storage folder, and no reader that is so slow
that it holds a connection for ever. Ranges and conditional requests work.
"""

import asyncio
import re
from datetime import timedelta
from pathlib import Path

from aiohttp import web
from aiohttp.abc import AbstractStreamWriter

DEADLINE = timedelta(minutes=5)  # 100 MiB at 350 kB/s
# Names of Kubernetes objects and of artifact files; a leading dot is a file in the making.
_SEGMENT = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:+-]*")
_DEPTH = 4


def file_server(folder: Path, deadline: timedelta = DEADLINE) -> web.Application:
    async def serve(request: web.Request) -> web.StreamResponse:
        if request.method not in ("GET", "HEAD"):
            raise web.HTTPMethodNotAllowed(request.method, ["GET", "HEAD"])
        path = await asyncio.to_thread(_file_at, folder, request.raw_path)
        if path is None:
            raise web.HTTPNotFound
        return _TimelyFile(path, deadline)

    application = web.Application()
    application.router.add_route("*", "/{path:.*}", serve)
    return application


class _TimelyFile(web.FileResponse):
    def __init__(self, path: Path, deadline: timedelta) -> None:
        headers = {"Content-Type": _content_type(path), "X-Content-Type-Options": "nosniff"}
        super().__init__(path, headers=headers)
        self._deadline = deadline

    async def prepare(self, request: web.BaseRequest) -> AbstractStreamWriter | None:
        """Sends the file, too."""
        try:
            async with asyncio.timeout(self._deadline.total_seconds()):
                return await super().prepare(request)
        except TimeoutError as error:
            if request.transport:
                request.transport.abort()
            raise ConnectionResetError("the reader was too slow") from error


def _content_type(path: Path) -> str:
    return "application/x-yaml" if path.suffix == ".yaml" else "application/gzip"


def _file_at(folder: Path, raw_path: str) -> Path | None:
    """Escapes are not decoded: no path of ours needs one. Links lead to a neighbour or nowhere."""
    segments = raw_path.partition("?")[0].removeprefix("/").split("/")
    if len(segments) != _DEPTH or not all(map(_SEGMENT.fullmatch, segments)):
        return None
    path = folder.joinpath(*segments)
    resolved = path.resolve()
    inside = resolved.parent == path.parent.resolve() and resolved.is_file()
    return resolved if inside else None
