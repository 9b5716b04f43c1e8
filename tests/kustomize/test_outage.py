"""The API server goes away and comes back."""

from aiohttp import web

from tests.kustomize.conftest import World, config_map
from tests.support.eventually import eventually


def away(_: web.Request) -> web.Response:
    return web.Response(status=503)


async def test_what_happened_during_an_outage_is_put_right_after_it(world: World) -> None:
    first = await world.publish({"a.yaml": config_map("a", key="1"), "b.yaml": config_map("b")})
    await world.create("apps", targetNamespace=world.namespace)
    await world.applied("apps", first)
    world.gate.rules.append(away)
    world.gate.cut_streams()

    await world.cluster.merge_patch(world.ref("a"), {"data": {"key": "2"}}, manager="somebody")
    await world.cluster.delete(world.ref("b"))
    second = await world.publish(
        {"a.yaml": config_map("a", key="1"), "b.yaml": config_map("b"), "c.yaml": config_map("c")}
    )
    refused = len(world.gate.seen)
    await eventually(lambda: len(world.gate.seen) > refused + 5)
    world.gate.rules.clear()

    await world.applied("apps", second)
    await eventually(world.names_of, lambda names: names == {"a", "b", "c"})
    await eventually(lambda: world.read("a"), lambda found: found["data"] == {"key": "1"})


async def test_an_outage_in_the_middle_of_an_apply_is_told_and_tried_again(world: World) -> None:
    await world.publish({"a.yaml": config_map("a")})

    def refuses_applies(request: web.Request) -> web.Response | None:
        return away(request) if request.path.endswith("/configmaps/a") else None

    world.gate.rules.append(refuses_applies)
    await world.create("apps", targetNamespace=world.namespace, retryInterval="1s")
    ready = await world.ready_is("apps", "ReconciliationFailed")
    assert ready["message"].startswith(f"ConfigMap/{world.namespace}/a: ")
    world.gate.rules.clear()

    await eventually(world.names_of, lambda names: names == {"a"})
