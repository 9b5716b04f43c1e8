"""The release that a run works on: what is stored of it, and what its status remembers."""

from dataclasses import dataclass, field

from services.helm.capabilities import KnownCapabilities
from services.helm.dependencies import Releases
from services.helm.digests import ReleaseDigests
from services.helm.manifests import Placed
from services.helm.names import ReleaseIdentity
from services.helm.record import Action, Record
from services.helm.release_secret import StoredRelease
from services.helm.seen import Newest, SeenVersions
from services.helm.snapshot import snapshot_of
from services.helm.storage import ReleaseStorage
from shared.artifact import ArtifactCache
from shared.clock import Now
from shared.cluster.apply_engine import ApplyEngine
from shared.cluster.client import Cluster
from shared.engine import Engine
from shared.resources.helm import HelmRelease
from shared.resources.helm.release import ReleaseSnapshot
from shared.run import Run


@dataclass(frozen=True, kw_only=True)
class Tools:
    """The same for all releases."""

    engine: Engine
    objects: ApplyEngine
    artifacts: ArtifactCache
    capabilities: KnownCapabilities
    digests: ReleaseDigests
    seen: SeenVersions
    releases: Releases
    now: Now


@dataclass(kw_only=True)
class Subject:
    """`cluster` speaks as the release's own identity. `versions`, newest first, are read when an
    action is about to change them; `newest` is known earlier and at less cost."""

    release: HelmRelease
    run: Run
    tools: Tools
    identity: ReleaseIdentity
    cluster: Cluster
    record: Record
    newest: Newest = field(default_factory=lambda: Newest(None))
    versions: list[StoredRelease] = field(default_factory=list)

    @property
    def storage(self) -> ReleaseStorage:
        return ReleaseStorage(self.cluster, self.identity, self.tools.seen, self.tools.now)

    @property
    def placed(self) -> Placed:
        return Placed(self.cluster, self.identity.namespace)

    @property
    def is_known_from_afar(self) -> bool:
        """There are versions, and nobody has read them yet."""
        return self.newest.status is not None and not self.versions

    async def look(self) -> None:
        """Learn what is stored: for nothing if the watch still shows what we saw last."""
        known = self.tools.seen.newest(self.identity)
        if known is None:
            await self.read()
        else:
            self.newest = known

    async def read(self) -> None:
        """Read all versions from the cluster."""
        self.versions = await self.storage.versions()
        newest = Newest(None)
        if self.versions:
            latest = self.versions[0]
            newest = _newest(latest, (await self.tools.digests.of_release(latest.body)).release)
        self._know(newest)

    async def written(self, stored: StoredRelease, action: Action | None = None) -> ReleaseSnapshot:
        """A version is stored as it now is: what a history would say of it."""
        others = (each for each in self.versions if each.version != stored.version)
        self.versions = sorted((stored, *others), key=lambda each: -each.version)
        digests = await self.tools.digests.of_release(stored.body)
        is_newest = stored is self.versions[0]
        self._know(_newest(stored, digests.release) if is_newest else self.newest)
        known = {each.version: each.action for each in self.record.history}
        return snapshot_of(stored.body, digests, action or known.get(stored.version) or "upgrade")

    def note(self) -> None:
        """The record must not be lost, however the run ends."""
        self.run.note(status=self.record.to_status())

    def _know(self, newest: Newest) -> None:
        self.newest = newest
        self.tools.seen.remember(self.identity, newest)


def _newest(stored: StoredRelease, digest: str) -> Newest:
    body = stored.body
    return Newest(stored.status, body["name"], body["namespace"], stored.version, digest)
