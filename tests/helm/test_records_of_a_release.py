"""The stored versions: no writer overwrites another, and the good one is never thrown away."""

from collections.abc import AsyncIterator

import pytest

from services.helm.names import ReleaseIdentity
from services.helm.release_secret import SECRET, StoredRelease
from services.helm.seen import Newest, SeenVersions
from services.helm.storage import ReleaseStorage, StateError
from shared.clock import now
from shared.cluster.client import Cluster
from shared.cluster.objects import Manifest
from shared.cluster.watch_cache import Selection, WatchCache, watch_metadata
from shared.resources.meta import NamespacedName
from tests.support.eventually import eventually
from tests.support.helm_releases import a_stored_release

KEEPER = NamespacedName("team-a", "shop")


class Records:
    """Of one release, with a watch on them."""

    def __init__(self, cluster: Cluster, namespace: str, cache: WatchCache[Manifest]) -> None:
        self.identity = ReleaseIdentity("shop", namespace, namespace)
        self.seen = SeenVersions()
        self.storage = ReleaseStorage(cluster, self.identity, self.seen, now)
        self.told: list[NamespacedName] = []
        self.cache = cache
        cache.on_change(lambda before, after: self.told.extend(self.seen.changed(before, after)))

    async def store(self, version: int, status: str) -> StoredRelease:
        body = a_stored_release(version, status, namespace=self.identity.namespace)
        return await self.storage.create(body, {})

    async def shown(self, count: int) -> None:
        """The watch has caught up."""
        await eventually(lambda: len(self.cache), lambda length: length == count)


@pytest.fixture
async def records(cluster: Cluster, namespace: str) -> AsyncIterator[Records]:
    kind = await cluster.resource_of(SECRET)
    cache = watch_metadata(cluster, kind, Selection(namespace, "owner=helm"))
    records = Records(cluster, namespace, cache)
    async with cache.running():
        await cache.synced()
        yield records


async def test_versions_are_read_newest_first(records: Records) -> None:
    for version in (2, 10, 1):
        await records.store(version, "superseded")

    assert [each.version for each in await records.storage.versions()] == [10, 2, 1]


async def test_a_version_that_somebody_else_stored_is_not_overwritten(records: Records) -> None:
    await records.store(1, "deployed")

    with pytest.raises(StateError, match="somebody else runs Helm on it"):
        await records.store(1, "pending-install")


async def test_a_version_that_somebody_else_changed_is_not_overwritten(records: Records) -> None:
    stored = await records.store(1, "pending-install")
    await records.storage.update(stored.having_info(status="failed"))

    with pytest.raises(StateError, match="was changed meanwhile"):
        await records.storage.update(stored.having_info(status="deployed"))

    assert [each.status for each in await records.storage.versions()] == ["failed"]


async def test_room_is_made_from_the_oldest_but_for_the_good_one(records: Records) -> None:
    for version, status in enumerate(["superseded", "deployed", "failed", "failed"], start=1):
        await records.store(version, status)
    versions = await records.storage.versions()

    left = await records.storage.make_room(versions, keep=2)

    assert [each.version for each in left] == [4, 2]
    assert [each.version for each in await records.storage.versions()] == [4, 2]


async def test_what_we_wrote_ourselves_is_no_news(records: Records) -> None:
    records.seen.keep(records.identity, KEEPER)
    await records.storage.versions()
    stored = await records.store(1, "deployed")
    newest = Newest("deployed", "shop", records.identity.namespace, 1, "sha256:x")
    records.seen.remember(records.identity, newest)
    await eventually(lambda: records.seen.newest(records.identity), lambda found: found == newest)

    await records.storage.update(stored.having_info(description="other"))
    assert records.seen.newest(records.identity) is None

    records.seen.remember(records.identity, newest)
    await eventually(lambda: records.seen.newest(records.identity), lambda found: found == newest)


async def test_what_somebody_else_wrote_is_news(records: Records, cluster: Cluster) -> None:
    records.seen.keep(records.identity, KEEPER)
    stored = await records.store(1, "deployed")
    newest = Newest("deployed", "shop", records.identity.namespace, 1, "sha256:x")
    records.seen.remember(records.identity, newest)
    await eventually(lambda: records.seen.newest(records.identity), lambda found: found == newest)
    records.told.clear()

    stranger = ReleaseStorage(cluster, records.identity, SeenVersions(), now)
    await stranger.update(stored.having_info(status="superseded"))

    await eventually(lambda: records.told, lambda told: told == [KEEPER])
    assert records.seen.newest(records.identity) is None
    records.seen.forget(records.identity)
    records.told.clear()
    await stranger.delete(stored)
    await records.shown(0)
    assert records.told == []
