"""Serves artifacts over HTTP: whole files by their exact path, and nothing else.

No byte leaves here that was not held against its digest: when it was written, when the file's
identity changed, or within the last minutes (verified.py). What does not match is not there, and
made again at once. No listing, no other methods, nothing outside the storage folder, and no reader
that is so slow that it holds a connection for ever. Ranges and conditional requests work; the
entity tag is the digest.
"""

import asyncio
import os
import re
from datetime import timedelta
from pathlib import Path
from typing import BinaryIO, NamedTuple

from aiohttp import hdrs, web

from services.source.storage import Integrity, Owner, Storage

DEADLINE = timedelta(minutes=5)  # 100 MiB at 350 kB/s
READERS = 256  # at a time: each holds a file open and one piece of it in memory
PIECE = 256 * 1024
# Names of Kubernetes objects and of artifact files; a leading dot is a file in the making.
_SEGMENT = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:+-]*")
_DEPTH = 4
_RANGE = re.compile(r"bytes=(\d{0,15})-(\d{0,15})", re.ASCII)


class _Opened(NamedTuple):
    file: BinaryIO
    digest: str
    path: Path


def file_server(
    storage: Storage, deadline: timedelta = DEADLINE, readers: int = READERS
) -> web.Application:
    busy = asyncio.Semaphore(readers)

    async def serve(request: web.Request) -> web.StreamResponse:
        if request.method not in ("GET", "HEAD"):
            raise web.HTTPMethodNotAllowed(request.method, ["GET", "HEAD"])
        if busy.locked():
            raise web.HTTPServiceUnavailable(headers={hdrs.RETRY_AFTER: "5"})
        async with busy:
            found = await asyncio.to_thread(_opened, storage, request.raw_path)
            if isinstance(found, Owner):
                storage.damaged(found)
                raise web.HTTPNotFound
            if found is None:
                raise web.HTTPNotFound
            return await _answer(request, found, deadline)

    application = web.Application()
    application.router.add_route("*", "/{path:.*}", serve)
    return application


async def _answer(request: web.Request, found: _Opened, deadline: timedelta) -> web.StreamResponse:
    try:
        async with asyncio.timeout(deadline.total_seconds()):
            return await _send(request, found)
    except TimeoutError as error:
        if request.transport:
            request.transport.abort()
        raise ConnectionResetError("the reader was too slow") from error
    finally:
        found.file.close()


async def _send(request: web.Request, found: _Opened) -> web.StreamResponse:
    about = os.fstat(found.file.fileno())
    answer = web.StreamResponse(headers={"X-Content-Type-Options": "nosniff"})
    answer.content_type = _content_type(found.path)
    answer.headers[hdrs.ACCEPT_RANGES] = "bytes"
    answer.etag = found.digest
    answer.last_modified = about.st_mtime
    if _has_it(request, found.digest, int(about.st_mtime)):
        answer.set_status(304)
        return answer
    part = _part(request, found.digest, about.st_size)
    if part is None:
        unmet = {hdrs.CONTENT_RANGE: f"bytes */{about.st_size}"}
        raise web.HTTPRequestRangeNotSatisfiable(headers=unmet)
    if len(part) < about.st_size:
        answer.set_status(206)
        told = f"bytes {part.start}-{part.stop - 1}/{about.st_size}"
        answer.headers[hdrs.CONTENT_RANGE] = told
    answer.content_length = len(part)
    writer = await answer.prepare(request)
    if request.method == "GET" and writer is not None:
        await _copy(found.file, part, answer)
    await answer.write_eof()
    return answer


async def _copy(file: BinaryIO, part: range, answer: web.StreamResponse) -> None:
    at = part.start
    while at < part.stop:
        size = min(PIECE, part.stop - at)
        piece = await asyncio.to_thread(os.pread, file.fileno(), size, at)
        if not piece:
            raise ConnectionResetError("the file was cut short while it was sent")
        at += len(piece)
        await answer.write(piece)


def _has_it(request: web.Request, digest: str, modified: int) -> bool:
    if request.if_none_match is not None:
        return any(tag.value in (digest, "*") for tag in request.if_none_match)
    since = request.if_modified_since
    return since is not None and modified <= since.timestamp()


def _part(request: web.Request, digest: str, size: int) -> range | None:
    """Of the file's bytes; None for a part that it does not have. Lists of parts are not served."""
    asked = _RANGE.fullmatch(request.headers.get(hdrs.RANGE, ""))
    condition = request.headers.get(hdrs.IF_RANGE)
    if not asked or (condition is not None and condition != f'"{digest}"'):
        return range(size)
    first, last = asked.groups()
    if not first:
        return range(max(0, size - int(last)), size) if last.strip("0") else None
    start, stop = int(first), min(int(last) + 1, size) if last else size
    return range(start, stop) if start < stop else None


def _content_type(path: Path) -> str:
    return "application/x-yaml" if path.suffix == ".yaml" else "application/gzip"


def _opened(storage: Storage, raw_path: str) -> _Opened | Owner | None:
    """The owner, for what should be there and is not."""
    path = _file_at(storage.folder, raw_path)
    about = storage.about(path) if path else None
    if path is None or about is None:
        return None
    owner = Owner(*path.relative_to(storage.folder).parts[:-1])
    try:
        file = path.open("rb")
    except OSError:
        return owner
    integrity = storage.look_at(file, path, about)
    if integrity is not Integrity.GOOD:
        file.close()
        return owner
    return _Opened(file, about.digest, path)


def _file_at(folder: Path, raw_path: str) -> Path | None:
    """Escapes are not decoded: no path of ours needs one. Links lead to a neighbour or nowhere."""
    segments = raw_path.partition("?")[0].removeprefix("/").split("/")
    if len(segments) != _DEPTH or not all(map(_SEGMENT.fullmatch, segments)):
        return None
    path = folder.joinpath(*segments)
    if not path.is_symlink():
        return path
    name = os.readlink(path)
    return path.with_name(name) if _SEGMENT.fullmatch(name) else None
