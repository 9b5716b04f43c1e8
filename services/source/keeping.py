"""The controllers of the source kinds, with the watches that they decide by and all they share."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any, NamedTuple

from services.source.bucket.bucket import BucketReconciler
from services.source.bucket.ldap_tokens import LdapTokens
from services.source.bucket.stores import Stores
from services.source.cloud import CloudIdentities
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
from services.source.git.assembly import GitTools
from services.source.git.git_repository import GitRepositoryReconciler
from services.source.git.github_app import GitHubApps
from services.source.git.includes import GitIncludes, includers_of
from services.source.git.mirror import Mirrors
from services.source.git.refs import GitRefs
from services.source.git.remotes import GitRemotes
from services.source.git.runner import GitRunner
from services.source.git.ssh_address import SAFE, SshAlgorithms
from services.source.git.upstream import GitUpstreams
from services.source.git.verification import GitVerifier
from services.source.helm.chart_signatures import ChartSignatures
from services.source.helm.dependency_build import DependencyBuilder
from services.source.helm.downloads import HelmDownloads
from services.source.helm.helm_chart import ChartSources, HelmChartReconciler, charts_of
from services.source.helm.helm_repository import HelmRepositoryReconciler, is_static
from services.source.helm.indexed_charts import IndexedCharts
from services.source.helm.limits import HelmLimits
from services.source.helm.local_charts import LocalCharts
from services.source.helm.registry_charts import RegistryCharts
from services.source.helm.remote_charts import RemoteCharts
from services.source.helm.repositories import ChartRepositories
from services.source.oci.layers import Layers
from services.source.oci.oci_repository import OCIRepositoryReconciler, OciTools
from services.source.oci.registry import Registry
from services.source.oci.visits import RegistryVisits
from services.source.patrol import Patrol
from services.source.referenced_secrets import ReferencedSecrets
from services.source.storage import Owner, Storage
from services.source.web_client import WebClient
from shared.cluster.client import Cluster
from shared.cluster.watch_cache import WatchCache, watch_kind
from shared.controller import Controller, Options, Reconciler
from shared.resources.meta import NamespacedName
from shared.resources.source import (
    ArtifactGenerator,
    Bucket,
    ExternalArtifact,
    GitRepository,
    HelmChart,
    HelmRepository,
    OCIRepository,
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
    helm: HelmLimits = field(default_factory=HelmLimits)
    concurrent: int = CONCURRENT
    gates: frozenset[str] = frozenset()  # the feature gates that are open
    cross_namespace: bool = True
    ssh: SshAlgorithms = SAFE


class Caches(NamedTuple):
    """Constructed before whoever listens to them, run after."""

    git: WatchCache[GitRepository]
    helm: WatchCache[HelmRepository]
    charts: WatchCache[HelmChart]
    oci: WatchCache[OCIRepository]
    buckets: WatchCache[Bucket]
    external: WatchCache[ExternalArtifact]
    generators: WatchCache[ArtifactGenerator]

    @classmethod
    def of(cls, cluster: Cluster, namespace: str = "") -> "Caches":
        """Of one namespace, or of all."""
        return cls(
            watch_kind(cluster, GitRepository, namespace),
            watch_kind(cluster, HelmRepository, namespace),
            watch_kind(cluster, HelmChart, namespace),
            watch_kind(cluster, OCIRepository, namespace),
            watch_kind(cluster, Bucket, namespace),
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
    """Controllers by kind, and what looks after the mirrors and artifacts that they leave."""

    controllers: dict[str, Controller[Any]]
    mirrors: Mirrors
    patrol: Patrol

    async def run(self) -> None:
        """For ever; cancel to stop."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self.patrol.run())
            for controller in self.controllers.values():
                group.create_task(controller.run())
            while True:
                await self.mirrors.sweep()
                await asyncio.sleep(SWEEP.total_seconds())


