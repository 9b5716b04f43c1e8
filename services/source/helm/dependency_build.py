"""A chart directory with all that it depends on, as `helm dependency build` leaves it.

What is in `charts/` already is taken as it is. The rest is read from the same source (`file://`) or
downloaded; conditions and tags do not matter here, they are decided at the release. A path never
leads out of the source, a chart never contains itself, and one build has a budget of charts.
"""

import asyncio
import posixpath
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from services.source.endings import BuildFailed, FetchFailed, FetchStalled
from services.source.helm.chart_files import METADATA, Chart, ChartError
from services.source.helm.chart_repository import ChartRepository, NoSuchChart
from services.source.helm.dependencies import Dependency, DependencyError, dependencies_of
from services.source.helm.repositories import SCHEMES, normalised
from services.source.referenced_secrets import AUTHENTICATION_FAILED
from services.source.semver import InvalidVersion, Range, Version
from shared.archive import Entry, Limits
from shared.redaction import redact

LOCAL = "file://"
DEEPEST = 10  # local charts that need each other
MOST_CHARTS = 200  # of one build, at all depths


@dataclass
class Build:
    """`resolved` counts the charts that were added."""

    namespace: str
    files: Mapping[str, Entry]  # of the source
    limits: Limits
    resolved: int = 0
    opened: dict[str, ChartRepository] = field(default_factory=dict)
    fetched: dict[tuple[str, str, str], Chart] = field(default_factory=dict)


class Addresses(Protocol):
    async def at(self, url: str, namespace: str) -> ChartRepository:
        """The repository of charts at an address, as somebody of the namespace sees it."""


class DependencyBuilder:
    def __init__(self, repositories: Addresses) -> None:
        self._repositories = repositories

    async def complete(self, chart: Chart, path: str, build: Build) -> Chart:
        """The chart at this path of the source with its dependencies below `charts/`.

        Raises BuildFailed; FetchFailed when a server refuses us.
        """
        try:
            return await self._complete(chart, (path,), build)
        except (ChartError, DependencyError, NoSuchChart) as error:
            raise _failed(str(error)) from error
        except (FetchFailed, FetchStalled) as error:
            if error.reason == AUTHENTICATION_FAILED:
                raise FetchFailed(_message(str(error)), reason=AUTHENTICATION_FAILED) from error
            raise _failed(str(error)) from error

    async def _complete(self, chart: Chart, paths: tuple[str, ...], build: Build) -> Chart:
        """`paths`: of this chart, and before it of those that need it."""
        chart = await asyncio.to_thread(chart.with_charts_unpacked)
        brought = chart.brought_along()
        added: set[tuple[str, str]] = set()
        for dependency in dependencies_of(chart.files):
            if dependency.name in brought:
                continue
            found = await self._chart(dependency, paths, build)
            if (found.name, found.version) in added:
                continue  # it is there under two aliases, and once in the archive
            added.add((found.name, found.version))
            chart = chart.with_dependency(found)
        return chart

    async def _chart(self, dependency: Dependency, paths: tuple[str, ...], build: Build) -> Chart:
        build.resolved += 1
        if build.resolved > MOST_CHARTS:
            raise DependencyError(f"more than {MOST_CHARTS} charts in one build")
        if dependency.repository.startswith(LOCAL):
            return await self._local(dependency, paths, build)
        if not dependency.repository:
            raise DependencyError(
                f"{dependency.name!r} has no repository and is not in charts/ of {paths[-1]!r}"
            )
        if not dependency.repository.startswith(SCHEMES):
            raise DependencyError(
                f"repository {redact(dependency.repository)!r} of {dependency.name!r} is not "
                f"served: write file:// or the URL ({', '.join(SCHEMES)}), not an alias"
            )
        return await self._remote(dependency, build)

    async def _local(self, dependency: Dependency, paths: tuple[str, ...], build: Build) -> Chart:
        path = _inside(dependency, paths[-1])
        if path in paths:
            raise DependencyError(f"{dependency.name!r} at {path!r} depends on itself")
        if len(paths) >= DEEPEST:
            raise DependencyError(f"dependencies nest deeper than {DEEPEST} charts")
        chart = await asyncio.to_thread(_read, path, build)
        _require_as_asked(chart, dependency)
        return await self._complete(chart, (*paths, path), build)

    async def _remote(self, dependency: Dependency, build: Build) -> Chart:
        url = normalised(dependency.repository)
        same = (dependency.name, dependency.version, url)
        if same not in build.fetched:  # another time under another alias, or deeper down
            build.fetched[same] = await self._fetched(dependency, url, build)
        return build.fetched[same]

    async def _fetched(self, dependency: Dependency, url: str, build: Build) -> Chart:
        if url not in build.opened:
            build.opened[url] = await self._repositories.at(url, build.namespace)
        try:
            found = await build.opened[url].find(dependency.name, dependency.version)
            content = await found.fetch(None)
        except NoSuchChart as error:
            raise DependencyError(f"{dependency.name!r} from {redact(url)!r}: {error}") from error
        chart = await asyncio.to_thread(
            Chart.from_archive, content, build.limits, named=dependency.name
        )
        return await asyncio.to_thread(chart.with_charts_unpacked)


def _inside(dependency: Dependency, path: str) -> str:
    """Where in the source a `file://` repository is."""
    said = dependency.repository.removeprefix(LOCAL)
    place = posixpath.normpath(posixpath.join(path, said))
    if said.startswith("/") or place == ".." or place.startswith("../"):
        raise DependencyError(
            f"repository {dependency.repository!r} of {dependency.name!r} leads out of the source; "
            f"write a path relative to {path or '.'!r} that stays inside"
        )
    return "" if place == "." else place


def _read(path: str, build: Build) -> Chart:
    if path in build.files:
        return Chart.from_archive(build.files[path].content, build.limits)
    return Chart.from_directory(build.files.values(), path, build.limits)


def _require_as_asked(chart: Chart, dependency: Dependency) -> None:
    place = f"{METADATA} at {dependency.repository!r}"
    if chart.name != dependency.name:
        raise DependencyError(f"{place} is of {chart.name!r}, not of {dependency.name!r}")
    try:
        accepted = Range.parse(dependency.version or "*")
    except InvalidVersion as error:
        raise DependencyError(f"version of {dependency.name!r}: {error}") from error
    if not accepted.accepts(Version.parse(chart.version)):
        raise DependencyError(
            f"{place} has version {chart.version!r}, which {dependency.version!r} does not allow"
        )


def _failed(problem: str) -> BuildFailed:
    return BuildFailed(_message(problem), reason="DependencyBuildError")


def _message(problem: str) -> str:
    return f"dependency build error: {problem}"
