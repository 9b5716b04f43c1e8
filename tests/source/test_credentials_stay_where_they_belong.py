import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

import pytest
from aiohttp import web

from penstock.local.certificates import certificates
from penstock.local.git_repository import Repository
from penstock.local.git_server import GitServer
from services.source.endings import FetchFailed
from services.source.git.mirror import Place
from services.source.git.reference import Target, resolve
from services.source.git.remote import Remote
from shared.credentials import Basic, HttpCredentials, InvalidCredentials, Tls
from shared.resources.source.git_repository import GitReference
from shared.web.client import Request, WebError
from tests.source.conftest import Tools
from tests.support.encrypted import encrypted

SOON = timedelta(seconds=20)
LOGIN = Basic("git", "canary-password")
MAIN = GitReference(branch="main")
Answer = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass
class Stranger:
    """Another host, that writes down who asked it what."""

    url: str
    answer: Answer | None = None
    seen: list[tuple[str, str]] = field(default_factory=list)

    async def serve(self, request: web.Request) -> web.StreamResponse:
        self.seen.append((request.path_qs, request.headers.get("Authorization", "")))
        return await self.answer(request) if self.answer else web.Response(text="hello")


@asynccontextmanager
async def a_stranger(host: str = "localhost") -> AsyncIterator[Stranger]:
    stranger = Stranger("")
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", stranger.serve)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    stranger.url = f"http://{host}:{runner.addresses[0][1]}"
    yield stranger
    await runner.cleanup()


@pytest.fixture
async def private(git_server: GitServer) -> Repository:
    return await git_server.repository("p", {"a": "b"}, authorization=LOGIN.authorization)


async def test_a_redirect_to_another_host_does_not_take_them_along(
    git_server: GitServer, private: Repository, tools: Tools
) -> None:
    async with a_stranger() as stranger:

        async def elsewhere(request: web.Request) -> web.StreamResponse:
            raise web.HTTPFound(f"{stranger.url}{request.path_qs}")

        git_server.fault = elsewhere
        remote = Remote(private.url, HttpCredentials(LOGIN))

        with pytest.raises(FetchFailed):
            await resolve(MAIN, remote, tools.refs, SOON)

    assert stranger.seen == [("/p.git/info/refs?service=git-upload-pack", "")]


async def test_git_itself_follows_no_redirect(
    git_server: GitServer, private: Repository, tools: Tools
) -> None:
    async with a_stranger() as stranger:

        async def elsewhere(request: web.Request) -> web.StreamResponse:
            raise web.HTTPFound(f"{stranger.url}{request.path_qs}")

        git_server.fault = elsewhere
        target = Target("refs/heads/main", private.head, "main")
        async with tools.mirrors.opened(Place(private.url, ""), SOON) as mirror:
            with pytest.raises(Exception, match="git fetch"):
                await mirror.fetch(Remote(private.url, HttpCredentials(LOGIN)), target)

    assert stranger.seen == []


async def test_a_redirect_on_the_same_host_keeps_them(
    git_server: GitServer, private: Repository, tools: Tools
) -> None:
    async def renamed(request: web.Request) -> web.StreamResponse | None:
        if request.path.startswith("/old.git"):
            path = request.path_qs.replace("/old.git", "/p.git")
            raise web.HTTPMovedPermanently(path)
        return None

    git_server.fault = renamed
    remote = Remote(f"{git_server.url}/old.git", HttpCredentials(LOGIN))

    target = await resolve(MAIN, remote, tools.refs, SOON)
    async with tools.mirrors.opened(Place(remote.url, ""), SOON) as mirror:
        fetched = await mirror.fetch(tools.refs.place_of(remote), target)

    assert fetched == private.head


async def test_nothing_follows_from_https_to_http(tools: Tools, tmp_path: Path) -> None:
    keys = certificates(tmp_path / "keys")
    async with a_stranger("127.0.0.1") as plain, encrypted(plain.url, keys) as url:

        async def downgrade(request: web.Request) -> web.StreamResponse:
            raise web.HTTPFound(f"{plain.url}/stolen")

        plain.answer = downgrade
        credentials = HttpCredentials(LOGIN, Tls(keys.authority.read_text()))

        with pytest.raises(WebError, match="from https to http"):
            await tools.web.fetch(
                Request(url=f"{url}/x", limit=100, deadline=SOON, credentials=credentials)
            )

    assert [path for path, _ in plain.seen] == ["/x"]


async def test_a_certificate_authority_of_ones_own_is_honoured_and_needed(
    git_server: GitServer, private: Repository, tools: Tools, tmp_path: Path
) -> None:
    keys = certificates(tmp_path / "keys")
    tls = Tls(keys.authority.read_text())
    async with encrypted(git_server.url, keys) as url:
        known = Remote(f"{url}/p.git", HttpCredentials(LOGIN, tls))
        unknown = Remote(f"{url}/p.git", HttpCredentials(LOGIN))

        with pytest.raises(FetchFailed, match="certificate verify failed"):
            await resolve(MAIN, unknown, tools.refs, SOON)
        target = await resolve(MAIN, known, tools.refs, SOON)
        async with tools.mirrors.opened(Place(known.url, "ns/login"), SOON) as mirror:
            with pytest.raises(Exception, match="certificate"):
                await mirror.fetch(unknown, target)
            fetched = await mirror.fetch(known, target)

    assert fetched == private.head


async def test_a_broken_authority_is_a_problem_of_the_secret(
    private: Repository, tools: Tools
) -> None:
    remote = Remote(private.url.replace("http:", "https:"), HttpCredentials(LOGIN, Tls("nonsense")))

    with pytest.raises(InvalidCredentials, match="must be PEM"):
        await resolve(MAIN, remote, tools.refs, SOON)


@pytest.mark.parametrize(
    ("location", "problem"),
    [
        ("file:///etc/passwd", "'file', which is not served"),
        ("ftp://127.0.0.1/x", "'ftp', which is not served"),
        ("http://[bad", "no URL"),
        ("/again", "more than 5 redirects"),
    ],
)
async def test_a_redirect_to_what_is_no_web_server_is_not_followed(
    tools: Tools, location: str, problem: str
) -> None:
    async with a_stranger() as stranger:

        async def away(request: web.Request) -> web.StreamResponse:
            return web.Response(status=302, headers={"Location": location})

        stranger.answer = away

        with pytest.raises(WebError, match=problem):
            await tools.web.fetch(Request(url=stranger.url, limit=100, deadline=SOON))


async def test_an_endless_answer_is_cut_off(tools: Tools) -> None:
    async with a_stranger() as stranger:

        async def endless(request: web.Request) -> web.StreamResponse:
            response = web.StreamResponse()
            await response.prepare(request)
            with contextlib.suppress(ConnectionError):
                while True:
                    await response.write(bytes(65536))
            return response

        stranger.answer = endless

        with pytest.raises(WebError, match="larger than the limit of 1000000 bytes"):
            await tools.web.fetch(Request(url=stranger.url, limit=1_000_000, deadline=SOON))


async def test_no_message_shows_a_login(git_server: GitServer, tools: Tools) -> None:
    url = git_server.url.replace("http://", "http://me:canary-in-url@")

    with pytest.raises(WebError) as failed:
        await tools.web.fetch(Request(url=f"{url}/none", limit=100, deadline=SOON))

    assert "canary" not in str(failed.value)
