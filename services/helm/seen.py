"""What we last saw of each release's records, beside what the watch shows of them now.

A metadata watch over all of Helm's Secrets costs a few hundred bytes a version. While it shows what
we saw, a release needs no reading and no checking; when it shows something else, somebody else
was there, and the release is looked at.
"""

from collections import defaultdict
from collections.abc import Mapping
from typing import NamedTuple

from services.helm.names import ReleaseIdentity
from shared.cluster.objects import Manifest
from shared.resources.meta import NamespacedName


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
    def __init__(self) -> None:
        self._shown: dict[_Records, dict[str, str]] = defaultdict(dict)  # by Secret: its version
        self._seen: dict[_Records, dict[str, str]] = {}
        self._newest: dict[_Records, Newest] = {}
        self._keepers: dict[_Records, NamespacedName] = {}

    def newest(self, identity: ReleaseIdentity) -> Newest | None:
        """What was remembered, if the cluster still holds exactly what we saw then."""
        records = _records(identity)
        return self._newest.get(records) if self._is_current(records) else None

    def remember(self, identity: ReleaseIdentity, newest: Newest) -> None:
        self._newest[_records(identity)] = newest

    def keep(self, identity: ReleaseIdentity, keeper: NamespacedName) -> None:
        """From now on tell the HelmRelease of what others do to the records."""
        self._keepers[_records(identity)] = keeper

    def read(self, identity: ReleaseIdentity, secrets: list[Manifest]) -> None:
        """All of the release's records, as a list showed them."""
        records = _records(identity)
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
        records = _records(identity)
        self._seen.pop(records, None)
        self._newest.pop(records, None)
        self._keepers.pop(records, None)

    def _is_current(self, records: _Records) -> bool:
        return records in self._seen and self._seen[records] == self._shown.get(records, {})

    def changed(self, before: Manifest | None, after: Manifest | None) -> list[NamespacedName]:
        """News of the watch; answers which HelmReleases must look what others did."""
        if before is not None:
            self._shown[_records_of(before)].pop(_name(before), None)
        if after is not None:
            self._shown[_records_of(after)][_name(after)] = _version(after)
        records = _records_of(after or before or {})
        keeper = self._keepers.get(records)
        return [keeper] if keeper is not None and not self._is_current(records) else []


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
