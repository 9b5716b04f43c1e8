"""Deaths, strangers and vandals: what an ArtifactGenerator's artifacts come through."""

import asyncio

import pytest

from penstock.local.git_repository import Repository
from penstock.local.git_server import GitServer
from tests.support.eventually import eventually
from tests.support.generators import (
    BLOG,
    FILES,
    SHOP,
    copy,
    files_of,
    generate,
    generated,
    output,
    seen_by_the_service,
)
from tests.support.holding import held
from tests.support.source_service import SOURCE, SourceService, condition


@pytest.mark.parametrize("dies_at", ["externalartifacts/shop?", "externalartifacts/shop/status?"])
async def test_a_run_that_dies_between_file_and_status_is_finished_by_the_next_process(
    idle_service: SourceService, git_server: GitServer, dies_at: str
) -> None:
    repository = await git_server.repository("fleet", FILES)
    service = idle_service
    await service.apply("GitRepository", "fleet", url=repository.url, ref={"branch": "main"})
    prefix = f"PATCH /apis/{SOURCE}/namespaces/{service.namespace}/"
    service.gate.refuse(prefix + dies_at, 403, 1000, {})
    await generate(service, SHOP)
    async with held(service.running()):
        await service.not_ready("ArtifactGenerator", "parts", "ReconciliationFailed")
    service.gate.rules.clear()

    async with held(service.running()):
        await generated(service)

        assert set(await files_of(service, "shop")) == {"deploy.yaml", "values.yaml"}


async def test_what_a_dead_run_left_and_nobody_wants_any_more_is_removed(
    idle_service: SourceService, git_server: GitServer
) -> None:
    repository = await git_server.repository("fleet", FILES)
    service = idle_service
    await service.apply("GitRepository", "fleet", url=repository.url, ref={"branch": "main"})
    prefix = f"PATCH /apis/{SOURCE}/namespaces/{service.namespace}/externalartifacts/"
    service.gate.refuse(prefix, 403, 1000, {})
    await generate(service, SHOP)
    async with held(service.running()):
        await service.not_ready("ArtifactGenerator", "parts", "ReconciliationFailed")
    service.gate.rules.clear()
    folder = service.storage / "externalartifact" / service.namespace
    assert [each.name for each in folder.iterdir()] == ["shop"]

    await generate(service, BLOG)
    async with held(service.running()):
        await generated(service)

        assert [each.name for each in folder.iterdir()] == ["blog"]


async def test_after_a_restart_nothing_is_made_again(
    idle_service: SourceService, git_server: GitServer
) -> None:
    repository = await git_server.repository("fleet", FILES)
    service = idle_service
    await service.apply("GitRepository", "fleet", url=repository.url, ref={"branch": "main"})
    async with held(service.running()):
        await generate(service, SHOP)
        await generated(service)
    before = await service.read("ExternalArtifact", "shop")

    async with held(service.running()):
        await service.request("ArtifactGenerator", "parts", "1")
        await generated(service)
        await service.request("ArtifactGenerator", "parts", "2")

        after = await service.read("ExternalArtifact", "shop")
        assert after["status"]["artifact"]["digest"] == before["status"]["artifact"]["digest"]
        when = "lastUpdateTime"
        assert after["status"]["artifact"][when] == before["status"]["artifact"][when]


@pytest.mark.parametrize("damage", ["lost", "corrupt"])
async def test_a_damaged_file_is_made_again(
    service: SourceService, fleet: Repository, damage: str
) -> None:
    await generate(service, SHOP)
    await generated(service)
    await seen_by_the_service(service, "shop")
    artifact = (await service.read("ExternalArtifact", "shop"))["status"]["artifact"]
    path = service.storage / artifact["path"]
    await asyncio.to_thread(
        {"lost": path.unlink, "corrupt": lambda: path.write_bytes(b"x")}[damage]
    )

    await service.request("ArtifactGenerator", "parts", "1")

    await generated(service)
    assert set(await files_of(service, "shop")) == {"deploy.yaml", "values.yaml"}
    assert "ArtifactVerificationFailed" in [each.reason for each in service.told]


async def test_an_artifact_that_somebody_deletes_returns(
    service: SourceService, fleet: Repository
) -> None:
    await generate(service, SHOP)
    await generated(service)
    await seen_by_the_service(service, "shop")
    before = await service.read("ExternalArtifact", "shop")

    await service.cluster.delete(service.ref("ExternalArtifact", "shop"))

    async def again() -> bool:
        found = await service.cluster.read(service.ref("ExternalArtifact", "shop"))
        if found is None or found["metadata"]["uid"] == before["metadata"]["uid"]:
            return False
        return "artifact" in found.get("status", {})

    await eventually(again)
    await generated(service)


