"""An object that moves from one Kustomization to another keeps living.

Before anything is pruned, the others are asked: what one of them wants is not deleted. With the
commit that moves an object both work at the same time; so those who have not planned yet are waited
for a moment.
"""

import asyncio
from collections.abc import Iterator

from services.kustomize.build import Planner
from services.kustomize.source import Sources
from services.kustomize.stored import stored_inventory
from shared.cluster.inventory import Inventory
from shared.cluster.watch_cache import WatchCache
from shared.outcomes import Unfinished
from shared.resources.kustomize import Kustomization
from shared.resources.meta import NamespacedName

PATIENCE = 1.0


class Handover:
    def __init__(
        self, kustomizations: WatchCache[Kustomization], sources: Sources, planner: Planner
    ) -> None:
        self._kustomizations = kustomizations
        self._sources = sources
        self._planner = planner

    async def wanted_by_others(self, kustomization: Kustomization, stale: Inventory) -> Inventory:
        """What of `stale` is another's now."""
        if not stale:
            return stale
        await self._until_peers_have_planned(kustomization)
        wanted = [self._wanted_by(other) for other in self._others(kustomization.key)]
        return Inventory(
            (id_, version)
            for id_, version in stale.items()
            if any(id_ in inventory for inventory in wanted)
        )

    def _wanted_by(self, other: Kustomization) -> Inventory:
        """What it last planned; after a restart, what it is known to have."""
        plan = self._planner.plan_of(other.key)
        return plan.inventory if plan else stored_inventory(other)

    def _others(self, key: NamespacedName) -> Iterator[Kustomization]:
        for other in self._kustomizations.values():
            if other.key != key and other.metadata.deletion_timestamp is None:
                yield other

    async def _until_peers_have_planned(self, kustomization: Kustomization) -> None:
        deadline = asyncio.get_running_loop().time() + PATIENCE
        try:
            async with asyncio.timeout_at(deadline):
                while any(self._is_behind(peer) for peer in self._peers(kustomization)):
                    await self._planner.next_plan()
        except TimeoutError:
            pass  # it has reasons of its own to wait

    def _peers(self, kustomization: Kustomization) -> Iterator[Kustomization]:
        for key in self._sources.referrers_of(kustomization):
            peer = self._kustomizations.get(key)
            if key != kustomization.key and peer and not peer.spec.suspend:
                yield peer

    def _is_behind(self, peer: Kustomization) -> bool:
        try:
            artifact = self._sources.artifact_of(peer)
        except Unfinished:
            return False
        plan = self._planner.plan_of(peer.key)
        return plan is None or plan.tree != artifact.digest
