"""The kustomize service on a real API server with the real engine; the test plays the source."""

import asyncio
import io
import itertools
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml

from penstock.local.control_plane import ControlPlane
from penstock.toolchain import binary
from services.kustomize.keeping import keeping_kustomizations
from services.kustomize.means import Means
from services.kustomize.policy import Policy
from shared.archive import Entry, pack
from shared.cel import Expressions
from shared.cluster.client import Cluster
from shared.cluster.objects import Gvk, Manifest, ObjectRef
from shared.engine import Engine
from shared.resources.meta import Artifact
from tests.support.eventually import eventually
from tests.support.gate import Gate
from tests.support.holding import held
from tests.support.honest import broken_rules
from tests.support.memory_recorder import MemoryRecorder

KUSTOMIZE = "kustomize.toolkit.fluxcd.io/v1"
SOURCE = "source.toolkit.fluxcd.io/v1"

SPECS: dict[str, dict[str, Any]] = {
    "GitRepository": {"interval": "1h", "url": "https://git.example/shop.git"},
    "OCIRepository": {"interval": "1h", "url": "oci://registry.example/shop"},
    "Bucket": {"interval": "1h", "bucketName": "shop", "endpoint": "s3.example"},
    "ExternalArtifact": {"sourceRef": {"kind": "Elsewhere", "name": "shop"}},
}

_revisions = itertools.count(1)


@dataclass
class Folder:
    """Artifacts on disk, where the engine may read them."""

    path: Path

    async def fetch(self, artifact: Artifact) -> Path:
        return self.path / artifact.digest.replace(":", "-")

    def publish(self, files: Mapping[str, str]) -> tuple[str, int]:
        packed_into = io.BytesIO()
        entries = [Entry(name, 0o644, text.encode()) for name, text in sorted(files.items())]
        packed = pack(entries, packed_into)
        (self.path / packed.digest.replace(":", "-")).write_bytes(packed_into.getvalue())
        return packed.digest, packed.size


@dataclass
class World:
    """One namespace with a repository, and what the service makes of it."""

    cluster: Cluster
    namespace: str
    folder: Folder
    gate: Gate  # between the service and the API server
    recorder: MemoryRecorder = field(default_factory=MemoryRecorder)

    async def publish(
        self, files: Mapping[str, str], source: str = "shop", kind: str = "GitRepository"
    ) -> str:
        """A new revision of the source."""
        digest, size = self.folder.publish(files)
        revision = f"main@sha1:{next(_revisions):040x}"
        manifest = {
            "apiVersion": SOURCE,
            "kind": kind,
            "metadata": {"name": source, "namespace": self.namespace},
            "spec": SPECS[kind]
            if kind == "ExternalArtifact"
            else {"interval": "1h", **SPECS[kind]},
        }
        await self.cluster.apply(manifest, manager="tests")
        artifact = {
            "digest": digest,
            "path": f"{kind.lower()}/{self.namespace}/{source}/{digest[-8:]}.tar.gz",
            "url": f"http://source.example/{digest}.tar.gz",
            "revision": revision,
            "lastUpdateTime": "2026-01-01T00:00:00Z",
            "size": size,
        }
        ref = ObjectRef(SOURCE, kind, self.namespace, source)
        await self.cluster.merge_patch(
            ref, {"status": {"artifact": artifact}}, subresource="status", manager="tests"
        )
        return revision

    async def create(self, name: str, **spec: Any) -> None:
        manifest = {
            "apiVersion": KUSTOMIZE,
            "kind": "Kustomization",
            "metadata": {"name": name, "namespace": self.namespace},
            "spec": {
                "interval": "1h",
                "prune": True,
                "path": "./",
                "sourceRef": {"kind": "GitRepository", "name": "shop"},
                **spec,
            },
        }
        await self.cluster.apply(manifest, manager="tests")

    async def change(self, name: str, **spec: Any) -> None:
        await self.cluster.merge_patch(self._ref(name), {"spec": spec}, manager="tests")

    async def suspend(self, name: str) -> None:
        """The service, which had it ready, has seen it, too."""
        await self.change(name, suspend=True)
        generation = (await self.cluster.read(self._ref(name)) or {})["metadata"]["generation"]
        await eventually(
            lambda: self.status(name), lambda found: found["observedGeneration"] == generation
        )

    async def delete(self, name: str) -> None:
        await self.cluster.delete(self._ref(name))

    async def gone(self, name: str) -> None:
        await eventually(lambda: self.cluster.read(self._ref(name)), lambda found: found is None)

    async def status(self, name: str) -> Manifest:
        stored = await self.cluster.read(self._ref(name))
        return (stored or {}).get("status") or {}

    async def condition(self, name: str, condition_type: str = "Ready") -> Manifest:
        found = (await self.status(name)).get("conditions", ())
        return next((each for each in found if each["type"] == condition_type), {})

    async def applied(self, name: str, revision: str) -> Manifest:
        """Ready at the revision."""

        def is_there(status: Manifest) -> bool:
            ready = [c for c in status.get("conditions", ()) if c["type"] == "Ready"]
            is_ready = bool(ready) and ready[0]["status"] == "True"
            return is_ready and status.get("lastAppliedRevision") == revision

        return await eventually(lambda: self.status(name), is_there)

    async def ready_is(self, name: str, reason: str, status: str = "False") -> Manifest:
        return await eventually(
            lambda: self.condition(name),
            lambda found: (found.get("status"), found.get("reason")) == (status, reason),
        )

    async def names_of(self, kind: str = "ConfigMap", api_version: str = "v1") -> set[str]:
        label = "kustomize.toolkit.fluxcd.io/name"
        found = await self.cluster.list(Gvk(api_version, kind), self.namespace, labels=label)
        return {each["metadata"]["name"] for each in found}

    async def read(self, name: str, kind: str = "ConfigMap", api_version: str = "v1") -> Manifest:
        found = await self.cluster.read(ObjectRef(api_version, kind, self.namespace, name))
        assert found is not None
        return found

    def ref(self, name: str, kind: str = "ConfigMap", api_version: str = "v1") -> ObjectRef:
        return ObjectRef(api_version, kind, self.namespace, name)

    def _ref(self, name: str) -> ObjectRef:
        return ObjectRef(KUSTOMIZE, "Kustomization", self.namespace, name)


