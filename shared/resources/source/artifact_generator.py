"""ArtifactGenerator: parts of several sources' artifacts, copied together into new ones."""

from typing import ClassVar, Final

import msgspec

from shared.resources.meta import Model, Resource, Status
from shared.resources.transforms import CommonMetadata

SWITCH: Final = "source.extensions.fluxcd.io/reconcile"  # an annotation; "disabled" suspends


class AliasedSource(Model, frozen=True, kw_only=True):
    """A source, and the name by which copy operations call it."""

    alias: str
    kind: str
    name: str
    namespace: str | None = None


class CopyOperation(Model, frozen=True, kw_only=True):
    """From `@<alias>/<glob>` to `@artifact/<path>`."""

    from_: str = msgspec.field(name="from")
    to: str
    exclude: tuple[str, ...] = ()
    strategy: str | None = None


class OutputArtifact(Model, frozen=True, kw_only=True):
    """`revision` and `origin_revision` are aliases of the sources that lend theirs."""

    name: str
    revision: str | None = None
    origin_revision: str | None = None
    copy_: tuple[CopyOperation, ...] = msgspec.field(name="copy", default=())


class ArtifactGeneratorSpec(Model, frozen=True, kw_only=True):
    interval: ClassVar[str] = "1h"  # the safety net: changes of sources come as watch events

    sources: tuple[AliasedSource, ...] = ()
    artifacts: tuple[OutputArtifact, ...] = ()
    path_pattern: str | None = None
    common_metadata: CommonMetadata | None = None


class GeneratedArtifact(Model, frozen=True, kw_only=True):
    name: str
    namespace: str
    digest: str
    filename: str


class ArtifactGeneratorStatus(Status, frozen=True, kw_only=True):
    inventory: tuple[GeneratedArtifact, ...] = ()
    observed_sources_digest: str | None = None
    last_handled_reconcile_at: str | None = None


class ArtifactGenerator(
    Resource[ArtifactGeneratorSpec, ArtifactGeneratorStatus], frozen=True, kw_only=True
):
    api_version = "source.extensions.fluxcd.io/v1beta1"
    kind = "ArtifactGenerator"
    plural = "artifactgenerators"

    status: ArtifactGeneratorStatus = ArtifactGeneratorStatus()

    @property
    def is_suspended(self) -> bool:
        return self.metadata.annotations.get(SWITCH, "").lower() == "disabled"
