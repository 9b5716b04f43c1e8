"""What we last saw of each release's records, beside what the watch shows of them now.

A metadata watch over all of Helm's Secrets costs a few hundred bytes a version. While it shows what
we saw, a release needs no reading and no checking; when it shows something else, somebody else
was there, and the release is looked at.
"""

from collections import defaultdict
from collections.abc import Callable, Mapping
from typing import NamedTuple

from services.helm.names import ReleaseIdentity
from shared.cluster.objects import Manifest
from shared.cluster.watch_cache import WatchCache


class Newest(NamedTuple):
    """The newest stored version; `status` None: there is none. `digest` is of the whole release."""

    status: str | None
    name: str = ""
    namespace: str = ""
    version: int = 0
    digest: str = ""


class _Records(NamedTuple):
    """Where a release's records are, and what it is called there."""

    namespace: str
    name: str


class SeenVersions:
    """`on_change` is told whose records differ from what we saw; it decides what that means."""

    def __init__(
        self, cache: WatchCache[Manifest], on_change: Callable[[ReleaseIdentity], None]
    ) -> None:
        self._on_change = on_change
        self._shown: dict[_Records, dict[str, str]] = defaultdict(dict)  # by Secret: its version
        self._seen: dict[_Records, dict[str, str]] = {}
        self._newest: dict[_Records, Newest] = {}
        self._watched: dict[_Records, ReleaseIdentity] = {}
        cache.on_change(self._changed)

    def newest(self, identity: ReleaseIdentity) -> Newest | None:
        """What was remembered, if the cluster still holds exactly what we saw then."""
        return self._newest.get(_records(identity)) if self._is_current(identity) else None

    def remember(self, identity: ReleaseIdentity, newest: Newest) -> None:
        self._newest[_records(identity)] = newest

    def read(self, identity: ReleaseIdentity, secrets: list[Manifest]) -> None:
        """All of the release's records, as a list showed them."""
        records = _records(identity)
        self._watched[records] = identity
        self._seen[records] = {_name(secret): _version(secret) for secret in secrets}
        self._newest.pop(records, None)

    def wrote(self, identity: ReleaseIdentity, secret: Manifest) -> None:
        records = _records(identity)
        self._seen.setdefault(records, {})[_name(secret)] = _version(secret)
        self._newest.pop(records, None)

    def deleted(self, identity: ReleaseIdentity, name: str) -> None:
        records = _records(identity)
        self._seen.get(records, {}).pop(name, None)
        self._newest.pop(records, None)

    def forget(self, identity: ReleaseIdentity) -> None:
        """Nobody asks for this release any more."""
        for memory in (self._seen, self._watched, self._newest):
            memory.pop(_records(identity), None)

    def _is_current(self, identity: ReleaseIdentity) -> bool:
        records = _records(identity)
        return records in self._seen and self._seen[records] == self._shown.get(records, {})

    def _changed(self, before: Manifest | None, after: Manifest | None) -> None:
        if before is not None:
            self._shown[_records_of(before)].pop(_name(before), None)
        if after is not None:
            self._shown[_records_of(after)][_name(after)] = _version(after)
        identity = self._watched.get(_records_of(after or before or {}))
        if identity is not None and not self._is_current(identity):
            self._on_change(identity)


def _records(identity: ReleaseIdentity) -> _Records:
    return _Records(identity.storage_namespace, identity.name)


def _records_of(secret: Manifest) -> _Records:
    metadata = secret.get("metadata", {})
    labels: Mapping[str, str] = metadata.get("labels") or {}
    return _Records(metadata.get("namespace", ""), labels.get("name", ""))


def _name(secret: Manifest) -> str:
    return str(secret["metadata"]["name"])


def _version(secret: Manifest) -> str:
    return str(secret["metadata"]["resourceVersion"])
