"""What we keep of an object as it is in the cluster: a few facts from its metadata."""

from collections.abc import Iterable
from typing import NamedTuple

import msgspec

from shared.cluster.fields import ManagedFields, digest_of, entry_of, paths
from shared.cluster.normalize import LEGACY_ANNOTATIONS, LEGACY_LABELS
from shared.cluster.objects import Manifest
from shared.cluster.ownership import Controls, Ownership
from shared.resources.meta import NamespacedName

# Whoever applied by hand before us: what they own is ours from now on, or what is no longer in the
# source would stay in the cluster for ever.
_PREDECESSORS = ("kubectl", "before-first-apply")


class Metadata(msgspec.Struct, frozen=True, rename="camel"):
    name: str
    resource_version: str
    namespace: str = ""
    uid: str = ""
    creation_timestamp: str = ""
    deletion_timestamp: str = ""
    labels: dict[str, str] | None = None
    annotations: dict[str, str] | None = None
    managed_fields: list[ManagedFields] = []


class OnlyMetadata(msgspec.Struct, frozen=True):
    """A whole object as well as a PartialObjectMetadata: the rest is not looked at."""

    metadata: Metadata


class Author(NamedTuple):
    """Who changed an object last beside us, and some of what they own of it."""

    manager: str
    fields: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.manager} ({', '.join(self.fields)})" if self.fields else self.manager


class Live(NamedTuple):
    """`fields` is the digest of what our manager owns, `fields_time` when that changed last."""

    key: NamespacedName
    version: int
    uid: str
    owner: NamespacedName | None
    controls: Controls
    fields: bytes
    fields_time: str
    predecessors: frozenset[str]
    is_new: bool
    has_legacy: bool
    deleting: bool
    author: Author | None

    def holds_as(self, other: "Live") -> bool:
        """Nothing that is ours to keep differs; status and other managers' fields may."""
        return (
            self.owner == other.owner
            and self.fields == other.fields
            and self.controls == other.controls
            and self.predecessors <= other.predecessors
        )


class Reader(NamedTuple):
    """Reads metadata with the eyes of one manager."""

    ownership: Ownership
    manager: str
    overridden: frozenset[str] = frozenset()  # managers that we take over from beside the usual

    def read(self, raw: msgspec.Raw | bytes) -> Live:
        return self.live(msgspec.json.decode(raw, type=OnlyMetadata).metadata)

    def of(self, manifest: Manifest) -> Live:
        return self.live(metadata_of(manifest))

    def live(self, metadata: Metadata) -> Live:
        entries = metadata.managed_fields
        ours = entry_of(entries, self.manager)
        labels, annotations = metadata.labels or {}, metadata.annotations or {}
        return Live(
            key=NamespacedName(metadata.namespace, metadata.name),
            version=int(metadata.resource_version),
            uid=metadata.uid,
            owner=self.ownership.owner_in(labels),
            controls=self.ownership.controls_in(labels, annotations),
            fields=digest_of(ours),
            fields_time=ours.time if ours else "",
            predecessors=frozenset(each.manager for each in self.predecessors(entries)),
            is_new=len(entries) == 1 and entries[0].time == metadata.creation_timestamp,
            has_legacy=any(name in annotations for name in LEGACY_ANNOTATIONS)
            or any(name in labels for name in LEGACY_LABELS),
            deleting=bool(metadata.deletion_timestamp),
            author=self._author(entries),
        )

    def predecessors(self, entries: Iterable[ManagedFields]) -> list[ManagedFields]:
        """Entries that we take over: of people's tools, and of our own older ways to write."""
        return [
            entry
            for entry in entries
            if entry.is_of_spec
            and (
                entry.manager.startswith(_PREDECESSORS)
                or entry.manager in self.overridden
                or (entry.manager == self.manager and entry.operation == "Update")
            )
        ]

    def _author(self, entries: Iterable[ManagedFields]) -> Author | None:
        others = [
            entry
            for entry in entries
            if entry.subresource != "status" and entry.manager != self.manager
        ]
        if not others:
            return None
        latest = max(others, key=lambda entry: entry.time)
        return Author(latest.manager, tuple(paths(latest)))


def metadata_of(manifest: Manifest) -> Metadata:
    return msgspec.convert(manifest["metadata"], Metadata)
