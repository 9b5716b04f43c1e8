"""Keep the archive of one HelmChart at what its source has for it.

Woken by its source's changes. While neither the source's artifact nor the spec has changed there is
nothing to find out, and nothing is read; a new revision of the source whose chart has the same name
and version leaves the archive as it is.
"""

import asyncio
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from services.source.current_artifact import (
    as_status,
    current_artifact,
    event_metadata,
    forget,
    has_recovered,
    is_settled,
)
from services.source.endings import (
    ARTIFACT_IN_STORAGE,
    FetchFailed,
    FetchStalled,
    outdated,
    stored,
)
from services.source.helm.chart_package import Candidate, Package
from services.source.helm.chart_signatures import verified_marks
from services.source.helm.local_charts import LocalCharts, LocalSource
from services.source.helm.remote_charts import RemoteCharts
from services.source.helm.repositories import OCI
from services.source.oci.verifying import SOURCE_VERIFIED
from services.source.storage import Owner, Storage
from shared.cluster.watch_cache import WatchCache
from shared.conditions import STALLED, find, is_true
from shared.outcomes import Done, Marks
from shared.resources.meta import Artifact, NamespacedName
from shared.resources.source import Bucket, GitRepository, HelmChart, HelmRepository
from shared.run import Run
from shared.status import conditions_of

LATEST = "latest.tar.gz"
PACKAGES_AT_ONCE = 32  # each may be 10 MiB on its way, and ten times that on the bench
PULLED, PACKAGED = "ChartPullSucceeded", "ChartPackageSucceeded"
Source: TypeAlias = HelmRepository | LocalSource


@dataclass(frozen=True)
class ChartSources:
    """The caches that say what sources there are, and how charts come out of each kind."""

    helm: WatchCache[HelmRepository]
    git: WatchCache[GitRepository]
    buckets: WatchCache[Bucket]
    remote: RemoteCharts
    local: LocalCharts


class HelmChartReconciler:
    def __init__(self, storage: Storage, sources: ChartSources) -> None:
        self._storage = storage
        self._sources = sources
        self._packages = asyncio.Semaphore(PACKAGES_AT_ONCE)

    async def reconcile(self, chart: HelmChart, run: Run) -> Done:
        artifact = await current_artifact(self._storage, chart, run)
        source, theirs = self._source(chart)
        if artifact and theirs and _has_seen(chart, theirs):
            return await self._unchanged(chart, artifact, theirs, run)
        async with run.idle():
            fresh = run.requested or not is_settled(chart)
            candidate = await self._candidate(chart, source, theirs, fresh=fresh)
        if artifact and _is_as(chart, artifact, candidate):
            return await self._unchanged(chart, artifact, theirs, run)
        await _announce(candidate, run, artifact_exists=artifact is not None)
        return await self._store(chart, candidate, theirs, run)

    async def finalize(self, chart: HelmChart, run: Run) -> None:
        await forget(self._storage, chart, run)

    def _source(self, chart: HelmChart) -> tuple[Source, Artifact | None]:
        """And its artifact; a registry has none."""
        reference = chart.spec.source_ref
        key = NamespacedName(chart.metadata.namespace, reference.name)
        source: Source | None
        match reference.kind:
            case "HelmRepository":
                source = self._sources.helm.get(key)
            case "GitRepository":
                source = self._sources.git.get(key)
            case "Bucket":
                source = self._sources.buckets.get(key)
            case _:
                problem = f"spec.sourceRef.kind: {reference.kind!r} is not served as a source"
                raise FetchStalled(problem, reason="UnsupportedSourceKind")
        if source is None:
            problem = f"{reference.kind} {key} not found"
            raise FetchFailed(problem, reason="SourceUnavailable")
        if isinstance(source, HelmRepository) and source.spec.type == OCI:
            return source, None
        if source.status.artifact is None:
            problem = f"no artifact available for {reference.kind} source '{reference.name}'"
            raise FetchFailed(problem, reason="NoSourceArtifact")
        return source, source.status.artifact

    async def _candidate(
        self, chart: HelmChart, source: Source, artifact: Artifact | None, *, fresh: bool
    ) -> Candidate:
        if isinstance(source, HelmRepository):
            return await self._sources.remote.candidate(chart, source, fresh=fresh)
        assert artifact  # noqa: S101  (else the chart would wait for it)
        return await self._sources.local.candidate(chart, source, artifact)

    async def _unchanged(
        self, chart: HelmChart, artifact: Artifact, theirs: Artifact | None, run: Run
    ) -> Done:
        told = find(conditions_of(chart), ARTIFACT_IN_STORAGE)
        reason = told.reason if told else PULLED
        message = told.message if told else f"stored chart with version '{artifact.revision}'"
        if has_recovered(chart):
            run.event("info", "Succeeded", message, event_metadata(as_status(artifact)))
        verified = {} if chart.spec.verify else verified_marks("", verified=False)
        conditions = {**stored(reason, message), **verified}
        return await self._done(chart, as_status(artifact), theirs, conditions, {})

    async def _store(
        self, chart: HelmChart, candidate: Candidate, theirs: Artifact | None, run: Run
    ) -> Done:
        async with run.idle(), self._packages:
            package = await candidate.package()
        if package.dependencies:
            resolved = f"resolved {package.dependencies} chart dependencies"
            run.event("trace", "ResolvedDependencies", resolved)
        owner, name = Owner.of(chart), f"{candidate.name}-{candidate.version}.tgz"
        file = await self._storage.write_bytes(owner, name, package.content)
        artifact = self._storage.artifact(file, candidate.version)
        reason = PACKAGED if package.packaged else PULLED
        message = _message(candidate, package)
        run.event("info", reason, message, event_metadata(artifact))
        found = {
            "observedChartName": candidate.name,
            "observedValuesFiles": list(package.values_files) or None,
        }
        verified = verified_marks(candidate.version, verified=package.verified)
        conditions = {**stored(reason, message), **verified}
        return await self._done(chart, artifact, theirs, conditions, found)

    async def _done(
        self,
        chart: HelmChart,
        artifact: dict[str, Any],
        theirs: Artifact | None,
        conditions: Marks,
        found: Mapping[str, Any],
    ) -> Done:
        said = conditions[ARTIFACT_IN_STORAGE]
        assert said  # noqa: S101  (success always says what is stored)
        name = artifact["path"].rpartition("/")[2]
        link = await self._storage.point(Owner.of(chart), LATEST, name)
        status = {
            "artifact": artifact,
            "url": link,
            "observedSourceArtifactRevision": theirs.revision if theirs else None,
            **found,
        }
        return Done(message=said.message, reason=said.reason, status=status, conditions=conditions)


