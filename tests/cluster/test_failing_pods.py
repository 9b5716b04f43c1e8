from datetime import UTC, datetime
from typing import Any

from shared.cluster.failing_pods import first_failure
from shared.cluster.objects import Manifest

OLD, NEW = "2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z"
NOW = datetime(2026, 1, 1, tzinfo=UTC)


def a_pod(name: str, revision: str, created: str, *, crashing: bool = False) -> Manifest:
    status: dict[str, Any] = {"phase": "Running"}
    if crashing:
        waiting = {"reason": "CrashLoopBackOff"}
        status["containerStatuses"] = [{"name": "web", "state": {"waiting": waiting}}]
    labels = {"pod-template-hash": revision}
    metadata = {"name": name, "labels": labels, "creationTimestamp": created}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "status": status}


def test_a_crashing_pod_of_the_newest_revision_fails_its_workload() -> None:
    pods = [
        a_pod("old", "1", OLD),
        a_pod("new", "2", NEW, crashing=True),
    ]

    failure = first_failure(pods, NOW)

    assert failure is not None
    assert failure.message == "pod new: containers crash again and again: web"


def test_a_crashing_pod_that_is_being_replaced_does_not() -> None:
    pods = [
        a_pod("old", "1", OLD, crashing=True),
        a_pod("new", "2", NEW),
    ]

    assert first_failure(pods, NOW) is None


def test_no_pods_say_nothing() -> None:
    assert first_failure([], NOW) is None
