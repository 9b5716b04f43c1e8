import asyncio

from shared.cluster.objects import ObjectRef
from tests.kustomize.conftest import World, config_map, deployment
from tests.support.eventually import eventually

APPS = "apps/v1"


async def test_a_changed_deployment_is_put_back_at_once(world: World) -> None:
    revision = await world.publish({"web.yaml": deployment("web", image="web:1")})
    await world.create("apps", targetNamespace=world.namespace)
    await world.applied("apps", revision)
    ref = ObjectRef(APPS, "Deployment", world.namespace, "web")

    await world.cluster.json_patch(
        ref,
        [{"op": "replace", "path": "/spec/template/spec/containers/0/image", "value": "evil:1"}],
        manager="kubectl-edit",
    )

    async def image() -> str:
        found = await world.read("web", "Deployment", APPS)
        return str(found["spec"]["template"]["spec"]["containers"][0]["image"])

    await eventually(image, lambda seen: seen == "web:1", within=1.0)
    await eventually(
        lambda: world.recorder.of("apps", "Progressing"),
        lambda told: told.count(f"Deployment/{world.namespace}/web configured") == 1,
    )
    (told,) = [each for each in world.recorder if "drift" in each.metadata]
    assert told.metadata["drift"] == (
        f"Deployment/{world.namespace}/web changed by kubectl-edit "
        "(spec.template.spec.containers[name=web].image)"
    )


async def test_a_deleted_object_is_made_again(world: World) -> None:
    revision = await world.publish({"a.yaml": config_map("a", key="1")})
    await world.create("apps", targetNamespace=world.namespace)
    await world.applied("apps", revision)

    await world.cluster.delete(ObjectRef("v1", "ConfigMap", world.namespace, "a"))

    await eventually(world.names_of, lambda names: names == {"a"}, within=1.0)


async def test_what_kubectl_added_is_taken_off(world: World) -> None:
    revision = await world.publish({"a.yaml": config_map("a", key="1")})
    await world.create("apps", targetNamespace=world.namespace)
    await world.applied("apps", revision)
    ref = ObjectRef("v1", "ConfigMap", world.namespace, "a")

    await world.cluster.merge_patch(ref, {"data": {"added": "2"}}, manager="kubectl-edit")

    async def keys() -> set[str]:
        return set((await world.read("a"))["data"])

    await eventually(keys, lambda seen: seen == {"key"}, within=2.0)


async def test_what_other_controllers_add_is_theirs(world: World) -> None:
    revision = await world.publish({"a.yaml": config_map("a", key="1")})
    await world.create("apps", targetNamespace=world.namespace)
    await world.applied("apps", revision)
    ref = ObjectRef("v1", "ConfigMap", world.namespace, "a")
    await world.cluster.merge_patch(ref, {"data": {"added": "2"}}, manager="injector")

    await world.cluster.merge_patch(ref, {"data": {"key": "2"}}, manager="injector")

    async def value() -> str:
        return str((await world.read("a"))["data"]["key"])

    await eventually(value, lambda seen: seen == "1")
    assert (await world.read("a"))["data"]["added"] == "2"


async def test_a_suspended_kustomization_leaves_drift_alone(world: World) -> None:
    revision = await world.publish({"a.yaml": config_map("a", key="1")})
    await world.create("apps", targetNamespace=world.namespace)
    await world.applied("apps", revision)
    await world.suspend("apps")
    ref = ObjectRef("v1", "ConfigMap", world.namespace, "a")
    await world.cluster.merge_patch(ref, {"data": {"key": "2"}}, manager="somebody")
    stays = asyncio.get_running_loop().time() + 0.5
    while asyncio.get_running_loop().time() < stays:
        assert (await world.read("a"))["data"]["key"] == "2"

    await world.change("apps", suspend=False)

    async def value() -> str:
        return str((await world.read("a"))["data"]["key"])

    await eventually(value, lambda seen: seen == "1")


async def test_a_look_at_what_is_in_place_asks_for_nothing(world: World) -> None:
    files = {"a.yaml": config_map("a"), "web.yaml": deployment("web")}
    revision = await world.publish(files)
    await world.create("apps", targetNamespace=world.namespace, interval="1s", wait=True)
    await world.applied("apps", revision)
    quiet = await eventually(_quiet_for(world, 3.0))

    assert quiet


def _quiet_for(world: World, seconds: float):  # type: ignore[no-untyped-def]
    """Three intervals without a request."""
    loop = asyncio.get_running_loop()
    since, count = loop.time(), len(world.gate.seen)

    def quiet() -> bool:
        nonlocal since, count
        if len(world.gate.seen) != count:
            since, count = loop.time(), len(world.gate.seen)
        return loop.time() - since > seconds

    return quiet


async def test_a_revision_that_changes_nothing_of_ours_costs_one_write(world: World) -> None:
    first = await world.publish({"apps/a.yaml": config_map("a"), "other/b.yaml": config_map("b")})
    await world.create("apps", targetNamespace=world.namespace, path="./apps")
    await world.applied("apps", first)
    before = len(world.gate.seen)

    second = await world.publish(
        {"apps/a.yaml": config_map("a"), "other/b.yaml": config_map("b", key="2")}
    )
    await world.applied("apps", second)

    requests = [line for line in world.gate.seen[before:] if "watch=1" not in line]
    assert [line.split("?")[0] for line in requests] == [
        f"PATCH /apis/kustomize.toolkit.fluxcd.io/v1/namespaces/{world.namespace}"
        "/kustomizations/apps/status"
    ]
