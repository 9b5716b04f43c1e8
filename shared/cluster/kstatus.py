"""Is an object what its spec says yet? The rules that Flux and kubectl's ecosystem agree on.

`status_of` is a function of the object alone (and, for what takes time, of the time). Rules that
hold for every kind come first; the first that matches decides. Kinds that are ready by being there
are named, so that nobody watches them to learn that they exist.
"""

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Any, Literal, NamedTuple, TypeAlias

from shared.clock import parse_rfc3339
from shared.cluster.objects import Manifest

State: TypeAlias = Literal["InProgress", "Failed", "Current", "Terminating", "NotFound", "Unknown"]


class ObjectStatus(NamedTuple):
    state: State
    message: str


CURRENT = ObjectStatus("Current", "the object is ready")
NOT_FOUND = ObjectStatus("NotFound", "the object is not there")
# A pod that no node takes is not hopeless at once: an autoscaler may bring one.
SCHEDULING_PATIENCE = timedelta(seconds=15)
# Kubernetes' way to say "never": such a Deployment has no Progressing condition.
_NO_DEADLINE = 2**31 - 1

_READY_BY_EXISTING = frozenset(
    {
        ("", "ConfigMap"),
        ("", "Secret"),
        ("", "ServiceAccount"),
        ("", "Namespace"),
        ("", "ResourceQuota"),
        ("", "LimitRange"),
        ("", "Endpoints"),
        ("admissionregistration.k8s.io", "MutatingWebhookConfiguration"),
        ("admissionregistration.k8s.io", "ValidatingWebhookConfiguration"),
        ("admissionregistration.k8s.io", "ValidatingAdmissionPolicyBinding"),
        ("autoscaling", "HorizontalPodAutoscaler"),
        ("batch", "CronJob"),
        ("discovery.k8s.io", "EndpointSlice"),
        ("networking.k8s.io", "Ingress"),
        ("networking.k8s.io", "IngressClass"),
        ("networking.k8s.io", "NetworkPolicy"),
        ("node.k8s.io", "RuntimeClass"),
        ("rbac.authorization.k8s.io", "ClusterRole"),
        ("rbac.authorization.k8s.io", "ClusterRoleBinding"),
        ("rbac.authorization.k8s.io", "Role"),
        ("rbac.authorization.k8s.io", "RoleBinding"),
        ("scheduling.k8s.io", "PriorityClass"),
        ("storage.k8s.io", "StorageClass"),
    }
)


def is_ready_by_existing(group: str, kind: str) -> bool:
    return (group, kind) in _READY_BY_EXISTING


def readiness_of(manifest: Manifest, now: datetime) -> ObjectStatus:
    """As `status_of`; but what says how it is by a condition Ready has to have said so."""
    status = status_of(manifest, now)
    group = manifest["apiVersion"].rpartition("/")[0]
    kind = (group, manifest["kind"])
    speaks_by_ready = kind not in _RULES and kind not in _READY_BY_EXISTING and kind != ("", "Pod")
    if status.state == "Current" and speaks_by_ready and "Ready" not in _conditions(manifest):
        return _waiting("it has no condition Ready yet")
    return status


def status_of(manifest: Manifest, now: datetime) -> ObjectStatus:
    """Never raises: an object that breaks the shape of its kind is Unknown."""
    try:
        return _general(manifest) or _by_kind(manifest, now)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        return ObjectStatus("Unknown", f"its status cannot be read: {error}")


def _general(manifest: Manifest) -> ObjectStatus | None:
    metadata, status = manifest["metadata"], _part(manifest, "status")
    if metadata.get("deletionTimestamp"):
        return ObjectStatus("Terminating", "the object is being deleted")
    generation, observed = metadata.get("generation"), status.get("observedGeneration")
    if generation is not None and observed is not None and generation != observed:
        return _waiting(f"generation {generation} is not observed yet, but {observed} is")
    conditions = _conditions(manifest)
    if _is_true(conditions.get("Reconciling")):
        return _waiting(_say(conditions["Reconciling"]))
    if _is_true(conditions.get("Stalled")):
        return _failed(_say(conditions["Stalled"]))
    return None


