"""The controller of HelmReleases with the watches that it decides by."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any, NamedTuple

from services.helm import referrers
from services.helm.capabilities import KnownCapabilities
from services.helm.chart import Charts
from services.helm.digests import ReleaseDigests
from services.helm.names import FIELD_MANAGER
from services.helm.other_dependencies import Dependencies
from services.helm.reconciler import HelmReleaseReconciler
from services.helm.release_secret import SECRET
from services.helm.seen import SeenVersions
from services.helm.subject import Tools
from shared.artifact import ArtifactCache
from shared.clock import now
from shared.cluster.apply_engine import ApplyEngine
from shared.cluster.client import Cluster
from shared.cluster.objects import Gvk, Manifest
from shared.cluster.ownership import HELM_GROUP, Ownership
from shared.cluster.watch_cache import Selection, WatchCache, watch_kind, watch_metadata
from shared.controller import Controller, Options
from shared.engine import Engine
from shared.ready_watch import ReadyWatch
from shared.resources.helm import HelmRelease
from shared.resources.meta import NamespacedName
from shared.resources.source import HelmChart
from shared.run import Recorder
from shared.status import WATCHED

NAME = "helm-controller"
CONFIG_MAP = Gvk("v1", "ConfigMap")


@dataclass(frozen=True, kw_only=True)
class Means:
    """What a controller of releases is given."""

    cluster: Cluster
    recorder: Recorder
    engine: Engine
    artifacts: ArtifactCache
    concurrent: int = 16
    cross_namespace: bool = True


class Keeping(NamedTuple):
    """The controller, which works while somebody runs it, and the caches that hints concern."""

    controller: Controller[HelmRelease]
    releases: WatchCache[HelmRelease]
    charts: WatchCache[HelmChart]


@asynccontextmanager
async def keeping_releases(means: Means) -> AsyncIterator[Keeping]:
    cluster = means.cluster
    releases, charts = watch_kind(cluster, HelmRelease), watch_kind(cluster, HelmChart)
    records = await _metadata(cluster, SECRET, "owner=helm")
    configuration = [await _metadata(cluster, kind, WATCHED) for kind in (SECRET, CONFIG_MAP)]
    seen = SeenVersions()

    def woken(waiting: NamespacedName) -> None:
        controller.look_at(waiting)

    def changed(before: HelmRelease | None, after: HelmRelease | None) -> None:
        if before is not None and after is None:
            others.forget(before.key)

    async with _applying(cluster) as objects, ReadyWatch.running(objects.watches, woken) as others:
        tools = Tools(
            engine=means.engine,
            objects=objects,
            artifacts=means.artifacts,
            capabilities=KnownCapabilities(cluster),
            digests=ReleaseDigests(means.engine),
            seen=seen,
            releases=releases,
            now=now,
        )
        kept = Charts(cluster, charts, cross_namespace=means.cross_namespace)
        needed = Dependencies(cluster, releases, others, means.cross_namespace)
        reconciler = HelmReleaseReconciler(cluster, tools, kept, needed)
        options = Options(NAME, FIELD_MANAGER, concurrent=means.concurrent)
        controller = Controller(cluster, releases, HelmRelease, reconciler, means.recorder, options)
        controller.also_when(charts, referrers.of_chart)
        controller.also_when(releases, referrers.waiting_for(releases))
        releases.on_change(changed)
        controller.also_when(records, seen.changed)
        for cache in configuration:
            controller.also_when(cache, referrers.of_configuration(releases))
        async with _following(releases, charts, records, *configuration):
            yield Keeping(controller, releases, charts)


async def _metadata(cluster: Cluster, kind: Gvk, labels: str) -> WatchCache[Manifest]:
    return watch_metadata(cluster, await cluster.resource_of(kind), Selection(labels=labels))


@asynccontextmanager
async def _applying(cluster: Cluster) -> AsyncIterator[ApplyEngine]:
    """Drift is known of, so that the next upgrade mends it, but starts nothing by itself."""
    ownership = Ownership(HELM_GROUP)
    async with ApplyEngine.running(cluster, ownership, FIELD_MANAGER, lambda _: None) as engine:
        yield engine


@asynccontextmanager
async def _following(*caches: WatchCache[Any]) -> AsyncIterator[None]:
    async with AsyncExitStack() as stack:
        for cache in caches:
            await stack.enter_async_context(cache.running())
        yield
