"""Charts in a GitRepository: a directory, or an archive, of the source's stored artifact."""

import asyncio
from collections.abc import Mapping
from pathlib import Path

from services.source.endings import BuildFailed, FetchFailed, FetchStalled
from services.source.helm.chart_files import Chart, ChartError
from services.source.helm.chart_package import Candidate, Package
from services.source.helm.chart_values import (
    has_values_files,
    version_with_generation,
    with_values_files,
)
from services.source.storage import Owner, Storage
from shared.archive import ArchiveError, Entry, unpack
from shared.resources.meta import Artifact
from shared.resources.source import GitRepository, HelmChart

HASH_DIGITS = 12  # of the source's revision, in the version of strategy Revision


class LocalCharts:
    def __init__(self, storage: Storage) -> None:
        self._storage = storage

    async def candidate(
        self, chart: HelmChart, repository: GitRepository, artifact: Artifact
    ) -> Candidate:
        path = self._storage.locate(Owner.of(repository), artifact.path)
        try:
            files = await asyncio.to_thread(_unpacked, path)
        except (OSError, ArchiveError) as error:
            problem = f"the artifact of GitRepository {repository.key} cannot be read: {error}"
            raise FetchFailed(problem, reason="NoSourceArtifact") from error
        return await asyncio.to_thread(_candidate, chart, artifact, files)


def _unpacked(path: Path | None) -> dict[str, Entry]:
    if path is None:
        raise FileNotFoundError("its path is not in its folder")
    with path.open("rb") as file:
        return {entry.path: entry for entry in unpack(file)}


def _candidate(chart: HelmChart, artifact: Artifact, files: Mapping[str, Entry]) -> Candidate:
    path = chart.spec.chart.removeprefix("./").strip("/")
    path = "" if path == "." else path
    try:
        if path in files:
            loaded, archive = Chart.from_archive(files[path].content), files[path].content
        else:
            loaded, archive = Chart.from_directory(files.values(), path), None
    except ChartError as error:
        problem = f"invalid chart reference: {chart.spec.chart!r}: {error}"
        raise FetchStalled(problem, reason="InvalidChartReference") from error
    version = _version(chart, loaded.version, artifact.revision)

    async def package() -> Package:
        return await asyncio.to_thread(_package, chart, loaded, archive, version, files)

    return Candidate(loaded.name, version, package)


def _version(chart: HelmChart, version: str, revision: str) -> str:
    if chart.spec.reconcile_strategy == "Revision":
        plain = version.partition("+")[0]
        version = f"{plain}+{revision.rpartition(':')[2][:HASH_DIGITS]}"
    if has_values_files(chart.spec):
        version = version_with_generation(version, chart.metadata.generation)
    return version


def _package(
    chart: HelmChart,
    loaded: Chart,
    archive: bytes | None,
    version: str,
    files: Mapping[str, Entry],
) -> Package:
    changes = has_values_files(chart.spec) or version != loaded.version
    if archive is not None and not changes:
        return Package(archive, packaged=False)
    if archive is None and (missing := loaded.missing_dependencies()):
        raise BuildFailed(
            f"dependency build error: {', '.join(missing)} not found in charts/ of "
            f"{chart.spec.chart!r}; this version of Penstock does not download dependencies: "
            "run `helm dependency update` and commit charts/",
            reason="DependencyBuildError",
        )
    used: tuple[str, ...] = ()
    if has_values_files(chart.spec):
        loaded, used = with_values_files(loaded, chart.spec, files)
    if version != loaded.version:
        loaded = loaded.with_version(version)
    try:
        return Package(loaded.packed(), packaged=True, values_files=used)
    except ChartError as error:
        problem = f"chart package error: {loaded.name}: {error}"
        raise BuildFailed(problem, reason="ChartPackageError") from error
