"""ArtifactGenerators on a real API server: what comes out, and what a change costs."""

from penstock.local.git_repository import Repository
from shared.resources.meta import NamespacedName
from tests.support.eventually import eventually
from tests.support.generators import (
    BLOG,
    EXTENSIONS,
    SHOP,
    copy,
    files_of,
    generate,
    generated,
    output,
    runs_of_generators,
    seen_by_the_service,
)
from tests.support.source_service import SourceService, condition


async def test_parts_of_a_repository_become_artifacts(
    service: SourceService, fleet: Repository
) -> None:
    merge = copy("@git/env/values.yaml", "@artifact/values.yaml", strategy="Merge")
    shop = output(
        "shop",
        copy("@git/apps/shop/**", "@artifact/", exclude=["deploy.*"]),
        merge,
        originRevision="@git",
    )
    await generate(service, shop, output("docs", copy("@git/README.md", "@artifact/docs/")))

    stored = await generated(service)

    assert condition(stored, "Ready")["message"] == (
        "reconciliation succeeded, generated 2 artifact(s)"
    )
    assert "observedGeneration" not in stored["status"]
    assert await files_of(service, "docs") == {"docs/README.md": b"read me\n"}
    assert await files_of(service, "shop") == {"values.yaml": b"image: shop\nreplicas: 3\n"}
    external = await service.read("ExternalArtifact", "shop")
    artifact = external["status"]["artifact"]
    assert artifact["revision"] == f"latest@{artifact['digest']}"
    assert artifact["metadata"] == {"org.opencontainers.image.revision": f"main@sha1:{fleet.head}"}
    docs, entry = stored["status"]["inventory"]
    assert (docs["name"], entry["name"]) == ("docs", "shop")
    assert entry["digest"] == artifact["digest"]
    assert artifact["path"] == f"externalartifact/{service.namespace}/shop/{entry['filename']}"
    assert entry["filename"].removesuffix(".tar.gz").isdigit()


async def test_the_objects_name_their_generator_and_are_ready(
    service: SourceService, fleet: Repository
) -> None:
    common = {"labels": {"team": "a"}, "annotations": {"note": "n"}}
    await generate(service, SHOP, commonMetadata=common)
    stored = await generated(service)

    external = await service.read("ExternalArtifact", "shop")

    assert external["metadata"]["labels"] == {
        "team": "a",
        "app.kubernetes.io/managed-by": "source-watcher",
        "source.extensions.fluxcd.io/generator": stored["metadata"]["uid"],
    }
    assert external["metadata"]["annotations"] == {"note": "n"}
    assert external["spec"]["sourceRef"] == {
        "apiVersion": EXTENSIONS,
        "kind": "ArtifactGenerator",
        "name": "parts",
        "namespace": service.namespace,
    }
    ready = condition(external, "Ready")
    assert (ready["status"], ready["reason"]) == ("True", "Succeeded")
    assert ready["message"] == "Artifact is ready"
    managers = {each["manager"] for each in external["metadata"]["managedFields"]}
    assert managers == {"source-watcher"}
    assert stored["metadata"]["finalizers"] == ["source.extensions.fluxcd.io/finalizer"]
    (told,) = [each for each in service.told if each.name == "parts"]
    digest = external["status"]["artifact"]["digest"]
    assert told[1:4] == (
        *("info", "Succeeded"),
        f"external artifacts reconciled:\n{service.namespace}/shop ({digest})",
    )


async def test_a_commit_makes_new_only_what_it_touches(
    service: SourceService, fleet: Repository
) -> None:
    await generate(service, SHOP, BLOG)
    await generated(service)
    shop, blog = [await service.read("ExternalArtifact", name) for name in ("shop", "blog")]
    requests_about_shop = [line for line in service.requests() if "/shop" in line]

    await fleet.commit("blog", {"apps/blog/deploy.yaml": "kind: Deployment\nname: new\n"})
    await service.request("GitRepository", "fleet", "1")

    old = blog["status"]["artifact"]["digest"]
    await service.until(
        "ExternalArtifact", "blog", lambda o: o["status"]["artifact"]["digest"] != old
    )
    await generated(service)
    assert await service.read("ExternalArtifact", "shop") == shop
    assert [line for line in service.requests() if "/shop" in line] == requests_about_shop


