"""The Git server of the demo and the tests: what a real git sees of it."""

import asyncio
import gzip
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web
from yarl import URL

from penstock.local.git_repository import GitFailed, git_environment
from penstock.local.git_server import GitServer, basic, bearer


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[GitServer]:
    async with GitServer(tmp_path / "served") as running:
        yield running


async def git(folder: Path, *arguments: str) -> str:
    process = await asyncio.create_subprocess_exec(
        "git",
        *arguments,
        cwd=folder,
        env=git_environment(folder),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    said, complained = await process.communicate()
    if process.returncode:
        raise GitFailed(complained.decode())
    return said.decode()


async def test_a_clone_has_what_was_committed(server: GitServer, tmp_path: Path) -> None:
    fleet = await server.repository("fleet", {"a.yaml": "a: 1\n", "apps/b.yaml": "b: 1\n"})
    await fleet.commit("second", {'apps/ü "b".yaml': "b: 2\n"}, remove=["a.yaml"])

    await git(tmp_path, "clone", "--quiet", fleet.url, "copy")

    copy = tmp_path / "copy"
    assert {str(p.relative_to(copy)) for p in copy.rglob("*.yaml")} == {
        "apps/b.yaml",
        'apps/ü "b".yaml',
    }
    assert (await git(copy, "rev-parse", "HEAD")).strip() == fleet.head
    assert await git(copy, "log", "--format=%s") == "second\nBegin\n"


async def test_a_directory_becomes_a_repository(server: GitServer, tmp_path: Path) -> None:
    (tmp_path / "example" / "apps").mkdir(parents=True)
    (tmp_path / "example" / "apps" / "shop.yaml").write_text("kind: Shop\n")

    fleet = await server.repository("fleet", tmp_path / "example")

    assert await fleet.read("apps/shop.yaml") == "kind: Shop\n"


async def test_branches_and_tags_are_listed_by_protocol_version_two(
    server: GitServer, tmp_path: Path
) -> None:
    fleet = await server.repository("fleet", {"a": "1"})
    first = fleet.head
    await fleet.tag("v1.0.0")
    beside = await fleet.commit("beside", {"a": "2"}, branch="next")

    listed = await git(tmp_path, "-c", "protocol.version=2", "ls-remote", fleet.url)

    assert listed.splitlines() == [
        f"{first}\tHEAD",
        f"{first}\trefs/heads/main",
        f"{beside}\trefs/heads/next",
        f"{first}\trefs/tags/v1.0.0",
    ]
    assert any("git-upload-pack" in request and "POST" in request for request in server.requests)


async def test_a_large_repository_passes_in_both_directions(
    server: GitServer, tmp_path: Path
) -> None:
    files = {f"f{number}.txt": f"{number}\n" * 2000 for number in range(200)}
    fleet = await server.repository("fleet", files, writable=True)
    await git(tmp_path, "clone", "--quiet", fleet.url, "copy")
    copy = tmp_path / "copy"
    (copy / "pushed.bin").write_bytes(gzip.compress(b"x", mtime=0) * 200_000)
    await git(copy, "add", ".")
    await git(copy, "-c", "user.name=a", "-c", "user.email=a@b", "commit", "-qm", "push")

    await git(copy, "-c", "http.postBuffer=1000", "push", "--quiet", "origin", "main")

    assert (await git(copy, "rev-parse", "HEAD")).strip() == await fleet.revision("refs/heads/main")


async def test_a_push_is_refused_unless_the_repository_takes_pushes(
    server: GitServer, tmp_path: Path
) -> None:
    fleet = await server.repository("fleet", {"a": "1"})
    await git(tmp_path, "clone", "--quiet", fleet.url, "copy")

    with pytest.raises(GitFailed, match="403"):
        await git(tmp_path / "copy", "push", "origin", "main:other")


@pytest.mark.parametrize("authorization", [basic("bot", "s3cret"), bearer("t0ken")])
async def test_a_private_repository_wants_its_credentials(
    server: GitServer, tmp_path: Path, authorization: str
) -> None:
    fleet = await server.repository("fleet", {"a": "1"}, authorization=authorization)
    wrong = f"http.extraHeader=Authorization: {bearer('guess')}"
    right = f"http.extraHeader=Authorization: {authorization}"

    with pytest.raises(GitFailed):
        await git(tmp_path, "ls-remote", fleet.url)
    with pytest.raises(GitFailed):
        await git(tmp_path, "-c", wrong, "ls-remote", fleet.url)

    assert fleet.head in await git(tmp_path, "-c", right, "ls-remote", fleet.url)


async def test_a_fault_answers_in_gits_place(server: GitServer, tmp_path: Path) -> None:
    fleet = await server.repository("fleet", {"a": "1"})

    async def busy(_: web.Request) -> web.StreamResponse:
        return web.Response(status=503)

    server.fault = busy
    with pytest.raises(GitFailed, match="503"):
        await git(tmp_path, "ls-remote", fleet.url)

    server.fault = None
    assert fleet.head in await git(tmp_path, "ls-remote", fleet.url)


async def test_no_path_leads_out_of_a_repository(server: GitServer) -> None:
    await server.repository("fleet", {"a": "1"})
    secret = server.folder / "secret"
    secret.write_text("hidden")
    escaping = ["/fleet.git/../secret", "/fleet.git/%2e%2e/secret", "/fleet.git/..%2fsecret"]

    async with aiohttp.ClientSession() as session:
        for path in escaping:
            url = URL(server.url + path, encoded=True)
            async with session.get(url) as response:
                assert response.status == 404
                assert "hidden" not in await response.text()
