"""When an object counts as ready, kind by kind."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.clock import rfc3339
from shared.cluster.kstatus import status_of
from shared.cluster.objects import Manifest

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)


def an_object(
    kind: str,
    api_version: str = "apps/v1",
    *,
    spec: dict[str, Any] | None = None,
    generation: int = 1,
    **status: Any,
) -> Manifest:
    return {
        "apiVersion": api_version,
        "kind": kind,
        "metadata": {"name": "x", "generation": generation},
        "spec": spec or {},
        "status": status,
    }


def condition(kind: str, status: str = "True", reason: str = "", **more: str) -> dict[str, str]:
    return {"type": kind, "status": status, "reason": reason, **more}


AVAILABLE = condition("Available")
ROLLED_OUT = condition("Progressing", reason="NewReplicaSetAvailable")
ALL: dict[str, Any] = {
    "replicas": 2,
    "updatedReplicas": 2,
    "availableReplicas": 2,
    "readyReplicas": 2,
}
TWO = {"replicas": 2}


def a_deployment(**status: Any) -> Manifest:
    full: dict[str, Any] = {"observedGeneration": 1, "conditions": [AVAILABLE, ROLLED_OUT], **ALL}
    return an_object("Deployment", spec=TWO, **(full | status))


def a_set(**changes: Any) -> Manifest:
    status: dict[str, Any] = {
        "observedGeneration": 1,
        "replicas": 2,
        "readyReplicas": 2,
        "currentReplicas": 2,
        "updatedReplicas": 2,
        "currentRevision": "a",
        "updateRevision": "a",
    }
    spec: dict[str, Any] = TWO | changes.pop("spec", {})
    return an_object("StatefulSet", spec=spec, **(status | changes))


def a_pod(phase: str, *conditions: dict[str, str], **status: Any) -> Manifest:
    return an_object("Pod", "v1", phase=phase, conditions=list(conditions), **status)


def unschedulable(seconds: int) -> dict[str, str]:
    since = rfc3339(NOW - timedelta(seconds=seconds))
    return condition("PodScheduled", "False", "Unschedulable", lastTransitionTime=since)


CRASHING = [{"name": "web", "state": {"waiting": {"reason": "CrashLoopBackOff"}}}]
DAEMONS: dict[str, Any] = {
    "observedGeneration": 1,
    "desiredNumberScheduled": 2,
    "currentNumberScheduled": 2,
    "updatedNumberScheduled": 2,
    "numberAvailable": 2,
    "numberReady": 2,
}
NAMES = condition("NamesAccepted")
CRD = ("CustomResourceDefinition", "apiextensions.k8s.io/v1")
BASKET = ("Basket", "shop.example/v1")
ROLLING = {"updateStrategy": {"rollingUpdate": {"partition": 1}}}

CURRENT = [
    a_deployment(),
    a_deployment(conditions=[AVAILABLE]) | {"spec": TWO | {"progressDeadlineSeconds": 2**31 - 1}},
    a_set(),
    a_set(spec={"updateStrategy": {"type": "OnDelete"}}, readyReplicas=0),
    a_set(spec=ROLLING, updatedReplicas=1, currentRevision="a", updateRevision="b"),
    an_object("DaemonSet", **DAEMONS),
    an_object("ReplicaSet", spec=TWO, **ALL, fullyLabeledReplicas=2),
    an_object("Job", "batch/v1", conditions=[condition("Complete")]),
    an_object("Job", "batch/v1", spec={"suspend": True}),
    an_object("CronJob", "batch/v1"),
    an_object("Service", "v1", spec={"type": "ClusterIP"}),
    an_object("Service", "v1", spec={"type": "LoadBalancer", "clusterIP": "10.0.0.1"}),
    an_object("PersistentVolumeClaim", "v1", phase="Bound"),
    an_object("PodDisruptionBudget", "policy/v1"),
    an_object(*CRD, conditions=[NAMES, condition("Established")]),
    an_object("ConfigMap", "v1"),
    an_object(*BASKET),
    an_object(*BASKET, conditions=[condition("Ready")]),
    a_pod("Succeeded"),
    a_pod("Failed"),
    a_pod("Running", condition("Ready")),
]
IN_PROGRESS = [
    a_deployment() | {"metadata": {"name": "x", "generation": 2}},
    a_deployment(updatedReplicas=1),
    a_deployment(availableReplicas=1),
    a_deployment(readyReplicas=1),
    a_deployment(replicas=3),
    a_deployment(conditions=[AVAILABLE]),
    a_deployment(conditions=[ROLLED_OUT]),
    an_object("Deployment"),
    a_set(readyReplicas=1),
    a_set(updateRevision="b"),
    a_set(spec=ROLLING, updatedReplicas=0),
    an_object("DaemonSet", **(DAEMONS | {"numberReady": 1})),
    an_object("DaemonSet"),
    an_object("ReplicaSet", spec=TWO, **(ALL | {"readyReplicas": 1}), fullyLabeledReplicas=2),
    an_object("Job", "batch/v1"),
    an_object("Service", "v1", spec={"type": "LoadBalancer"}),
    an_object("PersistentVolumeClaim", "v1", phase="Pending"),
    an_object(*CRD),
    an_object(*CRD, conditions=[NAMES, condition("Established", "False", "Installing")]),
    an_object(*BASKET, conditions=[condition("Ready", "False")]),
    an_object(*BASKET, conditions=[condition("Ready", "Unknown")]),
    an_object(*BASKET, conditions=[condition("Reconciling"), condition("Ready")]),
    an_object(*BASKET, generation=2, observedGeneration=1),
    an_object("PodDisruptionBudget", "policy/v1", generation=2, observedGeneration=1),
    a_pod("Pending"),
    a_pod("Pending", unschedulable(10)),
    a_pod("Running", condition("Ready", "False")),
]
FAILED = [
    a_deployment(conditions=[condition("Progressing", "False", "ProgressDeadlineExceeded")]),
    an_object("Job", "batch/v1", conditions=[condition("Failed")]),
    an_object(*CRD, conditions=[condition("NamesAccepted", "False")]),
    an_object(*BASKET, conditions=[condition("Stalled"), condition("Ready", "False")]),
    a_pod("Pending", unschedulable(20)),
    a_pod("Running", condition("Ready", "False"), containerStatuses=CRASHING),
]
CASES = [
    *((each, "Current") for each in CURRENT),
    *((each, "InProgress") for each in IN_PROGRESS),
    *((each, "Failed") for each in FAILED),
]


@pytest.mark.parametrize(
    ("manifest", "state"), CASES, ids=[f"{state} {each['kind']}" for each, state in CASES]
)
def test_a_kind_has_its_own_idea_of_ready(manifest: Manifest, state: str) -> None:
    assert status_of(manifest, NOW).state == state


def test_what_is_being_deleted_is_terminating_whatever_else_it_says() -> None:
    web = a_deployment()
    web["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"

    assert status_of(web, NOW).state == "Terminating"


def test_a_failed_object_says_why() -> None:
    late = condition("Progressing", "False", "ProgressDeadlineExceeded", message="it took too long")

    assert status_of(a_deployment(conditions=[late]), NOW).message == "it took too long"


_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=8,
)


@given(st.sampled_from([each for each, _ in CASES]), _json, _json)
def test_no_shape_of_an_object_breaks_it(manifest: Manifest, spec: Any, status: Any) -> None:
    strange = {**manifest, "spec": spec, "status": status}

    assert status_of(strange, NOW).message