def _by_kind(manifest: Manifest, now: datetime) -> ObjectStatus:
    group = manifest["apiVersion"].rpartition("/")[0]
    kind = manifest["kind"]
    if is_ready_by_existing(group, kind):
        return CURRENT
    if (group, kind) == ("", "Pod"):
        return _pod(manifest, now)
    return _RULES.get((group, kind), _by_ready_condition)(manifest)


def _by_ready_condition(manifest: Manifest) -> ObjectStatus:
    ready = _conditions(manifest).get("Ready")
    if ready is None or _is_true(ready):
        return CURRENT
    return _waiting(_say(ready))


def _service(manifest: Manifest) -> ObjectStatus:
    spec = _part(manifest, "spec")
    if spec.get("type") == "LoadBalancer" and not spec.get("clusterIP"):
        return _waiting("the load balancer has no address yet")
    return CURRENT


def _pod(manifest: Manifest, now: datetime) -> ObjectStatus:
    phase = _part(manifest, "status").get("phase")
    conditions = _conditions(manifest)
    match phase:
        case "Succeeded" | "Failed":
            return ObjectStatus("Current", f"the pod has ended: {phase}")
        case "Running":
            return _running_pod(manifest, conditions)
        case "Pending":
            return _pending_pod(conditions.get("PodScheduled", {}), now)
    return _waiting(f"the pod's phase is {phase or 'not known yet'}")


def _running_pod(manifest: Manifest, conditions: Mapping[str, Any]) -> ObjectStatus:
    if _is_true(conditions.get("Ready")):
        return CURRENT
    looping = [
        container["name"]
        for container in _part(manifest, "status").get("containerStatuses", ())
        if _part(_part(container, "state"), "waiting").get("reason") == "CrashLoopBackOff"
    ]
    if looping:
        return _failed(f"containers crash again and again: {', '.join(looping)}")
    return _waiting("the pod is running but not ready")


def _pending_pod(scheduled: Mapping[str, Any], now: datetime) -> ObjectStatus:
    if scheduled.get("status") != "False" or scheduled.get("reason") != "Unschedulable":
        return _waiting("the pod is pending")
    since = scheduled.get("lastTransitionTime")
    if since and now - parse_rfc3339(since) > SCHEDULING_PATIENCE:
        return _failed(f"no node takes the pod: {scheduled.get('message', '')}")
    return _waiting("the pod is not scheduled yet")


def _claim(manifest: Manifest) -> ObjectStatus:
    phase = _part(manifest, "status").get("phase")
    return CURRENT if phase == "Bound" else _waiting(f"the claim is {phase or 'not bound yet'}")


def _deployment(manifest: Manifest) -> ObjectStatus:
    spec, status = _part(manifest, "spec"), _part(manifest, "status")
    conditions = _conditions(manifest)
    progressing = conditions.get("Progressing", {})
    if progressing.get("reason") == "ProgressDeadlineExceeded":
        return _failed(_say(progressing))
    if "observedGeneration" not in status:
        return _waiting("the controller has not seen the deployment yet")
    short = _short_of_replicas(
        spec.get("replicas", 1), status, ("updatedReplicas", "availableReplicas", "readyReplicas")
    )
    if short:
        return short
    has_deadline = spec.get("progressDeadlineSeconds") != _NO_DEADLINE
    rolled_out = progressing.get("reason") == "NewReplicaSetAvailable"
    if has_deadline and not (_is_true(progressing) and rolled_out):
        return _waiting("the new replica set is not available yet")
    if not _is_true(conditions.get("Available")):
        return _waiting("the deployment is not available")
    return CURRENT


def _stateful_set(manifest: Manifest) -> ObjectStatus:
    spec, status = _part(manifest, "spec"), _part(manifest, "status")
    strategy = _part(spec, "updateStrategy")
    if strategy.get("type") == "OnDelete":
        return CURRENT
    wanted = spec.get("replicas", 1)
    short = _short_of_replicas(wanted, status, ("readyReplicas",))
    if short:
        return short
    partition = _part(strategy, "rollingUpdate").get("partition") or 0
    if partition:
        updated, expected = status.get("updatedReplicas", 0), max(wanted - partition, 0)
        return CURRENT if updated >= expected else _waiting(f"updated: {updated}/{expected}")
    if wanted and status.get("currentReplicas", 0) < wanted:
        return _waiting(f"currentReplicas: {status.get('currentReplicas', 0)}/{wanted}")
    if status.get("currentRevision") != status.get("updateRevision"):
        return _waiting("the new revision is still being rolled out")
    return CURRENT


