import yaml

from shared.cluster.objects import ObjectRef
from tests.kustomize.conftest import World, config_map
from tests.support.eventually import eventually

GROUP = "kustomize.toolkit.fluxcd.io"


def told(text: str, **keys: str) -> str:
    manifest = yaml.safe_load(text)
    manifest["metadata"]["annotations"] = {f"{GROUP}/{key}": v for key, v in keys.items()}
    return yaml.safe_dump(manifest)


async def value(world: World, name: str = "a") -> str:
    return str((await world.read(name))["data"]["key"])


async def test_if_not_present_only_creates(world: World) -> None:
    first = await world.publish({"a.yaml": told(config_map("a", key="1"), ssa="IfNotPresent")})
    await world.create("apps", targetNamespace=world.namespace)
    await world.applied("apps", first)

    second = await world.publish({"a.yaml": told(config_map("a", key="2"), ssa="IfNotPresent")})
    await world.applied("apps", second)

    assert await value(world) == "1"


async def test_ignore_never_touches(world: World) -> None:
    first = await world.publish(
        {"a.yaml": told(config_map("a", key="1"), ssa="ignore"), "b.yaml": config_map("b")}
    )
    await world.create("apps", targetNamespace=world.namespace)
    await world.applied("apps", first)

    assert await world.names_of() == {"b"}


async def test_merge_keeps_what_others_added(world: World) -> None:
    existing = yaml.safe_load(config_map("a", other="theirs"))
    existing["metadata"]["namespace"] = world.namespace
    await world.cluster.apply(existing, manager="kubectl")

    first = await world.publish({"a.yaml": told(config_map("a", key="1"), ssa="Merge")})
    await world.create("apps", targetNamespace=world.namespace)
    await world.applied("apps", first)

    assert (await world.read("a"))["data"] == {"key": "1", "other": "theirs"}


async def test_what_was_applied_by_hand_before_is_taken_over(world: World) -> None:
    existing = yaml.safe_load(config_map("a", key="0", leftover="by hand"))
    existing["metadata"] |= {
        "namespace": world.namespace,
        "annotations": {"kubectl.kubernetes.io/last-applied-configuration": "{}", "theirs": "1"},
    }
    await world.cluster.apply(existing, manager="kubectl-client-side-apply")

    first = await world.publish({"a.yaml": config_map("a", key="1")})
    await world.create("apps", targetNamespace=world.namespace)
    await world.applied("apps", first)

    taken = await world.read("a")
    assert taken["data"] == {"key": "1"}
    assert not taken["metadata"].get("annotations")


async def test_a_live_object_that_is_paused_is_left_alone_until_it_is_not(world: World) -> None:
    first = await world.publish({"a.yaml": config_map("a", key="1")})
    await world.create("apps", targetNamespace=world.namespace)
    await world.applied("apps", first)
    ref = ObjectRef("v1", "ConfigMap", world.namespace, "a")
    pause = {"metadata": {"annotations": {f"{GROUP}/reconcile": "Disabled"}}}
    await world.cluster.merge_patch(ref, pause, manager="somebody")

    second = await world.publish({"a.yaml": config_map("a", key="2")})
    await world.applied("apps", second)
    assert await value(world) == "1"

    resume = {"metadata": {"annotations": {f"{GROUP}/reconcile": None}}}
    await world.cluster.merge_patch(ref, resume, manager="somebody")
    await eventually(lambda: value(world), lambda seen: seen == "2")
