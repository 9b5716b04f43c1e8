"""Git over HTTP on loopback, as hosts speak it: git's own `http-backend`, run for each request.

    async with GitServer(folder) as server:
        fleet = await server.repository("fleet", {"app/app.yaml": "..."})
        await fleet.commit("change", {"app/app.yaml": "..."})     # clone it from fleet.url

`fault`, when set, sees each request first and may answer it in git's place, or wait.
"""

import asyncio
import base64
import contextlib
import hmac
import os
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack
from pathlib import Path
from types import TracebackType
from typing import Self, TypeAlias

from aiohttp import hdrs, web

from penstock.local.git_repository import Content, Repository, files_below, git_environment
from penstock.local.ports import LOOPBACK, free_port
from penstock.local.private_files import private_folder

Fault: TypeAlias = Callable[[web.Request], Awaitable[web.StreamResponse | None]]
SERVICES = "info/refs|git-upload-pack|git-receive-pack"  # the smart protocol, no files
CHUNK = 64 * 1024
LARGEST_PUSH = 1024**3


def basic(user: str, password: str) -> str:
    """The Authorization header of a user name and a password."""
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


def bearer(token: str) -> str:
    return f"Bearer {token}"


class GitServer:
    def __init__(self, folder: Path, *, port: int | None = None) -> None:
        self.folder = folder.absolute()
        self.url = ""
        self.fault: Fault | None = None
        self.requests: list[str] = []  # method and path, in order
        self._port = port
        self._repositories: dict[str, Repository] = {}
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        private_folder(self.folder)
        application = web.Application(client_max_size=LARGEST_PUSH)
        application.router.add_route("*", f"/{{name}}.git/{{service:{SERVICES}}}", self._serve)
        runner = web.AppRunner(application, access_log=None, shutdown_timeout=1)
        await runner.setup()
        self._stack.push_async_callback(runner.cleanup)
        port = free_port(self._port)
        await web.TCPSite(runner, LOOPBACK, port).start()
        self.url = f"http://{LOOPBACK}:{port}"
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._stack.aclose()

    async def repository(
        self,
        name: str,
        files: Mapping[str, Content] | Path,
        *,
        authorization: str = "",
        writable: bool = False,
    ) -> Repository:
        """A new repository with one commit on `main`: these files, or a directory's."""
        folder = private_folder(self.folder / f"{name}.git")
        repository = Repository(name, f"{self.url}/{name}.git", folder, authorization)
        await repository.create(writable=writable)
        first = files_below(files) if isinstance(files, Path) else files
        await repository.commit("Begin", first)
        self._repositories[name] = repository
        return repository

    async def _serve(self, request: web.Request) -> web.StreamResponse:
        self.requests.append(f"{request.method} {request.path_qs}")
        if self.fault and (answer := await self.fault(request)):
            return answer
        repository = self._repositories.get(request.match_info["name"])
        if repository is None:
            raise web.HTTPNotFound(text="no such repository\n")
        if not _allowed(repository, request):
            asks = {hdrs.WWW_AUTHENTICATE: 'Basic realm="git"'}
            raise web.HTTPUnauthorized(headers=asks, text="who are you?\n")
        return await _run_backend(repository, request)


def _allowed(repository: Repository, request: web.Request) -> bool:
    given = request.headers.get(hdrs.AUTHORIZATION, "").encode()
    wanted = repository.authorization.encode()
    return not wanted or hmac.compare_digest(given, wanted)


async def _run_backend(repository: Repository, request: web.Request) -> web.StreamResponse:
    async with _backend(repository, request) as (given, said), asyncio.TaskGroup() as group:
        feeding = group.create_task(_feed(request, given))
        response = _response(await _cgi_headers(said))
        with contextlib.suppress(ConnectionError):  # the client has heard enough
            await _answer(request, response, said)
        feeding.cancel()
    return response


async def _answer(
    request: web.Request, response: web.StreamResponse, said: asyncio.StreamReader
) -> None:
    await response.prepare(request)
    while chunk := await said.read(CHUNK):
        await response.write(chunk)
    await response.write_eof()


@contextlib.asynccontextmanager
async def _backend(
    repository: Repository, request: web.Request
) -> AsyncIterator[tuple[asyncio.StreamWriter, asyncio.StreamReader]]:
    """The process: its input and its output."""
    process = await asyncio.create_subprocess_exec(
        "git",
        "http-backend",
        cwd=repository.folder,
        env=git_environment(repository.folder) | _cgi_variables(repository, request),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
        start_new_session=True,
    )
    if process.stdin is None or process.stdout is None:
        raise AssertionError("both were asked for as pipes")
    try:
        yield process.stdin, process.stdout
    finally:
        if process.returncode is None:
            # Not process.kill(): it may reap what has ended by itself before the loop does.
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
        while await process.stdout.read(CHUNK):
            pass  # of a client that has gone; unread, it would keep the pipe open
        await process.wait()


def _cgi_variables(repository: Repository, request: web.Request) -> dict[str, str]:
    headers = {
        "CONTENT_TYPE": request.headers.get(hdrs.CONTENT_TYPE, ""),
        # Of a compressed body neither the length nor the encoding is true any more: aiohttp has
        # unpacked it, and without a length the backend reads until the end.
        "CONTENT_LENGTH": ""
        if request.headers.get(hdrs.CONTENT_ENCODING)
        else request.headers.get(hdrs.CONTENT_LENGTH, ""),
        "GIT_PROTOCOL": request.headers.get("Git-Protocol", ""),
    }
    return {
        "GIT_PROJECT_ROOT": str(repository.folder),
        "GIT_HTTP_EXPORT_ALL": "1",
        "PATH_INFO": f"/{request.match_info['service']}",
        "REQUEST_METHOD": request.method,
        "QUERY_STRING": request.query_string,
        "REMOTE_ADDR": LOOPBACK,
        "REMOTE_USER": "git",
        **{name: value for name, value in headers.items() if value},
    }


async def _feed(request: web.Request, given: asyncio.StreamWriter) -> None:
    with contextlib.suppress(ConnectionError):  # the backend has heard enough
        async for chunk in request.content.iter_chunked(CHUNK):
            given.write(chunk)
            await given.drain()
        given.close()


async def _cgi_headers(said: asyncio.StreamReader) -> dict[str, str]:
    headers = {}
    while line := (await said.readline()).strip().decode():
        name, _, value = line.partition(":")
        headers[name] = value.strip()
    return headers


def _response(headers: dict[str, str]) -> web.StreamResponse:
    if not headers:
        raise web.HTTPBadGateway(text="git http-backend said nothing\n")
    status = int(headers.pop("Status", "200").split()[0])
    return web.StreamResponse(status=status, headers=headers)
