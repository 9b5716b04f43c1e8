"""Dependencies of any kind, by an annotation that Flux ignores."""

import asyncio
import time
from typing import Any

import yaml

from shared.cluster.objects import Manifest, ObjectRef
from shared.dependencies import DEPENDS_ON
from shared.engine import Engine
from tests.kustomize.conftest import KUSTOMIZE, World, config_map, deployment, serving, tidy
from tests.support.eventually import eventually
from tests.support.helm_releases import helm_release_manifest
from tests.support.holding import held

HELM = "helm.toolkit.fluxcd.io/v2"
READY = {
    "type": "Ready",
    "status": "True",
    "reason": "InstallSucceeded",
    "message": "",
    "lastTransitionTime": "2026-01-01T00:00:00Z",
}


async def annotate(world: World, name: str, needs: str | None) -> None:
    ref = ObjectRef(KUSTOMIZE, "Kustomization", world.namespace, name)
    annotations = {"metadata": {"annotations": {DEPENDS_ON: needs}}}
    await world.cluster.merge_patch(ref, annotations, manager="tests")


async def needing(world: World, needs: str, **spec: Any) -> str:
    revision = await world.publish({"a.yaml": config_map("a")})
    manifest = {
        "apiVersion": KUSTOMIZE,
        "kind": "Kustomization",
        "metadata": {
            "name": "apps",
            "namespace": world.namespace,
            "annotations": {DEPENDS_ON: needs},
        },
        "spec": {
            "interval": "1h",
            "prune": True,
            "sourceRef": {"kind": "GitRepository", "name": "shop"},
            "targetNamespace": world.namespace,
            **spec,
        },
    }
    await world.cluster.apply(manifest, manager="tests")
    return revision


async def release(world: World, **metadata: Any) -> None:
    """A HelmRelease that nobody works on."""
    manifest = helm_release_manifest("db", world.namespace)
    manifest["metadata"] |= metadata
    await world.cluster.apply(manifest, manager="team")


async def say_ready(world: World, status: str = "True") -> None:
    ref = ObjectRef(HELM, "HelmRelease", world.namespace, "db")
    said: Manifest = {"observedGeneration": 1, "conditions": [READY | {"status": status}]}
    await world.cluster.merge_patch(ref, {"status": said}, subresource="status")


async def test_a_release_is_waited_for_and_wakes_who_waits(world: World) -> None:
    revision = await needing(world, "HelmRelease/db")
    ready = await world.ready_is("apps", "DependencyNotReady")
    assert ready["message"] == f"dependency 'HelmRelease/{world.namespace}/db' not found"
    await release(world)
    await eventually(
        lambda: world.condition("apps"), lambda found: "is not ready" in found["message"]
    )
    assert await world.names_of() == set()
    started = time.monotonic()

    await say_ready(world)

    await world.applied("apps", revision)
    assert time.monotonic() - started < 3.0


async def test_a_kind_that_has_rules_of_its_own_is_read_by_them(world: World) -> None:
    revision = await needing(world, "Deployment.apps/web")
    await world.ready_is("apps", "DependencyNotReady")
    web = yaml.safe_load(deployment("web"))
    web["metadata"]["namespace"] = world.namespace

    await world.cluster.apply(web, manager="somebody")

    await world.applied("apps", revision)


async def test_what_has_not_said_that_it_is_ready_is_not(world: World) -> None:
    lease = {
        "apiVersion": "coordination.k8s.io/v1",
        "kind": "Lease",
        "metadata": {"name": "lock", "namespace": world.namespace},
    }
    await world.cluster.create(lease)

    await needing(world, "Lease.coordination.k8s.io/lock")

    ready = await world.ready_is("apps", "DependencyNotReady")
    assert ready["message"] == (
        f"dependency 'Lease/{world.namespace}/lock' is not ready: it has no condition Ready yet"
    )


async def test_a_kind_that_is_not_served_is_said(world: World) -> None:
    await needing(world, "Thing.example.org/shop/a")

    ready = await world.ready_is("apps", "DependencyNotReady")

    assert ready["message"] == (
        "dependency 'Thing/shop/a' not found: "
        "no kind Thing in group 'example.org' is served by this cluster"
    )


async def test_a_tenant_learns_nothing_that_its_account_may_not_read(world: World) -> None:
    account = {
        "apiVersion": "v1",
        "kind": "ServiceAccount",
        "metadata": {"name": "tenant", "namespace": world.namespace},
    }
    await world.cluster.create(account)
    await release(world)
    await say_ready(world)

    await needing(world, "HelmRelease/db", serviceAccountName="tenant")

    ready = await world.ready_is("apps", "DependencyNotReady")
    assert "is not known: its kind cannot be listed and watched" in ready["message"]


async def test_a_circle_through_a_release_stalls_and_is_named_until_it_is_cut(
    world: World,
) -> None:
    await release(world, annotations={DEPENDS_ON: "Kustomization/apps"})
    revision = await needing(world, "HelmRelease/db")

    stalled = await eventually(lambda: world.condition("apps", "Stalled"))
    ns = world.namespace
    assert stalled["message"] == (
        "dependency cycle, none of these can ever be ready: "
        f"Kustomization/{ns}/apps -> HelmRelease/{ns}/db -> Kustomization/{ns}/apps"
    )

    await annotate(world, "apps", None)
    await world.applied("apps", revision)


async def test_a_circle_that_is_cut_at_the_other_kind_is_left_at_once(world: World) -> None:
    await release(world, annotations={DEPENDS_ON: "Kustomization/apps"})
    revision = await needing(world, "HelmRelease/db")
    await eventually(lambda: world.condition("apps", "Stalled"))

    await release(world, annotations={})
    await say_ready(world)

    await world.applied("apps", revision)


async def test_other_namespaces_can_be_blocked(idle_world: World, engine: Engine) -> None:
    async with held(serving(idle_world, engine, cross_namespace=False)):
        await needing(idle_world, "HelmRelease/elsewhere/db")
        stalled = await eventually(lambda: idle_world.condition("apps", "Stalled"))
        assert stalled["reason"] == "AccessDenied"
        assert stalled["message"] == (
            "can't access 'HelmRelease/elsewhere/db', cross-namespace references have been blocked"
        )

        await annotate(idle_world, "apps", None)
        await idle_world.change("apps", dependsOn=[{"name": "base", "namespace": "elsewhere"}])

        message = "can't access 'Kustomization/elsewhere/base', cross-namespace references have"
        await eventually(
            lambda: idle_world.condition("apps", "Stalled"),
            lambda found: found.get("message", "").startswith(message),
        )
        await idle_world.change("apps", dependsOn=[])
        await tidy(idle_world)


async def test_who_is_gone_is_not_waited_for(world: World) -> None:
    await needing(world, "HelmRelease/db")
    await world.ready_is("apps", "DependencyNotReady")

    await world.delete("apps")
    await world.gone("apps")

    await release(world)
    await asyncio.wait_for(say_ready(world), 5)
