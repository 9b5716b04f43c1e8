"""Outages in the middle of an action, and other hands on the same release."""

from services.helm.names import ReleaseIdentity
from services.helm.release_secret import go_time
from services.helm.seen import SeenVersions
from services.helm.storage import ReleaseStorage
from shared.clock import now
from shared.cluster.client import Cluster
from tests.helm.conftest import Helm, condition
from tests.support.charts import a_chart, a_config_map
from tests.support.eventually import eventually
from tests.support.gate import Gate
from tests.support.helm_releases import a_stored_release

CHART_TEMPLATES = {"greeting.yaml": a_config_map("greeting", text="hello")}
CHART = a_chart(templates=CHART_TEMPLATES)
LONG_ENOUGH = 6  # refusals: more than the client's patience with one request


async def test_an_api_server_that_was_away_is_not_the_releases_fault(
    helm: Helm, gate: Gate, gated: Cluster
) -> None:
    path = f"PATCH /api/v1/namespaces/{helm.namespace}/configmaps/greeting"
    gate.refuse(path, 503, LONG_ENOUGH, {})
    async with helm.service(gated):
        await helm.release()
        await helm.publish(CHART)

        release = await helm.ready(version=2)

    assert "failures" not in release["status"]
    assert await helm.records() == {1: "failed", 2: "deployed"}
    assert "Unlocked Helm release" in "".join(each.message for each in helm.told)


async def test_an_outage_while_pruning_is_not_the_releases_fault(
    helm: Helm, gate: Gate, gated: Cluster
) -> None:
    old = {"old.yaml": a_config_map("old", a="b"), "new.yaml": a_config_map("new", a="b")}
    gate.refuse(f"DELETE /api/v1/namespaces/{helm.namespace}/configmaps/old", 503, LONG_ENOUGH, {})
    async with helm.service(gated):
        await helm.release()
        await helm.publish(a_chart(templates=old))
        await helm.ready()

        await helm.publish(a_chart(version="1.1.0", templates=CHART_TEMPLATES), version="1.1.0")
        await helm.ready(version=3)

    assert await helm.object("old") is None
    assert await helm.object("new") is None


async def test_a_persons_helm_that_is_at_work_is_left_in_peace(helm_service: Helm) -> None:
    helm = helm_service
    await helm.release()
    await helm.publish(CHART)
    await helm.ready()
    identity = ReleaseIdentity("shop", helm.namespace, helm.namespace)
    person = ReleaseStorage(helm.cluster, identity, SeenVersions(), now)
    pending = a_stored_release(2, "pending-upgrade", namespace=helm.namespace)
    pending["info"]["last_deployed"] = go_time(now())

    await person.create(pending, {})

    release = await helm.failing("PendingRelease")
    assert "waiting up to 5m0s" in condition(release, "Ready")["message"]
    assert await helm.records() == {1: "deployed", 2: "pending-upgrade"}
    await helm.annotate({"reconcile.fluxcd.io/requestedAt": "1"})
    await helm.ready(version=3)
    assert await helm.records() == {1: "superseded", 2: "failed", 3: "deployed"}


async def test_a_dead_persons_lock_is_broken(helm_service: Helm) -> None:
    helm = helm_service
    await helm.release()
    await helm.publish(CHART)
    await helm.ready()
    identity = ReleaseIdentity("shop", helm.namespace, helm.namespace)
    person = ReleaseStorage(helm.cluster, identity, SeenVersions(), now)

    await person.create(a_stored_release(2, "pending-rollback", namespace=helm.namespace), {})

    await helm.ready(version=3)
    assert (await helm.records())[2] == "failed"


async def test_a_suspended_release_is_left_alone(helm_service: Helm) -> None:
    helm = helm_service
    await helm.release()
    await helm.publish(CHART)
    await helm.ready()

    await helm.release(suspend=True, values={"text": "other"})

    await eventually(
        helm.stored,
        lambda release: (
            release["status"]["observedGeneration"] == release["metadata"]["generation"]
        ),
    )
    assert await helm.records() == {1: "deployed"}
