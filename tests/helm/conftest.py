"""The helm service on a real API server with the real engine; a stand-in for the source service."""

import asyncio
import json
import os
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import yaml

from penstock.local.control_plane import ControlPlane
from penstock.toolchain import binary
from services.helm.keeping import Means, keeping_releases
from shared.artifact import ArtifactCache
from shared.cluster.client import Cluster
from shared.cluster.objects import Gvk, Manifest, ObjectRef
from shared.engine import Engine
from shared.resources.helm import HelmRelease
from shared.resources.source import HelmChart
from tests.support.artifacts import ArtifactServer
from tests.support.eventually import eventually
from tests.support.gate import Gate
from tests.support.helm_releases import helm_release_manifest
from tests.support.holding import held
from tests.support.memory_recorder import MemoryRecorder


@dataclass
class Kitchen:
    """What every service of the session shares: one engine and the folder that it reads."""

    engine: Engine
    artifacts: ArtifactCache


@pytest.fixture(scope="session")
async def kitchen(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Kitchen]:
    folder = tmp_path_factory.mktemp("charts") / "cache"

    @asynccontextmanager
    async def opened() -> AsyncIterator[Kitchen]:
        async with (
            aiohttp.ClientSession() as session,
            ArtifactCache(session, folder) as artifacts,
            Engine(binary("engine"), readable=folder) as engine,
        ):
            yield Kitchen(engine, artifacts)

    async with held(opened()) as kitchen:
        yield kitchen


