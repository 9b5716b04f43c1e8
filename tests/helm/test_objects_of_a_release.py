"""Which objects a release makes, waits for, keeps, and lets go of."""

from typing import Any

from shared.cluster.objects import ObjectRef
from tests.helm.conftest import Helm, condition
from tests.support.charts import a_chart, a_config_map, a_hook
from tests.support.eventually import eventually

GREETING = {"greeting.yaml": a_config_map("greeting", text="hello")}
KEPT = """apiVersion: v1
kind: ConfigMap
metadata:
  name: kept
  annotations: {helm.sh/resource-policy: keep}
"""


def a_deployment(name: str, *, hopeless: bool = False, paused: bool = False) -> dict[str, Any]:
    pod: dict[str, Any] = {"containers": [{"name": "web", "image": "web"}]}
    if hopeless:
        pod["nodeSelector"] = {"no-node": "has-this"}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name},
        "spec": {
            "paused": paused,
            "selector": {"matchLabels": {"app": name}},
            "template": {"metadata": {"labels": {"app": name}}, "spec": pod},
        },
    }


async def test_what_left_the_chart_leaves_the_cluster(helm_service: Helm) -> None:
    helm = helm_service
    await helm.release()
    old = a_chart(templates={**GREETING, "old.yaml": a_config_map("old", a="b"), "kept.yaml": KEPT})
    await helm.publish(old)
    await helm.ready()

    await helm.publish(a_chart(version="1.1.0", templates=GREETING), version="1.1.0")
    await helm.ready(version=2)

    assert await helm.object("old") is None
    assert await helm.object("kept") is not None
    assert await helm.object("greeting") is not None


async def test_a_failed_version_leaves_nothing_behind_that_nobody_wants(
    helm_service: Helm,
) -> None:
    helm = helm_service
    old = {"old.yaml": a_config_map("old", a="b")}
    await helm.release()
    await helm.publish(a_chart(templates={**GREETING, **old}))
    await helm.ready()
    half = {"half.yaml": a_config_map("half", a="b"), "bad.yaml": a_config_map("bad", a="1")}
    await helm.publish(a_chart(version="1.1.0", templates={**GREETING, **half}), version="1.1.0")
    await helm.failing("UpgradeFailed")
    assert await helm.object("half") is not None
    assert await helm.object("old") is not None

    await helm.publish(a_chart(version="1.2.0", templates=GREETING), version="1.2.0")
    await helm.ready(version=3)

    assert await helm.object("half") is None
    assert await helm.object("old") is None


async def test_a_release_is_ready_when_its_objects_are(helm_service: Helm) -> None:
    helm = helm_service
    await helm.release()
    await helm.publish(a_chart(templates={"web.yaml": a_deployment("web")}))

    await helm.ready()

    web = await helm.object("web", "Deployment", "apps/v1")
    assert web is not None
    assert web["status"]["readyReplicas"] == 1


async def test_what_does_not_become_ready_in_time_fails_the_release(helm_service: Helm) -> None:
    helm = helm_service
    await helm.release(timeout="1s")
    await helm.publish(a_chart(templates={"web.yaml": a_deployment("web", hopeless=True)}))

    release = await helm.failing("InstallFailed")

    assert f"Deployment/{helm.namespace}/web" in condition(release, "Ready")["message"]
    assert await helm.records() == {1: "failed"}


async def test_jobs_are_waited_for_unless_told_otherwise(helm_service: Helm) -> None:
    helm = helm_service
    job = a_hook("work", "none")
    del job["metadata"]["annotations"]
    await helm.release()
    await helm.publish(a_chart(templates={"job.yaml": job}))

    await helm.ready()

    done = await helm.object("work", "Job", "batch/v1")
    assert done is not None
    assert done["status"]["succeeded"] == 1


async def test_nothing_is_waited_for_when_told_so(helm_service: Helm) -> None:
    helm = helm_service
    job = a_hook("work", "none", fails=True)
    del job["metadata"]["annotations"]
    await helm.release("no-wait", install={"disableWait": True})
    await helm.publish(
        a_chart("no-wait", templates={"web.yaml": a_deployment("web", hopeless=True)}),
        name="no-wait",
    )
    await helm.ready("no-wait")

    await helm.release("no-jobs", install={"disableWaitForJobs": True})
    templates = {"job.yaml": job, "paused.yaml": a_deployment("paused", paused=True)}
    await helm.publish(a_chart("no-jobs", templates=templates), name="no-jobs")
    await helm.ready("no-jobs")


async def test_common_metadata_is_on_objects_and_in_the_record(helm_service: Helm) -> None:
    helm = helm_service
    await helm.release()
    await helm.publish(a_chart(templates=GREETING))
    await helm.ready()

    common = {"labels": {"team": "a"}, "annotations": {"note": "<&>"}}
    await helm.release(commonMetadata=common)
    release = await helm.ready(version=2)

    greeting = await helm.object("greeting")
    assert greeting is not None
    assert greeting["metadata"]["labels"]["team"] == "a"
    assert greeting["metadata"]["annotations"]["note"] == "<&>"
    assert "team: 'a'" in await helm.cli("get", "manifest", "shop")
    assert release["status"]["observedCommonMetadataDigest"].startswith("sha256:")
    await helm.release()
    await helm.ready(version=3)


async def test_a_stranger_is_taken_over_only_if_that_is_allowed(helm_service: Helm) -> None:
    helm = helm_service
    metadata = {"name": "greeting", "namespace": helm.namespace}
    await helm.cluster.create({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata})
    await helm.release(install={"disableTakeOwnership": True})
    await helm.publish(a_chart(templates=GREETING))

    release = await helm.failing("InstallFailed")

    message = condition(release, "Ready")["message"]
    assert "exists and cannot be imported into the current release" in message
    greeting = await helm.object("greeting")
    assert greeting is not None
    assert "data" not in greeting
    await helm.release()
    await helm.annotate({"reconcile.fluxcd.io/requestedAt": "1"})
    await helm.ready(version=2)


async def test_cluster_wide_objects_and_lists_are_understood(helm_service: Helm) -> None:
    helm = helm_service
    name = f"{helm.namespace}-reader"
    rules = [{"apiGroups": [""], "resources": ["pods"], "verbs": ["get"]}]
    role = {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "ClusterRole",
        "metadata": {"name": name},
        "rules": rules,
    }
    config = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "listed"}}
    listed = {"apiVersion": "v1", "kind": "List", "items": [config]}
    await helm.release(commonMetadata={"labels": {"team": "a"}})
    await helm.publish(a_chart(templates={"role.yaml": role, "list.yaml": listed}))

    release = await helm.ready()

    found = await helm.object("listed")
    assert found is not None
    assert found["metadata"]["labels"]["team"] == "a"
    ids = [entry["id"] for entry in release["status"]["inventory"]["entries"]]
    assert sorted(ids) == sorted(
        [f"_{name}_rbac.authorization.k8s.io_ClusterRole", f"{helm.namespace}_listed__ConfigMap"]
    )
    await helm.delete()
    ref = ObjectRef("rbac.authorization.k8s.io/v1", "ClusterRole", "", name)
    await eventually(lambda: _is_gone(helm, ref))


async def _is_gone(helm: Helm, ref: ObjectRef) -> bool:
    return await helm.cluster.read(ref) is None
