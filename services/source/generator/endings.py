"""How the runs of ArtifactGenerators end: all of it is said by Ready, Reconciling and Stalled."""

from datetime import timedelta

from shared.outcomes import Failed, Stalled, Waiting

SOURCE_FETCH_FAILED = "SourceFetchFailed"
AGAIN = timedelta(seconds=30)


class SourceMissing(Waiting):
    """It will wake us."""

    reason = SOURCE_FETCH_FAILED


class SourceFetchFailed(Failed):
    def __init__(self, message: str) -> None:
        super().__init__(message, reason=SOURCE_FETCH_FAILED, retry_after=AGAIN)


class BuildFailed(Failed):
    """The sources as they are cannot be put together so."""

    reason = "BuildFailed"


class ValidationFailed(Stalled):
    """No source could be put together so."""

    reason = "ValidationFailed"


class AccessDenied(Stalled):
    reason = "AccessDenied"
