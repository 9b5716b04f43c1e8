import time

import yaml

from shared.cluster.objects import ObjectRef
from tests.kustomize.conftest import World, config_map, deployment
from tests.support.eventually import eventually

APPS = "apps/v1"


def never_ready(name: str, **labels: str) -> str:
    """A claim of a class that nobody serves stays pending."""
    claim = {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": name, "labels": labels},
        "spec": {
            "accessModes": ["ReadWriteOnce"],
            "storageClassName": "nobody",
            "resources": {"requests": {"storage": "1Gi"}},
        },
    }
    return yaml.safe_dump(claim)


async def test_a_revision_is_applied_once_its_objects_are_ready(world: World) -> None:
    revision = await world.publish({"web.yaml": deployment("web", replicas=2)})
    await world.create("apps", targetNamespace=world.namespace, wait=True)
    await world.applied("apps", revision)

    web = await world.read("web", "Deployment", APPS)
    healthy = await world.condition("apps", "Healthy")

    assert web["status"]["readyReplicas"] == 2
    assert (healthy["status"], healthy["reason"]) == ("True", "Succeeded")
    told = world.recorder.of("apps", "Progressing")
    assert any(message.startswith("Health check passed in ") for message in told)


async def test_what_does_not_get_ready_in_time_is_named(world: World) -> None:
    await world.publish({"claim.yaml": never_ready("data"), "a.yaml": config_map("a")})
    await world.create(
        "apps", targetNamespace=world.namespace, wait=True, timeout="1s", retryInterval="1h"
    )

    ready = await world.ready_is("apps", "HealthCheckFailed")

    assert ready["message"].startswith("health check failed after ")
    expected = (
        f"timeout waiting for: [PersistentVolumeClaim/{world.namespace}/data status: 'InProgress']"
    )
    assert expected in ready["message"]
    healthy = await world.condition("apps", "Healthy")
    assert (healthy["status"], healthy["reason"]) == ("False", "HealthCheckFailed")
    status = await world.status("apps")
    assert status["history"][0]["lastReconciledStatus"] == "HealthCheckFailed"
    assert "lastAppliedRevision" not in status


async def test_a_failed_object_ends_the_wait_early(world: World) -> None:
    job = yaml.safe_dump(
        {
            "apiVersion": "batch/v1",
            "kind": "Job",
            "metadata": {"name": "migrate"},
            "spec": {
                "activeDeadlineSeconds": 1,
                "template": {
                    "spec": {
                        "restartPolicy": "Never",
                        "nodeSelector": {"nobody": "here"},
                        "containers": [{"name": "migrate", "image": "migrate:1"}],
                    }
                },
            },
        }
    )
    await world.publish({"job.yaml": job})
    await world.create("apps", targetNamespace=world.namespace, wait=True, timeout="5m")

    ready = await world.ready_is("apps", "HealthCheckFailed")

    expected = f"failed early due to stalled resources: [Job/{world.namespace}/migrate"
    assert expected in ready["message"]


async def test_named_objects_of_others_are_waited_for(world: World) -> None:
    revision = await world.publish({"a.yaml": config_map("a")})
    foreign = {"apiVersion": APPS, "kind": "Deployment", "name": "database"}
    await world.create("apps", targetNamespace=world.namespace, healthChecks=[foreign])
    await eventually(world.names_of, lambda names: names == {"a"})

    database = yaml.safe_load(deployment("database"))
    database["metadata"]["namespace"] = world.namespace
    await world.cluster.apply(database, manager="somebody")

    await world.applied("apps", revision)


async def test_a_newer_revision_ends_the_wait_for_an_older_one(world: World) -> None:
    await world.publish({"claim.yaml": never_ready("data")})
    await world.create("apps", targetNamespace=world.namespace, wait=True, timeout="10m")
    await _is_waiting(world)

    repaired = await world.publish({"a.yaml": config_map("a")})

    await world.applied("apps", repaired)
    canceled = world.recorder.of("apps", "HealthCheckCanceled")
    assert canceled == [f"New reconciliation triggered by GitRepository/{world.namespace}/shop"]


async def test_drift_is_put_right_while_a_run_waits(world: World) -> None:
    files = {"claim.yaml": never_ready("data"), "a.yaml": config_map("a", key="1")}
    await world.publish(files)
    await world.create("apps", targetNamespace=world.namespace, wait=True, timeout="10m")
    await _is_waiting(world)

    ref = ObjectRef("v1", "ConfigMap", world.namespace, "a")
    await world.cluster.merge_patch(ref, {"data": {"key": "2"}}, manager="somebody")

    async def value() -> str:
        return str((await world.read("a"))["data"]["key"])

    await eventually(value, lambda seen: seen == "1", within=1.0)


async def test_a_run_that_only_waits_holds_up_nobody(world: World) -> None:
    await world.publish({"claim.yaml": never_ready("data")}, source="slow")
    slow = {"kind": "GitRepository", "name": "slow"}
    for number in range(20):
        await world.create(
            f"slow-{number}",
            targetNamespace=world.namespace,
            sourceRef=slow,
            nameSuffix=f"-{number}",
            wait=True,
            timeout="10m",
        )
    revision = await world.publish({"a.yaml": config_map("a")})
    started = time.monotonic()

    await world.create("apps", targetNamespace=world.namespace)
    await world.applied("apps", revision)

    assert time.monotonic() - started < 5.0


async def _is_waiting(world: World) -> None:
    """Claims are listed twice: to notice their drift, and then to see how they are."""

    def listed() -> int:
        return sum(
            line.startswith("GET /api/v1/persistentvolumeclaims") and "limit=" in line
            for line in world.gate.seen
        )

    await eventually(listed, lambda count: count == 2)
