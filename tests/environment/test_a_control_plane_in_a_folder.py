"""The local Kubernetes: real, private, quick, and the same after a restart."""

import asyncio
import stat
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from penstock.local.control_plane import ControlPlane
from shared.cluster.client import Cluster
from shared.cluster.connection import Connection
from shared.cluster.errors import Forbidden
from shared.cluster.objects import Manifest, ObjectRef
from tests.support.eventually import eventually
from tests.support.listening import addresses_listened_on

SOON = timedelta(seconds=30)


def config_map(name: str) -> Manifest:
    metadata = {"name": name, "namespace": "default"}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {"a": "b"}}


def workload(kind: str, group: str, namespace: str, pod: dict[str, Any], **spec: Any) -> Manifest:
    template = {"metadata": {"labels": {"app": "shop"}}, "spec": pod}
    return {
        "apiVersion": f"{group}/v1",
        "kind": kind,
        "metadata": {"name": "shop", "namespace": namespace},
        "spec": {"template": template, **spec},
    }


async def status_of(cluster: Cluster, ref: ObjectRef) -> dict[str, Any]:
    found = await cluster.read(ref) or {}
    status: dict[str, Any] = found.get("status", {})
    return status


async def test_it_is_private_and_survives_restarts(tmp_path: Path) -> None:
    """One start is seconds: what one start can show is shown in one test."""
    async with ControlPlane(tmp_path / "k", controllers=False) as plane:
        names = [process.name for process in plane.processes]
        assert names == ["etcd", "apiserver"]
        pids = [process.pid or 0 for process in plane.processes]
        port = int(plane.url.rpartition(":")[2])
        assert addresses_listened_on(pids) == {("127.0.0.1", port)}
        assert stat.S_IMODE((tmp_path / "k").stat().st_mode) == 0o700
        async with Cluster.connect(plane.kubeconfig) as cluster:
            await cluster.create(config_map("kept"))
        token, kubeconfig = plane.token, plane.kubeconfig.read_bytes()

        await plane.processes[1].kill()
        await plane.processes[1].ready(SOON)
        assert plane.processes[1].restarts == 1

    async with (
        ControlPlane(tmp_path / "k", controllers=False) as plane,
        Cluster.connect(plane.kubeconfig) as cluster,
    ):
        assert (plane.token, plane.kubeconfig.read_bytes()) == (token, kubeconfig)
        found = await cluster.read(ObjectRef("v1", "ConfigMap", "default", "kept"))
        assert found is not None
        assert found["data"] == {"a": "b"}


def test_secrets_of_it_are_for_their_owner_alone(control_plane: ControlPlane) -> None:
    readable = [
        path.name
        for path in control_plane.folder.iterdir()
        if path.suffix in {".kubeconfig", ".csv", ".yaml"}
        and stat.S_IMODE(path.stat().st_mode) & 0o077
    ]
    command_lines = [
        Path(f"/proc/{process.pid}/cmdline").read_text() for process in control_plane.processes
    ]

    assert readable == []
    assert not any(control_plane.token in line for line in command_lines)


async def test_everybody_else_has_no_rights(cluster: Cluster) -> None:
    someone = cluster.as_service_account("default", "default")

    with pytest.raises(Forbidden):
        await someone.read(ObjectRef("v1", "Secret", "default", "any"))


async def test_it_says_its_version_as_charts_want_it(cluster: Cluster) -> None:
    version = await cluster.version()

    assert (version["gitVersion"], version["major"], version["minor"]) == ("v1.36.3", "1", "36")


async def test_deployments_become_ready_without_containers(
    cluster: Cluster, namespace: str
) -> None:
    pod = {"containers": [{"name": "web", "image": "example.org/shop:1"}]}
    selector = {"matchLabels": {"app": "shop"}}
    shop = workload("Deployment", "apps", namespace, pod, replicas=3, selector=selector)
    await cluster.create(shop)

    ref = ObjectRef("apps/v1", "Deployment", namespace, "shop")
    await eventually(
        lambda: status_of(cluster, ref), lambda status: status.get("readyReplicas") == 3
    )


async def test_jobs_complete(cluster: Cluster, namespace: str) -> None:
    containers = [{"name": "once", "image": "example.org/migrate:1"}]
    pod = {
        "restartPolicy": "Never",
        "containers": containers,
        "initContainers": [{"name": "before", "image": "example.org/before:1"}],
    }
    await cluster.create(workload("Job", "batch", namespace, pod, completions=2))

    ref = ObjectRef("batch/v1", "Job", namespace, "shop")
    done = await eventually(lambda: status_of(cluster, ref), lambda s: s.get("succeeded") == 2)
    assert any(c["type"] == "Complete" and c["status"] == "True" for c in done["conditions"])


async def test_namespaces_go_with_all_that_is_in_them(cluster: Cluster) -> None:
    metadata = {"name": "short-lived"}
    await cluster.create({"apiVersion": "v1", "kind": "Namespace", "metadata": metadata})
    pod = {"containers": [{"name": "web", "image": "example.org/shop:1"}]}
    selector = {"matchLabels": {"app": "shop"}}
    shop = workload("Deployment", "apps", "short-lived", pod, selector=selector)
    await cluster.create(shop)

    ref = ObjectRef("v1", "Namespace", "", "short-lived")
    await cluster.delete(ref)

    await eventually(lambda: cluster.read(ref), lambda found: found is None, within=30)


async def test_two_do_not_disturb_each_other(tmp_path: Path, control_plane: ControlPlane) -> None:
    async with ControlPlane(tmp_path, controllers=False) as other:
        assert other.url != control_plane.url
        connection = await Connection.load(other.kubeconfig)
        assert connection.host == other.url
        async with Cluster.connect(other.kubeconfig) as cluster:
            nodes = await asyncio.wait_for(cluster.request("GET", "/api/v1/nodes"), 5)
        assert b'"items":[]' in nodes
