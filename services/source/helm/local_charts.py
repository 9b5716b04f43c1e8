"""Charts in a GitRepository or a Bucket: a directory, or an archive, of its stored artifact."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias
from weakref import WeakValueDictionary

from services.source.endings import BuildFailed, BuildStalled, FetchFailed, FetchStalled
from services.source.helm.chart_files import Chart, ChartError
from services.source.helm.chart_package import Candidate, Package
from services.source.helm.chart_values import (
    has_values_files,
    version_with_generation,
    with_values_files,
)
from services.source.helm.dependency_build import Build, DependencyBuilder
from services.source.helm.limits import HelmLimits
from services.source.semver import Version
from services.source.storage import Owner, Storage
from shared.archive import ArchiveError, Entry, unpack
from shared.resources.meta import Artifact
from shared.resources.source import Bucket, GitRepository, HelmChart

HASH_DIGITS = 12  # of the source's revision, in the version of strategy Revision
LocalSource: TypeAlias = GitRepository | Bucket


@dataclass
class _Tree:
    files: Mapping[str, Entry]


@dataclass(frozen=True)
class _LocalChart:
    """A chart as it lies in its source; `archive` when it lies there packed."""

    path: str
    chart: Chart
    archive: bytes | None


class LocalCharts:
    def __init__(self, storage: Storage, builder: DependencyBuilder, limits: HelmLimits) -> None:
        self._storage = storage
        self._builder = builder
        self._limits = limits
        # A hundred charts of one commit are looked at together, and share what they look at.
        self._trees: WeakValueDictionary[str, _Tree] = WeakValueDictionary()
        self._one_at_a_time = asyncio.Lock()

    async def candidate(
        self, chart: HelmChart, source: LocalSource, artifact: Artifact
    ) -> Candidate:
        tree = await self._tree(source, artifact)
        local = await asyncio.to_thread(self._read, chart, tree)
        version = _version(chart, local.chart.version, artifact.revision)

        async def package() -> Package:
            return await self._package(chart, local, version, tree)

        return Candidate(local.chart.name, version, package)

    async def _tree(self, source: LocalSource, artifact: Artifact) -> _Tree:
        path = self._storage.locate(Owner.of(source), artifact.path)
        async with self._one_at_a_time:
            tree = self._trees.get(artifact.digest)
            if tree is None:
                try:
                    tree = await asyncio.to_thread(_unpacked, path)
                except (OSError, ArchiveError) as error:
                    what = f"the artifact of {source.kind} {source.key}"
                    problem = f"{what} cannot be read: {error}"
                    raise FetchFailed(problem, reason="NoSourceArtifact") from error
                self._trees[artifact.digest] = tree
        return tree

    def _read(self, chart: HelmChart, tree: _Tree) -> _LocalChart:
        path = chart.spec.chart.removeprefix("./").strip("/")
        path = "" if path == "." else path
        limits, files = self._limits.unpacked, tree.files
        try:
            if path in files:
                archive = files[path].content
                return _LocalChart(path, Chart.from_archive(archive, limits), archive)
            return _LocalChart(path, Chart.from_directory(files.values(), path, limits), None)
        except ChartError as error:
            problem = f"invalid chart reference: {chart.spec.chart!r}: {error}"
            raise FetchStalled(problem, reason="InvalidChartReference") from error

    async def _package(
        self, chart: HelmChart, local: _LocalChart, version: str, tree: _Tree
    ) -> Package:
        changes = has_values_files(chart.spec) or version != local.chart.version
        if local.archive is not None and not changes:
            return Package(local.archive, packaged=False)
        complete, resolved = local.chart, 0
        if local.archive is None:
            build = Build(chart.metadata.namespace, tree.files, self._limits.unpacked)
            complete = await self._builder.complete(complete, local.path, build)
            resolved = build.resolved
        return await asyncio.to_thread(_packed, chart, complete, version, tree, resolved)


def _unpacked(path: Path | None) -> _Tree:
    if path is None:
        raise FileNotFoundError("its path is not in its folder")
    with path.open("rb") as file:
        return _Tree({entry.path: entry for entry in unpack(file)})


def _version(chart: HelmChart, version: str, revision: str) -> str:
    written = version
    if chart.spec.reconcile_strategy == "Revision":
        plain = version.partition("+")[0]
        version = f"{plain}+{revision.rpartition(':')[2][:HASH_DIGITS]}"
    if has_values_files(chart.spec):
        version = version_with_generation(version, chart.metadata.generation)
    if version != written and not Version.is_valid(version):
        problem = f"metadata patch error: {version!r} is not a semantic version"
        raise BuildStalled(problem, reason="MetadataPatchError")
    return version


def _packed(chart: HelmChart, complete: Chart, version: str, tree: _Tree, resolved: int) -> Package:
    used: tuple[str, ...] = ()
    if has_values_files(chart.spec):
        complete, used = with_values_files(complete, chart.spec, tree.files)
    try:
        if version != complete.version:
            complete = complete.with_version(version)
        content = complete.packed()
    except ChartError as error:
        problem = f"chart package error: {complete.name}: {error}"
        raise BuildFailed(problem, reason="ChartPackageError") from error
    return Package(content, packaged=True, values_files=used, dependencies=resolved)
