"""`revision` and `originRevision`: what an artifact takes over from the sources it is made of."""

from collections.abc import Mapping
from typing import Any

from services.source.generator.outputs import Output
from services.source.generator.sources import Found
from services.source.storage import StoredFile
from shared.resources.meta import Artifact

ORIGIN_REVISION = "org.opencontainers.image.revision"


def revision_of(output: Output, file: StoredFile, sources: Mapping[str, Found]) -> str:
    lender = output.wanted.revision
    return _artifact(lender, sources).revision if lender else f"latest@{file.digest}"


def metadata_of(output: Output, sources: Mapping[str, Found]) -> dict[str, Any]:
    """What the source says of its own origin, as OCI artifacts do, or else its revision."""
    lender = output.wanted.origin_revision
    if not lender:
        return {}
    artifact = _artifact(lender, sources)
    origin = artifact.metadata.get(ORIGIN_REVISION) or artifact.revision
    return {"metadata": {ORIGIN_REVISION: origin}}


def _artifact(alias: str, sources: Mapping[str, Found]) -> Artifact:
    return sources[alias.removeprefix("@")].artifact