def _daemon_set(manifest: Manifest) -> ObjectStatus:
    status = _part(manifest, "status")
    if "observedGeneration" not in status or "desiredNumberScheduled" not in status:
        return _waiting("the controller has not seen the daemon set yet")
    wanted = status["desiredNumberScheduled"]
    for field in (
        "currentNumberScheduled",
        "updatedNumberScheduled",
        "numberAvailable",
        "numberReady",
    ):
        if status.get(field, 0) < wanted:
            return _waiting(f"{field}: {status.get(field, 0)}/{wanted}")
    return CURRENT


def _replica_set(manifest: Manifest) -> ObjectStatus:
    failure = _conditions(manifest).get("ReplicaFailure")
    if _is_true(failure):
        return _waiting(_say(failure))
    fields = ("fullyLabeledReplicas", "availableReplicas", "readyReplicas")
    wanted = _part(manifest, "spec").get("replicas", 1)
    return _short_of_replicas(wanted, _part(manifest, "status"), fields) or CURRENT


def _job(manifest: Manifest) -> ObjectStatus:
    conditions = _conditions(manifest)
    if _is_true(conditions.get("Failed")):
        return _failed(_say(conditions["Failed"]))
    if _is_true(conditions.get("Complete")):
        return CURRENT
    if _part(manifest, "spec").get("suspend") or _is_true(conditions.get("Suspended")):
        return ObjectStatus("Current", "the job is suspended")
    return _waiting("the job has not completed")


def _definition(manifest: Manifest) -> ObjectStatus:
    conditions = _conditions(manifest)
    names, established = conditions.get("NamesAccepted", {}), conditions.get("Established", {})
    if names.get("status") == "False":
        return _failed(_say(names))
    if established.get("status") == "False" and established.get("reason") != "Installing":
        return _failed(_say(established))
    if _is_true(established) and _is_true(names):
        return CURRENT
    return _waiting("the definition is not established yet")


_RULES: Mapping[tuple[str, str], Callable[[Manifest], ObjectStatus]] = {
    ("", "Service"): _service,
    ("", "PersistentVolumeClaim"): _claim,
    ("apps", "Deployment"): _deployment,
    ("apps", "StatefulSet"): _stateful_set,
    ("apps", "DaemonSet"): _daemon_set,
    ("apps", "ReplicaSet"): _replica_set,
    ("batch", "Job"): _job,
    ("policy", "PodDisruptionBudget"): lambda _: CURRENT,
    ("apiextensions.k8s.io", "CustomResourceDefinition"): _definition,
}


def _short_of_replicas(
    wanted: int, status: Mapping[str, Any], fields: tuple[str, ...]
) -> ObjectStatus | None:
    for field in ("replicas", *fields):
        if status.get(field, 0) < wanted:
            return _waiting(f"{field}: {status.get(field, 0)}/{wanted}")
    if status.get("replicas", 0) > wanted:
        return _waiting(f"{status['replicas'] - wanted} superfluous replicas are still there")
    return None


def _conditions(manifest: Manifest) -> dict[str, Mapping[str, Any]]:
    return {each["type"]: each for each in _part(manifest, "status").get("conditions") or ()}


def _part(holder: Mapping[str, Any], field: str) -> Mapping[str, Any]:
    return holder.get(field) or {}


def _is_true(condition: Mapping[str, Any] | None) -> bool:
    return condition is not None and condition.get("status") == "True"


def _say(condition: Mapping[str, Any] | None) -> str:
    condition = condition or {}
    return str(condition.get("message") or condition.get("reason") or condition.get("type") or "")


def _waiting(message: str) -> ObjectStatus:
    return ObjectStatus("InProgress", message)


def _failed(message: str) -> ObjectStatus:
    return ObjectStatus("Failed", message)