async def test_an_artifact_that_somebody_redirects_is_set_right(
    service: SourceService, fleet: Repository
) -> None:
    await generate(service, SHOP)
    await generated(service)
    await seen_by_the_service(service, "shop")
    right = (await service.read("ExternalArtifact", "shop"))["status"]["artifact"]

    hostile = {"artifact": {"url": "http://hostile.example/x.tar.gz"}}
    ref = service.ref("ExternalArtifact", "shop")
    await service.cluster.merge_patch(ref, {"status": hostile}, subresource="status")

    await service.until("ExternalArtifact", "shop", lambda o: o["status"]["artifact"] == right)
    await generated(service)


async def test_an_object_of_somebody_else_is_not_taken_over(
    service: SourceService, fleet: Repository
) -> None:
    metadata = {"name": "shop", "namespace": service.namespace}
    theirs = {"apiVersion": SOURCE, "kind": "ExternalArtifact", "metadata": metadata, "spec": {}}
    await service.cluster.apply(theirs, manager="vendor")
    assert service.caches is not None
    seen = service.caches.external
    await eventually(lambda: len(seen))

    await generate(service, BLOG, SHOP)

    stored = await service.not_ready("ArtifactGenerator", "parts", "BuildFailed")
    assert condition(stored, "Ready")["message"] == (
        f"ExternalArtifact {service.namespace}/shop belongs to somebody else; "
        "choose another name, or delete it"
    )
    await service.delete("ArtifactGenerator", "parts")
    assert "labels" not in (await service.read("ExternalArtifact", "shop"))["metadata"]
    assert not (service.storage / "externalartifact").exists()


async def test_what_a_forged_inventory_names_is_not_deleted(
    service: SourceService, fleet: Repository
) -> None:
    metadata = {"name": "vendor", "namespace": service.namespace}
    theirs = {"apiVersion": SOURCE, "kind": "ExternalArtifact", "metadata": metadata, "spec": {}}
    await service.cluster.apply(theirs, manager="vendor")
    await generate(service, SHOP)
    await generated(service)
    bystander = service.storage / "gitrepository"
    forged = [
        {"name": name, "namespace": service.namespace, "digest": "", "filename": ""}
        for name in ("shop", "vendor", "..", "../../gitrepository", "")
    ]
    await service.cluster.merge_patch(
        service.ref("ArtifactGenerator", "parts"),
        {"status": {"inventory": forged}},
        subresource="status",
    )

    await service.delete("ArtifactGenerator", "parts")

    assert await service.cluster.read(service.ref("ExternalArtifact", "shop")) is None
    assert await service.cluster.read(service.ref("ExternalArtifact", "vendor")) is not None
    assert await asyncio.to_thread(bystander.is_dir)
    folder = service.storage / "externalartifact" / service.namespace
    assert await asyncio.to_thread(folder.is_dir)


async def test_a_broken_copy_leaves_the_last_artifacts_as_they_are(
    service: SourceService, fleet: Repository
) -> None:
    await generate(service, SHOP, BLOG)
    await generated(service)
    before = [await service.read("ExternalArtifact", name) for name in ("shop", "blog")]

    await generate(service, BLOG, output("shop", copy("@git/nowhere/**", "@artifact/")))

    stored = await service.not_ready("ArtifactGenerator", "parts", "BuildFailed")
    assert condition(stored, "Ready")["message"] == (
        "shop: spec.artifacts[1].copy[0].from: nothing in the source matches '@git/nowhere/**'"
    )
    after = [await service.read("ExternalArtifact", name) for name in ("shop", "blog")]
    assert after == before


DISABLED = {"source.extensions.fluxcd.io/reconcile": "Disabled"}


async def test_a_disabled_generator_stands_still_until_it_is_enabled(
    service: SourceService, fleet: Repository
) -> None:
    await generate(service, SHOP, annotations=DISABLED)
    await service.request("ArtifactGenerator", "parts", "1")
    assert await service.cluster.read(service.ref("ExternalArtifact", "shop")) is None
    told = [each[1:3] for each in service.told if each.name == "parts"]
    assert told == [("trace", "ReconciliationDisabled")] * 2

    note = {"metadata": {"annotations": dict.fromkeys(DISABLED)}}
    await service.cluster.merge_patch(service.ref("ArtifactGenerator", "parts"), note)

    await generated(service)
    assert set(await files_of(service, "shop")) == {"deploy.yaml", "values.yaml"}


async def test_a_disabled_generator_can_be_deleted(
    service: SourceService, fleet: Repository
) -> None:
    await generate(service, SHOP)
    await generated(service)
    await generate(service, SHOP, annotations=DISABLED)

    await service.delete("ArtifactGenerator", "parts")

    assert await service.cluster.read(service.ref("ExternalArtifact", "shop")) is None
