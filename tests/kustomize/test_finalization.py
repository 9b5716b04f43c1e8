"""What happens to objects, and to the finalizer, when a Kustomization is deleted under trouble."""

import yaml

from shared.cluster.objects import ObjectRef
from tests.kustomize.conftest import World, config_map
from tests.support.eventually import eventually

HOLD = "tests.example/hold"
SUMMARY = "pruning for deleted resource failed"


def held(name: str) -> str:
    manifest = yaml.safe_load(config_map(name))
    manifest["metadata"]["finalizers"] = [HOLD]
    return yaml.safe_dump(manifest)


async def let_go(world: World, name: str) -> None:
    release = {"metadata": {"finalizers": None}}
    await world.cluster.merge_patch(world.ref(name), release, manager="tests")


async def test_what_does_not_go_in_time_is_left_to_go_by_itself(world: World) -> None:
    revision = await world.publish({"held.yaml": held("held")})
    await world.create(
        "apps",
        targetNamespace=world.namespace,
        deletionPolicy="WaitForTermination",
        timeout="1s",
    )
    await world.applied("apps", revision)

    await world.delete("apps")
    await world.gone("apps")

    [told] = world.recorder.of("apps", "PruneFailed")
    assert told.startswith("failed to wait for resources termination: still there 1 s after")
    assert f"ConfigMap/{world.namespace}/held" in told
    await let_go(world, "held")


async def test_by_default_nobody_waits_for_an_object_that_hangs(world: World) -> None:
    revision = await world.publish({"held.yaml": held("held")})
    await world.create("apps", targetNamespace=world.namespace)
    await world.applied("apps", revision)

    await world.delete("apps")
    await world.gone("apps")

    assert "deletionTimestamp" in (await world.read("held"))["metadata"]
    await let_go(world, "held")


async def test_what_cannot_be_deleted_keeps_the_finalizer_and_is_tried_again(world: World) -> None:
    revision = await world.publish({"a.yaml": config_map("a"), "b.yaml": config_map("b")})
    await world.create("apps", targetNamespace=world.namespace)
    await world.applied("apps", revision)
    where = f"DELETE /api/v1/namespaces/{world.namespace}/configmaps/a"
    world.gate.refuse(where, 403, times=2, headers={})

    await world.delete("apps")
    await world.ready_is("apps", "PruneFailed")
    await world.gone("apps")

    assert await world.names_of() == set()
    assert SUMMARY in world.recorder.of("apps", "PruneFailed")
    assert world.gate.count(where) == 3


async def test_a_namespace_that_ends_with_everything_in_it_holds_nothing_up(world: World) -> None:
    inside = f"{world.namespace}-inside"
    space = yaml.safe_dump({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": inside}})
    there = yaml.safe_load(config_map("there"))
    there["metadata"]["namespace"] = inside
    revision = await world.publish({"space.yaml": space, "there.yaml": yaml.safe_dump(there)})
    await world.create("apps")
    await world.applied("apps", revision)
    await world.cluster.delete(ObjectRef("v1", "Namespace", "", inside))

    await world.delete("apps")
    await world.gone("apps")

    async def is_there() -> bool:
        return await world.cluster.read(ObjectRef("v1", "ConfigMap", inside, "there")) is not None

    await eventually(is_there, lambda found: not found)


async def test_objects_whose_kind_is_gone_hold_nothing_up(world: World) -> None:
    revision = await world.publish({"a.yaml": config_map("a")})
    await world.create("apps", targetNamespace=world.namespace)
    await world.applied("apps", revision)
    await world.change("apps", suspend=True)
    entries = (await world.status("apps"))["inventory"]["entries"]
    gone = {"id": f"{world.namespace}_old_never.example_Never", "v": "v1"}
    await world.cluster.merge_patch(
        world.ref("apps", "Kustomization", "kustomize.toolkit.fluxcd.io/v1"),
        {"status": {"inventory": {"entries": [*entries, gone]}}},
        subresource="status",
        manager="tests",
    )
    await world.cluster.merge_patch(
        world.ref("apps", "Kustomization", "kustomize.toolkit.fluxcd.io/v1"),
        {"spec": {"suspend": False, "path": "./nowhere"}},
        manager="tests",
    )

    await world.delete("apps")
    await world.gone("apps")

    assert await world.names_of() == set()


async def test_the_brake_is_not_for_whoever_deletes_a_kustomization(world: World) -> None:
    revision = await world.publish({"a.yaml": config_map("a"), "b.yaml": config_map("b")})
    await world.create("apps", targetNamespace=world.namespace)
    limit = {"metadata": {"annotations": {"penstock.dev/prune-limit": "0"}}}
    await world.cluster.merge_patch(
        world.ref("apps", "Kustomization", "kustomize.toolkit.fluxcd.io/v1"), limit, manager="tests"
    )
    await world.applied("apps", revision)

    await world.delete("apps")
    await world.gone("apps")

    assert await world.names_of() == set()
