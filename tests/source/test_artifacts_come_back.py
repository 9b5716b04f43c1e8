"""What is lost on the disk is there again: from the object store, or made again from upstream."""

import json
import os
import shutil
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from datetime import timedelta
from pathlib import Path

import aiohttp
import pytest

from penstock.local.git_repository import Repository
from penstock.local.git_server import GitServer
from services.source.artifact_folder import stored_index
from shared.bus import Bus
from shared.cluster.objects import Manifest
from shared.digests import digest_of
from shared.object_store import ObjectStore
from shared.subjects import ARTIFACT_BLOBS, ARTIFACTS
from tests.source.conftest import git_in
from tests.support.eventually import eventually
from tests.support.holding import held
from tests.support.nats_process import NatsProcess, running_nats
from tests.support.source_service import SourceService, condition

PATHS = ("a.yaml", "b/c.yaml")


@pytest.fixture
async def nats(tmp_path: Path) -> AsyncIterator[NatsProcess]:
    async with running_nats(tmp_path) as server:
        yield server


@pytest.fixture
async def objects(nats: NatsProcess) -> AsyncIterator[ObjectStore]:
    async with Bus.connect(nats.url, service="helm") as bus:
        await bus.connected()
        yield bus.objects(ARTIFACT_BLOBS)


@pytest.fixture
async def shop(git_server: GitServer) -> Repository:
    return await git_server.repository("shop", dict.fromkeys(PATHS, "a: 1\n"))


async def ready_shop(service: SourceService, shop: Repository) -> Manifest:
    await service.apply("GitRepository", "shop", url=shop.url, ref={"branch": "main"})
    return await service.ready("GitRepository", "shop", f"main@sha1:{shop.head}")


async def served(service: SourceService, stored: Manifest) -> bytes | None:
    url = f"http://{service.address}/{stored['status']['artifact']['path']}"
    async with aiohttp.ClientSession() as session, session.get(url) as answer:
        return await answer.read() if answer.status == 200 else None


def file_of(service: SourceService, stored: Manifest) -> Path:
    return service.storage / str(stored["status"]["artifact"]["path"])


async def copied(objects: ObjectStore, digest: str) -> bool:
    with suppress(Exception):
        return await objects.find(digest) is not None
    return False


async def test_an_emptied_disk_serves_the_same_bytes_without_upstream(
    idle_service: SourceService,
    shop: Repository,
    git_server: GitServer,
    nats: NatsProcess,
    objects: ObjectStore,
) -> None:
    idle_service.nats_url = nats.url
    async with held(idle_service.running()):
        before = await ready_shop(idle_service, shop)
        content = await served(idle_service, before)
        await eventually(lambda: copied(objects, before["status"]["artifact"]["digest"]))
    shutil.rmtree(idle_service.storage)
    await git_server.__aexit__(None, None, None)

    async with held(idle_service.running()):
        after = await idle_service.not_ready("GitRepository", "shop", "GitOperationFailed")

        assert await served(idle_service, after) == content
        url = f"http://{idle_service.address}/{before['status']['artifact']['path']}"
        assert after["status"]["artifact"] == {**before["status"]["artifact"], "url": url}
        assert condition(after, "ArtifactInStorage")["status"] == "True"


async def test_a_restored_artifact_is_not_fetched_again(
    idle_service: SourceService,
    shop: Repository,
    git_server: GitServer,
    nats: NatsProcess,
    objects: ObjectStore,
) -> None:
    idle_service.nats_url = nats.url
    async with held(idle_service.running()):
        before = await ready_shop(idle_service, shop)
        await eventually(lambda: copied(objects, before["status"]["artifact"]["digest"]))
    shutil.rmtree(idle_service.storage)
    shutil.rmtree(idle_service.folder / "mirrors")
    git_server.requests.clear()

    async with held(idle_service.running()):
        await eventually(lambda: served(idle_service, before))
        await idle_service.request("GitRepository", "shop", "again")

        assert not (idle_service.folder / "mirrors").exists()
        about = idle_service.storage / "gitrepository" / idle_service.namespace / "shop"
        assert [path.name for path in about.glob(".paths-*")] == [f".paths-{shop.head}.tar.gz"]


async def test_a_blob_that_was_tampered_with_is_not_taken(
    idle_service: SourceService, shop: Repository, nats: NatsProcess, objects: ObjectStore
) -> None:
    idle_service.nats_url = nats.url
    async with held(idle_service.running()):
        before = await ready_shop(idle_service, shop)
        digest = before["status"]["artifact"]["digest"]
        await eventually(lambda: copied(objects, digest))
    await objects.put(digest, [b"not what it was"], {})
    shutil.rmtree(idle_service.storage)

    async with held(idle_service.running()):
        content = await eventually(lambda: served(idle_service, before))

        assert content != b"not what it was"


async def test_the_path_index_is_in_the_store_and_names_gits_own_objects(
    idle_service: SourceService, shop: Repository, nats: NatsProcess, objects: ObjectStore
) -> None:
    idle_service.nats_url = nats.url
    async with held(idle_service.running()):
        stored = await ready_shop(idle_service, shop)
        await eventually(lambda: copied(objects, stored["status"]["artifact"]["digest"]))
        blob = await objects.find(stored["status"]["artifact"]["digest"])
        assert blob is not None
        index = await objects.find(blob.metadata["path-index"])
        assert index is not None

        content = b"".join([piece async for piece in objects.read(index)])

    blobs = [(await git_in(shop, "rev-parse", f"main:{path}")).decode() for path in PATHS]
    told = {path: f"sha1:{blob}" for path, blob in zip(PATHS, blobs, strict=True)}
    assert json.loads(content) == {"paths": told}


