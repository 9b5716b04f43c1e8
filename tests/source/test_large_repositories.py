"""What is more than an artifact may hold ends in a condition, once, and does not stay."""

import asyncio
import os
from datetime import timedelta
from pathlib import Path

import pytest
from aiohttp import web

from penstock.local.git_repository import Repository
from penstock.local.git_server import GitServer
from services.source.git.archive import GitArchive, TreeTooLarge
from services.source.git.mirror import Mirrors, Place
from services.source.git.pkt_line import packet
from services.source.git.reference import Target
from services.source.git.remote import Remote
from services.source.git.runner import Bounds, GitError, GitRunner, GitTimeout, GitTooLarge
from shared.archive import MIB, Limits
from tests.source.conftest import Tools, git_in
from tests.source.test_submodules import link, section
from tests.support.eventually import eventually
from tests.support.source_service import SourceService, condition

MAIN = {"branch": "main"}
SOON = timedelta(seconds=20)
SMALL = Limits(total=20_000, file=20_000, entries=100)
LARGE = "large.bin"


def noise(size: int) -> bytes:
    return os.urandom(size)


@pytest.fixture
async def shop(git_server: GitServer) -> Repository:
    return await git_server.repository("shop", {"app/a.yaml": "a: 1\n", LARGE: noise(100_000)})


class Fetches:
    """Counts what git itself asks for, which our own look at the references is not."""

    def __init__(self, server: GitServer) -> None:
        self.count = 0
        server.fault = self

    async def __call__(self, request: web.Request) -> web.StreamResponse | None:
        if request.method == "GET" and request.headers["User-Agent"].startswith("git/"):
            self.count += 1
        return None


@pytest.fixture
def fetches(git_server: GitServer) -> Fetches:
    return Fetches(git_server)


