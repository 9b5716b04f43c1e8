"""Charts of a HelmRepository: chosen from its stored index, downloaded from where that says."""

import asyncio
from collections import OrderedDict
from urllib.parse import urljoin

from services.source.endings import FetchFailed, FetchStalled
from services.source.helm.chart_files import Chart, ChartError
from services.source.helm.chart_package import Candidate, Package
from services.source.helm.chart_values import (
    has_values_files,
    version_with_generation,
    with_values_files,
)
from services.source.helm.downloads import Download, HelmDownloads, address_of
from services.source.helm.index import ChartVersion, InvalidIndex, NoSuchChart, StoredIndex
from services.source.helm.limits import HelmLimits
from services.source.storage import Integrity, Owner, Storage
from shared.resources.meta import Artifact
from shared.resources.source import HelmChart, HelmRepository

INDEXES_KEPT = 64  # each is a map of names to places in a mapped file


class RemoteCharts:
    def __init__(self, storage: Storage, downloads: HelmDownloads, limits: HelmLimits) -> None:
        self._storage = storage
        self._downloads = downloads
        self._limits = limits
        self._indexes: OrderedDict[str, StoredIndex] = OrderedDict()  # by digest

    async def candidate(
        self, chart: HelmChart, repository: HelmRepository, artifact: Artifact
    ) -> Candidate:
        entries = await self._entries(repository, artifact)
        try:
            entry = choose(entries, chart.spec.chart, chart.spec.version)
        except NoSuchChart as error:
            problem = f"invalid chart reference: {error}"
            raise FetchStalled(problem, reason="InvalidChartReference") from error
        version = entry.version
        if has_values_files(chart.spec):
            version = version_with_generation(version, chart.metadata.generation)

        async def package() -> Package:
            content = await self._download(repository, entry)
            return await asyncio.to_thread(_package, chart, entry, version, content)

        return Candidate(entry.name, version, package)

    async def _entries(
        self, repository: HelmRepository, artifact: Artifact
    ) -> Mapping[str, list[ChartVersion]]:
        if artifact.digest not in self._indexes:
            path = self._storage.locate(Owner.of(repository), artifact.path)
            try:
                content = await asyncio.to_thread(path.read_bytes) if path else b""
                self._indexes[artifact.digest] = await asyncio.to_thread(stored_entries, content)
            except (OSError, InvalidIndex) as error:
                problem = f"the index of HelmRepository {repository.key} is gone: {error}"
                raise FetchFailed(problem, reason="NoSourceArtifact") from error
        self._indexes.move_to_end(artifact.digest)
        while len(self._indexes) > INDEXES_KEPT:
            self._indexes.popitem(last=False)
        return self._indexes[artifact.digest]

    async def _download(self, repository: HelmRepository, entry: ChartVersion) -> bytes:
        address, _ = address_of(repository)
        url = urljoin(f"{address.rstrip('/')}/", entry.urls[0])
        if not url.startswith(("http://", "https://")):
            problem = f"chart {entry.name!r} is at {url!r}, which is not http or https"
            raise FetchFailed(problem, reason="ChartPullError")
        try:
            answer = await self._downloads.get(repository, Download(url, MAX_CHART), fresh=False)
        except FetchFailed as error:
            reason = "ChartPullError" if error.reason == "Failed" else error.reason
            raise FetchFailed(f"chart pull error: {error}", reason=reason) from error
        return answer.body


def _package(chart: HelmChart, entry: ChartVersion, version: str, content: bytes) -> Package:
    try:
        loaded = Chart.from_archive(content, named=entry.name)
        if not has_values_files(chart.spec):
            return Package(content, packaged=False)
        changed, used = with_values_files(loaded, chart.spec, loaded.files)
        return Package(changed.with_version(version).packed(), packaged=True, values_files=used)
    except ChartError as error:
        problem = f"chart pull error: {entry.name} {entry.version}: {error}"
        raise FetchFailed(problem, reason="ChartPullError") from error
