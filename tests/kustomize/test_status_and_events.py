import re

from shared.cluster.objects import ObjectRef
from tests.kustomize.conftest import KUSTOMIZE, World, config_map
from tests.support.eventually import eventually


async def test_a_first_sync_tells_what_it_did(world: World) -> None:
    revision = await world.publish({"a.yaml": config_map("a"), "b.yaml": config_map("b")})
    await world.create("apps", targetNamespace=world.namespace, interval="10m")
    status = await world.applied("apps", revision)

    ready = await world.condition("apps")
    assert ready["reason"] == "ReconciliationSucceeded"
    assert ready["message"] == f"Applied revision: {revision}"
    assert status["observedGeneration"] == 1
    assert status["lastAttemptedRevision"] == revision
    (entry,) = status["history"]
    assert entry["lastReconciledStatus"] == "ReconciliationSucceeded"
    assert entry["totalReconciliations"] == 1
    assert entry["metadata"] == {"revision": revision}
    assert re.fullmatch(r"sha256:[0-9a-f]{64}", entry["digest"])
    applied, finished = world.recorder
    assert applied.message == (
        f"ConfigMap/{world.namespace}/a created\nConfigMap/{world.namespace}/b created"
    )
    assert (applied.severity, applied.reason) == ("info", "Progressing")
    assert re.fullmatch(r"Reconciliation finished in \S+, next run in 10m", finished.message)
    assert finished.metadata == {"revision": revision, "commit_status": "update"}


async def test_a_failure_is_told_once_with_its_revision(world: World) -> None:
    revision = await world.publish({"a.yaml": "kind: [broken\n"})
    await world.create("apps", targetNamespace=world.namespace, retryInterval="100ms")
    await world.ready_is("apps", "BuildFailed")
    attempts = list(world.recorder)
    await eventually(
        lambda: world.status("apps"), lambda status: status["lastAttemptedRevision"] == revision
    )

    (failure,) = attempts
    assert (failure.severity, failure.reason) == ("error", "BuildFailed")
    assert failure.metadata == {"revision": revision}
    reconciling = await world.condition("apps", "Reconciling")
    assert reconciling["reason"] == "ProgressingWithRetry"


async def test_the_same_result_again_is_counted_not_listed_twice(world: World) -> None:
    revision = await world.publish({"a.yaml": config_map("a", key="1")})
    await world.create("apps", targetNamespace=world.namespace)
    await world.applied("apps", revision)

    await world.cluster.delete(world.ref("a"))

    def counted(history: list[dict[str, object]]) -> bool:
        return [entry["totalReconciliations"] for entry in history] == [2]

    async def history() -> list[dict[str, object]]:
        found: list[dict[str, object]] = (await world.status("apps"))["history"]
        return found

    await eventually(history, counted)


async def test_a_request_is_answered_though_nothing_is_to_be_done(world: World) -> None:
    revision = await world.publish({"a.yaml": config_map("a")})
    await world.create("apps", targetNamespace=world.namespace)
    await world.applied("apps", revision)

    ref = ObjectRef(KUSTOMIZE, "Kustomization", world.namespace, "apps")
    request = {"metadata": {"annotations": {"reconcile.fluxcd.io/requestedAt": "now"}}}
    await world.cluster.merge_patch(ref, request, manager="tests")

    await eventually(
        lambda: world.status("apps"),
        lambda status: status.get("lastHandledReconcileAt") == "now",
    )


async def test_what_is_about_to_be_applied_is_on_record_before(world: World) -> None:
    await world.publish({"a.yaml": config_map("a")})
    await world.create("apps", targetNamespace=world.namespace)
    await eventually(world.names_of, lambda names: names == {"a"})

    writes = [line.split("?")[0] for line in world.gate.seen if line.startswith("PATCH ")]

    claim = next(n for n, line in enumerate(writes) if line.endswith("/kustomizations/apps/status"))
    apply = next(n for n, line in enumerate(writes) if line.endswith("/configmaps/a"))
    assert claim < apply