def left_in(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def mirrors_of(service: SourceService) -> Path:
    return service.folder / "mirrors"


async def refused(service: SourceService, name: str, reason: str, within: str) -> None:
    stored = await service.not_ready("GitRepository", name, reason)
    assert within in condition(stored, "Ready")["message"]


async def asked_again(service: SourceService, name: str, reason: str, within: str) -> None:
    await service.request("GitRepository", name, "again")
    await refused(service, name, reason, within)


async def test_too_much_for_an_artifact_is_refused_once_and_leaves_nothing(
    idle_service: SourceService, shop: Repository, fetches: Fetches
) -> None:
    service, reason = idle_service, "ArchiveOperationFailed"
    problem = (
        f"failed to pack commit {shop.head}: the files are 100005 bytes, more than the 20000 that "
        "an artifact may have; leave files out with spec.ignore, or name the directories to take "
        "in spec.sparseCheckout"
    )
    async with service.running(artifact=SMALL):
        await service.apply("GitRepository", "shop", url=shop.url, ref=MAIN)
        await refused(service, "shop", reason, problem)
        assert left_in(mirrors_of(service)) == 0

        await asked_again(service, "shop", reason, problem)
        assert fetches.count == 1
        await service.apply("GitRepository", "shop", url=shop.url, ref=MAIN, ignore=LARGE)
        await service.ready("GitRepository", "shop")

    assert fetches.count == 2
    assert left_in(mirrors_of(service)) > 100_000


async def test_a_new_commit_is_tried_although_the_last_was_too_much(
    idle_service: SourceService, shop: Repository, fetches: Fetches
) -> None:
    async with idle_service.running(artifact=SMALL):
        await idle_service.apply("GitRepository", "shop", url=shop.url, ref=MAIN)
        await refused(idle_service, "shop", "ArchiveOperationFailed", "more than the 20000")
        head = await shop.commit("without it", remove=[LARGE])

        await idle_service.request("GitRepository", "shop", "now")

        stored = await idle_service.ready("GitRepository", "shop", f"main@sha1:{head}")
        assert condition(stored, "StorageOperationFailed") == {}


async def test_a_mirror_that_serves_another_object_well_is_kept(
    idle_service: SourceService, shop: Repository, fetches: Fetches
) -> None:
    service = idle_service
    async with service.running(artifact=SMALL):
        await service.apply("GitRepository", "part", url=shop.url, ref=MAIN, ignore=LARGE)
        await service.ready("GitRepository", "part")
        kept = left_in(mirrors_of(service))

        await service.apply("GitRepository", "whole", url=shop.url, ref=MAIN)
        await refused(service, "whole", "ArchiveOperationFailed", "more than the 20000")

        assert left_in(mirrors_of(service)) == kept
        await service.delete("GitRepository", "part")
        await service.apply("GitRepository", "whole", url=shop.url, ref=MAIN, ignore="*.md")
        await eventually(lambda: left_in(mirrors_of(service)), lambda size: size == 0)

    assert fetches.count == 1


async def test_what_a_deleted_object_was_refused_is_forgotten(
    idle_service: SourceService, shop: Repository, fetches: Fetches
) -> None:
    async with idle_service.running(artifact=SMALL):
        for count in (1, 2):
            await idle_service.apply("GitRepository", "shop", url=shop.url, ref=MAIN)
            await refused(idle_service, "shop", "ArchiveOperationFailed", "more than the 20000")
            assert fetches.count == count
            await idle_service.delete("GitRepository", "shop")


async def test_a_submodule_that_is_too_much_leaves_nothing_either(
    idle_service: SourceService, git_server: GitServer, shop: Repository
) -> None:
    parent = await git_server.repository("parent", {"a": "b"})
    await link(parent, {"lib": shop.head}, section("lib", shop.url))
    spec = {"url": parent.url, "ref": MAIN, "recurseSubmodules": True}

    async with idle_service.running(artifact=SMALL):
        await idle_service.apply("GitRepository", "parent", **spec)
        await refused(idle_service, "parent", "ArchiveOperationFailed", "more than the 20000")

    assert left_in(mirrors_of(idle_service)) == 0


@pytest.mark.parametrize("recurse", [False, True])
async def test_a_tree_too_large_to_list_says_so_and_is_not_fetched_again(
    idle_service: SourceService, shop: Repository, fetches: Fetches, *, recurse: bool
) -> None:
    service, reason = idle_service, "ArchiveOperationFailed"
    problem = "the list of its files is longer than 50 bytes; split the repository"
    spec = {"url": shop.url, "ref": MAIN, "recurseSubmodules": recurse}
    async with service.running(largest_tree=50):
        await service.apply("GitRepository", "shop", **spec)
        await refused(service, "shop", reason, problem)

        await asked_again(service, "shop", reason, problem)

    assert fetches.count == 1


async def test_a_mirror_whose_tree_is_too_large_to_list_is_not_taken_for_broken(
    tools: Tools, shop: Repository, tmp_path: Path
) -> None:
    archive = GitArchive(tools.git, largest_tree=50)
    async with tools.mirrors.opened(Place(shop.url, ""), SOON) as mirror:
        commit = await mirror.fetch(Remote(shop.url), main_of(shop))

        with pytest.raises(TreeTooLarge):
            await archive.listing(mirror, commit)

        assert await tools.archive.listing(mirror, commit)


async def test_what_is_too_much_to_fetch_is_refused_once_and_leaves_nothing(
    idle_service: SourceService, git_server: GitServer, fetches: Fetches
) -> None:
    service, reason = idle_service, "GitOperationFailed"
    shop = await git_server.repository("shop", {LARGE: noise(2 * MIB)})
    problem = (
        f"failed to fetch {shop.url}: it has more than 1 MiB to fetch at once; "
        "split the repository, or keep large files elsewhere"
    )
    async with service.running(git=Bounds(file=MIB)):
        await service.apply("GitRepository", "shop", url=shop.url, ref=MAIN)
        await refused(service, "shop", reason, problem)

        await asked_again(service, "shop", reason, problem)

    assert left_in(mirrors_of(service)) < 1000
    assert fetches.count == 1


async def test_a_submodule_that_is_too_much_to_fetch_is_refused_once(
    idle_service: SourceService, git_server: GitServer, fetches: Fetches
) -> None:
    library = await git_server.repository("library", {LARGE: noise(2 * MIB)})
    parent = await git_server.repository("parent", {"a": "b"})
    await link(parent, {"lib": library.head}, section("lib", library.url))
    spec = {"url": parent.url, "ref": MAIN, "recurseSubmodules": True}
    reason, problem = "GitOperationFailed", "submodule 'lib': it has more than 1 MiB to fetch"

    async with idle_service.running(git=Bounds(file=MIB)):
        await idle_service.apply("GitRepository", "parent", **spec)
        await refused(idle_service, "parent", reason, problem)
        await asked_again(idle_service, "parent", reason, problem)

    assert fetches.count == 2


async def test_what_takes_too_much_of_gits_memory_is_refused(
    tools: Tools, shop: Repository, tmp_path: Path
) -> None:
    """Zeros that come as a hundred kilobytes: git holds a commit as a whole."""
    tree = (await git_in(shop, "rev-parse", "main^{tree}")).decode()
    head = f"tree {tree}\nauthor t <t@t> 1 +0000\ncommitter t <t@t> 1 +0000\n\n"
    text = head.encode() + b"0" * (100 * MIB)
    commit = await git_in(shop, "hash-object", "-w", "-t", "commit", "--stdin", given=text)
    await shop.branch("main", commit.decode())
    shop.head = commit.decode()
    git = GitRunner(tmp_path / "home", Bounds(memory=80 * MIB))

    async with Mirrors(tmp_path / "small", git).opened(Place(shop.url, ""), SOON) as mirror:
        with pytest.raises(GitError, match="memory"):
            await mirror.fetch(Remote(shop.url), main_of(shop))


async def test_half_a_pack_goes_when_the_time_is_over(
    tools: Tools, shop: Repository, git_server: GitServer
) -> None:
    async def stops(request: web.Request) -> web.StreamResponse | None:
        asked.append(request.method)
        if asked != ["GET", "POST", "POST"]:
            return None
        kind = {"Content-Type": "application/x-git-upload-pack-result"}
        response = web.StreamResponse(headers=kind)
        await response.prepare(request)
        pack = b"PACK" + bytes([0, 0, 0, 2, 0, 0, 0, 9]) + b"\x30"
        await response.write(packet("packfile") + b"%04x\x01" % (len(pack) + 5) + pack)
        await asyncio.Event().wait()
        return response

    def half_packs() -> list[Path]:
        return list(mirror.path.glob("objects/pack/tmp_pack_*"))

    asked: list[str] = []
    git_server.fault = stops
    async with (
        tools.mirrors.opened(Place(shop.url, ""), timedelta(seconds=1)) as mirror,
        asyncio.TaskGroup() as group,
    ):
        seen = group.create_task(eventually(half_packs))
        with pytest.raises(GitTimeout):
            await mirror.fetch(Remote(shop.url), main_of(shop))

        assert half_packs() == []
        assert await seen


async def test_a_pack_that_is_too_large_is_one_whatever_is_in_the_mirror(
    tools: Tools, shop: Repository, tmp_path: Path
) -> None:
    git = GitRunner(tmp_path / "home", Bounds(file=MIB))
    async with Mirrors(tmp_path / "small", git).opened(Place(shop.url, ""), SOON) as mirror:
        good = await mirror.fetch(Remote(shop.url), main_of(shop))
        await shop.commit("grows", {"larger.bin": noise(2 * MIB)})

        with pytest.raises(GitTooLarge):
            await mirror.fetch(Remote(shop.url), main_of(shop))

        assert (await mirror.object_at(good)).kind == "commit"


def main_of(repository: Repository) -> Target:
    return Target("refs/heads/main", repository.head, "main")
