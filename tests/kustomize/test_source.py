import pytest

from shared.cluster.objects import ObjectRef
from tests.kustomize.conftest import SOURCE, World, config_map
from tests.support.eventually import eventually


async def test_a_missing_source_is_named_and_waited_for(world: World) -> None:
    await world.create("apps", targetNamespace=world.namespace)
    ready = await world.ready_is("apps", "ArtifactFailed")
    assert ready["message"] == f"source 'GitRepository/{world.namespace}/shop' not found"

    revision = await world.publish({"a.yaml": config_map("a")})

    await world.applied("apps", revision)


async def test_a_source_without_an_artifact_is_waited_for(world: World) -> None:
    manifest = {
        "apiVersion": SOURCE,
        "kind": "GitRepository",
        "metadata": {"name": "shop", "namespace": world.namespace},
        "spec": {"interval": "1h", "url": "https://git.example/shop.git"},
    }
    await world.cluster.apply(manifest, manager="tests")
    await world.create("apps", targetNamespace=world.namespace)

    ready = await world.ready_is("apps", "ArtifactFailed")

    assert ready["message"] == "Source artifact not found, retrying in 30s"


@pytest.mark.parametrize("kind", ["OCIRepository", "Bucket"])
async def test_every_kind_of_source_is_applied_and_followed(world: World, kind: str) -> None:
    revision = await world.publish({"a.yaml": config_map("a")}, "shop", kind)
    reference = {"kind": kind, "name": "shop"}
    await world.create("apps", targetNamespace=world.namespace, sourceRef=reference)
    await world.applied("apps", revision)

    revision = await world.publish({"b.yaml": config_map("b")}, "shop", kind)

    await world.applied("apps", revision)
    assert await world.names_of() == {"b"}


async def test_a_source_of_another_namespace_may_be_used(world: World) -> None:
    revision = await world.publish({"a.yaml": config_map("a")})
    elsewhere = f"{world.namespace}-tenant"
    metadata = {"name": elsewhere}
    await world.cluster.create({"apiVersion": "v1", "kind": "Namespace", "metadata": metadata})
    reference = {"kind": "GitRepository", "name": "shop", "namespace": world.namespace}
    await world.create("apps", targetNamespace=elsewhere, sourceRef=reference)

    await world.applied("apps", revision)

    assert await world.cluster.read(ObjectRef("v1", "ConfigMap", elsewhere, "a"))


async def test_an_unserved_field_is_refused_not_ignored(world: World) -> None:
    await world.publish({"a.yaml": config_map("a")})
    await world.create("apps", targetNamespace=world.namespace, decryption={"provider": "sops"})

    stalled = await eventually(lambda: world.condition("apps", "Stalled"))

    assert stalled["reason"] == "UnsupportedField"
    assert stalled["message"].startswith("spec.decryption: ")
    assert await world.names_of() == set()
