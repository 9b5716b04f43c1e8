"""A Kubernetes control plane in a folder: etcd and an API server with RBAC; on request also the
controllers, the scheduler and a fake node whose pods turn ready without a container runtime.

    async with ControlPlane(folder) as plane:      # ready when entered, gone when left
        plane.kubeconfig, plane.url, plane.token
"""

import asyncio
import os
import ssl
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import yaml

from penstock.local import kube_commands
from penstock.local.certificates import Certificates, certificates
from penstock.local.identities import Identities
from penstock.local.kubeconfig import cluster_entry
from penstock.local.ports import LOOPBACK, PortBook
from penstock.local.private_files import private_folder, write_private
from penstock.local.probes import http_answers
from penstock.local.supervised import Probe, Program, Supervised
from penstock.local.supervised_part import SupervisedPart
from penstock.lockfile import CHECKOUT
from penstock.toolchain import binary
from shared.cluster.client import Cluster

STAGES = CHECKOUT / "deploy" / "local" / "kwok-stages.yaml"
READY_WITHIN = timedelta(seconds=60)

# A few hundred MiB more for a quarter less of the API server's CPU: it shares few cores with us.
LEAN = {"GOGC": "400"}
NODE = {
    "apiVersion": "v1",
    "kind": "Node",
    "metadata": {"name": "local", "labels": {"kubernetes.io/hostname": "local"}},
}
AUDIT_POLICY = {
    "apiVersion": "audit.k8s.io/v1",
    "kind": "Policy",
    "omitStages": ["RequestReceived"],
    "rules": [{"level": "Metadata"}],
}


class ControlPlane(SupervisedPart):
    """With `controllers` off there are etcd and the API server alone: enough for most tests."""

    def __init__(
        self,
        folder: Path,
        *,
        controllers: bool = True,
        audit: bool = False,
        port: int | None = None,
        changed: Callable[[], None] = lambda: None,
    ) -> None:
        super().__init__(folder, changed)
        self._identities = Identities(self.folder)
        self.kubeconfig = self._identities.kubeconfig("admin")
        self.audit_log = self.folder / "audit.log"
        self.token = ""
        self.url = ""
        self._controllers = controllers
        self._audit = audit
        self._wished_port = port

    async def _start(self) -> None:
        await self._start_api()
        if self._controllers:
            await self._start_controllers()

    @property
    def _keys(self) -> Certificates:
        return certificates(self.folder / "keys")

    async def _start_api(self) -> None:
        port = PortBook(self.folder / "ports.json").port("apiserver", self._wished_port)
        self.url = f"https://{LOOPBACK}:{port}"
        entry = cluster_entry(self.url, self._keys.authority.read_bytes())
        self.token = self._identities.write(entry)["admin"]
        kube = await asyncio.to_thread(binary, "kube")
        options = kube_commands.ApiServerOptions(
            port=port,
            certificates=self._keys,
            tokens=self._identities.token_file,
            audit_policy=self._audit_policy(),
            audit_log=self.audit_log,
        )
        # Both at once: the API server waits for etcd by itself.
        self._run("etcd", kube_commands.etcd(kube))
        trusted = ssl.create_default_context(cafile=str(self._keys.authority))
        ready = http_answers(port, "/readyz", trusted)
        server = self._run("apiserver", kube_commands.api_server(kube, options), ready)
        await server.ready(READY_WITHIN)

    async def _start_controllers(self) -> None:
        kube, kwok = await asyncio.to_thread(lambda: (binary("kube"), binary("kwok")))
        config = self._identities.kubeconfig
        manager = kube_commands.controller_manager(kube, config("controller-manager"), self._keys)
        self._run("controller-manager", manager)
        configuration = self._write_scheduler_configuration(config("scheduler"))
        self._run("scheduler", kube_commands.scheduler(kube, configuration))
        self._run("kwok", kube_commands.kwok(kwok, config("kwok"), STAGES))
        async with Cluster.connect(self.kubeconfig) as cluster:
            await cluster.apply(NODE, manager="penstock")

    def _run(self, name: str, command: list[str | Path], ready: Probe | None = None) -> Supervised:
        program = Program(
            name=name,
            command=command,
            folder=self.folder,
            log=private_folder(self.folder / "logs") / f"{name}.log",
            environment={"PATH": os.defpath, "HOME": str(self.folder), **LEAN},
            ready=ready,
        )
        return self.supervisor.start(program)

    def _write_scheduler_configuration(self, kubeconfig: Path) -> Path:
        configuration = {
            "apiVersion": "kubescheduler.config.k8s.io/v1",
            "kind": "KubeSchedulerConfiguration",
            "leaderElection": {"leaderElect": False},
            "clientConnection": {"kubeconfig": str(kubeconfig), "qps": 2000, "burst": 4000},
        }
        return write_private(self.folder / "scheduler.yaml", yaml.safe_dump(configuration))

    def _audit_policy(self) -> Path | None:
        if not self._audit:
            return None
        return write_private(self.folder / "audit-policy.yaml", yaml.safe_dump(AUDIT_POLICY))
