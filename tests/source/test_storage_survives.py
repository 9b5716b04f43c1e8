"""A process that dies while it stores, and a disk that is full: nothing half is ever served."""

import asyncio
import errno
import os
import random
import resource
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from penstock.local.git_server import GitServer
from services.source.endings import DISK_AGAIN, DiskFailed
from services.source.file_server import _opened
from services.source.storage import Integrity, Owner, Storage
from shared.digests import digest_of
from shared.resources.meta import Artifact
from shared.verdict import verdict
from tests.support.dying_writer import NEW, SHOP
from tests.support.service_process import CHECKOUT
from tests.support.source_service import SourceService, condition

MOST_STEPS = 60


def as_artifact(name: str, digest: str) -> Artifact:
    path = "/".join((*SHOP, name))
    return Artifact(digest=digest, path=path, url="", revision="r", last_update_time="t")


async def writer(folder: Path, step: str) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.support.dying_writer", folder, step), cwd=CHECKOUT
    )


def served(storage: Storage) -> dict[str, bytes]:
    """Every file that is there under a name, as the file server would send it."""
    found = {}
    for path in storage.folder.joinpath(*SHOP).glob("[!.]*"):
        opened = _opened(storage, f"/{path.relative_to(storage.folder)}")
        if opened is not None and not isinstance(opened, Owner):
            with opened.file as file:
                file.seek(0)
                found[path.name] = file.read()
    return found


def partial_files(folder: Path) -> list[Path]:
    return list(folder.rglob(".partial-*"))


@pytest.mark.timeout(120)
async def test_a_kill_at_any_step_leaves_the_old_file_and_the_new_one_whole_or_absent(
    tmp_path: Path,
) -> None:
    async def killed_at(step: int) -> set[str] | None:
        """Which files were there afterwards; None once it was too late for the kill."""
        folder = tmp_path / str(step)
        old = await Storage(folder, "source").write_bytes(SHOP, "old.tar.gz", b"old")
        status = await (await writer(folder, str(step))).wait()

        storage = Storage(folder, "source")
        found = served(storage)
        assert found.pop("latest.tar.gz", NEW) == NEW
        assert found in ({"old.tar.gz": b"old"}, {"old.tar.gz": b"old", "new.tar.gz": NEW})
        assert await storage.check(SHOP, as_artifact("old.tar.gz", old.digest)) is Integrity.GOOD
        await storage.collect(SHOP, keep=old.path)
        assert partial_files(folder) == []
        await storage.write_bytes(SHOP, "new.tar.gz", b"again")
        assert served(storage)["new.tar.gz"] == b"again"
        return set(found) if status == -signal.SIGKILL else None

    results: list[set[str] | None] = []
    for start in range(0, MOST_STEPS, 3):
        results += await asyncio.gather(*(killed_at(start + n) for n in range(3)))
        if None in results:
            break

    ends = [result for result in results if result is not None]
    assert len(ends) > 8
    assert ends[0] == {"old.tar.gz"}
    assert ends[-1] == {"old.tar.gz", "new.tar.gz"}


async def served_at(url: str) -> bytes:
    async with aiohttp.ClientSession() as session, session.get(url) as answer:
        assert answer.status == 200
        return await answer.read()


@contextmanager
def largest_file(size: int) -> Iterator[None]:
    """What the kernel does at a quota."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@contextmanager
def failing(name: str, number: int) -> Iterator[None]:
    """A system call that the disk refuses."""
    original = getattr(os, name)

    def refuse(*arguments: Any, **named: Any) -> Any:
        raise OSError(number, os.strerror(number))

    setattr(os, name, refuse)
    try:
        yield
    finally:
        setattr(os, name, original)


TROUBLES = {
    "no space while writing": lambda: largest_file(1000),
    "no space at fsync": lambda: failing("fsync", errno.ENOSPC),
    "a disk error at fsync": lambda: failing("fsync", errno.EIO),
    "no space at rename": lambda: failing("replace", errno.ENOSPC),
    "a read-only disk": lambda: failing("replace", errno.EROFS),
}


@pytest.mark.parametrize("trouble", TROUBLES.values(), ids=TROUBLES)
async def test_a_disk_that_refuses_leaves_the_last_artifact_as_it_was(
    tmp_path: Path, trouble: Any
) -> None:
    storage = Storage(tmp_path, "source")
    await storage.write_bytes(SHOP, "old.tar.gz", b"old")

    with trouble(), pytest.raises(DiskFailed, match=r"failed to store the artifact new\.tar\.gz"):
        await storage.write_bytes(SHOP, "new.tar.gz", NEW)

    assert served(storage) == {"old.tar.gz": b"old"}
    assert partial_files(tmp_path) == []
    await storage.write_bytes(SHOP, "new.tar.gz", NEW)
    assert served(storage) == {"old.tar.gz": b"old", "new.tar.gz": NEW}


def test_however_long_the_disk_was_full_it_is_tried_again_within_half_a_minute() -> None:
    for failures in (1, 5, 50):
        due = verdict(DiskFailed("full", reason="x"), None, failures).next_look
        assert due is not None
        assert due <= DISK_AGAIN


async def test_a_full_disk_is_told_and_the_source_recovers_by_itself(
    service: SourceService, git_server: GitServer
) -> None:
    shop = await git_server.repository("shop", {"a.yaml": "a: 1\n"})
    await service.apply("GitRepository", "shop", url=shop.url, ref={"branch": "main"})
    before = await service.ready("GitRepository", "shop")
    await shop.commit("more", {"b.yaml": "b: 1\n"})

    with failing("replace", errno.ENOSPC):
        await service.apply("GitRepository", "shop", url=shop.url, ref={"name": "refs/heads/main"})
        stored = await service.not_ready("GitRepository", "shop", "ArchiveOperationFailed")
        still = await served_at(stored["status"]["artifact"]["url"])

    assert digest_of(still) == before["status"]["artifact"]["digest"]
    failed = condition(stored, "StorageOperationFailed")
    assert failed["status"] == "True"
    assert "No space left on device" in failed["message"]
    assert stored["status"]["artifact"] == before["status"]["artifact"]
    after = await service.ready("GitRepository", "shop", f"refs/heads/main@sha1:{shop.head}")
    assert condition(after, "StorageOperationFailed") == {}
    assert set(await service.files(after)) == {"a.yaml", "b.yaml"}


@pytest.mark.soak
@pytest.mark.timeout(400)
async def test_two_hundred_kills_at_any_moment(tmp_path: Path) -> None:
    for _ in range(200):
        process = await writer(tmp_path, "for-ever")
        await asyncio.sleep(0.3 + random.random() / 2)
        process.kill()
        await process.wait()

        for name, content in served(Storage(tmp_path, "source")).items():
            if name != "latest.tar.gz":
                size = int(name.partition(".")[0])
                assert content == size.to_bytes(4, "big") * (size // 4 + 1)
