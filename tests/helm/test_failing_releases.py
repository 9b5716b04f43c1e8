"""What a user sees when a release does not work, and what makes it try again."""

import random
from typing import Any

from shared.cluster.objects import ObjectRef
from tests.helm.conftest import Helm, condition
from tests.support.charts import a_chart, a_config_map
from tests.support.eventually import eventually

GREETING = {"greeting.yaml": a_config_map("greeting", text="{{ .Values.text }}")}
CHART = a_chart(templates=GREETING, values={"text": "default"})
NOT_TEXT: dict[str, Any] = {"text": 1}  # the API server takes strings only


async def test_a_failed_install_stalls_and_says_why(helm_service: Helm) -> None:
    helm = helm_service
    await helm.release(values=NOT_TEXT)
    await helm.publish(CHART)

    release = await helm.failing("InstallFailed")

    ready, stalled = condition(release, "Ready"), condition(release, "Stalled")
    where = f"{helm.namespace}/shop with chart shop@1.0.0"
    assert ready["message"].startswith(f"Helm install failed for release {where}: ")
    assert "expected string" in ready["message"]
    assert (stalled["status"], stalled["reason"]) == ("True", "RetriesExceeded")
    assert stalled["message"] == "Failed to install after 1 attempt(s)"
    status = release["status"]
    assert (status["failures"], status["installFailures"]) == (1, 1)
    assert status["history"][0]["status"] == "failed"
    assert status["observedGeneration"] == release["metadata"]["generation"]
    assert await helm.records() == {1: "failed"}
    assert [(each.severity, each.reason) for each in helm.told if each.severity != "trace"] == [
        ("error", "InstallFailed")
    ]


async def test_other_values_heal_a_failed_install(helm_service: Helm) -> None:
    helm = helm_service
    await helm.release(values=NOT_TEXT)
    await helm.publish(CHART)
    await helm.failing("InstallFailed")

    await helm.release(values={"text": "hello"})

    release = await helm.ready(version=2)
    assert "failures" not in release["status"]
    assert "installFailures" not in release["status"]
    assert condition(release, "Stalled")["status"] == ""
    assert await helm.records() == {1: "failed", 2: "deployed"}


async def test_a_failed_upgrade_leaves_the_good_version_in_the_records(helm_service: Helm) -> None:
    helm = helm_service
    await helm.release(values={"text": "one"})
    await helm.publish(CHART)
    await helm.ready()

    await helm.release(values=NOT_TEXT)
    release = await helm.failing("UpgradeFailed")

    assert condition(release, "Stalled")["message"] == "Failed to upgrade after 1 attempt(s)"
    assert release["status"]["upgradeFailures"] == 1
    assert [each["status"] for each in release["status"]["history"]] == ["failed", "deployed"]
    assert await helm.records() == {1: "deployed", 2: "failed"}

    await helm.release(values={"text": "two"})
    await helm.ready(version=3)
    assert await helm.records() == {1: "superseded", 2: "failed", 3: "deployed"}


async def test_a_forced_request_tries_again_and_a_plain_one_does_not(helm_service: Helm) -> None:
    helm = helm_service
    await helm.release(values=NOT_TEXT)
    await helm.publish(CHART)
    await helm.failing("InstallFailed")

    await helm.annotate({"reconcile.fluxcd.io/requestedAt": "1"})
    handled = await eventually(
        helm.stored, lambda release: release["status"].get("lastHandledReconcileAt") == "1"
    )
    assert condition(handled, "Stalled")["reason"] == "RetriesExceeded"
    assert await helm.records() == {1: "failed"}

    await helm.annotate(
        {"reconcile.fluxcd.io/requestedAt": "2", "reconcile.fluxcd.io/forceAt": "2"}
    )
    handled = await eventually(
        helm.stored, lambda release: release["status"].get("lastHandledForceAt") == "2"
    )
    assert await helm.records() == {1: "failed", 2: "failed"}
    assert condition(handled, "Ready")["reason"] == "UpgradeFailed"


async def test_a_reset_clears_the_failures(helm_service: Helm) -> None:
    helm = helm_service
    await helm.release(values=NOT_TEXT)
    await helm.publish(CHART)
    await helm.failing("InstallFailed")

    await helm.annotate(
        {"reconcile.fluxcd.io/requestedAt": "2", "reconcile.fluxcd.io/resetAt": "2"}
    )

    await eventually(
        helm.stored, lambda release: release["status"].get("lastHandledResetAt") == "2"
    )
    assert await helm.records() == {1: "failed", 2: "failed"}


async def test_a_forced_request_upgrades_a_release_that_is_in_sync(helm_service: Helm) -> None:
    helm = helm_service
    await helm.release()
    await helm.publish(CHART)
    await helm.ready()

    await helm.annotate(
        {"reconcile.fluxcd.io/requestedAt": "1", "reconcile.fluxcd.io/forceAt": "1"}
    )

    await helm.ready(version=2)


async def test_a_chart_that_does_not_render_uses_up_no_attempt(helm_service: Helm) -> None:
    helm = helm_service
    broken = a_chart(templates={"x.yaml": '{{ fail "no luck today" }}'})
    await helm.release()
    await helm.publish(broken)

    release = await helm.failing("InstallFailed")

    assert "no luck today" in condition(release, "Ready")["message"]
    assert condition(release, "Stalled")["status"] == ""
    assert condition(release, "Reconciling")["reason"] == "ProgressingWithRetry"
    assert "installFailures" not in release["status"]
    assert await helm.records() == {}
    await helm.publish(
        a_chart(version="1.0.1", templates=GREETING, values={"text": "a"}), version="1.0.1"
    )
    await helm.ready()


