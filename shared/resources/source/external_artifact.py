"""ExternalArtifact: an artifact that somebody else publishes. Nobody of ours reconciles it."""

from shared.resources.meta import Artifact, CrossNamespaceSourceReference, Model, Resource, Status
from shared.resources.source.fetched import API_VERSION


class ExternalArtifactSpec(Model, frozen=True, kw_only=True):
    source_ref: CrossNamespaceSourceReference | None = None


class ExternalArtifactStatus(Status, frozen=True, kw_only=True):
    artifact: Artifact | None = None


class ExternalArtifact(
    Resource[ExternalArtifactSpec, ExternalArtifactStatus], frozen=True, kw_only=True
):
    api_version = API_VERSION
    kind = "ExternalArtifact"
    plural = "externalartifacts"

    status: ExternalArtifactStatus = ExternalArtifactStatus()
