from shared.cluster.objects import ObjectRef
from tests.kustomize.conftest import World, config_map

OWNER = "kustomize.toolkit.fluxcd.io/name"


async def test_what_left_git_leaves_the_cluster(world: World) -> None:
    first = await world.publish({"a.yaml": config_map("a"), "b.yaml": config_map("b")})
    await world.create("apps", targetNamespace=world.namespace)
    await world.applied("apps", first)

    second = await world.publish({"a.yaml": config_map("a")})
    status = await world.applied("apps", second)

    assert await world.names_of() == {"a"}
    assert [entry["id"] for entry in status["inventory"]["entries"]] == [
        f"{world.namespace}_a__ConfigMap"
    ]
    assert f"ConfigMap/{world.namespace}/b deleted" in world.recorder.of("apps", "Progressing")


async def test_without_prune_nothing_is_deleted(world: World) -> None:
    first = await world.publish({"a.yaml": config_map("a"), "b.yaml": config_map("b")})
    await world.create("apps", targetNamespace=world.namespace, prune=False)
    await world.applied("apps", first)

    second = await world.publish({"a.yaml": config_map("a")})
    status = await world.applied("apps", second)

    assert await world.names_of() == {"a", "b"}
    assert len(status["inventory"]["entries"]) == 1


async def test_an_object_that_forbids_pruning_stays(world: World) -> None:
    kept = config_map("kept").replace(
        "name: kept", "name: kept\n  labels: {kustomize.toolkit.fluxcd.io/prune: Disabled}"
    )
    first = await world.publish({"a.yaml": config_map("a"), "b.yaml": kept})
    await world.create("apps", targetNamespace=world.namespace)
    await world.applied("apps", first)

    second = await world.publish({"a.yaml": config_map("a")})
    await world.applied("apps", second)

    assert await world.names_of() == {"a", "kept"}


async def test_an_object_that_another_owner_has_taken_is_left_alone(world: World) -> None:
    first = await world.publish({"a.yaml": config_map("a"), "b.yaml": config_map("b")})
    await world.create("apps", targetNamespace=world.namespace)
    await world.applied("apps", first)
    await world.suspend("apps")
    taken = {"metadata": {"labels": {OWNER: "others"}}}
    ref = ObjectRef("v1", "ConfigMap", world.namespace, "b")
    await world.cluster.merge_patch(ref, taken, manager="others")

    second = await world.publish({"a.yaml": config_map("a")})
    await world.change("apps", suspend=False)
    await world.applied("apps", second)

    assert await world.names_of() == {"a", "b"}


async def test_a_path_that_is_gone_prunes_nothing(world: World) -> None:
    first = await world.publish({"apps/a.yaml": config_map("a")})
    await world.create("apps", targetNamespace=world.namespace, path="./apps")
    await world.applied("apps", first)

    await world.publish({"other/a.yaml": config_map("a")})
    ready = await world.ready_is("apps", "ArtifactFailed")

    assert ready["message"].startswith("kustomization path not found: ")
    assert await world.names_of() == {"a"}
