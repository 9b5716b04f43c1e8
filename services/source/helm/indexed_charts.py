"""Charts of a repository with an index: chosen from it, downloaded from where it says.

The index is the stored one. Of a repository that no HelmRepository keeps, it is downloaded, under
the same limits, and good for a minute: the charts of one commit are built together.
"""

import asyncio
from collections import OrderedDict
from pathlib import Path
from typing import NamedTuple, TypeAlias
from urllib.parse import urljoin
from weakref import WeakValueDictionary

from services.source.endings import FetchFailed
from services.source.helm.chart_repository import Found, SignatureCheck
from services.source.helm.downloads import Download, HelmDownloads, address_of, below
from services.source.helm.index import ChartVersion, InvalidIndex, StoredIndex
from services.source.helm.index_process import IndexReader
from services.source.helm.limits import HelmLimits
from services.source.helm.scratch import scratch_file
from services.source.storage import Integrity, Owner, Storage
from shared.resources.meta import Artifact
from shared.resources.source import HelmRepository

INDEXES_KEPT = 64  # each is a map of names to places in a mapped file
FETCHED_KEPT = 16
GOOD_FOR = 60.0  # seconds


_Key: TypeAlias = tuple[str, ...]


class _Fetched(NamedTuple):
    stored: StoredIndex
    until: float


class IndexedCharts:
    def __init__(
        self, storage: Storage, downloads: HelmDownloads, limits: HelmLimits, scratch: Path
    ) -> None:
        self._storage = storage
        self._downloads = downloads
        self._limits = limits
        self._scratch = scratch
        self._reader = IndexReader()
        self._stored: OrderedDict[str, StoredIndex] = OrderedDict()  # by digest
        self._fetched: OrderedDict[_Key, _Fetched] = OrderedDict()
        self._fetching: WeakValueDictionary[_Key, asyncio.Lock] = WeakValueDictionary()

    async def open(self, repository: HelmRepository) -> "IndexedRepository":
        """Raises FetchFailed when there is no index to be had."""
        if repository.status.artifact:
            index = await self._stored_index(repository, repository.status.artifact)
        else:
            index = await self._fetched_index(repository)
        return IndexedRepository(repository, index, self._downloads, self._limits)

    async def _stored_index(self, repository: HelmRepository, artifact: Artifact) -> StoredIndex:
        if artifact.digest not in self._stored:
            owner = Owner.of(repository)
            path = self._storage.locate(owner, artifact.path)
            try:
                if path is None or await self._storage.check(owner, artifact) != Integrity.GOOD:
                    raise InvalidIndex("it is not as it was stored")  # noqa: TRY301
                self._stored[artifact.digest] = await asyncio.to_thread(StoredIndex.open, path)
            except InvalidIndex as error:
                problem = f"the index of HelmRepository {repository.key} is gone: {error}"
                raise FetchFailed(problem, reason="NoSourceArtifact") from error
        self._stored.move_to_end(artifact.digest)
        while len(self._stored) > INDEXES_KEPT:
            self._stored.popitem(last=False)
        return self._stored[artifact.digest]

    async def _fetched_index(self, repository: HelmRepository) -> StoredIndex:
        key = (repository.spec.url, *repository.key)
        lock = self._fetching.setdefault(key, asyncio.Lock())
        async with lock:
            now = asyncio.get_running_loop().time()
            known = self._fetched.get(key)
            if known is None or known.until < now:
                index = await self._download(repository)
                known = self._fetched[key] = _Fetched(index, now + GOOD_FOR)
                self._fetched.move_to_end(key)
            while len(self._fetched) > FETCHED_KEPT:
                self._fetched.popitem(last=False)
        return known.stored

    async def _download(self, repository: HelmRepository) -> StoredIndex:
        url = below(address_of(repository)[0], "index.yaml")
        with scratch_file(self._scratch) as raw, scratch_file(self._scratch) as index:
            wanted = Download(url, self._limits.index, into=raw)
            await self._downloads.get(repository, wanted, fresh=False)
            raw.flush()
            raw.seek(0)
            try:
                await self._reader.normalise(raw, index)
                return await asyncio.to_thread(StoredIndex.of, index)
            except InvalidIndex as error:
                problem = f"failed to read the index of {url}: {error}"
                raise FetchFailed(problem, reason="IndexationFailed") from error


class IndexedRepository:
    def __init__(
        self,
        repository: HelmRepository,
        index: StoredIndex,
        downloads: HelmDownloads,
        limits: HelmLimits,
    ) -> None:
        self._repository = repository
        self._index = index
        self._downloads = downloads
        self._limits = limits

    async def find(self, name: str, wanted: str) -> Found:
        entry = self._index.choose(name, wanted)

        async def fetch(check: SignatureCheck | None) -> bytes:
            if check is not None:
                raise FetchFailed("only charts in OCI registries are signed", reason="Failed")
            return await self._download(entry)

        return Found(entry.name, entry.version, fetch)

    async def _download(self, entry: ChartVersion) -> bytes:
        address, _ = address_of(self._repository)
        url = urljoin(f"{address.rstrip('/')}/", entry.urls[0])
        if not url.startswith(("http://", "https://")):
            problem = f"chart {entry.name!r} is at {url!r}, which is not http or https"
            raise FetchFailed(problem, reason="ChartPullError")
        wanted = Download(url, self._limits.chart)
        return (await self._downloads.get(self._repository, wanted, fresh=False)).body
