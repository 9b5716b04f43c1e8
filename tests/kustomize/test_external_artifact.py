"""What others publish as ExternalArtifact is applied as any source's artifact."""

from services.kustomize.policy import FETCHED
from shared.engine import Engine
from tests.kustomize.conftest import World, config_map, serving, tidy
from tests.support.eventually import eventually
from tests.support.holding import held

EXTERNAL = {"kind": "ExternalArtifact", "name": "shop"}


async def test_an_external_artifact_is_applied_and_followed(world: World) -> None:
    first = await world.publish({"a.yaml": config_map("a")}, kind="ExternalArtifact")
    await world.create("apps", targetNamespace=world.namespace, sourceRef=EXTERNAL)
    await world.applied("apps", first)

    second = await world.publish({"b.yaml": config_map("b")}, kind="ExternalArtifact")

    await world.applied("apps", second)
    assert await world.names_of() == {"b"}


async def test_a_closed_gate_refuses_external_artifacts(idle_world: World, engine: Engine) -> None:
    world = idle_world
    await world.publish({"a.yaml": config_map("a")}, kind="ExternalArtifact")
    await world.create("apps", targetNamespace=world.namespace, sourceRef=EXTERNAL)

    async with held(serving(world, engine, sources=FETCHED)):
        stalled = await eventually(lambda: world.condition("apps", "Stalled"))

        assert stalled["message"].startswith("spec.sourceRef.kind: ExternalArtifact is not served")
        await tidy(world)
