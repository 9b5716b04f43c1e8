"""Everything an applying service needs of the cluster, wired for one field manager.

async with ApplyEngine.running(cluster, Ownership(KUSTOMIZE_GROUP), manager, on_drift) as engine:
    changes = await engine.applier.apply(Mandate(owner, cluster), wanted)
    await engine.health.wait(cluster, checks, within)
    pruned = await engine.pruner(cluster, owner).prune(stale)
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from shared.clock import Now, now
from shared.cluster.applied import OnDrift
from shared.cluster.apply import Applier
from shared.cluster.client import Cluster
from shared.cluster.drift import DriftWatch
from shared.cluster.health import HealthWatch
from shared.cluster.live import Reader
from shared.cluster.mandate import USUAL, ApplyPolicy
from shared.cluster.ownership import Ownership
from shared.cluster.prune import Pruner, labelled
from shared.cluster.status_watch import StatusWatches
from shared.resources.meta import NamespacedName


@dataclass(frozen=True)
class ApplyEngine:
    ownership: Ownership
    applier: Applier
    drift: DriftWatch
    health: HealthWatch
    watches: StatusWatches

    @staticmethod
    @asynccontextmanager
    async def running(
        cluster: Cluster,
        ownership: Ownership,
        manager: str,
        on_drift: OnDrift,
        clock: Now = now,
        policy: ApplyPolicy = USUAL,
    ) -> AsyncIterator["ApplyEngine"]:
        """`on_drift` is called from the watching task: it must not block or raise."""
        reader = Reader(ownership, manager, policy.overridden)
        async with (
            DriftWatch(cluster, reader, on_drift).running() as drift,
            StatusWatches(clock).running() as watches,
        ):
            health = HealthWatch(watches, ownership.name_label, clock)
            applier = Applier(reader, drift, health, policy.early_kinds)
            yield ApplyEngine(ownership, applier, drift, health, watches)

    def pruner(self, cluster: Cluster, owner: NamespacedName) -> Pruner:
        return Pruner(cluster, labelled(self.ownership, owner))
