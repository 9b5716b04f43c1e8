"""Where ArtifactGenerators take from: all kinds of sources, other namespaces, other publishers."""

import asyncio
from typing import Any

from penstock.local.git_repository import Repository
from penstock.local.git_server import GitServer
from services.source.means import Caches
from shared.cluster.client import Cluster
from shared.cluster.watch_cache import watch_kind
from shared.resources.source import GitRepository
from tests.source.test_artifact_generator_globs import targz
from tests.support.artifacts import ArtifactServer
from tests.support.generators import (
    GIT,
    SHOP,
    copy,
    files_of,
    generate,
    generated,
    output,
)
from tests.support.holding import held
from tests.support.source_service import SOURCE, SourceService, a_source, condition

VENDOR = {"alias": "vendor", "kind": "ExternalArtifact", "name": "vendor"}


async def publish(service: SourceService, artifact: dict[str, Any]) -> None:
    """As a controller of somebody else would."""
    metadata = {"name": "vendor", "namespace": service.namespace}
    manifest = {"apiVersion": SOURCE, "kind": "ExternalArtifact", "metadata": metadata, "spec": {}}
    await service.cluster.apply(manifest, manager="vendor")
    await service.cluster.merge_patch(
        service.ref("ExternalArtifact", "vendor"),
        {"status": {"artifact": artifact}},
        subresource="status",
    )


async def test_a_source_that_is_not_there_is_waited_for(
    service: SourceService, git_server: GitServer
) -> None:
    await generate(service, SHOP)
    stored = await service.not_ready("ArtifactGenerator", "parts", "SourceFetchFailed")
    message = f"source 'GitRepository/{service.namespace}/fleet' not found"
    assert condition(stored, "Ready")["message"] == message

    repository = await git_server.repository("fleet", {"apps/shop/a.yaml": "a: 1\n"})
    await service.apply("GitRepository", "fleet", url=repository.url, ref={"branch": "main"})

    await generated(service)
    assert await files_of(service, "shop") == {"a.yaml": b"a: 1\n"}


async def test_what_others_publish_is_downloaded_and_followed(
    service: SourceService, fleet: Repository
) -> None:
    async with held(ArtifactServer.running()) as server:
        await publish(service, server.publish("1.tar.gz", targz({"x": b"1"}), "v1"))
        mixed = output(
            *("mixed", copy("@vendor/**", "@artifact/"), copy("@git/README.md", "@artifact/")),
            revision="@vendor",
            originRevision="@git",
        )
        await generate(service, mixed, sources=[VENDOR, GIT])
        await generated(service)
        first = (await service.read("ExternalArtifact", "mixed"))["status"]["artifact"]
        assert first["revision"] == "v1"
        assert first["metadata"] == {"org.opencontainers.image.revision": f"main@sha1:{fleet.head}"}

        await publish(service, server.publish("2.tar.gz", targz({"x": b"2"}), "v2"))

        await service.until(
            *("ExternalArtifact", "mixed"),
            lambda o: o["status"]["artifact"]["revision"] == "v2",
        )
    assert await files_of(service, "mixed") == {"README.md": b"read me\n", "x": b"2"}


async def test_what_does_not_match_its_digest_is_not_used(
    service: SourceService, fleet: Repository
) -> None:
    async with held(ArtifactServer.running()) as server:
        content = targz({"x": b"1"})
        artifact = server.publish("1.tar.gz", content, "v1")
        server.publish("1.tar.gz", content[:-1] + b"!", "v1")
        await publish(service, artifact)
        await generate(service, output("x", copy("@vendor/x", "@artifact/")), sources=[VENDOR])

        stored = await service.not_ready("ArtifactGenerator", "parts", "SourceFetchFailed")

    assert "failed to verify" in condition(stored, "Ready")["message"]
    assert await service.cluster.read(service.ref("ExternalArtifact", "x")) is None


async def test_a_stored_file_that_is_not_what_its_source_says_is_not_used(
    service: SourceService, fleet: Repository
) -> None:
    artifact = (await service.read("GitRepository", "fleet"))["status"]["artifact"]
    path = service.storage / artifact["path"]
    await asyncio.to_thread(path.write_bytes, targz({"apps/shop/x.yaml": b"hostile"}))

    await generate(service, SHOP)

    stored = await service.not_ready("ArtifactGenerator", "parts", "SourceFetchFailed")
    message = (
        f"the file of source 'GitRepository/{service.namespace}/fleet' is gone; it will return"
    )
    assert condition(stored, "Ready")["message"] == message
    await service.request("GitRepository", "fleet", "1")
    await service.request("ArtifactGenerator", "parts", "1")
    await generated(service)


