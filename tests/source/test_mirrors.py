import asyncio
import os
import signal
import sys
import zlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path

import pytest
from aiohttp import web

from penstock.local.git_repository import Repository
from penstock.local.git_server import GitServer
from penstock.lockfile import CHECKOUT
from services.source.git.mirror import Mirror, Mirrors, Place
from services.source.git.reference import Target
from services.source.git.remote import Remote
from services.source.git.runner import GitError, GitTimeout
from shared.credentials import Basic, HttpCredentials
from tests.source.conftest import Tools, git_in
from tests.support.eventually import eventually

SOON = timedelta(seconds=20)


@pytest.fixture
async def shop(git_server: GitServer) -> Repository:
    return await git_server.repository("shop", {"a.yaml": "a: 1\n"})


async def target_of(repository: Repository, branch: str = "main") -> Target:
    name = f"refs/heads/{branch}"
    return Target(name, await repository.revision(name), branch)


async def fetched(repository: Repository, tools: Tools, branch: str = "main") -> str:
    target = await target_of(repository, branch)
    async with tools.mirrors.opened(Place(repository.url, ""), SOON) as mirror:
        return await mirror.fetch(Remote(repository.url), target)


@asynccontextmanager
async def opened(
    tools: Tools, repository: Repository, deadline: timedelta = SOON
) -> AsyncIterator[Mirror]:
    async with tools.mirrors.opened(Place(repository.url, ""), deadline) as mirror:
        yield mirror


async def test_an_increment_is_small(shop: Repository, tools: Tools) -> None:
    await shop.commit(
        "much", {f"f{n}": "".join(f"{n * m * 7919}\n" for m in range(99)) for n in range(99)}
    )
    await fetched(shop, tools)
    before = _size(tools.folder / "mirrors")
    await shop.commit("little", {"f1": "new"})

    assert await fetched(shop, tools) == shop.head
    assert _size(tools.folder / "mirrors") - before < before / 3


async def test_history_is_not_fetched(shop: Repository, tools: Tools) -> None:
    for number in range(5):
        await shop.commit(str(number), {"a": str(number)})

    await fetched(shop, tools)

    async with opened(tools, shop) as mirror:
        boundary = (mirror.path / "shallow").read_text().split()
    assert boundary == [shop.head]


async def test_a_force_push_is_followed(shop: Repository, tools: Tools) -> None:
    await shop.commit("second", {"b": "2"})
    await fetched(shop, tools)
    await shop.branch("orphan")
    rewritten = await shop.commit("other history", {"c": "3"}, branch="elsewhere")
    await shop.branch("main", rewritten)

    assert await fetched(shop, tools) == rewritten


async def test_a_deleted_branch_fails_and_heals_when_it_is_back(
    shop: Repository, tools: Tools
) -> None:
    await shop.branch("dev")
    target = await target_of(shop, "dev")
    await git_in(shop, "update-ref", "-d", "refs/heads/dev")

    async with opened(tools, shop) as mirror:
        with pytest.raises(GitError, match="couldn't find remote ref"):
            await mirror.fetch(Remote(shop.url), target)
    await shop.branch("dev")

    assert await fetched(shop, tools, "dev") == shop.head


async def test_what_another_object_fetched_is_not_fetched_again(
    shop: Repository, tools: Tools, git_server: GitServer
) -> None:
    await fetched(shop, tools)
    git_server.requests.clear()

    await asyncio.gather(*(fetched(shop, tools) for _ in range(10)))

    assert git_server.requests == []


LEFT_BY_A_KILLED_GIT = (
    *("shallow.lock", "packed-refs.lock", "packed-refs.new", "config.lock", "HEAD.lock"),
    *("gc.pid", "gc.pid.lock", "refs/penstock/x.lock", "objects/maintenance.lock"),
    *("objects/pack/tmp_pack_1", "objects/pack/tmp_idx_1", "objects/pack/pack-1.keep"),
    *(
        "objects/pack/.tmp-9-pack-1.pack",
        "objects/tmp_objdir-incoming-1/pack/x",
        "objects/ab/tmp_obj_1",
    ),
)


