import yaml

from tests.kustomize.conftest import World, config_map
from tests.support.eventually import eventually

FILES = {"a.yaml": config_map("a"), "b.yaml": config_map("b")}


async def test_deleting_it_deletes_what_it_applied(world: World) -> None:
    revision = await world.publish(FILES)
    await world.create("apps", targetNamespace=world.namespace)
    await world.applied("apps", revision)

    await world.delete("apps")
    await world.gone("apps")

    assert await world.names_of() == set()
    told = "\n".join(world.recorder.of("apps", "Progressing"))
    assert f"ConfigMap/{world.namespace}/a deleted" in told


async def test_without_prune_its_objects_stay(world: World) -> None:
    revision = await world.publish(FILES)
    await world.create("apps", targetNamespace=world.namespace, prune=False)
    await world.applied("apps", revision)

    await world.delete("apps")
    await world.gone("apps")

    assert await world.names_of() == {"a", "b"}


async def test_the_policy_orphan_leaves_its_objects(world: World) -> None:
    revision = await world.publish(FILES)
    await world.create("apps", targetNamespace=world.namespace, deletionPolicy="Orphan")
    await world.applied("apps", revision)

    await world.delete("apps")
    await world.gone("apps")

    assert await world.names_of() == {"a", "b"}


async def test_the_policy_delete_deletes_also_without_prune(world: World) -> None:
    revision = await world.publish(FILES)
    await world.create(
        "apps", targetNamespace=world.namespace, prune=False, deletionPolicy="Delete"
    )
    await world.applied("apps", revision)

    await world.delete("apps")
    await world.gone("apps")

    assert await world.names_of() == set()


async def test_suspended_it_leaves_its_objects(world: World) -> None:
    revision = await world.publish(FILES)
    await world.create("apps", targetNamespace=world.namespace)
    await world.applied("apps", revision)
    await world.suspend("apps")

    await world.delete("apps")
    await world.gone("apps")

    assert await world.names_of() == {"a", "b"}


async def test_it_waits_for_termination_when_told_to(world: World) -> None:
    held = yaml.safe_load(config_map("held"))
    held["metadata"]["finalizers"] = ["tests.example/hold"]
    revision = await world.publish({"held.yaml": yaml.safe_dump(held)})
    await world.create("apps", targetNamespace=world.namespace, deletionPolicy="WaitForTermination")
    await world.applied("apps", revision)

    await world.delete("apps")

    async def deleting() -> bool:
        return "deletionTimestamp" in (await world.read("held"))["metadata"]

    await eventually(deleting)
    assert await world.status("apps")
    release = {"metadata": {"finalizers": None}}
    await world.cluster.merge_patch(world.ref("held"), release, manager="tests")
    await world.gone("apps")


async def test_deleting_it_during_a_wait_does_not_wait(world: World) -> None:
    foreign = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "never"}
    await world.publish(FILES)
    await world.create(
        "apps", targetNamespace=world.namespace, healthChecks=[foreign], timeout="10m"
    )
    await eventually(world.names_of, lambda names: names == {"a", "b"})

    await world.delete("apps")
    await world.gone("apps")

    assert await world.names_of() == set()
