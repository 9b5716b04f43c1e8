"""The source service on a real API server, in this process, for one namespace of one test."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import yaml
from aiohttp import web

from services.source.announcements import announce_artifacts
from services.source.artifact_blobs import ArtifactBlobs, copies_of
from services.source.file_server import file_server
from services.source.keeping import Keeping, controllers_of
from services.source.means import Caches, Means
from services.source.storage import Storage
from shared.archive import unpack
from shared.artifact import fetch
from shared.bus import Bus
from shared.cluster.client import Cluster
from shared.cluster.objects import Manifest, ObjectRef
from shared.resources.meta import Artifact
from shared.resources.registry import kind_of
from shared.web.client import WebClient
from shared.web.reach import USUAL
from tests.support.counted import counted
from tests.support.eventually import eventually
from tests.support.gate import Gate
from tests.support.memory_recorder import MemoryRecorder

SOURCE = "source.toolkit.fluxcd.io/v1"


@dataclass
class SourceService:
    cluster: Cluster  # the test's own
    namespace: str
    folder: Path
    gate: Gate  # between the service and the API server
    token: str  # the administrator's
    gates: frozenset[str] = frozenset()
    told: MemoryRecorder = field(default_factory=MemoryRecorder)
    address: str = ""
    nats_url: str = ""  # without one nothing is copied there
    keeping: Keeping | None = None
    copies: ArtifactBlobs | None = None
    caches: Caches | None = None
    watching: Callable[[Cluster, str], Caches] = Caches.of
    cross_namespace: bool = True
    bus: Bus | None = None

    @property
    def storage(self) -> Path:
        return self.folder / "artifacts"

    def requests(self) -> list[str]:
        """To the API server, but for the watches that any running service has open."""
        return [line for line in self.gate.seen if "watch=1" not in line]

    async def apply(self, kind: str, name: str, **spec: Any) -> None:
        await self.cluster.apply(
            {
                "apiVersion": SOURCE,
                "kind": kind,
                "metadata": {"name": name, "namespace": self.namespace},
                "spec": {"interval": "1h", **spec},
            },
            manager="team",
        )

    async def secret(self, name: str, **values: str) -> None:
        metadata = {"name": name, "namespace": self.namespace}
        secret = {"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "stringData": values}
        await self.cluster.apply(secret, manager="team")

    def ref(self, kind: str, name: str) -> ObjectRef:
        model = kind_of(kind)
        assert model is not None
        return ObjectRef(model.api_version, kind, self.namespace, name)

    async def read(self, kind: str, name: str) -> Manifest:
        found = await self.cluster.read(self.ref(kind, name))
        assert found is not None, f"{kind} {name} is gone"
        return found

    async def delete(self, kind: str, name: str) -> None:
        ref = self.ref(kind, name)
        await self.cluster.delete(ref)

        async def gone() -> bool:
            return await self.cluster.read(ref) is None

        await eventually(gone)

    async def request(self, kind: str, name: str, token: str) -> Manifest:
        """Ask for a run, as `flux reconcile` does, and wait until it is over."""
        note = {"reconcile.fluxcd.io/requestedAt": token}
        ref = self.ref(kind, name)
        await self.cluster.merge_patch(ref, {"metadata": {"annotations": note}})
        return await self.until(
            kind, name, lambda o: o.get("status", {}).get("lastHandledReconcileAt") == token
        )

    async def until(
        self, kind: str, name: str, accept: Callable[[Manifest], object], within: float = 20.0
    ) -> Manifest:
        return await eventually(lambda: self.read(kind, name), accept, within=within)

    async def ready(self, kind: str, name: str, revision: str = "") -> Manifest:
        """Its Ready condition is True for its latest generation (and revision)."""

        def accept(stored: Manifest) -> bool:
            ready = condition(stored, "Ready")
            artifact = stored["status"].get("artifact") or {}
            return (
                ready.get("status") == "True"
                and stored["status"]["observedGeneration"] == stored["metadata"]["generation"]
                and artifact.get("revision", "").startswith(revision)
            )

        return await self.until(kind, name, accept)

    async def not_ready(self, kind: str, name: str, reason: str) -> Manifest:
        def accept(stored: Manifest) -> bool:
            ready = condition(stored, "Ready")
            return (ready.get("status"), ready.get("reason")) == ("False", reason)

        return await self.until(kind, name, accept)

    async def files(self, stored: Manifest) -> dict[str, bytes]:
        """What a consumer gets: downloaded from `status.artifact`, verified and unpacked."""
        artifact = artifact_of(stored)
        async with aiohttp.ClientSession() as session:
            path = await fetch(session, artifact, self.folder / "download")
        with path.open("rb") as file:
            return {entry.path: entry.content for entry in unpack(file)}

    @asynccontextmanager
    async def running(self, **different: Any) -> AsyncIterator[None]:
        """The service at work, from a start to its end; with other means than its own."""
        self.storage.mkdir(exist_ok=True)
        storage = Storage(self.storage, "to be known")
        runner = web.AppRunner(file_server(storage), access_log=None)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        self.address = f"127.0.0.1:{runner.addresses[0][1]}"
        storage.advertise(self.address)
        kubeconfig = self._kubeconfig()
        try:
            async with (
                Cluster.connect(kubeconfig, agent="source-controller") as cluster,
                WebClient.open(different.get("reach", USUAL)) as http,
                Bus.connect(self.nats_url, service="source") as bus,
            ):
                means = Means(
                    cluster=cluster,
                    recorder=self.told,
                    storage=storage,
                    watcher_recorder=self.told,
                    web=http,
                    gates=self.gates,
                    cross_namespace=self.cross_namespace,
                    **{"state": self.folder, **different},
                )
                self.caches = caches = self.watching(cluster, self.namespace)
                self.keeping = controllers_of(means, caches)
                self.bus = bus
                for cache in caches.of_artifacts():
                    announce_artifacts(cache, bus, storage.path_index)
                self.copies = copies_of(
                    storage, caches.of_artifacts(), bus, 64 if self.nats_url else 0
                )
                async with caches.running(), asyncio.TaskGroup() as group:
                    working = group.create_task(self.keeping.run())
                    copying = group.create_task(self.copies.run())
                    yield
                    working.cancel()
                    copying.cancel()
        finally:
            await runner.cleanup()

    def _kubeconfig(self) -> Path:
        path = self.folder / "kubeconfig"
        named = {"name": "gate"}
        config = {
            "current-context": "gate",
            "clusters": [named | {"cluster": {"server": self.gate.url}}],
            "users": [named | {"user": {"token": self.token}}],
            "contexts": [named | {"context": {"cluster": "gate", "user": "gate"}}],
        }
        path.write_text(yaml.safe_dump(config))
        return path


def runs_of_charts() -> float:
    return counted("controller_runtime_reconcile_total", controller="helmchart", result="success")


def a_source(kind: str = "HelmRepository", name: str = "charts") -> dict[str, str]:
    return {"kind": kind, "name": name}


def condition(stored: Manifest, kind: str) -> dict[str, Any]:
    conditions: list[dict[str, Any]] = stored.get("status", {}).get("conditions", [])
    return next((each for each in conditions if each["type"] == kind), {})


def artifact_of(stored: Manifest) -> Artifact:
    artifact = stored["status"]["artifact"]
    return Artifact(
        digest=artifact["digest"],
        path=artifact["path"],
        url=artifact["url"],
        revision=artifact["revision"],
        last_update_time=artifact["lastUpdateTime"],
        size=artifact["size"],
    )
