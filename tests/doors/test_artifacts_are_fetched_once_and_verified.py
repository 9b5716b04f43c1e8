import asyncio
import hashlib
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp
import msgspec
import pytest
from aiohttp import web

from shared import artifact as artifacts
from shared.artifact import ArtifactCache, ArtifactFailed, ArtifactMissing, local_url
from shared.digests import ALGORITHMS, digest_of
from shared.resources.meta import Artifact


@dataclass
class FileServer:
    """Answers with what is in `files`, after failing as often as `failures` says."""

    files: dict[str, bytes] = field(default_factory=dict)
    failures: int = 0
    requests: int = 0
    url: str = ""

    async def answer(self, request: web.Request) -> web.StreamResponse:
        self.requests += 1
        if self.failures:
            self.failures -= 1
            raise web.HTTPServiceUnavailable
        if request.path == "/moved":
            raise web.HTTPFound(f"{self.url}/elsewhere")
        if request.path not in self.files:
            raise web.HTTPNotFound
        return web.Response(body=self.files[request.path])

    def publish(self, path: str, content: bytes, *, size: int | None = None) -> Artifact:
        self.files[path] = content
        return an_artifact(f"{self.url}{path}", content, size=size)


def an_artifact(url: str, content: bytes, *, size: int | None = None) -> Artifact:
    return Artifact(
        digest=f"sha256:{hashlib.sha256(content).hexdigest()}",
        path="x",
        url=url,
        revision="main@sha1:1",
        last_update_time="2026-01-01T00:00:00Z",
        size=size,
    )


@pytest.fixture
async def server() -> AsyncIterator[FileServer]:
    server = FileServer()
    app = web.Application()
    app.router.add_get("/{path:.*}", server.answer)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    server.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    yield server
    await runner.cleanup()


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as session:
        yield session


@pytest.fixture
async def cache(session: aiohttp.ClientSession, tmp_path: Path) -> AsyncIterator[ArtifactCache]:
    async with ArtifactCache(session, tmp_path / "cache", max_bytes=1000, max_count=3) as cache:
        yield cache


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(artifacts, "RETRY_DELAYS", (0.001, 0.001))


async def test_a_hundred_askers_cause_one_download(
    server: FileServer, cache: ArtifactCache
) -> None:
    artifact = server.publish("/a.tar.gz", b"content", size=7)

    paths = await asyncio.gather(*(cache.fetch(artifact) for _ in range(100)))

    assert {path.read_bytes() for path in paths} == {b"content"}
    assert server.requests == 1


@pytest.mark.parametrize("algorithm", ALGORITHMS)
async def test_every_digest_that_a_source_may_choose_is_verified(
    server: FileServer, cache: ArtifactCache, algorithm: str
) -> None:
    artifact = server.publish("/a.tar.gz", b"content")
    good = msgspec.structs.replace(artifact, digest=digest_of(b"content", algorithm))
    bad = msgspec.structs.replace(artifact, digest=digest_of(b"other", algorithm))

    assert (await cache.fetch(good)).read_bytes() == b"content"
    with pytest.raises(ArtifactFailed, match=f"is not the {algorithm}:"):
        await cache.fetch(bad)


