"""A release waits for objects of any kind that its annotation names."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from services.helm.keeping import Means, keeping_releases
from shared.cluster.objects import ObjectRef
from shared.dependencies import DEPENDS_ON
from tests.helm.conftest import Helm, condition
from tests.support.charts import a_chart, a_config_map

KUSTOMIZE = "kustomize.toolkit.fluxcd.io/v1"
CHART = a_chart(templates={"greeting.yaml": a_config_map("greeting", text="hello")})


async def kustomization(helm: Helm, needs: str = "") -> None:
    """One that nobody works on."""
    await helm.cluster.apply(
        {
            "apiVersion": KUSTOMIZE,
            "kind": "Kustomization",
            "metadata": {
                "name": "base",
                "namespace": helm.namespace,
                "annotations": {DEPENDS_ON: needs},
            },
            "spec": {
                "interval": "1h",
                "prune": False,
                "sourceRef": {"kind": "GitRepository", "name": "shop"},
            },
        },
        manager="team",
    )


async def say_ready(helm: Helm) -> None:
    ready = {
        "type": "Ready",
        "status": "True",
        "reason": "ReconciliationSucceeded",
        "message": "",
        "lastTransitionTime": "2026-01-01T00:00:00Z",
        "observedGeneration": 1,
    }
    ref = ObjectRef(KUSTOMIZE, "Kustomization", helm.namespace, "base")
    status = {"status": {"observedGeneration": 1, "conditions": [ready]}}
    await helm.cluster.merge_patch(ref, status, subresource="status")


async def needing(helm: Helm, needs: str) -> None:
    await helm.release()
    await helm.annotate({DEPENDS_ON: needs})
    await helm.publish(CHART)


async def test_a_kustomization_is_waited_for_and_wakes_the_release(helm_service: Helm) -> None:
    helm = helm_service
    await kustomization(helm)
    await needing(helm, "Kustomization/base")
    await helm.saying(f"dependency 'Kustomization/{helm.namespace}/base' is not ready")

    await say_ready(helm)

    await helm.ready(within=10)


async def test_a_circle_through_a_kustomization_is_named(helm_service: Helm) -> None:
    helm = helm_service
    await kustomization(helm, "HelmRelease/shop")
    await needing(helm, "Kustomization/base")

    ns = helm.namespace
    stalled = await helm.failing("DependencyCycle")

    assert condition(stalled, "Stalled")["message"] == (
        "dependency cycle, none of these can ever be ready: "
        f"HelmRelease/{ns}/shop -> Kustomization/{ns}/base -> HelmRelease/{ns}/shop"
    )


async def test_other_namespaces_can_be_blocked(helm: Helm) -> None:
    async with blocked(helm):
        await needing(helm, "Kustomization/elsewhere/base")
        annotated = await helm.failing("AccessDenied")
        await helm.annotate({DEPENDS_ON: ""})
        await helm.release(dependsOn=[{"name": "db", "namespace": "elsewhere"}])
        message = "can't access 'HelmRelease/elsewhere/db', cross-namespace references"
        await helm.saying(message)

    assert condition(annotated, "Stalled")["message"] == (
        "can't access 'Kustomization/elsewhere/base', cross-namespace references have been blocked"
    )


async def test_a_mistake_in_the_annotation_is_told_with_what_to_write(helm_service: Helm) -> None:
    await needing(helm_service, "base")

    stalled = await helm_service.failing("InvalidSpec")

    said = "annotation penstock.dev/depends-on: 'base': write Kind/namespace/name"
    assert condition(stalled, "Stalled")["message"].startswith(said)


@asynccontextmanager
async def blocked(helm: Helm) -> AsyncIterator[None]:
    """The service where references to other namespaces are."""
    means = Means(
        cluster=helm.cluster,
        recorder=helm.told,
        engine=helm.kitchen.engine,
        artifacts=helm.kitchen.artifacts,
        cross_namespace=False,
    )
    async with keeping_releases(means) as keeping, asyncio.TaskGroup() as group:
        working = group.create_task(keeping.controller.run())
        yield
        working.cancel()
