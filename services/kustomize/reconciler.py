"""Make the cluster look like one Kustomization's source revision.

Read `reconcile` first: it is the whole story, a line per phase. A phase returns what the next one
needs, or raises one of shared.outcomes.

Why a kill at any line heals: before the first apply the inventory in the status names everything
that is about to be applied, beside everything that was (`_claim`), so whatever the cluster has of
us is known. After a restart every Kustomization is looked at; what is in place is applied once
more, which changes nothing, and what is missing is made. An object leaves the inventory only after
it is gone, in the closing status; a prune that was cut short finds the rest there.
"""

import asyncio
from dataclasses import dataclass
from typing import Any

from services.kustomize.attempt import Attempt, failing_as, phase
from services.kustomize.brake import Brake
from services.kustomize.build import Planner
from services.kustomize.depends_on import Dependencies, is_ready
from services.kustomize.finalization import Finalization
from services.kustomize.handover import Handover
from services.kustomize.health_checks import HEALTHY, HealthChecks
from services.kustomize.history import recorded, with_ending
from services.kustomize.identity import identity_of
from services.kustomize.plan import Plan
from services.kustomize.progress import Progress
from services.kustomize.source import Sources, origin_revision
from services.kustomize.stored import is_settled_at, require_storable, stored_inventory
from services.kustomize.telling import changes_told, deletions, drift_told
from services.kustomize.usable import require_usable
from shared.clock import Now
from shared.cluster.apply_engine import ApplyEngine
from shared.cluster.changes import ChangeSet
from shared.cluster.client import Cluster
from shared.cluster.inventory import Inventory
from shared.cluster.prune import Pruned
from shared.conditions import PROGRESSING
from shared.durations import format_duration
from shared.outcomes import ConditionMark, Done
from shared.resources.kustomize import Kustomization
from shared.resources.meta import Artifact
from shared.run import Run

SUCCEEDED = "ReconciliationSucceeded"


