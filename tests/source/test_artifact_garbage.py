"""What is told of artifacts that are out of date, and of what cannot be removed."""

import os
from pathlib import Path

import pytest

from penstock.local.git_repository import Repository
from penstock.local.git_server import GitServer
from services.source import artifact_folder
from shared.cluster.objects import ObjectRef
from tests.support.eventually import eventually
from tests.support.source_service import SOURCE, SourceService


@pytest.fixture
async def shop(git_server: GitServer) -> Repository:
    return await git_server.repository("shop", {"a.yaml": "a: 1\n"})


def told(service: SourceService) -> list[tuple[str, str, str]]:
    return [
        (each.severity, each.reason, each.message)
        for each in service.told
        if each.reason.startswith("GarbageCollection")
    ]


async def with_rubbish(service: SourceService, shop: Repository) -> Path:
    """A source with an artifact and two files that nobody needs."""
    await service.apply("GitRepository", "shop", url=shop.url, ref={"branch": "main"})
    await service.ready("GitRepository", "shop")
    folder = service.storage / "gitrepository" / service.namespace / "shop"
    for name in ("old.tar.gz", "older.tar.gz"):
        (folder / name).write_bytes(b"x")
        (folder / f"{name}.lock").write_bytes(b"")  # Flux's
        os.utime(folder / name, (0, 0))
    return folder


async def test_what_was_collected_is_told_as_flux_tells_it(
    service: SourceService, shop: Repository
) -> None:
    folder = await with_rubbish(service, shop)

    await service.request("GitRepository", "shop", "again")

    assert {path.name for path in folder.glob("[!.]*")} == {f"{shop.head}.tar.gz"}
    assert told(service) == [
        ("trace", "GarbageCollectionSucceeded", "garbage collected 2 artifacts")
    ]


async def test_the_end_of_a_source_is_told_too(service: SourceService, shop: Repository) -> None:
    folder = await with_rubbish(service, shop)

    await service.delete("GitRepository", "shop")

    assert not folder.exists()
    text = "garbage collected artifacts for deleted resource"
    assert told(service) == [("trace", "GarbageCollectionSucceeded", text)]


async def test_rubbish_that_stays_keeps_nothing_new_from_being_served(
    service: SourceService, shop: Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    await with_rubbish(service, shop)

    def refuse(path: Path) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(artifact_folder, "discard", refuse)
    await shop.commit("more", {"b.yaml": "b: 1\n"})
    await service.request("GitRepository", "shop", "again")

    stored = await service.ready("GitRepository", "shop", f"main@sha1:{shop.head}")
    assert set(await service.files(stored)) == {"a.yaml", "b.yaml"}
    text = "garbage collection failed: failed to collect garbage: Input/output error"
    assert told(service) == [("error", "GarbageCollectionFailed", text)]


async def test_a_folder_that_cannot_be_removed_keeps_its_owner_until_it_can(
    service: SourceService, shop: Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = await with_rubbish(service, shop)
    refused: list[Path] = []

    def refuse(path: Path) -> bool:
        refused.append(path)
        raise OSError(5, "Input/output error")

    with monkeypatch.context() as patched:
        patched.setattr(artifact_folder, "remove", refuse)
        await service.cluster.delete(ObjectRef(SOURCE, "GitRepository", service.namespace, "shop"))
        await eventually(lambda: refused)
        assert await service.read("GitRepository", "shop")

    await service.delete("GitRepository", "shop")
    assert not folder.exists()
