"""Frees a release whose last action began and did not end.

An object is looked at by one run at a time, so a pending record that a run finds is never its own:
whoever wrote it died, or is a person's helm, whose release this is not.
"""

from services.helm import messages
from services.helm.release_secret import StoredRelease
from services.helm.snapshot import is_same_version
from services.helm.subject import Subject
from shared.outcomes import ConditionMark

PENDING_RELEASE = "PendingRelease"


async def unlock(subject: Subject) -> None:
    stuck = subject.versions[0]
    freed = stuck.having_info(status="failed", description=_description(stuck.status))
    snapshot = await subject.written(await subject.storage.update(freed))
    latest = subject.record.latest
    if latest is not None and is_same_version(latest, snapshot):
        subject.record = subject.record.observing(snapshot)
    subject.note()
    message = messages.unlocked(snapshot, stuck.status)
    released = ConditionMark("False", PENDING_RELEASE, message)
    subject.run.note(conditions={messages.RELEASED: released})
    subject.run.event("info", PENDING_RELEASE, message)


def was_interrupted(stored: StoredRelease, status: str) -> bool:
    """Whether we unlocked it from this state."""
    return stored.description == _description(status)


def _description(status: str) -> str:
    return f"Release unlocked from stale '{status}' state"
