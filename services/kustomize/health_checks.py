"""`spec.wait` and `spec.healthChecks`: the revision counts as applied once these are ready.

While a run waits it gives its place to others, and it does not sleep through news: drift is put
right at once, and a newer revision or spec ends the wait, because it may be what repairs this one.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import timedelta

from services.kustomize.attempt import Attempt
from services.kustomize.nudges import Nudges
from services.kustomize.plan import Plan
from services.kustomize.source import Sources
from services.kustomize.source_ref import source_of
from shared.cel import Asks
from shared.cluster.changes import ChangeSet
from shared.cluster.health import Check, HealthWatch, Manner, Unhealthy
from shared.cluster.inventory import ObjectId
from shared.cluster.objects import ObjectRef
from shared.cluster.watch_cache import WatchCache
from shared.conditions import PROGRESSING, find
from shared.durations import format_duration
from shared.health_expressions import HealthExpressions
from shared.outcomes import ConditionMark, Unfinished, Waiting
from shared.resources.kustomize import Kustomization

HEALTHY = "Healthy"
AT_ONCE = timedelta(milliseconds=1)


class HealthCheckCanceled(Waiting):
    reason = "HealthCheckCanceled"


@dataclass(frozen=True, kw_only=True)
class HealthChecks:
    health: HealthWatch
    kustomizations: WatchCache[Kustomization]
    sources: Sources
    nudges: Nudges
    expressions: Asks
    fail_fast: bool = True

    async def require_usable(self, kustomization: Kustomization) -> None:
        """Raises InvalidExpression: such a spec can never be healthy."""
        await self._reader_of(kustomization).require_valid()

    async def require(
        self,
        attempt: Attempt,
        plan: Plan,
        changes: ChangeSet,
        correct: Callable[[], Awaitable[ChangeSet]],
    ) -> ConditionMark | None:
        """The condition Healthy; None when nothing is checked. Raises Unhealthy.

        `correct` puts right what has drifted meanwhile.
        """
        if not checks_of(attempt, plan, changes):
            return None
        started = attempt.elapsed
        attempt.progress.doing(lambda: attempt.saying("Running health checks"), also=HEALTHY)
        try:
            await self._until_healthy(attempt, plan, changes, correct)
        except Unhealthy as unhealthy:
            mark = ConditionMark("False", unhealthy.reason, str(unhealthy))
            attempt.run.note(conditions={HEALTHY: mark})
            raise
        return _passed(attempt, changes, attempt.elapsed - started)

    async def _until_healthy(
        self,
        attempt: Attempt,
        plan: Plan,
        changes: ChangeSet,
        correct: Callable[[], Awaitable[ChangeSet]],
    ) -> None:
        manner = Manner(self._reader_of(attempt.kustomization), self.fail_fast)
        with self.nudges.listening(attempt.kustomization.key) as nudge:
            async with attempt.run.idle():
                while not await self.health.wait(
                    attempt.cluster,
                    checks_of(attempt, plan, changes),
                    attempt.left,
                    nudge,
                    manner,
                ):
                    self._require_current(attempt)
                    changes.extend(await correct())

    def _reader_of(self, kustomization: Kustomization) -> HealthExpressions:
        return HealthExpressions(kustomization.spec.health_check_exprs, self.expressions)

    def _require_current(self, attempt: Attempt) -> None:
        """Raises HealthCheckCanceled when this attempt is out of date."""
        then = attempt.kustomization
        now = self.kustomizations.get(then.key)
        if now is None or now.spec.suspend or mark_of(now) != mark_of(then):
            raise _canceled(attempt, f"{then.kind}/{then.key}")
        try:
            artifact = self.sources.artifact_of(now)
        except Unfinished:
            return  # what happens to the source does not make these objects any less healthy
        if (artifact.revision, artifact.digest) != (attempt.revision, attempt.artifact.digest):
            raise _canceled(attempt, str(source_of(now)))


def checks_of(attempt: Attempt, plan: Plan, changes: ChangeSet) -> list[Check]:
    """Everything that was applied, or what the spec names; never what was skipped."""
    spec = attempt.kustomization.spec
    answers = {change.id: change.answer for change in changes}
    if spec.wait:
        skipped = changes.skipped
        return [
            Check(each.ref, answers.get(each.id)) for each in plan.wanted if each.id not in skipped
        ]
    checks = []
    for named in spec.health_checks:
        namespace = named.namespace or attempt.kustomization.metadata.namespace
        ref = ObjectRef(named.api_version or "apps/v1", named.kind, namespace, named.name)
        id_ = ObjectId.of(ref)
        if not _is_itself(ref, attempt.kustomization):
            checks.append(Check(ref, answers.get(id_), is_foreign=id_ not in plan.inventory))
    return checks


def _is_itself(ref: ObjectRef, kustomization: Kustomization) -> bool:
    group_kind = kustomization.group_kind()
    return (ref.group, ref.kind) == group_kind and ref.key == kustomization.key


def mark_of(kustomization: Kustomization) -> tuple[int, str, bool]:
    """Differs when what is asked for does, or whether it still is."""
    metadata = kustomization.metadata
    return metadata.generation, metadata.uid, metadata.deletion_timestamp is not None


def _canceled(attempt: Attempt, trigger: str) -> HealthCheckCanceled:
    message = f"New reconciliation triggered by {trigger}"
    attempt.run.event("info", HealthCheckCanceled.reason, message)
    return HealthCheckCanceled(message, retry_after=AT_ONCE)


def _passed(attempt: Attempt, changes: ChangeSet, took: timedelta) -> ConditionMark:
    before = find(attempt.kustomization.status.conditions, HEALTHY)
    was_healthy = before is not None and before.status == "True"
    if before is not None and was_healthy and not changes.different:
        return ConditionMark("True", before.reason, before.message)
    message = f"Health check passed in {format_duration(took)}"
    if not was_healthy or (attempt.is_new_revision and changes.different):
        attempt.run.event("info", PROGRESSING, message)
    return ConditionMark("True", "Succeeded", message)