async def test_values_that_break_the_charts_schema_are_refused(helm_service: Helm) -> None:
    helm = helm_service
    schema = '{"type": "object", "properties": {"text": {"type": "string"}}}'
    await helm.release(values=NOT_TEXT)
    await helm.publish(a_chart(templates=GREETING, files={"values.schema.json": schema}))

    release = await helm.failing("InstallFailed")

    assert (
        "values don't meet the specifications of the schema"
        in (condition(release, "Ready")["message"])
    )


async def test_a_release_waits_for_its_source(helm_service: Helm) -> None:
    await helm_service.release()

    release = await helm_service.failing("SourceNotReady")

    assert condition(release, "Stalled")["status"] == ""
    assert not [each for each in helm_service.told if each.severity == "error"]


async def test_an_artifact_of_another_chart_is_not_released(helm_service: Helm) -> None:
    helm = helm_service
    await helm.release()
    await helm.publish(a_chart("evil", templates=GREETING))

    release = await helm.failing("ArtifactFailed")

    assert (
        "holds chart evil@1.0.0, announced was shop@1.0.0"
        in (condition(release, "Ready")["message"])
    )


async def test_an_artifact_that_is_gone_is_waited_for(helm_service: Helm) -> None:
    helm = helm_service
    await helm.release()
    await helm.publish(CHART)
    await helm.ready()
    lost = a_chart(version="1.1.0", templates=GREETING, values={"text": "two"})

    await helm.publish(lost, version="1.1.0", lost=True)

    release = await helm.failing("ArtifactFailed")
    assert condition(release, "Stalled")["status"] == ""
    assert "failures" not in release["status"]
    assert [each["version"] for each in release["status"]["history"]] == [1]


async def test_a_missing_value_reference_is_named(helm_service: Helm) -> None:
    helm = helm_service
    await helm.release(valuesFrom=[{"kind": "Secret", "name": "login"}])
    await helm.publish(CHART)

    release = await helm.failing("ValuesError")

    assert condition(release, "Ready")["message"] == (
        f"spec.valuesFrom[0]: Secret/{helm.namespace}/login does not exist; add it, or make the "
        "reference optional"
    )


async def test_a_record_too_large_for_kubernetes_leaves_the_old_release_alone(
    helm_service: Helm,
) -> None:
    helm = helm_service
    await helm.release()
    await helm.publish(CHART)
    await helm.ready()

    noise = {"noise.txt": random.Random(1).randbytes(1_000_000).hex()}
    await helm.publish(
        a_chart(version="1.1.0", templates=GREETING, files=noise, values={"text": "two"}),
        version="1.1.0",
    )

    release = await helm.failing("UpgradeFailed")
    assert "Kubernetes stores 1048576 at most" in condition(release, "Ready")["message"]
    assert condition(release, "Stalled")["status"] == "True"
    assert [each["version"] for each in release["status"]["history"]] == [1]
    assert await helm.records() == {1: "deployed"}


async def test_a_broken_record_is_named(helm_service: Helm) -> None:
    helm = helm_service
    await helm.release()
    await helm.publish(CHART)
    await helm.ready()
    record = ObjectRef("v1", "Secret", helm.namespace, "sh.helm.release.v1.shop.v1")

    await helm.cluster.merge_patch(record, {"data": {"release": "bm90IGhlbG0="}})

    release = await helm.failing("StateError")
    assert (
        f"Secret {helm.namespace}/sh.helm.release.v1.shop.v1 holds no readable Helm release"
        in (condition(release, "Ready")["message"])
    )
    await helm.cluster.delete(record)
    await helm.ready()


async def test_of_two_releases_with_one_name_the_older_keeps_it(helm_service: Helm) -> None:
    helm = helm_service
    await helm.release()
    await helm.publish(CHART)
    await helm.ready()

    await helm.release("rival", releaseName="shop", values={"text": "mine"})
    await helm.publish(CHART, name="rival", chart_name="shop")

    release = await helm.failing("ReleaseTaken", "rival")
    assert f"belongs to HelmRelease {helm.namespace}/shop" in condition(release, "Ready")["message"]
    assert await helm.records() == {1: "deployed"}
    await helm.delete("rival")
    await eventually(lambda: helm.found("rival"), lambda found: found is None)
    assert await helm.records() == {1: "deployed"}


async def test_a_release_has_no_more_rights_than_its_service_account(helm_service: Helm) -> None:
    helm = helm_service
    metadata = {"name": "deployer", "namespace": helm.namespace}
    await helm.cluster.create({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": metadata})
    await helm.release(serviceAccountName="deployer")
    await helm.publish(CHART)

    release = await helm.saying("cannot list resource")
    assert (
        f"system:serviceaccount:{helm.namespace}:deployer"
        in (condition(release, "Ready")["message"])
    )
    await helm.grant("deployer")
    await helm.annotate({"reconcile.fluxcd.io/requestedAt": "1"})
    await helm.ready()

    await helm.cluster.delete(ObjectRef("v1", "ServiceAccount", helm.namespace, "deployer"))
    await helm.delete()
    await eventually(helm.found, lambda found: found is None)
    assert await helm.records() == {1: "deployed"}


async def test_a_field_that_is_not_served_is_refused(helm_service: Helm) -> None:
    await helm_service.release(test={"enable": True})

    release = await helm_service.failing("UnsupportedField")

    assert "spec.test.enable" in condition(release, "Ready")["message"]
    assert condition(release, "Stalled")["status"] == "True"
