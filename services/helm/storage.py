"""The versions of one release in the cluster: read, written and pruned as Helm does.

Every write says which version of the Secret it replaces, so that two writers (a person with the
helm CLI, an earlier run of ours that is still dying) cannot both win. What is written is
remembered in `SeenVersions`: while the watch shows the same, nobody needs to read it again.
"""

from services.helm.names import FIELD_MANAGER, ReleaseIdentity, secret_name
from services.helm.release_secret import (
    SECRET,
    BrokenReleaseError,
    ReleaseJson,
    ReleaseTooLargeError,
    StoredRelease,
    pack,
    unpack,
)
from services.helm.seen import SeenVersions
from shared.clock import Now
from shared.cluster.client import Cluster
from shared.cluster.errors import AlreadyExists, Conflict
from shared.cluster.objects import Manifest, ObjectRef
from shared.outcomes import Failed, Stalled


class StateError(Failed):
    """The release's records are not in a state that we can go on from."""

    reason = "StateError"


class ReleaseStorage:
    """Of one release, for one run."""

    def __init__(
        self, cluster: Cluster, identity: ReleaseIdentity, seen: SeenVersions, now: Now
    ) -> None:
        self._cluster = cluster
        self._identity = identity
        self._seen = seen
        self._now = now

    async def versions(self) -> list[StoredRelease]:
        """All of them, newest first."""
        labels = f"owner=helm,name={self._identity.name}"
        secrets = await self._cluster.list(SECRET, self._identity.storage_namespace, labels=labels)
        try:
            found = [unpack(secret) for secret in secrets]
        except BrokenReleaseError as error:
            raise StateError(str(error)) from error
        self._seen.read(self._identity, secrets)
        return sorted(found, key=lambda stored: -stored.version)

    async def create(self, body: ReleaseJson, labels: dict[str, str]) -> StoredRelease:
        secret = self._packed(body, {**labels, "createdAt": self._seconds()})
        try:
            answer = await self._cluster.create(secret)
        except AlreadyExists as error:
            raise StateError(
                f"version {body['version']} of release {self._identity} appeared meanwhile: "
                "somebody else runs Helm on it"
            ) from error
        return self._written(body, labels, answer)

    async def update(self, stored: StoredRelease) -> StoredRelease:
        """Write its body in place of the version that it was read as."""
        secret = self._packed(stored.body, {"modifiedAt": self._seconds()})
        patch: Manifest = {
            "metadata": {
                "labels": secret["metadata"]["labels"],
                "resourceVersion": stored.resource_version,
            },
            "data": secret["data"],
        }
        try:
            answer = await self._cluster.merge_patch(
                self._ref(stored.version), patch, manager=FIELD_MANAGER
            )
        except Conflict as error:
            raise StateError(
                f"version {stored.version} of release {self._identity} was changed meanwhile: "
                "somebody else runs Helm on it"
            ) from error
        return self._written(stored.body, stored.labels, answer)

    async def delete(self, stored: StoredRelease) -> None:
        await self._cluster.delete(self._ref(stored.version))
        self._seen.deleted(self._identity, secret_name(self._identity.name, stored.version))

    async def make_room(self, versions: list[StoredRelease], keep: int) -> list[StoredRelease]:
        """Delete the oldest until `keep` are left; never the one that is deployed."""
        deployed = next((each for each in versions if each.status == "deployed"), None)
        left = list(versions)
        for stored in reversed(versions):
            if len(left) <= keep:
                break
            if stored is not deployed:
                await self.delete(stored)
                left.remove(stored)
        return left

    def _written(
        self, body: ReleaseJson, labels: dict[str, str], answer: Manifest
    ) -> StoredRelease:
        self._seen.wrote(self._identity, answer)
        version = answer["metadata"]["resourceVersion"]
        return StoredRelease(body=body, labels=labels, resource_version=version)

    def _packed(self, body: ReleaseJson, labels: dict[str, str]) -> Manifest:
        try:
            return pack(body, self._identity.storage_namespace, labels)
        except ReleaseTooLargeError as error:
            raise Stalled(str(error), reason="StateError") from error

    def _ref(self, version: int) -> ObjectRef:
        name = secret_name(self._identity.name, version)
        return ObjectRef(*SECRET, self._identity.storage_namespace, name)

    def _seconds(self) -> str:
        return str(int(self._now().timestamp()))
