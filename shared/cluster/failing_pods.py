"""Whether a workload's pods have failed for good, so that nobody waits for it in vain."""

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from shared.cluster.client import Cluster
from shared.cluster.errors import ApiError
from shared.cluster.kstatus import ObjectStatus, status_of
from shared.cluster.objects import Gvk, Manifest

_WORKLOADS = frozenset({("apps", "Deployment"), ("apps", "StatefulSet"), ("apps", "ReplicaSet")})
_REVISIONS = ("pod-template-hash", "controller-revision-hash")


async def failure_of_pods(
    cluster: Cluster, workload: Manifest, now: datetime
) -> ObjectStatus | None:
    """Failed when a pod of the workload's newest revision is; None when nothing is to be said."""
    group = workload["apiVersion"].rpartition("/")[0]
    labels = workload.get("spec", {}).get("selector", {}).get("matchLabels")
    if (group, workload["kind"]) not in _WORKLOADS or not labels:
        return None
    selector = ",".join(f"{name}={value}" for name, value in labels.items())
    namespace = workload["metadata"]["namespace"]
    try:
        pods = await cluster.list(Gvk("v1", "Pod"), namespace, labels=selector)
    except ApiError:
        return None  # who may not list pods just waits longer
    return first_failure(pods, now)


def first_failure(pods: Iterable[Manifest], now: datetime) -> ObjectStatus | None:
    """Among the pods of the newest revision: those of an older one are on their way out."""
    by_age = sorted(pods, key=lambda pod: str(pod["metadata"].get("creationTimestamp", "")))
    for pod in by_age:
        if _revision(pod["metadata"]) != _revision(by_age[-1]["metadata"]):
            continue
        status = status_of(pod, now)
        if status.state == "Failed":
            return ObjectStatus("Failed", f"pod {pod['metadata']['name']}: {status.message}")
    return None


def _revision(metadata: Mapping[str, Any]) -> str:
    labels = metadata.get("labels") or {}
    return next((str(labels[name]) for name in _REVISIONS if name in labels), "")