async def test_a_new_artifact_is_announced_with_its_path_index(
    idle_service: SourceService, shop: Repository, nats: NatsProcess
) -> None:
    idle_service.nats_url = nats.url
    heard: list[str] = []
    async with Bus.connect(nats.url, service="helm") as bus, held(idle_service.running()):
        await bus.connected()
        bus.hints(ARTIFACTS, [ARTIFACTS.subjects], lambda told: heard.append(told.body.path_index))
        assert idle_service.bus is not None
        await idle_service.bus.connected()
        stored = await ready_shop(idle_service, shop)
        await eventually(lambda: heard)

    index = stored_index(file_of(idle_service, stored))
    assert index is not None
    assert heard == [digest_of(index)]


async def test_what_no_status_names_any_more_leaves_the_store(
    idle_service: SourceService, shop: Repository, nats: NatsProcess, objects: ObjectStore
) -> None:
    idle_service.nats_url = nats.url
    async with held(idle_service.running()):
        copies = idle_service.copies
        assert copies is not None
        first = (await ready_shop(idle_service, shop))["status"]["artifact"]["digest"]
        await eventually(lambda: copied(objects, first))
        await shop.commit("more", {"d.yaml": "d: 1\n"})
        stored = await idle_service.request("GitRepository", "shop", "again")
        second = stored["status"]["artifact"]["digest"]

        await eventually(lambda: copied(objects, second))
        assert await copied(objects, first)  # for a grace time
        copies.grace = timedelta()
        await copies.bring_up_to_date()

        assert not await copied(objects, first)
        await idle_service.delete("GitRepository", "shop")
        await copies.bring_up_to_date()
        assert await objects.find(second) is None


async def test_nothing_waits_for_nats(
    idle_service: SourceService, shop: Repository, nats: NatsProcess, objects: ObjectStore
) -> None:
    idle_service.nats_url = nats.url
    nats.kill()
    async with held(idle_service.running()):
        stored = await ready_shop(idle_service, shop)
        assert await served(idle_service, stored)

        await nats.start()

        async def there() -> bool:
            async with Bus.connect(nats.url, service="helm") as bus:
                await bus.connected()
                return await copied(
                    bus.objects(ARTIFACT_BLOBS), stored["status"]["artifact"]["digest"]
                )

        await eventually(there, within=20)


DAMAGE: dict[str, Callable[[Path], object]] = {
    "a flipped bit": lambda path: path.write_bytes(path.read_bytes()[:-1] + b"!"),
    "a missing end": lambda path: os.truncate(path, 100),
    "a file that is gone": lambda path: path.unlink(),
    "everything gone": lambda path: shutil.rmtree(path.parents[3] / "gitrepository"),
}


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE)
async def test_damage_is_found_by_the_patrol_and_repaired_from_upstream(
    service: SourceService, shop: Repository, damage: Callable[[Path], object]
) -> None:
    before = await ready_shop(service, shop)
    content = await served(service, before)
    damage(file_of(service, before))
    assert service.keeping is not None

    await service.keeping.patrol.look()

    assert await eventually(lambda: served(service, before)) == content
    stored = await service.ready("GitRepository", "shop", f"main@sha1:{shop.head}")
    assert stored["status"]["artifact"]["digest"] == before["status"]["artifact"]["digest"]


async def test_who_asks_for_a_damaged_file_has_it_repaired(
    service: SourceService, shop: Repository
) -> None:
    before = await ready_shop(service, shop)
    content = await served(service, before)
    file_of(service, before).write_bytes(b"x")

    assert await served(service, before) is None
    assert await eventually(lambda: served(service, before)) == content
    assert "ArtifactVerificationFailed" in [told.reason for told in service.told]


async def test_a_patrol_that_finds_nothing_wrong_asks_for_nothing(
    service: SourceService, shop: Repository, git_server: GitServer
) -> None:
    await ready_shop(service, shop)
    assert service.keeping is not None
    git_server.requests.clear()
    service.gate.seen.clear()

    for _ in range(3):
        await service.keeping.patrol.look()
    await service.keeping.patrol.sweep()

    assert (git_server.requests, service.requests()) == ([], [])


async def test_the_folder_of_an_owner_that_is_no_more_is_swept(
    service: SourceService, shop: Repository
) -> None:
    stored = await ready_shop(service, shop)
    lost = service.storage / "gitrepository" / service.namespace / "gone"
    fresh = lost.with_name("fresh")
    strange = service.storage / "somebody" / "elses" / "folder"
    for folder in (lost, fresh, strange):
        folder.mkdir(parents=True)
        (folder / "x.tar.gz").write_bytes(b"x")
    for folder in (lost, strange, file_of(service, stored).parent):
        os.utime(folder, (0, 0))
    assert service.keeping is not None

    await service.keeping.patrol.sweep()

    assert not lost.exists()
    assert fresh.exists()
    assert strange.exists()
    assert await served(service, stored)
