import yaml

from shared.cluster.objects import Manifest
from tests.kustomize.conftest import World, config_map
from tests.support.eventually import eventually

CANARY = "canary-7f3a9c"


def text(manifest: Manifest) -> str:
    return yaml.safe_dump(manifest)


def secret(name: str, data: object) -> str:
    return text({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "data": data})


def service(name: str, port: int) -> str:
    return text(
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"name": name},
            "spec": {"ports": [{"port": port}]},
        }
    )


async def test_every_refused_object_is_named_and_nothing_is_applied(world: World) -> None:
    await world.publish(
        {"a.yaml": config_map("a"), "b.yaml": service("b", 0), "c.yaml": service("c", 70000)}
    )
    await world.create("apps", targetNamespace=world.namespace)

    ready = await world.ready_is("apps", "ReconciliationFailed")

    first, second = ready["message"].splitlines()
    assert first.startswith(f"Service/{world.namespace}/b: ")
    assert second.startswith(f"Service/{world.namespace}/c: ")
    assert "spec.ports[0].port" in first
    assert await world.names_of() == set()


async def test_what_a_failed_apply_was_about_is_on_record(world: World) -> None:
    await world.publish({"a.yaml": config_map("a"), "b.yaml": service("b", 0)})
    await world.create("apps", targetNamespace=world.namespace)
    await world.ready_is("apps", "ReconciliationFailed")

    status = await world.status("apps")

    ids = {entry["id"] for entry in status["inventory"]["entries"]}
    assert ids == {f"{world.namespace}_a__ConfigMap", f"{world.namespace}_b__Service"}


async def test_a_broken_commit_leaves_what_runs_alone(world: World) -> None:
    first = await world.publish({"a.yaml": config_map("a", key="1"), "b.yaml": config_map("b")})
    await world.create("apps", targetNamespace=world.namespace)
    await world.applied("apps", first)

    await world.publish({"a.yaml": config_map("a", key="1"), "b.yaml": "kind: [broken\n"})
    ready = await world.ready_is("apps", "BuildFailed")

    assert "b.yaml" in ready["message"]
    assert await world.names_of() == {"a", "b"}
    assert (await world.status("apps"))["lastAppliedRevision"] == first


async def test_a_refused_secret_shows_no_value(world: World) -> None:
    files = {"a.yaml": secret("a", {"key": f"{CANARY}!"}), "b.yaml": secret("b", {"key": CANARY})}
    for number, broken in enumerate(files.values()):
        name = f"apps-{number}"
        await world.publish({"secret.yaml": broken}, source=name)
        await world.create(
            name,
            targetNamespace=world.namespace,
            sourceRef={"kind": "GitRepository", "name": name},
        )

        ready = await eventually(
            lambda name=name: world.condition(name),  # type: ignore[misc]
            lambda found: found.get("status") == "False",
        )

        assert "Secret/" in ready["message"]
        assert CANARY not in str(await world.status(name))
    assert not [told for told in world.recorder if CANARY in str(told)]


async def test_an_object_without_a_namespace_is_refused_with_the_remedy(world: World) -> None:
    await world.publish({"a.yaml": config_map("a")})
    await world.create("apps")

    ready = await world.ready_is("apps", "ReconciliationFailed")

    assert ready["message"] == (
        "ConfigMap/a: metadata.namespace is missing; set it, or spec.targetNamespace"
    )


async def test_a_kind_that_is_not_served_is_named(world: World) -> None:
    unknown = {"apiVersion": "shop.example/v1", "kind": "Basket", "metadata": {"name": "b"}}
    await world.publish({"a.yaml": config_map("a"), "b.yaml": text(unknown)})
    await world.create("apps", targetNamespace=world.namespace)

    ready = await world.ready_is("apps", "ReconciliationFailed")

    assert f"Basket/{world.namespace}/b: no matches for kind Basket" in ready["message"]
    assert await world.names_of() == set()


async def test_an_immutable_field_is_reported_and_recreated_only_by_force(world: World) -> None:
    def immutable(value: str) -> str:
        manifest = yaml.safe_load(config_map("a", key=value))
        return text(manifest | {"immutable": True})

    first = await world.publish({"a.yaml": immutable("1")})
    await world.create("apps", targetNamespace=world.namespace)
    await world.applied("apps", first)
    before = (await world.read("a"))["metadata"]["uid"]

    second = await world.publish({"a.yaml": immutable("2")})
    ready = await world.ready_is("apps", "ReconciliationFailed")
    assert "immutable" in ready["message"]
    assert (await world.read("a"))["metadata"]["uid"] == before

    await world.change("apps", force=True)
    await world.applied("apps", second)
    after = await world.read("a")
    assert after["metadata"]["uid"] != before
    assert after["data"] == {"key": "2"}


async def test_force_does_not_recreate_what_holds_data(world: World) -> None:
    def claim(size: str, storage_class: str) -> str:
        spec = {
            "accessModes": ["ReadWriteOnce"],
            "storageClassName": storage_class,
            "resources": {"requests": {"storage": size}},
        }
        kind = {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "data"}}
        return text(kind | {"spec": spec})

    first = await world.publish({"claim.yaml": claim("1Gi", "slow")})
    await world.create("apps", targetNamespace=world.namespace, force=True)
    await world.applied("apps", first)
    before = (await world.read("data", "PersistentVolumeClaim"))["metadata"]["uid"]

    await world.publish({"claim.yaml": claim("1Gi", "fast")})
    ready = await world.ready_is("apps", "ReconciliationFailed")

    assert "immutable" in ready["message"]
    assert (await world.read("data", "PersistentVolumeClaim"))["metadata"]["uid"] == before
