"""The only code that deletes objects which are not ours by kind.

Why it deletes nothing it must not:
- only what an inventory names is ever looked at, and an inventory names only what was applied;
- each object is read just before, and must be the owner's by its labels (or by whatever tells the
  owner's objects from others'): one that another owner has taken over, or that somebody made anew
  under the same name, is left alone;
- the deletion is for the uid that was read, so that whatever appears in between survives;
- `prune: disabled`, `reconcile: disabled` and `ssa: Ignore` on the live object hold it back;
- nothing is dropped on an error: an object that could not be deleted, or of which we do not know
  whether it is there, is given back as a survivor and stays in the inventory.
Killed half-way, the next run finds the rest in the inventory, and what is gone is gone.
"""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import TypeAlias

from shared.cluster.client import Cluster
from shared.cluster.errors import ApiError, Conflict, UnknownKind
from shared.cluster.inventory import Inventory, ObjectId
from shared.cluster.objects import Gvk, Manifest, ObjectRef
from shared.cluster.order import sort_key
from shared.cluster.ownership import Ownership
from shared.outcomes import Failed
from shared.resources.meta import NamespacedName

AT_A_TIME = 16
GONE_WITHIN = 60.0
_API_SERVICES = Gvk("apiregistration.k8s.io/v1", "APIService")


@dataclass
class Pruned:
    """`deleted`, with their uids, are on their way out; `survivors` could not be, and why."""

    deleted: dict[ObjectRef, str] = field(default_factory=dict)
    survivors: dict[ObjectRef, str] = field(default_factory=dict)
    last_error: ApiError | None = None

    @property
    def surviving(self) -> Inventory:
        return Inventory.of(self.survivors)

    def raise_for_survivors(self) -> None:
        if self.survivors:
            lines = [f"{ref}: {why}" for ref, why in self.survivors.items()]
            raise Failed("\n".join(lines[:20]), reason="PruneFailed") from self.last_error


MayDelete: TypeAlias = Callable[[Manifest], bool]  # of an object as it is in the cluster


def labelled(ownership: Ownership, owner: NamespacedName) -> MayDelete:
    """Whether the labels name this owner, and nothing holds the object back."""

    def may_delete(live: Manifest) -> bool:
        metadata = live["metadata"]
        labels, annotations = metadata.get("labels") or {}, metadata.get("annotations") or {}
        is_prunable = ownership.controls_in(labels, annotations).is_prunable
        return is_prunable and ownership.owner_in(labels) == owner

    return may_delete


class Pruner:
    """Deletes for one owner, with that owner's identity."""

    def __init__(
        self, cluster: Cluster, may_delete: MayDelete, propagation: str = "Background"
    ) -> None:
        self._cluster = cluster
        self._may_delete = may_delete
        self._propagation = propagation

    async def prune(self, stale: Inventory) -> Pruned:
        """Kind by kind in reverse apply order; within a kind side by side."""
        pruned = Pruned()
        refs = sorted(stale.refs(), key=lambda ref: sort_key(ObjectId.of(ref)), reverse=True)
        for _, same_kind in groupby(refs, key=lambda ref: (ref.group, ref.kind)):
            await self._prune_all(list(same_kind), pruned)
        return pruned

    async def _prune_all(self, refs: Sequence[ObjectRef], pruned: Pruned) -> None:
        todo = iter(refs)

        async def work() -> None:
            for ref in todo:
                await self._prune_one(ref, pruned)

        async with asyncio.TaskGroup() as group:
            for _ in range(min(len(refs), AT_A_TIME)):
                group.create_task(work())

    async def _prune_one(self, ref: ObjectRef, pruned: Pruned) -> None:
        try:
            served = await self._served(ref)
            uid = await self._delete_ours(served) if served is not None else None
            if uid is not None:
                pruned.deleted[ref] = uid
        except ApiError as error:
            pruned.survivors[ref] = error.answer
            pruned.last_error = error

    async def _served(self, ref: ObjectRef) -> ObjectRef | None:
        """Under an API version that is still served; None when its kind is gone for good."""
        try:
            await self._cluster.resource_of(ref.gvk)
        except UnknownKind:
            other = self._cluster.discovery.version_of(ref.group, ref.kind)
            if other is not None:
                return ref._replace(api_version=other.api_version)
            await self._require_answering(ref)
            return None
        return ref

    async def _require_answering(self, ref: ObjectRef) -> None:
        """A kind that nobody serves is gone with its objects, unless its server is only away."""
        for service in await self._cluster.list(_API_SERVICES):
            spec = service.get("spec", {})
            if spec.get("group") == ref.group and spec.get("service"):
                raise UnknownKind(f"the server of {ref.group} does not answer")

    async def _delete_ours(self, ref: ObjectRef) -> str | None:
        """The uid of what is on its way out; None when there was nothing of ours."""
        for _ in range(3):
            live = await self._cluster.read(ref)
            if live is None or not self._may_delete(live):
                return None
            uid: str = live["metadata"]["uid"]
            if live["metadata"].get("deletionTimestamp"):
                return uid
            try:
                there = await self._cluster.delete(ref, uid=uid, propagation=self._propagation)
            except Conflict:
                continue  # it is another object by now: judge that one
            return uid if there else None
        raise Conflict(f"{ref} is replaced as fast as it is deleted")


async def remove_for_recreation(cluster: Cluster, ref: ObjectRef) -> None:
    """For an object whose fields cannot be changed, when its owner said that force may be used."""
    live = await cluster.read(ref)
    if live is None:
        return
    uid = live["metadata"]["uid"]
    await cluster.delete(ref, uid=uid)
    await gone(cluster, {ref: uid}, GONE_WITHIN)


async def gone(cluster: Cluster, uids: dict[ObjectRef, str], within: float) -> None:
    """Returns when these very objects are no more; raises Failed when they stay too long."""
    deadline = asyncio.get_running_loop().time() + within
    pause = 0.05
    left = dict(uids)
    while left:
        for ref, uid in list(left.items()):
            live = await cluster.read(ref)
            if live is None or live["metadata"]["uid"] != uid:
                del left[ref]
        if left and asyncio.get_running_loop().time() > deadline:
            names = ", ".join(str(ref) for ref in left)
            raise Failed(f"still there {within:g} s after their deletion: {names}")
        if left:
            await asyncio.sleep(pause)
            pause = min(pause * 2, 2.0)
