"""The controllers of the source kinds, with the watches that they decide by and all they share."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, NamedTuple

from services.source.generator.artifact_generator import (
    ArtifactGeneratorReconciler,
    GeneratorTools,
)
from services.source.generator.built_files import BuiltFiles
from services.source.generator.external_artifacts import MANAGER as WATCHER
from services.source.generator.external_artifacts import ExternalArtifacts, owner_of
from services.source.generator.source_files import SourceFiles
from services.source.generator.sources import Sources, users_of
from services.source.generator.switch import enabled_again, telling_of_disabled
from services.source.git.archive import GitArchive
from services.source.git.git_repository import GitRepositoryReconciler, GitTools
from services.source.git.mirror import Mirrors
from services.source.git.refs import GitRefs
from services.source.git.runner import GitRunner
from services.source.git.upstream import GitUpstreams
from services.source.helm.downloads import HelmDownloads
from services.source.helm.helm_chart import ChartSources, HelmChartReconciler, charts_of
from services.source.helm.helm_repository import HelmRepositoryReconciler
from services.source.helm.local_charts import LocalCharts
from services.source.helm.remote_charts import RemoteCharts
from services.source.referenced_secrets import ReferencedSecrets
from services.source.storage import Storage
from services.source.web_client import WebClient
from shared.cluster.client import Cluster
from shared.cluster.watch_cache import WatchCache, watch_kind
from shared.controller import Controller, Options, Reconciler
from shared.resources.source import (
    ArtifactGenerator,
    ExternalArtifact,
    GitRepository,
    HelmChart,
    HelmRepository,
)
from shared.run import Recorder

NAME = "source-controller"
CONCURRENT = 16  # runs; what they wait for (servers, git processes) has bounds of its own
SWEEP = timedelta(hours=1)
GENERATOR_FINALIZER = "source.extensions.fluxcd.io/finalizer"


@dataclass(frozen=True, kw_only=True)
class Means:
    """What the controllers are given; `state` holds what may be lost."""

    cluster: Cluster
    recorder: Recorder
    watcher_recorder: Recorder  # speaks as source-watcher, which Flux has as a program of its own
    storage: Storage
    web: WebClient
    state: Path
    concurrent: int = CONCURRENT
    cross_namespace: bool = True


class Caches(NamedTuple):
    """Constructed before whoever listens to them, run after."""

    git: WatchCache[GitRepository]
    helm: WatchCache[HelmRepository]
    charts: WatchCache[HelmChart]
    external: WatchCache[ExternalArtifact]
    generators: WatchCache[ArtifactGenerator]

    @classmethod
    def of(cls, cluster: Cluster, namespace: str = "") -> "Caches":
        """Of one namespace, or of all."""
        return cls(
            watch_kind(cluster, GitRepository, namespace),
            watch_kind(cluster, HelmRepository, namespace),
            watch_kind(cluster, HelmChart, namespace),
            watch_kind(cluster, ExternalArtifact, namespace),
            watch_kind(cluster, ArtifactGenerator, namespace),
        )

    def of_artifacts(self) -> tuple[WatchCache[Any], ...]:
        """Of the kinds whose status has one."""
        return tuple(cache for cache in self if cache is not self.generators)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        async with AsyncExitStack() as stack:
            caches: tuple[WatchCache[Any], ...] = self
            for cache in caches:
                await stack.enter_async_context(cache.running())
            yield


class Keeping(NamedTuple):
    """Controllers by kind, and the mirrors that they leave behind."""

    controllers: dict[str, Controller[Any]]
    mirrors: Mirrors

    async def run(self) -> None:
        """For ever; cancel to stop."""
        async with asyncio.TaskGroup() as group:
            for controller in self.controllers.values():
                group.create_task(controller.run())
            while True:
                await self.mirrors.sweep()
                await asyncio.sleep(SWEEP.total_seconds())


def controllers_of(means: Means, caches: Caches) -> Keeping:
    secrets = ReferencedSecrets(means.cluster)
    git, refs = GitRunner(means.state / "home"), GitRefs(means.web)
    mirrors = Mirrors(means.state / "mirrors", git)
    downloads = HelmDownloads(secrets, means.web)
    repositories = GitRepositoryReconciler(
        means.storage, GitTools(GitUpstreams(secrets, refs), mirrors, GitArchive(git))
    )
    charts = HelmChartReconciler(
        means.storage,
        ChartSources(
            caches.helm,
            caches.git,
            RemoteCharts(means.storage, downloads),
            LocalCharts(means.storage),
        ),
    )
    helm = HelmRepositoryReconciler(means.storage, downloads)
    chart_controller = _controller(means, caches.charts, HelmChart, charts)
    affected = charts_of(caches.charts)
    chart_controller.also_when(caches.helm, affected)
    chart_controller.also_when(caches.git, affected)
    return Keeping(
        {
            GitRepository.kind: _controller(means, caches.git, GitRepository, repositories),
            HelmRepository.kind: _controller(means, caches.helm, HelmRepository, helm),
            HelmChart.kind: chart_controller,
            ArtifactGenerator.kind: _generator_controller(means, caches),
        },
        mirrors,
    )


def _generator_controller(means: Means, caches: Caches) -> Controller[ArtifactGenerator]:
    sources: dict[str, WatchCache[Any]] = {
        GitRepository.kind: caches.git,
        HelmChart.kind: caches.charts,
        ExternalArtifact.kind: caches.external,
    }
    tools = GeneratorTools(
        Sources(sources, cross_namespace=means.cross_namespace),
        SourceFiles(means.storage, means.state / "downloads"),
        BuiltFiles(means.storage),
        ExternalArtifacts(means.cluster, caches.external, means.storage),
        means.state / "benches",
    )
    controller = Controller(
        means.cluster,
        caches.generators,
        ArtifactGenerator,
        ArtifactGeneratorReconciler(means.storage, tools),
        means.watcher_recorder,
        Options(WATCHER, WATCHER, means.concurrent, finalizer=GENERATOR_FINALIZER),
    )
    for cache in sources.values():
        controller.also_when(cache, users_of(caches.generators))
    controller.also_when(caches.external, owner_of)
    controller.also_when(caches.generators, enabled_again)
    caches.generators.on_change(telling_of_disabled(means.watcher_recorder))
    return controller


def _controller(
    means: Means, cache: WatchCache[Any], model: type[Any], reconciler: Reconciler[Any]
) -> Controller[Any]:
    options = Options(name=NAME, manager=NAME, concurrent=means.concurrent)
    return Controller(means.cluster, cache, model, reconciler, means.recorder, options)
