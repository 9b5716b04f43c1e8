"""spec.ignore: no correction and no event where somebody changes what is ignored."""

from tests.kustomize.conftest import World, deployment
from tests.support.eventually import eventually

IGNORE = [{"paths": ["/spec/replicas"], "target": {"kind": "Deployment"}}]


async def replicas(world: World) -> int:
    found = await world.read("web", "Deployment", "apps/v1")
    return int(found["spec"]["replicas"])


async def test_who_scales_an_ignored_deployment_is_left_alone(world: World) -> None:
    first = await world.publish({"web.yaml": deployment("web", replicas=1)})
    await world.create("apps", targetNamespace=world.namespace, ignore=IGNORE)
    await world.applied("apps", first)
    told = len(world.recorder.of("apps", "Progressing"))
    ref = world.ref("web", "Deployment", "apps/v1")
    patch = {"spec": {"replicas": 4}}
    await world.cluster.merge_patch(ref, patch, subresource="scale", manager="autoscaler")

    second = await world.publish({"web.yaml": deployment("web", image="web:2")})
    await world.applied("apps", second)

    assert await replicas(world) == 4
    events = world.recorder.of("apps", "Progressing")[told:]
    assert events == [f"Deployment/{world.namespace}/web configured"]  # by the second revision
    assert not [each for each in world.recorder if "drift" in each.metadata]


async def test_without_the_rule_what_was_ignored_is_put_right(world: World) -> None:
    first = await world.publish({"web.yaml": deployment("web", replicas=1)})
    await world.create("apps", targetNamespace=world.namespace, ignore=IGNORE)
    await world.applied("apps", first)
    ref = world.ref("web", "Deployment", "apps/v1")
    await world.cluster.merge_patch(ref, {"spec": {"replicas": 4}}, manager="somebody")

    await world.change("apps", ignore=[])

    await eventually(lambda: replicas(world), lambda seen: seen == 1)


async def test_a_rule_that_cannot_be_read_is_named(world: World) -> None:
    await world.publish({"web.yaml": deployment("web")})
    bad = [*IGNORE, {"paths": ["spec.replicas"]}]

    await world.create("apps", targetNamespace=world.namespace, ignore=bad)

    ready = await world.ready_is("apps", "InvalidSpec")
    assert ready["message"].startswith("spec.ignore[1].paths[0]: 'spec.replicas' is no JSON")
