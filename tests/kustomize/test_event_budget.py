"""What concerns nobody costs next to nothing."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from penstock.toolchain import binary
from services.kustomize.keeping import keeping_kustomizations
from services.kustomize.means import Means
from shared.cel import Expressions
from shared.cluster.client import Cluster
from shared.engine import Engine
from shared.events import Recorder
from tests.kustomize.conftest import World, config_map, tidy
from tests.support.eventually import eventually

MANY = 20
ORIGIN = "org.opencontainers.image.revision"


@asynccontextmanager
async def serving_with_events(world: World, engine: Engine) -> AsyncIterator[None]:
    """As in production: Events are written to the API server, through the gate."""
    kubeconfig = world.folder.path.parent / f"kubeconfig-{world.namespace}"
    async with (
        Cluster.connect(kubeconfig, agent="kustomize-controller") as cluster,
        Recorder.for_kubernetes(cluster, controller="kustomize-controller") as recorder,
        Expressions.ready(binary("engine"), world.folder.path.parent / "none") as expressions,
    ):
        means = Means(
            cluster=cluster,
            recorder=recorder,
            engine=engine,
            artifacts=world.folder,
            expressions=expressions,
        )
        async with keeping_kustomizations(means) as keeping, asyncio.TaskGroup() as group:
            running = group.create_task(keeping.controller.run())
            try:
                yield
            finally:
                running.cancel()


def event_of(world: World, line: str) -> bool:
    return f"/namespaces/{world.namespace}/events" in line


async def test_a_commit_that_touches_nobody_costs_one_request_each(
    idle_world: World, engine: Engine
) -> None:
    world = idle_world
    files = {f"p{each}/a.yaml": config_map(f"a-{each}") for each in range(MANY)}
    async with serving_with_events(world, engine):
        first = await world.publish(files)
        for each in range(MANY):
            await world.create(f"p{each}", path=f"./p{each}", targetNamespace=world.namespace)
        for each in range(MANY):
            await world.applied(f"p{each}", first)

        async def told() -> int:
            return sum(event_of(world, line) for line in world.gate.seen)

        await eventually(told, lambda count: count >= 2 * MANY)  # created, finished
        before = len(world.gate.seen)

        second = await world.publish(files | {"README.md": "news"})
        for each in range(MANY):
            await world.applied(f"p{each}", second)

        seen = [line for line in world.gate.seen[before:] if "watch=1" not in line]
        assert len(seen) <= 1.3 * MANY, seen
        assert not any(event_of(world, line) for line in seen)
        await tidy(world)


async def test_whoever_marks_commits_still_hears_of_it(world: World) -> None:
    first = await world.publish({"a.yaml": config_map("a")})
    await world.create("apps", targetNamespace=world.namespace)
    await world.applied("apps", first)
    world.recorder.clear()

    second = await world.publish({"a.yaml": config_map("a"), "README.md": "news"})
    await world.applied("apps", second)

    [finished] = world.recorder
    assert finished.reason == "ReconciliationSucceeded"
    assert finished.metadata == {"revision": second, "commit_status": "update"}


async def test_where_an_artifact_came_from_is_told(world: World) -> None:
    await world.publish({"a.yaml": config_map("a")})
    origin = {"status": {"artifact": {"metadata": {ORIGIN: "main@sha1:0123"}}}}
    await world.cluster.merge_patch(
        world.ref("shop", "GitRepository", "source.toolkit.fluxcd.io/v1"),
        origin,
        subresource="status",
        manager="tests",
    )
    await world.create("apps", targetNamespace=world.namespace)
    await world.ready_is("apps", "ReconciliationSucceeded", "True")

    status = await world.status("apps")
    assert status["lastAppliedOriginRevision"] == "main@sha1:0123"
    assert status["history"][0]["metadata"]["originRevision"] == "main@sha1:0123"
    assert {told.metadata["originRevision"] for told in world.recorder} == {"main@sha1:0123"}
