"""A run that takes its time says what it is doing; one that does not says only how it ended."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import pytest
import yaml

from services.kustomize.progress import Progress
from shared.engine import Engine
from shared.engine_messages import BuildRequest, Built
from shared.outcomes import Marks
from shared.resources.kustomize import Kustomization
from shared.resources.meta import Artifact
from shared.run import Run
from tests.kustomize.conftest import Folder, World, config_map, serving, tidy
from tests.support.eventually import eventually
from tests.support.memory_recorder import MemoryRecorder


@dataclass
class HeldFolder(Folder):
    """Gives an artifact out when it is let go."""

    go: asyncio.Event = field(default_factory=asyncio.Event)

    async def fetch(self, artifact: Artifact) -> Path:
        await self.go.wait()
        return await super().fetch(artifact)


class HeldEngine:
    """Builds when it is let go."""

    def __init__(self, engine: Engine) -> None:
        self.go = asyncio.Event()
        self._engine = engine

    async def build(self, request: BuildRequest) -> Built:
        await self.go.wait()
        return await self._engine.build(request)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._engine, name)


async def said(world: World, message: str) -> dict[str, Any]:
    """The status once Reconciling says this."""

    def says(status: dict[str, Any]) -> bool:
        return message in [
            each["message"]
            for each in status.get("conditions", ())
            if each["type"] == "Reconciling"
        ]

    return await eventually(lambda: world.status("apps"), says)


async def test_a_slow_download_is_shown(idle_world: World, engine: Engine) -> None:
    idle_world.folder = folder = HeldFolder(idle_world.folder.path)
    async with serving(idle_world, engine):
        revision = await idle_world.publish({"a.yaml": config_map("a")})
        await idle_world.create("apps", targetNamespace=idle_world.namespace, timeout="2m")

        await said(idle_world, f"Fetching manifests for revision {revision} with a timeout of 2m0s")
        reconciling = await idle_world.condition("apps", "Reconciling")
        ready = await idle_world.condition("apps")
        assert (reconciling["status"], reconciling["reason"]) == ("True", "Progressing")
        assert (ready["status"], ready["reason"]) == ("Unknown", "Progressing")
        assert ready["message"] == "Reconciliation in progress"

        folder.go.set()
        status = await idle_world.applied("apps", revision)
        assert [each["type"] for each in status["conditions"]] == ["Ready"]
        await tidy(idle_world)


async def test_a_slow_build_is_shown(idle_world: World, engine: Engine) -> None:
    held = HeldEngine(engine)
    async with serving(idle_world, held):  # type: ignore[arg-type]
        revision = await idle_world.publish({"a.yaml": config_map("a")})
        await idle_world.create("apps", targetNamespace=idle_world.namespace, timeout="2m")

        status = await said(
            idle_world, f"Building manifests for revision {revision} with a timeout of 2m0s"
        )
        assert status["lastAttemptedRevision"] == revision

        held.go.set()
        await idle_world.applied("apps", revision)
        await tidy(idle_world)


async def test_a_slow_apply_is_shown(world: World) -> None:
    first = await world.publish({"a.yaml": config_map("a", key="1")})
    await world.create("apps", targetNamespace=world.namespace, timeout="2m")
    await world.applied("apps", first)

    world.gate.refuse(
        f"PATCH /api/v1/namespaces/{world.namespace}/configmaps/a",
        429,
        times=2,
        headers={"Retry-After": "1"},
    )
    second = await world.publish({"a.yaml": config_map("a", key="2")})
    await said(world, f"Detecting drift for revision {second} with a timeout of 2m0s")
    ready = await world.condition("apps")
    assert (ready["status"], ready["message"]) == ("Unknown", "Reconciliation in progress")

    await world.applied("apps", second)


async def test_a_wait_for_health_is_shown(world: World) -> None:
    claim = yaml.safe_dump(
        {
            "apiVersion": "v1",
            "kind": "PersistentVolumeClaim",
            "metadata": {"name": "data"},
            "spec": {
                "accessModes": ["ReadWriteOnce"],
                "storageClassName": "nobody",
                "resources": {"requests": {"storage": "1Gi"}},
            },
        }
    )
    revision = await world.publish({"claim.yaml": claim})
    await world.create("apps", targetNamespace=world.namespace, wait=True, timeout="10m")

    message = f"Running health checks for revision {revision} with a timeout of 10m0s"
    await said(world, message)

    healthy = await world.condition("apps", "Healthy")
    assert (healthy["status"], healthy["reason"]) == ("Unknown", "Progressing")
    assert healthy["message"] == message


@pytest.mark.parametrize("files", [{"a.yaml": config_map("a", key="2")}])
async def test_a_short_run_writes_its_status_once(world: World, files: dict[str, str]) -> None:
    first = await world.publish({"a.yaml": config_map("a", key="1")})
    await world.create("apps", targetNamespace=world.namespace)
    await world.applied("apps", first)
    before = len(world.gate.seen)

    await world.applied("apps", await world.publish(files))

    patches = [line for line in world.gate.seen[before:] if "kustomizations/apps/status" in line]
    assert len(patches) == 1


async def test_a_word_that_is_being_written_is_not_overtaken_by_the_result() -> None:
    writing, may_end, written = asyncio.Event(), asyncio.Event(), []

    async def write(fields: Mapping[str, Any], marks: Marks) -> None:
        writing.set()
        await may_end.wait()
        written.append(marks["Reconciling"])

    apps = msgspec.convert(
        {
            "metadata": {"name": "apps", "namespace": "shop"},
            "spec": {
                "interval": "1m",
                "prune": True,
                "sourceRef": {"kind": "GitRepository", "name": "shop"},
            },
        },
        Kustomization,
    )
    run = Run(apps, MemoryRecorder(), asyncio.Semaphore(), write)
    async with Progress(run, is_moving=True).shown():
        await writing.wait()
        asyncio.get_running_loop().call_later(0.05, may_end.set)

    assert len(written) == 1
