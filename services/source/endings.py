"""How the runs of source kinds end, and the conditions that tell of it beside Ready.

A failure names itself in the condition of its stage and leaves ArtifactInStorage alone: the last
good artifact stays, and stays announced. Success clears them all.
"""

from collections.abc import Mapping
from datetime import timedelta

from shared.outcomes import ConditionMark, Failed, Marks, Stalled, Waiting

ARTIFACT_IN_STORAGE = "ArtifactInStorage"
ARTIFACT_OUTDATED = "ArtifactOutdated"
BUILD_FAILED = "BuildFailed"
FETCH_FAILED = "FetchFailed"
INCLUDE_UNAVAILABLE = "IncludeUnavailable"
SOURCE_VERIFIED = "SourceVerified"
STORAGE_FAILED = "StorageOperationFailed"

DISK_AGAIN = timedelta(seconds=25)

_STAGES = (STORAGE_FAILED, FETCH_FAILED, INCLUDE_UNAVAILABLE, BUILD_FAILED)


def _only(stage: str, reason: str, message: str) -> Marks:
    """A run meets one failure; what an earlier one said about another stage is out of date."""
    return {
        name: ConditionMark("True", reason, message) if name == stage else None for name in _STAGES
    }


class FetchFailed(Failed):
    """The server, or what it sent, was not as it should be."""

    def __init__(self, message: str, *, reason: str, retry_after: timedelta | None = None) -> None:
        conditions = _only(FETCH_FAILED, reason, message)
        super().__init__(message, reason=reason, retry_after=retry_after, conditions=conditions)


class FetchStalled(Stalled):
    """The spec asks for what cannot be."""

    def __init__(self, message: str, *, reason: str) -> None:
        super().__init__(message, reason=reason, conditions=_only(FETCH_FAILED, reason, message))


class GitStalled(FetchStalled):
    def __init__(self, message: str, *, reason: str = "GitOperationFailed") -> None:
        super().__init__(message, reason=reason)


class IncludeWaiting(Waiting):
    """Another GitRepository has to be there, and to have an artifact."""

    def __init__(self, message: str, *, reason: str = "NotFound") -> None:
        marks = _only(INCLUDE_UNAVAILABLE, reason, message)
        super().__init__(message, reason=reason, conditions=marks)


class IncludeStalled(Stalled):
    def __init__(self, message: str, *, reason: str = "IncludeCycle") -> None:
        marks = _only(INCLUDE_UNAVAILABLE, reason, message)
        super().__init__(message, reason=reason, conditions=marks)


class VerificationFailed(Failed):
    """Nobody whom we trust has signed this; the last good artifact stays."""

    def __init__(self, message: str, *, reason: str) -> None:
        super().__init__(message, reason=reason, conditions=_unverified(reason, message))


class VerificationStalled(Stalled):
    def __init__(self, message: str, *, reason: str) -> None:
        super().__init__(message, reason=reason, conditions=_unverified(reason, message))


def _unverified(reason: str, message: str) -> Marks:
    """Fetching went well before that."""
    failures = dict.fromkeys(_STAGES, None)
    return {**failures, SOURCE_VERIFIED: ConditionMark("False", reason, message)}


class BuildFailed(Failed):
    def __init__(self, message: str, *, reason: str) -> None:
        super().__init__(message, reason=reason, conditions=_only(BUILD_FAILED, reason, message))


class BuildStalled(Stalled):
    def __init__(self, message: str, *, reason: str) -> None:
        super().__init__(message, reason=reason, conditions=_only(BUILD_FAILED, reason, message))


class StorageFailed(Failed):
    """Our own disk; the message says which operation."""

    def __init__(self, message: str, *, reason: str) -> None:
        super().__init__(message, reason=reason, conditions=_only(STORAGE_FAILED, reason, message))


class DiskFailed(StorageFailed):
    """Space may be there again at any time, so it is not waited for longer than half a minute."""

    may_pass = True

    def __init__(self, message: str, *, reason: str) -> None:
        super().__init__(message, reason=reason)
        self.retry_after = DISK_AGAIN


def stored(reason: str, message: str) -> Marks:
    """Everything went well."""
    return {
        ARTIFACT_IN_STORAGE: ConditionMark("True", reason, message),
        ARTIFACT_OUTDATED: None,
        **dict.fromkeys(_STAGES, None),
    }


def outdated(reason: str, message: str, *, artifact_exists: bool) -> Mapping[str, ConditionMark]:
    """While a new artifact is being made; without an old one nothing is out of date."""
    return {ARTIFACT_OUTDATED: ConditionMark("True", reason, message)} if artifact_exists else {}
