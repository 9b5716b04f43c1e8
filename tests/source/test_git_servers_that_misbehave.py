"""Whatever a Git server does, the run ends at spec.timeout with a clear condition."""

import asyncio
import contextlib
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import timedelta

import asyncssh
import pytest
from aiohttp import web

from penstock.local.git_repository import Repository
from penstock.local.git_server import GitServer
from services.source.git.fetch_turns import AT_ONE_SERVER, OF_KNOWN_SERVERS
from services.source.git.mirror import Place
from services.source.git.pkt_line import FLUSH, packet
from services.source.git.reference import Target
from services.source.git.remote import Remote
from shared.cluster.objects import Manifest
from tests.source.conftest import Tools
from tests.support.eventually import eventually
from tests.support.source_service import SourceService, condition
from tests.support.ssh_server import SshServer, run_git, ssh_server

MAIN = {"branch": "main"}
Connected = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
Process = asyncssh.SSHServerProcess[bytes]


@pytest.fixture
async def shop(git_server: GitServer) -> Repository:
    return await git_server.repository("shop", {"app/a.yaml": "a: 1\n", "big": "x" * 100_000})


@pytest.fixture
async def server() -> AsyncIterator[SshServer]:
    async with ssh_server() as server:
        yield server


@asynccontextmanager
async def listening(serve: Connected) -> AsyncIterator[int]:
    """The port of a server that is anything but one of Git's."""
    tasks: set[asyncio.Task[None]] = set()

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task
        tasks.add(task)
        with contextlib.suppress(ConnectionError, asyncio.CancelledError):
            await serve(reader, writer)
        writer.close()

    server = await asyncio.start_server(connected, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        for task in tasks:
            task.cancel()
        server.close()


async def hangs(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await asyncio.Event().wait()


async def drips(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    text = b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n"
    for byte in text:
        writer.write(bytes([byte]))
        await writer.drain()
        await asyncio.sleep(0.2)


async def drips_ssh(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    for byte in b"SSH-2.0-slow" + b"x" * 100:
        writer.write(bytes([byte]))
        await writer.drain()
        await asyncio.sleep(0.2)


async def garbage(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(bytes(range(256)) * 400)
    await writer.drain()


async def hangs_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.close()


async def half_closes(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write_eof()
    await asyncio.Event().wait()


async def failed(service: SourceService, url: str, secret: dict[str, str] | None = None) -> str:
    """The message, when another repository got ready all the same; in time."""
    spec = {}
    if secret:
        await service.secret("key", **secret)
        spec = {"secretRef": {"name": "key"}}
    clock = asyncio.get_running_loop().time
    began = clock()
    await service.apply("GitRepository", "shop", url=url, ref=MAIN, timeout="1s", **spec)

    def ended(stored: Manifest) -> bool:
        return condition(stored, "FetchFailed").get("status") == "True"

    stored = await service.until("GitRepository", "shop", ended, within=15)
    assert clock() - began < 10
    assert condition(stored, "Ready")["reason"] == "GitOperationFailed"
    message: str = condition(stored, "FetchFailed")["message"]
    return message


@pytest.mark.parametrize(
    ("behaviour", "problem"),
    [
        (hangs, "no complete answer within 1s"),
        (drips, "no complete answer within 1s"),
        (garbage, "400"),
        (hangs_up, "/shop.git/info/refs"),
        (half_closes, "Server disconnected"),
    ],
)
async def test_a_web_server_that_is_none_ends_in_time(
    service: SourceService, behaviour: Connected, problem: str
) -> None:
    async with listening(behaviour) as port:
        message = await failed(service, f"http://127.0.0.1:{port}/shop.git")

    assert problem in message


@pytest.mark.parametrize(
    ("behaviour", "problem"),
    [
        (hangs, "no complete answer within 1s"),
        (drips_ssh, "no complete answer within 1s"),
        (garbage, "ssh to 127.0.0.1"),
        (hangs_up, "the server hung up before it let us in"),
        (half_closes, "the server hung up before it let us in"),
    ],
)
async def test_an_ssh_server_that_is_none_ends_in_time(
    service: SourceService, server: SshServer, behaviour: Connected, problem: str
) -> None:
    async with listening(behaviour) as port:
        message = await failed(service, f"ssh://git@127.0.0.1:{port}/x.git", server.secret())

    assert problem in message


async def silent(process: Process) -> None:
    await asyncio.Event().wait()


async def nonsense(process: Process) -> None:
    process.stdout.write(b"Welcome to the machine!\n" * 1000)
    process.stdout.write_eof()


async def half_an_advertisement(process: Process) -> None:
    process.stdout.write(b"000eversion 2\n0015")
    process.stdout.write_eof()
    await process.stdin.read()


async def refuses(process: Process) -> None:
    """As hosts do that know the user, in Git's own way."""
    process.stdout.write(packet("ERR you may not read this") + FLUSH)


async def endless_errors(process: Process) -> None:
    while True:
        process.stderr.write(b"no\n" * 10_000)
        await process.stderr.drain()


async def endless_references(process: Process) -> None:
    line = b"003f" + b"a" * 40 + b" refs/heads/" + b"x" * 6 + b"\n"
    while True:
        process.stdout.write(line * 1000)
        await process.stdout.drain()


@pytest.mark.parametrize(
    ("behaviour", "problem"),
    [
        (silent, "no complete answer within 1s"),
        (refuses, "shop.git: you may not read this"),
        (nonsense, "not in packets"),
        (half_an_advertisement, "the server hung up"),
        (endless_errors, "no complete answer within 1s"),
        (endless_references, r"no complete answer within 1s|more than \d+ bytes of references"),
    ],
)
async def test_a_command_over_ssh_that_is_not_gits_ends_in_time(
    service: SourceService,
    server: SshServer,
    shop: Repository,
    behaviour: Callable[[Process], Awaitable[None]],
    problem: str,
) -> None:
    server.fault = behaviour

    message = await failed(service, server.url(shop), server.secret())

    assert re.search(problem, message)
    await eventually(lambda: not server.connections)


async def cut_off(process: Process) -> None:
    """The first answer of a fetch, and then half of the pack."""
    whole = await asyncio.create_subprocess_shell(
        process.command or "",
        env={"PATH": "/usr/bin:/bin", "GIT_PROTOCOL": "version=2", "HOME": "/nonexistent"},
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    assert whole.stdin is not None
    assert whole.stdout is not None

    async def feed() -> None:
        assert whole.stdin is not None
        while piece := await process.stdin.read(65536):
            whole.stdin.write(piece)

    feeding = asyncio.ensure_future(feed())
    said = 0
    while said < 1000 and (piece := await whole.stdout.read(100)):
        process.stdout.write(piece)
        said += len(piece)
    feeding.cancel()
    whole.kill()
    await whole.wait()


@pytest.mark.parametrize("ending", ["cut off", "silent"])
async def test_a_fetch_over_ssh_that_stops_in_the_middle_ends_in_time_and_heals(
    service: SourceService, server: SshServer, shop: Repository, ending: str
) -> None:
    async def later(process: Process) -> None:
        if len(server.commands) % 2:
            await run_git(process)
        else:
            await (cut_off if ending == "cut off" else silent)(process)

    server.fault = later
    message = await failed(service, server.url(shop), server.secret())

    assert message.startswith(f"failed to fetch ssh://127.0.0.1:{server.port}")
    server.fault = None
    await service.request("GitRepository", "shop", "again")
    await service.ready("GitRepository", "shop")


@pytest.mark.parametrize("ending", ["cut off", "silent", "garbage"])
async def test_a_fetch_over_http_that_stops_in_the_middle_ends_in_time_and_heals(
    service: SourceService, git_server: GitServer, shop: Repository, ending: str
) -> None:
    async def fault(request: web.Request) -> web.StreamResponse | None:
        asks = request.headers["User-Agent"].startswith("git/") and request.method == "POST"
        questions.append(asks)
        if not asks or sum(questions) % 2:
            return None  # not the program's fetch, which comes after its look
        kind = {"Content-Type": "application/x-git-upload-pack-result"}
        response = web.StreamResponse(headers=kind)
        await response.prepare(request)
        await response.write(b"000dpackfile\n" if ending != "garbage" else b"\xff" * 1000)
        if ending == "silent":
            await asyncio.Event().wait()
        return response

    questions: list[bool] = []
    git_server.fault = fault
    message = await failed(service, shop.url)

    assert message.startswith(f"failed to fetch {shop.url}")
    git_server.fault = None
    await service.request("GitRepository", "shop", "again")
    await service.ready("GitRepository", "shop")


async def test_servers_that_hang_hold_up_nobody_else(
    service: SourceService, server: SshServer, shop: Repository
) -> None:
    await service.secret("key", **server.secret())
    async with listening(hangs) as port:
        for number in range(15):
            name, spec = f"-{number}", {"timeout": "20s", "url": f"http://127.0.0.1:{port}/x.git"}
            await service.apply("GitRepository", f"http{name}", **spec)
            spec["url"] = f"ssh://127.0.0.1:{port}/x.git"
            key = {"name": "key"}
            await service.apply("GitRepository", f"ssh{name}", secretRef=key, **spec)
        await service.apply("GitRepository", "good", url=shop.url, ref=MAIN)
        await service.ready("GitRepository", "good")


async def test_fetches_that_hang_at_one_server_leave_room_for_those_at_others(
    tools: Tools, git_server: GitServer, shop: Repository
) -> None:
    target, soon = Target("refs/heads/main", shop.head, "main"), timedelta(seconds=20)

    async def fault(request: web.Request) -> web.StreamResponse | None:
        if request.host.startswith("localhost"):
            await asyncio.Event().wait()
        return None

    async def fetch(url: str, scope: str = "") -> str:
        async with tools.mirrors.opened(Place(url, scope), soon) as mirror:
            return await mirror.fetch(Remote(url), target)

    git_server.fault = fault
    hanging = shop.url.replace("127.0.0.1", "localhost")
    async with asyncio.timeout(30), asyncio.TaskGroup() as group:
        hung = [group.create_task(fetch(hanging, str(n))) for n in range(OF_KNOWN_SERVERS)]
        await eventually(lambda: len(git_server.requests), lambda n: n >= AT_ONE_SERVER)

        assert await fetch(shop.url) == shop.head

        for task in hung:
            task.cancel()


async def test_what_a_server_says_in_farewell_is_one_short_line(
    service: SourceService, server: SshServer, shop: Repository
) -> None:
    async def leaves(process: Process) -> None:
        process.stderr.write(b"bye\x1b[31m" + "é".encode("latin-1") + b"x" * 1000 + b"\nbye")

    server.fault = leaves

    message = await failed(service, server.url(shop), server.secret())

    assert "bye?[31m\N{REPLACEMENT CHARACTER}xxx" in message
    assert len(message) < 1000
