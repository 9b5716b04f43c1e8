"""Frees a release whose last action began and did not end.

An object is looked at by one run at a time, and our own versions are announced in the history
before they are stored: a pending one that is announced was ours, its writer is dead, and it is
freed at once. Any other may be a person's helm that is still at work: we hear of it at its first
write. It has as long as an action of ours may take, unless somebody asks for a run.
"""

from datetime import timedelta

from services.helm import messages
from services.helm.attempt import Attempt
from services.helm.options import deploy_options
from services.helm.release_secret import StoredRelease
from services.helm.snapshot import is_same_version
from shared.clock import parse_rfc3339
from shared.durations import format_duration
from shared.outcomes import ConditionMark, Waiting
from shared.resources.helm.release import ReleaseSnapshot

PENDING_RELEASE = "PendingRelease"


async def unlock(attempt: Attempt) -> None:
    """Raises Waiting while its owner may be alive."""
    stuck = attempt.versions[0]
    if not (_was_ours(attempt, stuck) or attempt.run.requested):
        _wait_for_its_owner(attempt, stuck)
    freed = stuck.having_info(status="failed", description=_description(stuck.status))
    snapshot = await attempt.written(await attempt.storage.update(freed))
    if _names(attempt.record.latest, snapshot):
        attempt.record = attempt.record.observing(snapshot)
    attempt.note()
    message = messages.unlocked(snapshot, stuck.status)
    released = ConditionMark("False", PENDING_RELEASE, message)
    attempt.run.note(conditions={messages.RELEASED: released})
    attempt.run.event("info", PENDING_RELEASE, message)


def was_interrupted(stored: StoredRelease, status: str) -> bool:
    """Whether we unlocked it from this state."""
    return stored.description == _description(status)


def _was_ours(attempt: Attempt, stuck: StoredRelease) -> bool:
    latest = attempt.record.latest
    return latest is not None and latest.version == stuck.version and latest.status == stuck.status


def _names(latest: ReleaseSnapshot | None, snapshot: ReleaseSnapshot) -> bool:
    return latest is not None and is_same_version(latest, snapshot)


def _wait_for_its_owner(attempt: Attempt, stuck: StoredRelease) -> None:
    patience = deploy_options(attempt.release, "upgrade").timeout
    info = stuck.body["info"]
    begun = parse_rfc3339(info.get("deleted") or info["last_deployed"])
    left = begun + patience - attempt.tools.now()
    if left > timedelta():
        raise Waiting(
            f"release {attempt.identity}.v{stuck.version} is in {stuck.status} state by somebody "
            f"else's hand; waiting up to {format_duration(patience)} for its end",
            reason=PENDING_RELEASE,
            retry_after=left,
        )


def _description(status: str) -> str:
    return f"Release unlocked from stale '{status}' state"