async def test_locks_of_a_killed_git_are_removed(shop: Repository, tools: Tools) -> None:
    await fetched(shop, tools)
    async with opened(tools, shop) as mirror:
        path = mirror.path
    for name in LEFT_BY_A_KILLED_GIT:
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_bytes(b"half")
    await shop.commit("next", {"b": "2"})

    assert await fetched(shop, tools) == shop.head
    assert [name for name in LEFT_BY_A_KILLED_GIT if (path / name).exists()] == []


@pytest.mark.parametrize(
    "last", ["", "description", "config.lock", "HEAD", "refs/heads/", "config"]
)
async def test_a_mirror_whose_making_was_interrupted_is_made(
    shop: Repository, tools: Tools, last: str
) -> None:
    """Killed after this file; git makes them in this order."""
    async with opened(tools, shop) as mirror:
        for name in ("description", "config.lock", "HEAD", "refs/heads/", "config"):
            if name.endswith("/"):
                (mirror.path / name).mkdir(parents=True)
            elif last:
                (mirror.path / name).write_text("ref: refs/heads/x" if name == "HEAD" else "")
            if name == last or not last:
                break

    assert await fetched(shop, tools) == shop.head


@pytest.mark.parametrize(
    "damage",
    [
        lambda path: [p.write_bytes(b"") for p in path.rglob("objects/pack/*.pack")],
        lambda path: [p.write_bytes(b"x") for p in path.glob("objects/??/*")],
        lambda path: (path / "config").write_text("[core"),
        lambda path: (path / "HEAD").write_text(""),
        lambda path: (path / "shallow").write_text("nonsense"),
    ],
    ids=["packs", "loose objects", "configuration", "head", "shallow"],
)
async def test_a_damaged_mirror_is_made_anew(
    shop: Repository, tools: Tools, damage: object
) -> None:
    await shop.commit("many", {f"f{n}": str(n) for n in range(150)})
    await fetched(shop, tools)
    async with opened(tools, shop) as mirror:
        for path in mirror.path.rglob("objects/**/*"):
            path.chmod(0o700)
        assert callable(damage)
        damage(mirror.path)
    await shop.commit("next", {"f1": "other"})

    assert await fetched(shop, tools) == shop.head


async def test_an_object_that_is_not_what_its_id_says_is_not_given_out(
    shop: Repository, tools: Tools
) -> None:
    """As after a fault of the disk, or a hand in it; git itself gives it out."""
    commit = await fetched(shop, tools)
    async with opened(tools, shop) as mirror:
        good = await mirror.object_at(commit)
        other = commit[::-1]
        path = mirror.path / "objects" / other[:2] / other[2:]
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(zlib.compress(f"commit {len(good.content)}\0".encode() + good.content))

        with pytest.raises(GitError, match="is damaged"):
            await mirror.object_at(other)

    assert (good.id, good.kind) == (commit, "commit")


async def test_a_server_that_hangs_is_left_with_its_whole_process_group(
    shop: Repository, tools: Tools, git_server: GitServer
) -> None:
    async def hangs(request: web.Request) -> web.StreamResponse:
        await asyncio.Event().wait()
        raise AssertionError

    target = await target_of(shop)
    git_server.fault = hangs

    async with opened(tools, shop, timedelta(seconds=0.3)) as mirror:
        with pytest.raises(GitTimeout, match=r"did not end within 0\.3s"):
            await mirror.fetch(Remote(shop.url), target)
        path = mirror.path

    assert _processes_in(path) == []