@dataclass(frozen=True)
class KustomizationReconciler:
    cluster: Cluster
    sources: Sources
    dependencies: Dependencies
    planner: Planner
    objects: ApplyEngine
    health: HealthChecks
    handover: Handover
    brake: Brake
    finalization: Finalization
    now: Now

    async def reconcile(self, kustomization: Kustomization, run: Run) -> Done:
        require_usable(kustomization)
        await self.health.require_usable(kustomization)
        artifact = self.sources.artifact_of(kustomization)
        await self.dependencies.require(kustomization, artifact, run)
        attempt = self._attempt(kustomization, artifact, run)
        with attempt.priced():
            async with attempt.progress.shown():
                return await self._carried_out(attempt)

    async def _carried_out(self, attempt: Attempt) -> Done:
        plan = await self._plan(attempt)
        with recorded(attempt, plan.digest):
            await self._claim(attempt, plan)
            changes = await self._apply(attempt, plan)
            pruned = await self._prune(attempt, plan)
            healthy = await self._require_health(attempt, plan, changes)
        return _settled(attempt, plan, bool(changes.different or pruned.deleted), healthy)

    async def finalize(self, kustomization: Kustomization, run: Run) -> None:
        self.planner.forget(kustomization.key)
        await self.finalization.finish(kustomization, run)

    def _attempt(self, kustomization: Kustomization, artifact: Artifact, run: Run) -> Attempt:
        attempt = Attempt(
            kustomization=kustomization,
            run=run,
            progress=Progress(run, is_moving=not is_settled_at(kustomization, artifact.revision)),
            artifact=artifact,
            cluster=identity_of(kustomization, self.cluster),
            at=self.now(),
            started=asyncio.get_running_loop().time(),
        )
        run.event_metadata.update(attempt.revisions)
        return attempt

    async def _plan(self, attempt: Attempt) -> Plan:
        attempt.run.note(status={"lastAttemptedRevision": attempt.revision})
        attempt.progress.doing(lambda: attempt.saying(self._planning(attempt)))
        async with phase(attempt, "BuildFailed"):
            return await self.planner.plan(attempt.kustomization, attempt.artifact)

    def _planning(self, attempt: Attempt) -> str:
        is_fetching = self.planner.is_fetching(attempt.artifact)
        return "Fetching manifests" if is_fetching else "Building manifests"

    async def _claim(self, attempt: Attempt, plan: Plan) -> None:
        """Say what will be ours before it is; no write when all of it is on record already."""
        attempt.progress.doing(lambda: attempt.saying("Detecting drift"))
        stored = stored_inventory(attempt.kustomization)
        claimed = stored | plan.inventory
        if claimed != stored:
            require_storable(claimed, plan.inventory)
            attempt.progress.is_moving = True
            await attempt.progress.tell({"inventory": claimed.to_status()})

    async def _apply(self, attempt: Attempt, plan: Plan) -> ChangeSet:
        changes = ChangeSet()
        try:
            async with phase(attempt, "ReconciliationFailed"):
                await self.objects.applier.apply(attempt.mandate, plan.wanted, changes)
        finally:
            if changes.different:
                attempt.progress.is_moving = True
                attempt.run.event("info", PROGRESSING, changes_told(changes), drift_told(changes))
        return changes

    async def _prune(self, attempt: Attempt, plan: Plan) -> Pruned:
        """Runs only after everything was applied: an object that was refused is still wanted."""
        stale = stored_inventory(attempt.kustomization) - plan.inventory
        self.objects.applier.forget(attempt.kustomization.key, stale)
        if not (stale and attempt.kustomization.spec.prune):
            attempt.run.note(status={"inventory": plan.inventory.to_status()})
            return Pruned()
        handed_over = await self.handover.wanted_by_others(attempt.kustomization, stale)
        doomed = stale - handed_over
        confirmed = await self.brake.require_consent(attempt, plan, doomed)
        pruner = self.objects.pruner(attempt.cluster, attempt.kustomization.key)
        async with phase(attempt, "PruneFailed"):
            pruned = await pruner.prune(doomed)
        kept = self._still_labelled(attempt, handed_over)
        # A confirmation is of the whole loss: as long as something of it survives, it must fit.
        left = doomed if confirmed and pruned.survivors else pruned.surviving
        inventory = plan.inventory | kept | left
        attempt.run.note(status={"inventory": inventory.to_status()})
        if pruned.deleted:
            attempt.run.event("info", PROGRESSING, deletions(pruned))
        pruned.raise_for_survivors()
        return pruned

    def _still_labelled(self, attempt: Attempt, handed_over: Inventory) -> Inventory:
        """What its new owner has not applied yet stays on our record until it has."""
        return Inventory(
            (id_, version)
            for id_, version in handed_over.items()
            if (live := self.objects.drift.live(id_)) and live.owner == attempt.kustomization.key
        )

    async def _require_health(
        self, attempt: Attempt, plan: Plan, changes: ChangeSet
    ) -> ConditionMark | None:
        with failing_as("HealthCheckFailed"):  # it keeps the time itself
            return await self.health.require(
                attempt, plan, changes, correct=lambda: self._apply(attempt, plan)
            )


def _settled(attempt: Attempt, plan: Plan, moved: bool, healthy: ConditionMark | None) -> Done:
    """What was as it should be, at the revision that it had, leaves the status as it is.

    A commit that moves nothing of a ready Kustomization is news for whoever marks commits, and not
    worth a request for each of hundreds that it does not touch.
    """
    status: dict[str, Any] = {
        "lastAppliedRevision": attempt.revision,
        "lastAppliedOriginRevision": origin_revision(attempt.artifact),
    }
    settled_before = is_settled_at(attempt.kustomization, attempt.revision)
    if moved or attempt.run.requested or not settled_before:
        status["history"] = with_ending(attempt, plan.digest, SUCCEEDED)
        attempt.run.event(
            "info",
            SUCCEEDED,
            f"Reconciliation finished in {format_duration(attempt.elapsed)}, "
            f"next run in {attempt.kustomization.spec.interval}",
            {"commit_status": "update"},
            in_cluster=moved or attempt.run.requested or not is_ready(attempt.kustomization),
        )
    return Done(
        reason=SUCCEEDED,
        message=f"Applied revision: {attempt.revision}",
        status=status,
        conditions={HEALTHY: healthy},
    )
