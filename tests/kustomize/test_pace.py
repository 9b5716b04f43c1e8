"""How soon a Kustomization is looked at again is the operator's to say."""

from datetime import timedelta

from shared.engine import Engine
from shared.pace import Pace
from tests.kustomize.conftest import World, config_map, serving, tidy
from tests.support.eventually import eventually

SOON = Pace(waiting=timedelta(seconds=1), first_retry=timedelta(milliseconds=50))


async def test_waiting_is_as_long_as_it_says(idle_world: World, engine: Engine) -> None:
    async with serving(idle_world, engine, pace=SOON):
        await idle_world.publish({"a.yaml": config_map("a")})
        none = {"status": {"artifact": None}}
        await idle_world.cluster.merge_patch(
            idle_world.ref("shop", "GitRepository", "source.toolkit.fluxcd.io/v1"),
            none,
            subresource="status",
            manager="tests",
        )
        await idle_world.create("apps", targetNamespace=idle_world.namespace)
        ready = await idle_world.ready_is("apps", "ArtifactFailed")
        assert ready["message"] == "Source artifact not found, retrying in 1s"

        await idle_world.create("late", dependsOn=[{"name": "nobody"}])
        await idle_world.publish({"a.yaml": config_map("a")})
        await idle_world.ready_is("late", "DependencyNotReady")
        told = idle_world.recorder.of("late", "DependencyNotReady")
        assert told == ["Dependencies do not meet ready condition, retrying in 1s"]
        await tidy(idle_world)


async def test_failures_without_a_retry_interval_back_off_from_the_first_pause(
    idle_world: World, engine: Engine
) -> None:
    """A deletion that fails is one of those: nothing but the backoff tries it again."""
    async with serving(idle_world, engine, pace=SOON):
        revision = await idle_world.publish({"a.yaml": config_map("a")})
        await idle_world.create("apps", targetNamespace=idle_world.namespace)
        await idle_world.applied("apps", revision)
        where = f"DELETE /api/v1/namespaces/{idle_world.namespace}/configmaps/a"
        idle_world.gate.refuse(where, 403, times=4, headers={})

        await idle_world.delete("apps")

        # 0.05 + 0.1 + 0.2 + 0.4 s; with the default the last try would come after 11 s.
        await eventually(lambda: idle_world.gate.count(where), lambda tries: tries == 5, within=5.0)
        await idle_world.gone("apps")