async def test_a_chart_is_a_source(service: SourceService, fleet: Repository) -> None:
    chart = {"charts/c/Chart.yaml": "apiVersion: v2\nname: c\nversion: 1.0.0\n"}
    await fleet.commit("chart", chart | {"charts/c/templates/a.yaml": "a: 1\n"})
    await service.request("GitRepository", "fleet", "1")
    await service.apply(
        *("HelmChart", "c"), chart="charts/c", sourceRef=a_source("GitRepository", "fleet")
    )
    sources = [{"alias": "chart", "kind": "HelmChart", "name": "c"}]
    parts = output("parts", copy("@chart/c/templates", "@artifact/"), revision="@chart")

    await generate(service, parts, sources=sources)

    await generated(service)
    assert await files_of(service, "parts") == {"templates/a.yaml": b"a: 1\n"}
    external = await service.read("ExternalArtifact", "parts")
    assert external["status"]["artifact"]["revision"] == "1.0.0"


async def another_namespace(service: SourceService, git_server: GitServer) -> dict[str, str]:
    """With a GitRepository in it, which the service will watch there."""
    other = f"{service.namespace}-other"
    metadata = {"name": other}
    await service.cluster.create({"apiVersion": "v1", "kind": "Namespace", "metadata": metadata})
    repository = await git_server.repository("fleet", {"apps/shop/a.yaml": "a: 1\n"})
    manifest = {
        "apiVersion": SOURCE,
        "kind": "GitRepository",
        "metadata": {"name": "fleet", "namespace": other},
        "spec": {"interval": "1h", "url": repository.url, "ref": {"branch": "main"}},
    }
    await service.cluster.apply(manifest, manager="team")

    def watching(cluster: Cluster, namespace: str) -> Caches:
        return Caches.of(cluster, namespace)._replace(git=watch_kind(cluster, GitRepository, other))

    service.watching = watching
    return GIT | {"namespace": other}


async def test_a_source_may_be_in_another_namespace(
    idle_service: SourceService, git_server: GitServer
) -> None:
    there = await another_namespace(idle_service, git_server)
    async with held(idle_service.running()):
        await generate(idle_service, SHOP, sources=[there])

        await generated(idle_service)

        assert await files_of(idle_service, "shop") == {"a.yaml": b"a: 1\n"}
        await idle_service.delete("ArtifactGenerator", "parts")


async def test_a_source_in_another_namespace_can_be_forbidden(
    idle_service: SourceService, git_server: GitServer
) -> None:
    there = await another_namespace(idle_service, git_server)
    idle_service.cross_namespace = False
    async with held(idle_service.running()):
        await generate(idle_service, SHOP, sources=[there])

        stored = await idle_service.not_ready("ArtifactGenerator", "parts", "AccessDenied")

    assert condition(stored, "Stalled")["message"] == (
        f"can't access 'GitRepository/{there['namespace']}/fleet', "
        "cross-namespace references have been blocked"
    )


async def test_an_artifact_of_one_generator_is_a_source_of_another(
    service: SourceService, fleet: Repository
) -> None:
    await generate(service, SHOP)
    mine = {"alias": "shop", "kind": "ExternalArtifact", "name": "shop"}
    onwards = output("values", copy("@shop/values.yaml", "@artifact/"))
    await generate(service, onwards, name="onwards", sources=[mine])
    await generated(service, "onwards")
    head = await fleet.commit("values", {"apps/shop/values.yaml": "replicas: 9\n"})
    await service.request("GitRepository", "fleet", head)

    old = (await service.read("ExternalArtifact", "values"))["status"]["artifact"]["digest"]
    await service.until(
        "ExternalArtifact", "values", lambda o: o["status"]["artifact"]["digest"] != old
    )
    assert await files_of(service, "values") == {"values.yaml": b"replicas: 9\n"}


async def test_a_generator_does_not_feed_on_itself(
    service: SourceService, fleet: Repository
) -> None:
    await generate(service, SHOP)
    await generated(service)
    mine = {"alias": "shop", "kind": "ExternalArtifact", "name": "shop"}

    await generate(service, output("shop", copy("@shop/**", "@artifact/x/")), sources=[mine])

    stored = await service.not_ready("ArtifactGenerator", "parts", "ValidationFailed")
    message = "spec.sources: @shop is one of the artifacts to be made"
    assert condition(stored, "Stalled")["message"] == message
