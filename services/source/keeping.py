"""The controllers of the source kinds, with the watches that they decide by and all they share."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, NamedTuple

from services.source.bucket.bucket import BucketReconciler
from services.source.bucket.ldap_tokens import LdapTokens
from services.source.bucket.stores import Stores
from services.source.cloud import CloudIdentities
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
from shared.resources.source import Bucket, GitRepository, HelmChart, HelmRepository
from shared.run import Recorder

NAME = "source-controller"
CONCURRENT = 16  # runs; what they wait for (servers, git processes) has bounds of its own
SWEEP = timedelta(hours=1)


@dataclass(frozen=True, kw_only=True)
class Means:
    """What the controllers are given; `state` holds what may be lost."""

    cluster: Cluster
    recorder: Recorder
    storage: Storage
    web: WebClient
    state: Path
    concurrent: int = CONCURRENT
    ssh: SshAlgorithms = SAFE
    gates: frozenset[str] = frozenset()  # feature gates that are open


class Caches(NamedTuple):
    """Constructed before whoever listens to them, run after."""

    git: WatchCache[GitRepository]
    helm: WatchCache[HelmRepository]
    charts: WatchCache[HelmChart]
    buckets: WatchCache[Bucket]

    @classmethod
    def of(cls, cluster: Cluster, namespace: str = "") -> "Caches":
        """Of one namespace, or of all."""
        return cls(
            watch_kind(cluster, GitRepository, namespace),
            watch_kind(cluster, HelmRepository, namespace),
            watch_kind(cluster, HelmChart, namespace),
            watch_kind(cluster, Bucket, namespace),
        )

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
    git, refs = GitRunner(means.state / "home"), GitRefs(means.web, means.ssh)
    mirrors = Mirrors(means.state / "mirrors", git, ssh=means.ssh)
    identities = CloudIdentities(means.cluster, means.gates)
    remotes = GitRemotes(secrets, GitHubApps(means.web), identities)
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
    stores = Stores(secrets, identities, LdapTokens(means.web))
    buckets = BucketReconciler(means.storage, stores)
    chart_controller = _controller(means, caches.charts, HelmChart, charts)
    affected = charts_of(caches.charts)
    chart_controller.also_when(caches.helm, affected)
    chart_controller.also_when(caches.git, affected)
    return Keeping(
        {
            GitRepository.kind: git_controller,
            HelmRepository.kind: _controller(means, caches.helm, HelmRepository, helm),
            HelmChart.kind: chart_controller,
            Bucket.kind: _controller(means, caches.buckets, Bucket, buckets),
        },
        mirrors,
    )


def _controller(
    means: Means, cache: WatchCache[Any], model: type[Any], reconciler: Reconciler[Any]
) -> Controller[Any]:
    options = Options(name=NAME, manager=NAME, concurrent=means.concurrent)
    return Controller(means.cluster, cache, model, reconciler, means.recorder, options)