@dataclass
class Helm:
    """One team's namespace, the service that keeps its releases, and the stock helm beside it."""

    cluster: Cluster
    kitchen: Kitchen
    server: ArtifactServer
    namespace: str
    kubeconfig: Path
    told: MemoryRecorder = field(default_factory=MemoryRecorder)

    @asynccontextmanager
    async def service(self, cluster: Cluster | None = None) -> AsyncIterator[None]:
        """The service at work; what it does goes through `cluster`."""
        means = Means(
            cluster=cluster or self.cluster,
            recorder=self.told,
            engine=self.kitchen.engine,
            artifacts=self.kitchen.artifacts,
        )
        async with keeping_releases(means) as keeping, asyncio.TaskGroup() as group:
            working = group.create_task(keeping.controller.run())
            yield
            working.cancel()

    async def release(self, name: str = "shop", **spec: Any) -> Manifest:
        """Write the HelmRelease as a team would."""
        manifest = helm_release_manifest(name, self.namespace, **spec)
        return await self.cluster.apply(manifest, manager="team")

    async def annotate(self, annotations: Mapping[str, str], name: str = "shop") -> None:
        ref = ObjectRef(HelmRelease.api_version, HelmRelease.kind, self.namespace, name)
        await self.cluster.merge_patch(ref, {"metadata": {"annotations": dict(annotations)}})

    async def delete(self, name: str = "shop") -> None:
        ref = ObjectRef(HelmRelease.api_version, HelmRelease.kind, self.namespace, name)
        assert await self.cluster.delete(ref)

    async def patch_chart(self, patch: Manifest, name: str = "shop") -> None:
        await self.cluster.merge_patch(self.chart_ref(name), patch, manager="somebody")

    async def publish(
        self,
        chart: bytes,
        name: str = "shop",
        version: str = "1.0.0",
        chart_name: str | None = None,
        lost: bool = False,
    ) -> None:
        """Be the source service: give the release's HelmChart its artifact, or what was one."""
        ref = self.chart_ref(name)
        await eventually(lambda: self.cluster.read(ref))
        path = f"helmchart/{self.namespace}/{name}-{version}.tgz"
        artifact = self.server.publish(path, chart, version)
        if lost:
            self.server.lose(path)
        stored = await self.cluster.read(ref)
        assert stored is not None
        generation = stored["metadata"]["generation"]
        ready = {
            "type": "Ready",
            "status": "True",
            "reason": "ChartPullSucceeded",
            "message": f"pulled '{name}' chart with version '{version}'",
            "lastTransitionTime": "2026-01-01T00:00:00Z",
            "observedGeneration": generation,
        }
        status = {
            "observedGeneration": generation,
            "conditions": [ready],
            "observedChartName": chart_name or name,
            "artifact": artifact,
        }
        await self.cluster.merge_patch(ref, {"status": status}, subresource="status")

    async def chart_object(self, name: str = "shop") -> Manifest | None:
        return await self.cluster.read(self.chart_ref(name))

    async def found(self, name: str = "shop") -> Manifest | None:
        ref = ObjectRef(HelmRelease.api_version, HelmRelease.kind, self.namespace, name)
        return await self.cluster.read(ref)

    async def stored(self, name: str = "shop") -> Manifest:
        found = await self.found(name)
        assert found is not None
        return found

    async def ready(self, name: str = "shop", *, version: int = 1, within: float = 20) -> Manifest:
        """The HelmRelease once it is ready with this version of its release."""

        def accept(release: Manifest) -> bool:
            history = release["status"].get("history") or [{"version": 0}]
            settled = release["status"]["observedGeneration"] == release["metadata"]["generation"]
            return (
                settled
                and condition(release, "Ready")["status"] == "True"
                and int(history[0]["version"]) == version
            )

        return await eventually(lambda: self.stored(name), accept, within)

    async def failing(self, reason: str, name: str = "shop", within: float = 20) -> Manifest:
        """The HelmRelease once its Ready is False for this reason."""

        def accept(release: Manifest) -> bool:
            ready = condition(release, "Ready")
            return (ready["status"], ready["reason"]) == ("False", reason)

        return await eventually(lambda: self.stored(name), accept, within)

    async def saying(self, message: str, name: str = "shop") -> Manifest:
        """The HelmRelease once its Ready says this."""
        return await eventually(
            lambda: self.stored(name),
            lambda release: message in condition(release, "Ready")["message"],
        )

    async def grant(self, account: str) -> None:
        """Make a ServiceAccount the master of its namespace."""
        role = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "admin"}
        subject = {"kind": "ServiceAccount", "name": account, "namespace": self.namespace}
        await self.cluster.create(
            {
                "apiVersion": "rbac.authorization.k8s.io/v1",
                "kind": "RoleBinding",
                "metadata": {"name": account, "namespace": self.namespace},
                "roleRef": role,
                "subjects": [subject],
            }
        )

    async def object(
        self, name: str, kind: str = "ConfigMap", api_version: str = "v1"
    ) -> Manifest | None:
        return await self.cluster.read(ObjectRef(api_version, kind, self.namespace, name))

    async def object_in(self, namespace: str, name: str) -> Manifest | None:
        return await self.cluster.read(ObjectRef("v1", "ConfigMap", namespace, name))

    async def records(self, name: str = "shop") -> dict[int, str]:
        """Stored versions and their status, as the labels of their Secrets say."""
        secrets = await self.cluster.list(
            Gvk("v1", "Secret"), self.namespace, labels=f"owner=helm,name={name}"
        )
        labels = [secret["metadata"]["labels"] for secret in secrets]
        return {int(each["version"]): each["status"] for each in labels}

    def chart_ref(self, name: str) -> ObjectRef:
        return ObjectRef(
            HelmChart.api_version, HelmChart.kind, self.namespace, f"{self.namespace}-{name}"
        )

    async def cli(self, *arguments: str) -> str:
        """Run the stock helm; fails the test when it fails."""
        process = await asyncio.create_subprocess_exec(
            binary("helm"),
            *arguments,
            f"--namespace={self.namespace}",
            env={**os.environ, "KUBECONFIG": str(self.kubeconfig), "HELM_CACHE_HOME": "/tmp"},
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        output, errors = await process.communicate()
        assert process.returncode == 0, errors.decode()
        return output.decode()

    async def cli_json(self, *arguments: str) -> Any:
        return json.loads(await self.cli(*arguments, "--output=json"))


def condition(release: Manifest, name: str) -> dict[str, Any]:
    """Empty values when there is none."""
    conditions = release.get("status", {}).get("conditions", ())
    found = (each for each in conditions if each["type"] == name)
    return next(found, {"status": "", "reason": "", "message": ""})


@pytest.fixture
async def helm(
    cluster: Cluster, kitchen: Kitchen, namespace: str, control_plane: ControlPlane
) -> AsyncIterator[Helm]:
    async with ArtifactServer.running() as server:
        helm = Helm(cluster, kitchen, server, namespace, control_plane.kubeconfig)
        try:
            yield helm
        finally:
            await _forget_releases(cluster, namespace)


@pytest.fixture
async def gate(control_plane: ControlPlane) -> AsyncIterator[Gate]:
    async with Gate.before(control_plane.url) as gate:
        yield gate


@pytest.fixture
async def gated(
    gate: Gate, control_plane: ControlPlane, cluster: Cluster, tmp_path: Path
) -> AsyncIterator[Cluster]:
    """A client whose requests pass the gate."""
    kubeconfig = tmp_path / "kubeconfig"
    config = {
        "current-context": "gate",
        "clusters": [{"name": "gate", "cluster": {"server": gate.url}}],
        "users": [{"name": "gate", "user": {"token": control_plane.token}}],
        "contexts": [{"name": "gate", "context": {"cluster": "gate", "user": "gate"}}],
    }
    kubeconfig.write_text(yaml.safe_dump(config))
    async with Cluster.connect(kubeconfig, agent="tests") as client:
        yield client


@pytest.fixture
async def helm_service(helm: Helm) -> AsyncIterator[Helm]:
    async with held(helm.service()):
        yield helm


async def _forget_releases(cluster: Cluster, namespace: str) -> None:
    """The next test's service must not find them."""
    kind = Gvk(HelmRelease.api_version, HelmRelease.kind)
    for release in await cluster.list(kind, namespace):
        ref = ObjectRef(*kind, namespace, release["metadata"]["name"])
        await cluster.merge_patch(ref, {"metadata": {"finalizers": None}})
        await cluster.delete(ref)
