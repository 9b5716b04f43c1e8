"""What the controller of Kustomizations is given, and the watches that it decides by."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from services.kustomize.policy import Policy
from services.kustomize.trees import Artifacts, Engine
from services.kustomize.watched_configuration import CONFIGURATION
from shared.cel import Asks
from shared.clock import Now, now
from shared.cluster.client import Cluster
from shared.cluster.objects import Manifest
from shared.cluster.watch_cache import Selection, WatchCache, watch_kind, watch_metadata
from shared.quarantine import Quarantine
from shared.resources.kustomize import Kustomization
from shared.run import Recorder


@dataclass(frozen=True, kw_only=True)
class Means:
    """The doors to what is outside, and what whoever runs the service decided."""

    cluster: Cluster
    recorder: Recorder
    engine: Engine
    expressions: Asks
    artifacts: Artifacts
    policy: Policy = field(default_factory=Policy)
    quarantine: Quarantine = field(default_factory=Quarantine)
    now: Now = now


class Caches(NamedTuple):
    """Constructed before whoever listens to them, run after."""

    kustomizations: WatchCache[Kustomization]
    sources: dict[str, WatchCache[Any]]
    configuration: list[WatchCache[Manifest]]

    @classmethod
    async def of(cls, cluster: Cluster, policy: Policy) -> "Caches":
        namespace = policy.namespace
        configuration = Selection(namespace, policy.watched_configuration)
        return cls(
            watch_kind(cluster, Kustomization, namespace, policy.labels),
            {kind.kind: watch_kind(cluster, kind, namespace) for kind in policy.sources},
            [
                watch_metadata(cluster, await cluster.resource_of(gvk), configuration)
                for gvk in (CONFIGURATION if configuration.labels else ())
            ],
        )

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        async with AsyncExitStack() as stack:
            for cache in (self.kustomizations, *self.sources.values(), *self.configuration):
                await stack.enter_async_context(cache.running())
            yield
