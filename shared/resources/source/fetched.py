"""What every kind that fetches reports."""

from shared.resources.meta import Artifact, ReconciledStatus

API_VERSION = "source.toolkit.fluxcd.io/v1"


class FetchedStatus(ReconciledStatus, frozen=True, kw_only=True):
    artifact: Artifact | None = None
