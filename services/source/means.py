"""What the controllers of the source kinds are given, and the watches that they decide by."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from services.source.fetching_identities import FetchingIdentities
from services.source.git.archive import MAX_TREE
from services.source.git.runner import USUAL_BOUNDS, Bounds
from services.source.git.ssh_address import SAFE, SshAlgorithms
from services.source.helm.limits import HelmLimits
from services.source.oci.cloud_registries import CloudRegistries
from services.source.oci.registry import Registry
from services.source.oci.signatures import Signatures
from services.source.oci.visits import RegistryVisits
from services.source.referenced_secrets import ReferencedSecrets
from services.source.storage import Storage
from shared.archive import ARTIFACT, Limits
from shared.cloud import CloudIdentities
from shared.cluster.client import Cluster
from shared.cluster.watch_cache import WatchCache, watch_kind
from shared.controller import Controller, Options, Reconciler
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
from shared.settings import Settings
from shared.web.client import WebClient
from shared.web.reach import USUAL, Reach

NAME = "source-controller"
CONCURRENT = 16  # runs; what they wait for (servers, git processes) has bounds of its own


@dataclass(frozen=True, kw_only=True)
class Means:
    """`state` holds what may be lost, `gates` are the feature gates that are open."""

    cluster: Cluster
    recorder: Recorder
    watcher_recorder: Recorder  # speaks as source-watcher, which Flux has as a program of its own
    storage: Storage
    web: WebClient
    state: Path
    helm: HelmLimits = field(default_factory=HelmLimits)
    ssh: SshAlgorithms = SAFE
    reach: Reach = USUAL  # as the web's
    git: Bounds = USUAL_BOUNDS
    artifact: Limits = ARTIFACT  # of one that is made of a Git repository
    largest_tree: int = MAX_TREE
    gates: frozenset[str] = frozenset()
    concurrent: int = CONCURRENT
    cross_namespace: bool = True

    @classmethod
    def of(cls, settings: Settings, **doors: Any) -> "Means":
        """`doors`: what has to be open already: cluster, recorders, storage, web."""
        limits = HelmLimits(
            index=settings.helm_index_max_size,
            chart=settings.helm_chart_max_size,
            file=settings.helm_chart_file_max_size,
        )
        return cls(
            state=settings.state,
            helm=limits,
            ssh=SshAlgorithms(settings.ssh_kex_algos, settings.ssh_hostkey_algos),
            reach=Reach.of(settings.forbidden_networks),
            gates=settings.open_gates,
            concurrent=settings.concurrent or CONCURRENT,
            cross_namespace=not settings.no_cross_namespace_refs,
            **doors,
        )


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


class Doors(NamedTuple):
    """To what is outside, shared by several kinds."""

    secrets: ReferencedSecrets
    clouds: CloudIdentities
    registry: Registry
    visits: RegistryVisits
    signatures: Signatures

    @classmethod
    def of(cls, means: Means) -> "Doors":
        secrets = ReferencedSecrets(means.cluster)
        clouds = FetchingIdentities(means.cluster, means.gates, reach=means.reach)
        visits = RegistryVisits(means.cluster, secrets, CloudRegistries(clouds))
        return cls(secrets, clouds, Registry(means.web), visits, Signatures(secrets))


def controller_of(
    means: Means,
    cache: WatchCache[Any],
    model: type[Any],
    reconciler: Reconciler[Any],
    **different: Any,
) -> Controller[Any]:
    options = Options(name=NAME, manager=NAME, concurrent=means.concurrent, **different)
    return Controller(means.cluster, cache, model, reconciler, means.recorder, options)