async def test_a_digest_that_cannot_be_made_here_is_said_so(
    server: FileServer, cache: ArtifactCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    artifact = server.publish("/a.tar.gz", b"content")
    artifact = msgspec.structs.replace(artifact, digest=digest_of(b"content", "blake3"))
    monkeypatch.setitem(sys.modules, "blake3", None)

    with pytest.raises(ArtifactFailed, match="blake3 is not installed here"):
        await cache.fetch(artifact)


async def test_one_flipped_byte_is_refused_and_leaves_nothing_behind(
    server: FileServer, cache: ArtifactCache, tmp_path: Path
) -> None:
    artifact = server.publish("/a.tar.gz", b"content")
    server.files["/a.tar.gz"] = b"c0ntent"

    with pytest.raises(ArtifactFailed, match="is not the sha256:"):
        await cache.fetch(artifact)

    assert list((tmp_path / "cache").iterdir()) == []


async def test_an_artifact_that_heals_is_fetched_again(
    server: FileServer, cache: ArtifactCache
) -> None:
    artifact = server.publish("/a.tar.gz", b"content")
    server.files["/a.tar.gz"] = b"older"
    with pytest.raises(ArtifactFailed):
        await cache.fetch(artifact)

    server.files["/a.tar.gz"] = b"content"

    assert (await cache.fetch(artifact)).read_bytes() == b"content"


async def test_a_download_longer_than_announced_is_cut_off(
    server: FileServer, cache: ArtifactCache
) -> None:
    artifact = server.publish("/a.tar.gz", bytes(100), size=10)

    with pytest.raises(ArtifactFailed, match="larger than 10 bytes"):
        await cache.fetch(artifact)


async def test_a_missing_artifact_is_waited_for(server: FileServer, cache: ArtifactCache) -> None:
    with pytest.raises(ArtifactMissing):
        await cache.fetch(an_artifact(f"{server.url}/gone", b"x"))

    assert server.requests == 1


async def test_a_server_that_restarts_is_asked_again(
    server: FileServer, cache: ArtifactCache
) -> None:
    artifact = server.publish("/a.tar.gz", b"content")
    server.failures = 2

    assert (await cache.fetch(artifact)).read_bytes() == b"content"


async def test_a_server_that_stays_away_is_a_failure(
    server: FileServer, cache: ArtifactCache
) -> None:
    artifact = server.publish("/a.tar.gz", b"content")
    server.failures = 3

    with pytest.raises(ArtifactFailed, match="503"):
        await cache.fetch(artifact)


async def test_a_redirect_is_not_followed(server: FileServer, cache: ArtifactCache) -> None:
    with pytest.raises(ArtifactFailed, match="302"):
        await cache.fetch(an_artifact(f"{server.url}/moved", b"x"))

    assert server.requests == 1


@pytest.mark.parametrize(
    "digest", ["sha256:../../etc/passwd", "sha256:abc", "md5:" + "0" * 32, "sha256:" + "G" * 64, ""]
)
async def test_a_digest_that_is_none_is_refused_unasked(
    server: FileServer, cache: ArtifactCache, digest: str
) -> None:
    artifact = Artifact(
        digest=digest, path="x", url=f"{server.url}/a", revision="r", last_update_time="now"
    )

    with pytest.raises(ArtifactFailed, match="digest"):
        await cache.fetch(artifact)

    assert server.requests == 0


async def test_what_was_used_longest_ago_makes_room(
    server: FileServer, cache: ArtifactCache, tmp_path: Path
) -> None:
    one, two, three = (server.publish(f"/{n}", bytes([n]) * 400) for n in range(3))
    await cache.fetch(one)
    await cache.fetch(two)
    await cache.fetch(one)

    await cache.fetch(three)

    kept = {path.read_bytes()[0] for path in (tmp_path / "cache").iterdir()}
    assert kept == {0, 2}


async def test_the_number_of_files_is_bounded_too(
    server: FileServer, cache: ArtifactCache, tmp_path: Path
) -> None:
    for number in range(10):
        await cache.fetch(server.publish(f"/{number}", bytes([number])))

    assert len(list((tmp_path / "cache").iterdir())) == 3


def test_outside_the_cluster_the_host_is_replaced() -> None:
    environment = {"SOURCE_CONTROLLER_LOCALHOST": "localhost:9090"}
    url = "http://source-controller.flux-system.svc.cluster.local./gitrepository/a/b/c.tar.gz"

    assert local_url(url, environment) == "http://localhost:9090/gitrepository/a/b/c.tar.gz"
    assert local_url(url, {}) == url
    assert local_url("http://source-watcher.x/y", environment) == "http://source-watcher.x/y"


def test_retries_are_short_at_first_and_never_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()

    assert list(artifacts.delays(0)) == []
    assert list(artifacts.delays(3)) == [0.2, 1.0, 3.0]
    assert list(artifacts.delays(8)) == [0.2, 1.0, 3.0, 5.0, 10.0, 20.0, 30.0, 30.0]


async def test_an_operator_may_have_it_tried_only_once(
    server: FileServer, session: aiohttp.ClientSession, tmp_path: Path
) -> None:
    artifact = server.publish("/a.tar.gz", b"content")
    server.failures = 9

    async with ArtifactCache(session, tmp_path / "other", retries=0) as cache:
        with pytest.raises(ArtifactFailed):
            await cache.fetch(artifact)

    assert server.requests == 1