def controllers_of(means: Means, caches: Caches) -> Keeping:
    secrets = ReferencedSecrets(means.cluster)
    git, refs = GitRunner(means.state / "home"), GitRefs(means.web, means.ssh)
    mirrors = Mirrors(means.state / "mirrors", git, ssh=means.ssh)
    clouds = CloudIdentities(means.cluster, means.gates)
    remotes = GitRemotes(secrets, GitHubApps(means.web), clouds, means.gates)
    downloads = HelmDownloads(secrets, means.web)
    repositories = GitRepositoryReconciler(
        means.storage,
        GitTools(
            GitUpstreams(remotes, refs),
            mirrors,
            GitArchive(git),
            GitIncludes(caches.git, means.storage),
            GitVerifier(secrets),
        ),
    )
    git_controller = _controller(means, caches.git, GitRepository, repositories)
    git_controller.also_when(caches.git, includers_of(caches.git))
    charts = _charts(means, caches, secrets, downloads)
    helm = HelmRepositoryReconciler(means.storage, downloads, means.helm, means.state)
    stores = Stores(secrets, clouds, LdapTokens(means.web))
    buckets = BucketReconciler(means.storage, stores)
    chart_controller = _controller(means, caches.charts, HelmChart, charts)
    affected = charts_of(caches.charts)
    chart_controller.also_when(caches.helm, affected)
    chart_controller.also_when(caches.git, affected)
    chart_controller.also_when(caches.buckets, affected)
    controllers = {
        GitRepository.kind: git_controller,
        HelmRepository.kind: _controller(
            means, caches.helm, HelmRepository, helm, is_static=is_static
        ),
        HelmChart.kind: chart_controller,
        OCIRepository.kind: _controller(
            means, caches.oci, OCIRepository, _oci_repositories(means, secrets)
        ),
        Bucket.kind: _controller(means, caches.buckets, Bucket, buckets),
        ArtifactGenerator.kind: _generator_controller(means, caches),
    }
    return Keeping(controllers, mirrors, _patrol(means.storage, caches, controllers))


def _patrol(storage: Storage, caches: Caches, controllers: dict[str, Controller[Any]]) -> Patrol:
    by_folder = {kind.lower(): controller for kind, controller in controllers.items()}

    def damaged(owner: Owner) -> None:
        if controller := by_folder.get(owner.kind):
            controller.look_at(NamespacedName(owner.namespace, owner.name))

    storage.damaged = damaged
    return Patrol(storage, caches, tuple(by_folder))


def _charts(
    means: Means, caches: Caches, secrets: ReferencedSecrets, downloads: HelmDownloads
) -> HelmChartReconciler:
    registry, limits = Registry(means.web), means.helm
    visits = RegistryVisits(means.cluster, secrets)
    repositories = ChartRepositories(
        IndexedCharts(means.storage, downloads, limits, means.state),
        RegistryCharts(registry, visits, limits),
        caches.helm.values,
    )
    sources = ChartSources(
        caches.helm,
        caches.git,
        caches.buckets,
        RemoteCharts(repositories, ChartSignatures(registry), limits),
        LocalCharts(means.storage, DependencyBuilder(repositories), limits),
    )
    return HelmChartReconciler(means.storage, sources)


def _oci_repositories(means: Means, secrets: ReferencedSecrets) -> OCIRepositoryReconciler:
    registry = Registry(means.web)
    layers = Layers(registry, means.storage, means.state / "oci")
    visits = RegistryVisits(means.cluster, secrets)
    return OCIRepositoryReconciler(means.storage, OciTools(visits, registry, layers))


def _generator_controller(means: Means, caches: Caches) -> Controller[ArtifactGenerator]:
    sources: dict[str, WatchCache[Any]] = {
        GitRepository.kind: caches.git,
        OCIRepository.kind: caches.oci,
        Bucket.kind: caches.buckets,
        HelmChart.kind: caches.charts,
        ExternalArtifact.kind: caches.external,
    }
    tools = GeneratorTools(
        Sources(sources, cross_namespace=means.cross_namespace),
        SourceFiles(means.storage, means.state),
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
    means: Means,
    cache: WatchCache[Any],
    model: type[Any],
    reconciler: Reconciler[Any],
    **different: Any,
) -> Controller[Any]:
    options = Options(name=NAME, manager=NAME, concurrent=means.concurrent, **different)
    return Controller(means.cluster, cache, model, reconciler, means.recorder, options)