async def test_a_commit_that_touches_nothing_of_it_costs_one_request(
    service: SourceService, fleet: Repository
) -> None:
    await generate(service, SHOP, BLOG)
    before = await generated(service)
    requests = [line for line in service.requests() if "/parts" in line or "externalart" in line]

    await fleet.commit("elsewhere", {"README.md": "more\n"})
    await service.request("GitRepository", "fleet", "1")

    seen = "observedSourcesDigest"
    after = await service.until(
        "ArtifactGenerator", "parts", lambda o: o["status"][seen] != before["status"][seen]
    )
    assert after["status"]["conditions"] == before["status"]["conditions"]
    now = [line for line in service.requests() if "/parts" in line or "externalart" in line]
    assert [line.partition("?")[0].rpartition("/")[2] for line in now[len(requests) :]] == [
        "status"
    ]


async def test_a_revision_may_be_a_sources(service: SourceService, fleet: Repository) -> None:
    await generate(service, output("shop", *SHOP["copy"], revision="@git"))
    await generated(service)
    before = await service.read("ExternalArtifact", "shop")
    assert before["status"]["artifact"]["revision"] == f"main@sha1:{fleet.head}"

    head = await fleet.commit("elsewhere", {"README.md": "more\n"})
    await service.request("GitRepository", "fleet", "1")

    revision = f"main@sha1:{head}"
    after = await service.until(
        *("ExternalArtifact", "shop"),
        lambda o: o["status"]["artifact"]["revision"] == revision,
    )
    assert after["status"]["artifact"]["digest"] == before["status"]["artifact"]["digest"]


async def test_nothing_new_costs_no_request(service: SourceService, fleet: Repository) -> None:
    await generate(service, SHOP, BLOG)
    await generated(service)
    await seen_by_the_service(service, "shop", "blog")
    await service.request("ArtifactGenerator", "parts", "1")
    assert service.keeping is not None
    controller = service.keeping.controllers["ArtifactGenerator"]
    before, told, runs = service.requests(), len(service.told), runs_of_generators()

    controller.look_at(NamespacedName(service.namespace, "parts"))

    await eventually(runs_of_generators, lambda now: now > runs)
    assert service.requests() == before
    assert len(service.told) == told


async def test_a_new_spec_is_built_of_the_same_sources(
    service: SourceService, fleet: Repository
) -> None:
    await generate(service, SHOP)
    await generated(service)

    await generate(service, output("shop", copy("@git/README.md", "@artifact/")))

    await generated(service)
    assert await files_of(service, "shop") == {"README.md": b"read me\n"}


async def test_what_is_no_longer_wanted_goes_with_its_files(
    service: SourceService, fleet: Repository
) -> None:
    await generate(service, SHOP, BLOG)
    await generated(service)
    folder = service.storage / "externalartifact" / service.namespace
    assert {each.name for each in folder.iterdir()} == {"shop", "blog"}

    await generate(service, SHOP)

    stored = await generated(service)
    assert [entry["name"] for entry in stored["status"]["inventory"]] == ["shop"]
    assert await service.cluster.read(service.ref("ExternalArtifact", "blog")) is None
    assert {each.name for each in folder.iterdir()} == {"shop"}


async def test_deleting_the_generator_deletes_all_it_made(
    service: SourceService, fleet: Repository
) -> None:
    await generate(service, SHOP, BLOG)
    await generated(service)

    await service.delete("ArtifactGenerator", "parts")

    for name in ("shop", "blog"):
        assert await service.cluster.read(service.ref("ExternalArtifact", name)) is None
    assert list((service.storage / "externalartifact" / service.namespace).iterdir()) == []