def config_map(name: str, **data: str) -> str:
    manifest = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": data}
    return yaml.safe_dump(manifest)


def deployment(name: str, *, image: str = "web:1", replicas: int = 1) -> str:
    labels = {"app": name}
    template = {
        "metadata": {"labels": labels},
        "spec": {"containers": [{"name": "web", "image": image}]},
    }
    spec = {"replicas": replicas, "selector": {"matchLabels": labels}, "template": template}
    manifest = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name},
        "spec": spec,
    }
    return yaml.safe_dump(manifest)


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Folder:
    return Folder(tmp_path_factory.mktemp("artifacts"))


@pytest.fixture(scope="session")
async def engine(folder: Folder) -> AsyncIterator[Engine]:
    async with held(Engine(binary("engine"), readable=folder.path)) as engine:
        yield engine


@asynccontextmanager
async def serving(world: World, engine: Engine, **decided: Any) -> AsyncIterator[None]:
    """The service at work, with an empty memory; `decided` are fields of its Policy."""
    kubeconfig = world.folder.path.parent / f"kubeconfig-{world.namespace}"
    async with (
        Cluster.connect(kubeconfig, agent="kustomize-controller") as cluster,
        Expressions.ready(binary("engine"), world.folder.path.parent / "none") as expressions,
    ):
        means = Means(
            cluster=cluster,
            recorder=world.recorder,
            engine=engine,
            expressions=expressions,
            artifacts=world.folder,
            policy=Policy(**decided),
        )
        async with keeping_kustomizations(means) as keeping, asyncio.TaskGroup() as group:
            running = group.create_task(keeping.controller.run())
            try:
                yield
            finally:
                running.cancel()


@pytest.fixture
async def idle_world(
    cluster: Cluster, namespace: str, folder: Folder, control_plane: ControlPlane
) -> AsyncIterator[World]:
    """Without the service."""
    async with held(Gate.before(control_plane.url)) as gate:
        kubeconfig = {
            "current-context": "gate",
            "clusters": [{"name": "gate", "cluster": {"server": gate.url}}],
            "users": [{"name": "gate", "user": {"token": control_plane.token}}],
            "contexts": [{"name": "gate", "context": {"cluster": "gate", "user": "gate"}}],
        }
        path = folder.path.parent / f"kubeconfig-{namespace}"
        path.write_text(yaml.safe_dump(kubeconfig))
        world = World(cluster, namespace, folder, gate)
        yield world
        await _require_honest(world)


async def _require_honest(world: World) -> None:
    for stored in await world.cluster.list(Gvk(KUSTOMIZE, "Kustomization"), world.namespace):
        assert broken_rules(stored) == []


@pytest.fixture
async def world(idle_world: World, engine: Engine) -> AsyncIterator[World]:
    async with held(serving(idle_world, engine)):
        yield idle_world
        await tidy(idle_world)


async def tidy(world: World) -> None:
    """Later tests' services must not find this test's Kustomizations."""
    await _require_honest(world)
    for stored in await world.cluster.list(Gvk(KUSTOMIZE, "Kustomization"), world.namespace):
        name = stored["metadata"]["name"]
        await world.change(name, deletionPolicy="Orphan", suspend=False)
        await world.delete(name)
        await world.gone(name)
