"""An apply engine on the real API server, and a small world to apply."""

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Any

import pytest

from shared.cluster.applied import Drift
from shared.cluster.apply_engine import ApplyEngine
from shared.cluster.changes import ChangeSet
from shared.cluster.client import Cluster
from shared.cluster.mandate import Mandate
from shared.cluster.objects import Manifest, ObjectRef
from shared.cluster.ownership import KUSTOMIZE_GROUP, Ownership
from shared.cluster.wanted import Wanted, all_wanted
from shared.resources.meta import NamespacedName
from tests.support.holding import held

OWNERSHIP = Ownership(KUSTOMIZE_GROUP)
MANAGER = "kustomize-controller"


@dataclass
class Keeper:
    """One owner and its engine."""

    cluster: Cluster
    engine: ApplyEngine
    owner: NamespacedName
    drifts: list[Drift] = field(default_factory=list)

    def wanted(self, *manifests: Manifest) -> list[Wanted]:
        return all_wanted(manifests, OWNERSHIP, self.owner)

    async def apply(self, *manifests: Manifest, **told: Any) -> ChangeSet:
        """`told` are fields of the mandate."""
        mandate = Mandate(self.owner, self.cluster, **told)
        return await self.engine.applier.apply(mandate, self.wanted(*manifests))

    def pending(self, *manifests: Manifest) -> list[str]:
        wanted = self.wanted(*manifests)
        return [each.ref.name for each in self.engine.applier.pending(self.owner, wanted)]

    async def read(self, manifest: Manifest) -> Manifest | None:
        metadata = manifest["metadata"]
        return await self.cluster.read(
            ObjectRef(
                manifest["apiVersion"],
                manifest["kind"],
                metadata.get("namespace", ""),
                metadata["name"],
            )
        )


@pytest.fixture
async def keeper(cluster: Cluster, namespace: str) -> AsyncIterator[Keeper]:
    owner = NamespacedName(namespace, "apps")
    drifts: list[Drift] = []
    running = ApplyEngine.running(cluster, OWNERSHIP, MANAGER, drifts.append)
    async with held(running) as engine:
        yield Keeper(cluster, engine, owner, drifts)


@pytest.fixture
def config_map(namespace: str) -> Callable[..., Manifest]:
    def build(name: str, *, annotations: dict[str, str] | None = None, **data: str) -> Manifest:
        metadata: dict[str, Any] = {"name": name, "namespace": namespace}
        if annotations:
            metadata["annotations"] = annotations
        return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data}

    return build


@pytest.fixture
def deployment(namespace: str) -> Callable[..., Manifest]:
    def build(name: str, *, image: str = "web:1", replicas: int = 1) -> Manifest:
        labels = {"app": name}
        container = {"name": "web", "image": image, "ports": [{"containerPort": 80}]}
        return {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": {"name": name, "namespace": namespace},
            "spec": {
                "replicas": replicas,
                "selector": {"matchLabels": labels},
                "template": {
                    "metadata": {"labels": labels},
                    "spec": {"containers": [container]},
                },
            },
        }

    return build
