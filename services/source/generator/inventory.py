"""`status.inventory`: what a generator owns, or is about to."""

from collections.abc import Iterable
from typing import Any

import msgspec

from services.source.storage import StoredFile
from shared.resources.source import ArtifactGenerator
from shared.resources.source.artifact_generator import GeneratedArtifact


def entry_of(generator: ArtifactGenerator, name: str, file: StoredFile) -> GeneratedArtifact:
    return GeneratedArtifact(
        name=name,
        namespace=generator.metadata.namespace,
        digest=file.digest,
        filename=file.path.rpartition("/")[2],
    )


def with_claims(generator: ArtifactGenerator, names: Iterable[str]) -> list[dict[str, Any]]:
    """What is owned, and these names; without a digest for those that nothing was made for yet."""
    nothing = StoredFile("", "", 0)
    claims = {name: entry_of(generator, name, nothing) for name in names}
    owned = {entry.name: entry for entry in generator.status.inventory}
    return as_status((claims | owned).values())


def as_status(inventory: Iterable[GeneratedArtifact]) -> list[dict[str, Any]]:
    return [msgspec.to_builtins(entry) for entry in sorted(inventory, key=_name)]


def _name(entry: GeneratedArtifact) -> str:
    return entry.name
