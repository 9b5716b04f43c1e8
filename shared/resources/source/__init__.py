"""The groups source.toolkit.fluxcd.io and source.extensions.fluxcd.io: where desired state is."""

from shared.resources.source.artifact_generator import ArtifactGenerator
from shared.resources.source.bucket import Bucket
from shared.resources.source.external_artifact import ExternalArtifact
from shared.resources.source.git_repository import GitRepository
from shared.resources.source.helm_chart import HelmChart
from shared.resources.source.helm_repository import HelmRepository
from shared.resources.source.oci_repository import OCIRepository

__all__ = [
    "ArtifactGenerator",
    "Bucket",
    "ExternalArtifact",
    "GitRepository",
    "HelmChart",
    "HelmRepository",
    "OCIRepository",
]
