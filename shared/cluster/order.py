"""In which order objects are applied: four stages, and a fixed order within each.

What others are defined by or live in (CRDs, namespaces, classes) comes first and is waited for;
admission webhooks come last, so that they do not judge objects whose servers are not there yet.
"""

from bisect import bisect_right
from collections.abc import Iterable
from typing import Generic, NamedTuple, Protocol, TypeVar

from shared.cluster.inventory import ObjectId

_FIRST = (
    "CustomResourceDefinition",
    "Namespace",
    "ClusterRole",
    "ClusterClass",
    "RuntimeClass",
    "PriorityClass",
    "StorageClass",
    "VolumeSnapshotClass",
    "IngressClass",
    "GatewayClass",
    "ClusterRoleBinding",
    "ResourceQuota",
    "ServiceAccount",
    "Role",
    "RoleBinding",
    "ConfigMap",
    "Secret",
    "Service",
    "LimitRange",
    "Deployment",
    "StatefulSet",
    "CronJob",
    "PodDisruptionBudget",
)
_LAST = ("MutatingWebhookConfiguration", "ValidatingWebhookConfiguration")
_RANK = {kind: rank for rank, kind in enumerate(_FIRST)} | {
    kind: len(_FIRST) + 1 + rank for rank, kind in enumerate(_LAST)
}
# A role must be there before it is bound; the token of a Secret that comes before its account is
# deleted again.
_BAND_STARTS = tuple(
    _RANK[kind]
    for kind in ("RoleBinding", "ConfigMap", "Deployment", "MutatingWebhookConfiguration")
)
_DEFINITIONS = frozenset({"CustomResourceDefinition", "Namespace", "ClusterRole"})


class Identified(Protocol):
    @property
    def id(self) -> ObjectId: ...


T = TypeVar("T", bound=Identified)


def sort_key(id_: ObjectId) -> tuple[int, str, str, str, str]:
    rank = _RANK.get(id_.kind, len(_FIRST))
    return rank, id_.group, id_.kind, id_.namespace, id_.name


def in_order(objects: Iterable[T]) -> list[T]:
    return sorted(objects, key=lambda item: sort_key(item.id))


class Band(NamedTuple, Generic[T]):
    """Objects of a stage that nothing else of it must wait for; `judges`: they judge all others."""

    objects: list[T]
    judges: bool


def bands(objects: Iterable[T]) -> list[Band[T]]:
    """Accounts and roles, who has them, configuration, what runs by it, webhooks: in this order."""
    found: list[list[T]] = [[] for _ in range(len(_BAND_STARTS) + 1)]
    for item in objects:
        found[_band(item.id)].append(item)
    return [Band(band, judges=band is found[-1]) for band in found if band]


def _band(id_: ObjectId) -> int:
    return bisect_right(_BAND_STARTS, sort_key(id_)[0])


class Stage(NamedTuple, Generic[T]):
    """Objects that may be applied at the same time; `gate` holds the next stage until they are
    ready."""

    objects: list[T]
    gate: bool


def stages(objects: Iterable[T], custom: frozenset[str] = frozenset()) -> list[Stage[T]]:
    """The stages that have objects, each in order; `custom` names the third's as `group/Kind`."""
    found: list[list[T]] = [[], [], [], []]
    for item in in_order(objects):
        found[_stage(item.id, custom)].append(item)
    gates = (True, True, False, False)
    return [Stage(stage, gate) for stage, gate in zip(found, gates, strict=True) if stage]


def _stage(id_: ObjectId, custom: frozenset[str]) -> int:
    if id_.kind in _DEFINITIONS:
        return 0
    if id_.kind.endswith("Class"):
        return 1
    return 2 if f"{id_.group}/{id_.kind}" in custom else 3
