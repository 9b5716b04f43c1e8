"""`status.history`: how the last few distinct results ended, and how often."""

from collections.abc import Iterator
from contextlib import contextmanager

import msgspec

from services.kustomize.attempt import Attempt
from shared.clock import rfc3339
from shared.durations import format_duration
from shared.outcomes import Unfinished
from shared.resources.kustomize import AppliedSnapshot

KEPT = 5


# Only endings of runs that got past the build; the others have no objects to speak of.
RECORDED = frozenset({"ReconciliationFailed", "PruneFailed", "PruneHeld", "HealthCheckFailed"})


@contextmanager
def recorded(attempt: Attempt, digest: str) -> Iterator[None]:
    """Notes how the block failed, if it does."""
    try:
        yield
    except Unfinished as ending:
        if ending.reason in RECORDED:
            history = with_ending(attempt, digest, ending.reason)
            attempt.run.note(status={"history": history})
        raise


def with_ending(attempt: Attempt, digest: str, status: str) -> list[dict[str, object]]:
    """The history after this attempt: newest first, one entry for each digest and ending."""
    history = attempt.kustomization.status.history
    now = rfc3339(attempt.at + attempt.elapsed)
    fresh = AppliedSnapshot(
        digest=digest,
        first_reconciled=now,
        last_reconciled=now,
        last_reconciled_duration=format_duration(attempt.elapsed),
        last_reconciled_status=status,
        total_reconciliations=1,
        metadata=attempt.revisions,
    )
    same = [each for each in history if _key(each) == _key(fresh)]
    if same:
        fresh = msgspec.structs.replace(
            fresh,
            first_reconciled=same[0].first_reconciled,
            total_reconciliations=same[0].total_reconciliations + 1,
        )
    others = [each for each in history if _key(each) != _key(fresh)]
    return [msgspec.to_builtins(each) for each in [fresh, *others][:KEPT]]


def _key(entry: AppliedSnapshot) -> tuple[str, str]:
    return entry.digest, entry.last_reconciled_status
