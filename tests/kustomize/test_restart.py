"""A service that dies anywhere leaves nothing behind that the next one does not put right.

The gate in front of the API server plays the kill: from a chosen request on, the dying service
reaches nothing any more; then another one, with an empty memory, takes over.
"""

import pytest
from aiohttp import web

from shared.engine import Engine
from tests.kustomize.conftest import World, config_map, deployment, serving, tidy
from tests.support.eventually import eventually

FILES = {
    "a.yaml": config_map("a", key="1"),
    "b.yaml": config_map("b", key="1"),
    "c.yaml": config_map("c", key="1"),
    "web.yaml": deployment("web"),
}


class Kill:
    """From the n-th request that starts so, nothing comes through."""

    def __init__(self, world: World, prefix: str, nth: int = 1) -> None:
        self.happened = False
        self._prefix = prefix.format(ns=world.namespace)
        self._left = nth
        self._world = world
        world.gate.rules.append(self._judge)

    def _judge(self, request: web.Request) -> web.Response | None:
        if f"{request.method} {request.path}".startswith(self._prefix):
            self._left -= 1
        self.happened = self.happened or self._left <= 0
        return web.Response(status=400) if self.happened else None


APPLY = "PATCH /api/v1/namespaces/{ns}/configmaps/"
STATUS = "PATCH /apis/kustomize.toolkit.fluxcd.io/v1/namespaces/{ns}/kustomizations/apps/status"
DELETE = "DELETE /api/v1/namespaces/{ns}/configmaps/"


@pytest.mark.parametrize(
    ("prefix", "nth"),
    [(STATUS, 1), (APPLY, 1), (APPLY, 2), (APPLY, 3), (STATUS, 2)],
    ids=["claim", "first apply", "second apply", "third apply", "closing status"],
)
async def test_a_kill_during_the_first_run_leaves_no_orphan(
    idle_world: World, engine: Engine, prefix: str, nth: int
) -> None:
    world = idle_world
    await world.publish(FILES)
    await world.create("apps", targetNamespace=world.namespace, wait=True)
    kill = Kill(world, prefix, nth)
    async with serving(world, engine):
        await eventually(lambda: kill.happened)
    world.gate.rules.clear()
    orphans = await world.names_of()
    known = {
        entry["id"]
        for entry in (await world.status("apps")).get("inventory", {}).get("entries", ())
    }
    assert {f"{world.namespace}_{name}__ConfigMap" for name in orphans} <= known

    # What was started is not wanted any more: only the inventory knows of it.
    revision = await world.publish({"a.yaml": config_map("a", key="1")})
    async with serving(world, engine):
        await world.applied("apps", revision)
        assert await world.names_of() == {"a"}
        await tidy(world)


@pytest.mark.parametrize("nth", [1, 2], ids=["first deletion", "second deletion"])
async def test_a_kill_during_a_prune_is_made_good(
    idle_world: World, engine: Engine, nth: int
) -> None:
    world = idle_world
    first = await world.publish(FILES)
    await world.create("apps", targetNamespace=world.namespace)
    async with serving(world, engine):
        await world.applied("apps", first)
        kill = Kill(world, DELETE, nth)
        second = await world.publish({"a.yaml": config_map("a", key="1")})
        await eventually(lambda: kill.happened)
    world.gate.rules.clear()

    async with serving(world, engine):
        await world.applied("apps", second)
        assert await world.names_of() == {"a"}
        await tidy(world)


async def test_a_kill_in_the_finalizer_is_made_good(idle_world: World, engine: Engine) -> None:
    world = idle_world
    revision = await world.publish(FILES)
    await world.create("apps", targetNamespace=world.namespace)
    async with serving(world, engine):
        await world.applied("apps", revision)
        kill = Kill(world, DELETE, 2)
        await world.delete("apps")
        await eventually(lambda: kill.happened)
    world.gate.rules.clear()

    async with serving(world, engine):
        await world.gone("apps")
    assert await world.names_of() == set()


async def test_a_restart_changes_nothing_and_tells_nothing(
    idle_world: World, engine: Engine
) -> None:
    world = idle_world
    revision = await world.publish(FILES)
    await world.create("apps", targetNamespace=world.namespace, wait=True)
    async with serving(world, engine):
        await world.applied("apps", revision)
    before = await _versions(world)
    world.recorder.clear()
    applies = world.gate.count("PATCH /api/v1/")

    async with serving(world, engine):
        await eventually(lambda: world.gate.count("PATCH /api/v1/") >= applies + 3)
        again = await world.publish({**FILES, "d.yaml": config_map("d")})
        await world.applied("apps", again)
        after = await _versions(world)
        await tidy(world)

    assert {name: after[name] for name in before if name != "web"} == {
        name: before[name] for name in before if name != "web"
    }
    assert after["web"] == before["web"]
    told = "\n".join(world.recorder.of("apps", "Progressing"))
    assert f"ConfigMap/{world.namespace}/d created" in told
    assert "configured" not in told


async def test_drift_of_the_time_without_a_service_is_put_right(
    idle_world: World, engine: Engine
) -> None:
    world = idle_world
    revision = await world.publish(FILES)
    await world.create("apps", targetNamespace=world.namespace)
    async with serving(world, engine):
        await world.applied("apps", revision)
    ref = world.ref("a")
    await world.cluster.merge_patch(ref, {"data": {"key": "2"}}, manager="somebody")
    await world.cluster.delete(world.ref("b"))

    async with serving(world, engine):
        await eventually(world.names_of, lambda names: names == {"a", "b", "c"})

        async def value() -> str:
            return str((await world.read("a"))["data"]["key"])

        await eventually(value, lambda seen: seen == "1")
        await tidy(world)


async def _versions(world: World) -> dict[str, tuple[str, int]]:
    """What a change of ours would change: versions of what nobody else writes, else generations."""
    found = {
        name: ((await world.read(name))["metadata"]["resourceVersion"], 0)
        for name in await world.names_of()
    }
    web = await world.read("web", "Deployment", "apps/v1")
    return found | {"web": ("", web["metadata"]["generation"])}
