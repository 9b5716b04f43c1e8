"""The loop: from a change of an object to its status, on a real API server."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any

import pytest

from shared.cluster.client import Cluster
from shared.cluster.objects import Manifest, ObjectRef
from shared.cluster.watch_cache import watch_kind
from shared.controller import FINALIZER, Controller, Options
from shared.outcomes import Done, Failed, Stalled, Waiting
from shared.resources.kustomize import Kustomization
from shared.run import Run, Severity
from tests.support.eventually import eventually
from tests.support.gate import Gate
from tests.support.holding import held

DONE = Done(message="Applied revision: main@sha1:1", reason="ReconciliationSucceeded")
Behaviour = Callable[[Kustomization, Run], Awaitable[Done]]


class Scripted:
    """A reconciler that does what the test says, and counts."""

    def __init__(self, behaviour: Behaviour | None = None) -> None:
        self.behaviour = behaviour
        self.runs = 0
        self.finalized: list[str] = []
        self.finalizing: Exception | None = None

    async def reconcile(self, resource: Kustomization, run: Run) -> Done:
        self.runs += 1
        return DONE if self.behaviour is None else await self.behaviour(resource, run)

    async def finalize(self, resource: Kustomization, run: Run) -> None:
        if self.finalizing is not None:
            error, self.finalizing = self.finalizing, None
            raise error
        self.finalized.append(resource.metadata.name)


class Events:
    def __init__(self) -> None:
        self.told: list[tuple[Severity, str, str]] = []

    def record(
        self,
        resource: Any,
        severity: Severity,
        reason: str,
        message: str,
        metadata: Mapping[str, str],
        *,
        in_cluster: bool = True,
    ) -> None:
        self.told.append((severity, reason, message))


class World:
    """One Kustomization and the controller that looks after it."""

    def __init__(self, cluster: Cluster, namespace: str, reconciler: Scripted) -> None:
        self.cluster = cluster
        self.ref = ObjectRef(Kustomization.api_version, "Kustomization", namespace, "shop")
        self.reconciler = reconciler
        self.events = Events()
        self.cache = watch_kind(cluster, Kustomization, namespace)
        self.controller = Controller(
            cluster,
            self.cache,
            Kustomization,
            reconciler,
            self.events,
            Options("kustomize-controller", "gotk-kustomize-controller"),
        )

    @asynccontextmanager
    async def running(self) -> AsyncIterator["World"]:
        async with self.cache.running(), asyncio.TaskGroup() as group:
            task = group.create_task(self.controller.run())
            yield self
            task.cancel()

    async def create(self, **spec: Any) -> None:
        await self.cluster.create(
            {
                "apiVersion": self.ref.api_version,
                "kind": self.ref.kind,
                "metadata": {"name": self.ref.name, "namespace": self.ref.namespace},
                "spec": {
                    "interval": "10m",
                    "prune": True,
                    "sourceRef": {"kind": "GitRepository", "name": "shop"},
                    **spec,
                },
            }
        )

    async def patch(self, patch: Manifest) -> None:
        await self.cluster.merge_patch(self.ref, patch)

    async def stored(self) -> Manifest | None:
        return await self.cluster.read(self.ref)

    async def condition(self, condition_type: str) -> Mapping[str, Any]:
        conditions = ((await self.stored()) or {}).get("status", {}).get("conditions", ())
        return next((c for c in conditions if c["type"] == condition_type), {})


@asynccontextmanager
async def a_world(
    cluster: Cluster, namespace: str, behaviour: Behaviour | None = None
) -> AsyncIterator[World]:
    async with held(World(cluster, namespace, Scripted(behaviour)).running()) as world:
        yield world


async def test_a_new_object_gets_a_finalizer_a_run_and_a_status(
    cluster: Cluster, namespace: str
) -> None:
    async with a_world(cluster, namespace) as world:
        await world.create()

        ready = await eventually(lambda: world.condition("Ready"))

        stored = await world.stored()
        assert stored is not None
        assert stored["metadata"]["finalizers"] == [FINALIZER]
        assert stored["status"]["observedGeneration"] == 1
        assert (ready["status"], ready["reason"], ready["message"]) == (
            "True",
            "ReconciliationSucceeded",
            "Applied revision: main@sha1:1",
        )


async def test_what_was_there_before_the_controller_is_looked_at(
    cluster: Cluster, namespace: str
) -> None:
    world = World(cluster, namespace, Scripted())
    await world.create()
    async with held(world.cache.running()):
        await world.cache.synced()
        controller = Controller(
            cluster,
            world.cache,
            Kustomization,
            world.reconciler,
            world.events,
            Options("kustomize-controller", "gotk-kustomize-controller"),
        )
        async with asyncio.TaskGroup() as group:
            task = group.create_task(controller.run())

            ready = await eventually(lambda: world.condition("Ready"))

            task.cancel()
    assert ready["status"] == "True"


async def test_a_run_that_finds_nothing_new_sends_no_request(
    gate: Gate, gated: Cluster, namespace: str
) -> None:
    async with a_world(gated, namespace) as world:
        await world.create()
        await eventually(lambda: world.condition("Ready"))
        before = gate.count("PATCH")

        world.controller.look_at(world.ref.key)
        await eventually(lambda: world.reconciler.runs == 2)
        world.controller.look_at(world.ref.key)
        await eventually(lambda: world.reconciler.runs == 3)

        assert gate.count("PATCH") == before


async def test_our_own_status_writes_wake_nobody(cluster: Cluster, namespace: str) -> None:
    async with a_world(cluster, namespace) as world:
        await world.create()
        await eventually(lambda: world.condition("Ready"))
        await world.patch({"metadata": {"labels": {"team": "shop"}}})
        await eventually(
            lambda: world.cache.get(world.ref.key),
            lambda seen: seen is not None and "team" in seen.metadata.labels,
        )

        assert world.reconciler.runs == 1


async def test_a_request_is_run_and_marked_as_handled(cluster: Cluster, namespace: str) -> None:
    async with a_world(cluster, namespace) as world:
        await world.create()
        await eventually(lambda: world.condition("Ready"))

        annotations = {"reconcile.fluxcd.io/requestedAt": "2026-01-01T00:00:00Z"}
        await world.patch({"metadata": {"annotations": annotations}})

        stored = await eventually(
            world.stored,
            lambda seen: bool(seen) and "lastHandledReconcileAt" in (seen or {})["status"],
        )
        assert stored is not None
        assert stored["status"]["lastHandledReconcileAt"] == "2026-01-01T00:00:00Z"
        assert world.reconciler.runs == 2


async def test_a_failure_is_told_once_and_tried_again(cluster: Cluster, namespace: str) -> None:
    async def fail_twice(resource: Kustomization, run: Run) -> Done:
        if world.reconciler.runs <= 2:
            raise Failed("no route to host", reason="ArtifactFailed")
        return DONE

    async with a_world(cluster, namespace, fail_twice) as world:
        await world.create()

        failed = await eventually(
            lambda: world.condition("Ready"), lambda c: c.get("status") == "False"
        )
        assert (failed["reason"], failed["message"]) == ("ArtifactFailed", "no route to host")
        retrying = await world.condition("Reconciling")
        assert retrying["reason"] == "ProgressingWithRetry"
        await eventually(lambda: world.condition("Ready"), lambda c: c.get("status") == "True")

        assert world.events.told == [("error", "ArtifactFailed", "no route to host")]
        assert await world.condition("Reconciling") == {}


async def test_a_stalled_object_is_settled_and_waits_for_a_new_spec(
    cluster: Cluster, namespace: str
) -> None:
    async def stall_on_path(resource: Kustomization, run: Run) -> Done:
        if resource.spec.path == "./wrong":
            raise Stalled("spec.path: no such folder", reason="InvalidPath")
        return DONE

    async with a_world(cluster, namespace, stall_on_path) as world:
        await world.create(path="./wrong")
        stalled = await eventually(lambda: world.condition("Stalled"))
        assert stalled["message"] == "spec.path: no such folder"
        stored = await world.stored()
        assert stored is not None
        assert stored["status"]["observedGeneration"] == 1

        await world.patch({"spec": {"path": "./right"}})

        await eventually(lambda: world.condition("Ready"), lambda c: c.get("status") == "True")
        assert await world.condition("Stalled") == {}


async def test_waiting_alarms_nobody(cluster: Cluster, namespace: str) -> None:
    async def wait(resource: Kustomization, run: Run) -> Done:
        raise Waiting("dependency 'team/db' is not ready")

    async with a_world(cluster, namespace, wait) as world:
        await world.create()

        ready = await eventually(lambda: world.condition("Ready"))

        assert (ready["status"], ready["reason"]) == ("False", "DependencyNotReady")
        assert world.events.told == []


async def test_progress_is_seen_while_the_run_goes_on(cluster: Cluster, namespace: str) -> None:
    release = asyncio.Event()

    async def work(resource: Kustomization, run: Run) -> Done:
        await run.progress("Building manifests", status={"lastAttemptedRevision": "main@sha1:1"})
        await release.wait()
        return DONE

    async with a_world(cluster, namespace, work) as world:
        await world.create()

        reconciling = await eventually(lambda: world.condition("Reconciling"))

        ready = await world.condition("Ready")
        stored = await world.stored()
        assert stored is not None
        assert (reconciling["status"], ready["status"]) == ("True", "Unknown")
        assert stored["status"]["lastAttemptedRevision"] == "main@sha1:1"
        release.set()
        await eventually(lambda: world.condition("Ready"), lambda c: c.get("status") == "True")
        assert await world.condition("Reconciling") == {}


async def test_a_bug_in_a_run_is_a_failure_without_a_traceback(
    cluster: Cluster, namespace: str
) -> None:
    async def break_down(resource: Kustomization, run: Run) -> Done:
        raise ZeroDivisionError("secret detail")

    async with a_world(cluster, namespace, break_down) as world:
        await world.create()

        ready = await eventually(lambda: world.condition("Ready"))

        assert ready["status"] == "False"
        assert "secret detail" not in ready["message"]


async def test_a_suspended_object_is_left_alone(cluster: Cluster, namespace: str) -> None:
    async with a_world(cluster, namespace) as world:
        await world.create(suspend=True)

        await eventually(
            world.stored,
            lambda seen: (seen or {}).get("status", {}).get("observedGeneration") == 1,
        )

        assert world.reconciler.runs == 0


async def test_a_deleted_object_is_finalized_even_when_that_takes_two_tries(
    cluster: Cluster, namespace: str
) -> None:
    async with a_world(cluster, namespace) as world:
        await world.create()
        await eventually(lambda: world.condition("Ready"))
        world.reconciler.finalizing = Failed("could not prune", reason="PruneFailed")

        await cluster.delete(world.ref)

        await eventually(world.stored, lambda seen: seen is None)
        assert world.reconciler.finalized == ["shop"]


async def test_an_idle_run_leaves_its_place_to_others(cluster: Cluster, namespace: str) -> None:
    release = asyncio.Event()

    async def wait_for_health(resource: Kustomization, run: Run) -> Done:
        if resource.spec.path == "./slow":
            async with run.idle():
                await release.wait()
        return DONE

    world = World(cluster, namespace, Scripted(wait_for_health))
    world.controller = Controller(
        cluster,
        world.cache,
        Kustomization,
        world.reconciler,
        world.events,
        Options("kustomize-controller", "gotk-kustomize-controller", concurrent=1),
    )
    async with held(world.running()):
        await world.create(path="./slow")
        await eventually(lambda: world.reconciler.runs == 1)
        world.ref = world.ref._replace(name="quick")
        await world.create()

        await eventually(lambda: world.condition("Ready"), lambda c: c.get("status") == "True")
        release.set()


@pytest.mark.parametrize("status", [429, 500, 503])
async def test_a_server_that_asks_for_patience_gets_it(
    gate: Gate, gated: Cluster, namespace: str, status: int
) -> None:
    async with a_world(gated, namespace) as world:
        gate.refuse("PATCH", status, times=2, headers={"Retry-After": "0"})
        await world.create()

        ready = await eventually(lambda: world.condition("Ready"))

        assert ready["status"] == "True"