CONTROLLER = """
import asyncio, sys
from datetime import timedelta
from pathlib import Path
from services.source.git.reference import Target
from services.source.git.remote import Remote
from services.source.git.runner import GitRunner
from services.source.git.mirror import Mirrors, Place

async def main(folder, url, commit):
    mirrors = Mirrors(Path(folder), GitRunner(Path(folder)))
    async with mirrors.opened(Place(url, ""), timedelta(seconds=60)) as mirror:
        target = Target("refs/heads/main", commit, "main")
        await mirror.fetch(Remote(url), target)

asyncio.run(main(*sys.argv[1:]))
"""


async def test_while_an_orphaned_git_works_the_mirror_is_left_alone(
    shop: Repository, tools: Tools, git_server: GitServer
) -> None:
    """After a crash of the controller its git still writes, and its locks are not debris."""
    hanging = asyncio.Event()

    async def hangs(request: web.Request) -> web.StreamResponse:
        hanging.set()
        await asyncio.Event().wait()
        raise AssertionError

    git_server.fault = hangs
    folder = tools.folder / "mirrors"
    controller = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", CONTROLLER, str(folder), shop.url, shop.head),
        cwd=CHECKOUT,
    )
    await hanging.wait()
    controller.kill()
    await controller.wait()
    git_server.fault = None

    with pytest.raises(GitError, match="earlier run is still at work"):
        await fetched(shop, tools)
    orphans = _processes_in(folder / Place(shop.url, "").folder_name)
    for pid in orphans:
        os.kill(pid, signal.SIGKILL)

    assert orphans
    assert await eventually(lambda: _heals(shop, tools)) == shop.head


async def _heals(shop: Repository, tools: Tools) -> str:
    try:
        return await fetched(shop, tools)
    except GitError:
        return ""


async def test_a_git_that_is_killed_from_outside_is_a_failure_and_heals(
    shop: Repository, tools: Tools, git_server: GitServer
) -> None:
    hanging = asyncio.Event()

    async def hangs(request: web.Request) -> web.StreamResponse:
        hanging.set()
        await asyncio.Event().wait()
        raise AssertionError

    target = await target_of(shop)
    git_server.fault = hangs
    async with opened(tools, shop) as mirror:

        async def kill() -> None:
            await hanging.wait()
            for pid in _processes_in(mirror.path):
                os.kill(pid, signal.SIGKILL)

        async with asyncio.TaskGroup() as group:
            group.create_task(kill())
            with pytest.raises(GitError, match="git fetch"):
                await mirror.fetch(Remote(shop.url), target)
    git_server.fault = None

    assert await fetched(shop, tools) == shop.head


async def test_credentials_reach_the_server_and_no_argument(
    git_server: GitServer, tools: Tools
) -> None:
    login = Basic("git", "canary-in-argv")
    private = await git_server.repository("p", {"a": "b"}, authorization=login.authorization)
    remote = Remote(private.url, HttpCredentials(login))
    seen: list[bytes] = []

    async def look(request: web.Request) -> None:
        seen.extend(_command_lines())

    git_server.fault = look
    async with tools.mirrors.opened(Place(private.url, "ns/secret"), SOON) as mirror:
        assert await mirror.fetch(remote, await target_of(private)) == private.head

    assert seen
    assert not [line for line in seen if b"canary" in line or b"Basic" in line]


async def test_mirrors_that_nobody_opens_are_removed(shop: Repository, tools: Tools) -> None:
    await fetched(shop, tools)
    await tools.mirrors.sweep()
    assert len(list((tools.folder / "mirrors").iterdir())) == 1
    later = Mirrors(
        tools.folder / "mirrors", tools.git, now=lambda: tools.now() + timedelta(days=10_000)
    )

    await later.sweep()

    assert list((tools.folder / "mirrors").iterdir()) == []


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def _command_lines() -> list[bytes]:
    return [path.read_bytes() for path in Path("/proc").glob("[0-9]*/cmdline")]


def _processes_in(folder: Path) -> list[int]:
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if (process / "cwd").readlink() == folder:
                found.append(int(process.name))
        except OSError:
            continue
    return found