def charts_of(
    charts: WatchCache[HelmChart],
) -> Callable[[Source | None, Source | None], Iterable[NamespacedName]]:
    """Whom a source's change concerns: the charts that name it, when it has something else."""

    def affected(before: Source | None, after: Source | None) -> Iterable[NamespacedName]:
        source = after or before
        if source is None or _offer_of(before) == _offer_of(after):
            return []
        return [
            chart.key
            for chart in charts.values()
            if chart.metadata.namespace == source.metadata.namespace
            and (chart.spec.source_ref.kind, chart.spec.source_ref.name)
            == (source.kind, source.metadata.name)
        ]

    return affected


def _offer_of(source: Source | None) -> tuple[str, str] | None:
    """What charts are made from: an artifact, or the registry that a spec leads to."""
    if source is None:
        return None
    if isinstance(source, HelmRepository) and source.spec.type == OCI:
        return (OCI, str(source.metadata.generation))
    artifact = source.status.artifact
    return (artifact.revision, artifact.digest) if artifact else None


def _has_seen(chart: HelmChart, theirs: Artifact) -> bool:
    return is_settled(chart) and chart.status.observed_source_artifact_revision == theirs.revision


def _is_as(chart: HelmChart, artifact: Artifact, candidate: Candidate) -> bool:
    """What was built for this very spec needs no building; a stalled run has built nothing."""
    status, conditions = chart.status, conditions_of(chart)
    same_spec = status.observed_generation == chart.metadata.generation
    verified = chart.spec.verify is None or is_true(conditions, SOURCE_VERIFIED)
    same_chart = (status.observed_chart_name, artifact.revision) == (
        candidate.name,
        candidate.version,
    )
    return same_spec and same_chart and verified and not is_true(conditions, STALLED)


async def _announce(candidate: Candidate, run: Run, *, artifact_exists: bool) -> None:
    news = f"new '{candidate.name}' chart with version '{candidate.version}'"
    await run.progress(
        f"building artifact: {news}",
        conditions=outdated("NewChart", news, artifact_exists=artifact_exists),
    )


def _message(candidate: Candidate, package: Package) -> str:
    verb = "packaged" if package.packaged else "pulled"
    message = f"{verb} '{candidate.name}' chart with version '{candidate.version}'"
    if package.values_files:
        message += f" and merged values files [{' '.join(package.values_files)}]"
    return message
