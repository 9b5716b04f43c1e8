"""The whole of Penstock on one machine: NATS, a control plane (or a given cluster), the services.

    async with Environment(folder) as environment:        # ready when entered, gone when left
        environment.record.kubeconfig ...

Started in the order in which the parts need each other, stopped the other way round. Everything
lies in one folder, and an environment that starts in a used folder goes on with what is there.
"""

import asyncio
import os
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from datetime import timedelta
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import msgspec

from penstock.local import cluster_setup
from penstock.local.control_plane import ControlPlane
from penstock.local.kubeconfig import current_cluster
from penstock.local.nats_server import NatsServer
from penstock.local.parts import SERVICE_ACCOUNTS
from penstock.local.ports import LOOPBACK, PortBook
from penstock.local.service_accounts import ServiceAccountTokens
from penstock.local.service_processes import Surroundings, service_program
from penstock.local.state_folder import ProcessRecord, Record, StateFolder, birth_of
from penstock.local.supervised import Supervised
from penstock.local.supervisor import Supervisor
from penstock.local.wishes import Wishes
from shared.cluster.client import Cluster

__all__ = ["Environment", "Wishes"]

SERVICES_READY_WITHIN = timedelta(seconds=60)


class Environment:
    """`say` hears a line for each step, for whoever waits."""

    def __init__(
        self,
        folder: Path,
        wishes: Wishes | None = None,
        *,
        say: Callable[[str], None] | None = None,
    ) -> None:
        self.folder = StateFolder(folder)
        self.wishes = wishes or Wishes()
        self.plane: ControlPlane | None = None
        given = self.wishes.kubeconfig
        self._given_cluster = given.absolute() if given else None
        self.record = Record(pid=os.getpid(), born=birth_of(os.getpid()) or 0)
        self._say = say or (lambda _: None)
        self._began = time.monotonic()
        self._supervisors: list[Supervisor] = []
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        """Raises AlreadyRunning, NotReady, PortTaken or what else keeps it from running."""
        async with AsyncExitStack() as stack:
            stack.enter_context(self.folder.held(self.record))
            engine = await asyncio.to_thread(self.wishes.programs)
            nats = await self._start_nats(stack)
            kubeconfig = self._given_cluster or await self._start_control_plane(stack)
            tokens = await self._prepare_cluster(stack, kubeconfig)
            await self._start_services(stack, engine, nats, tokens)
            self._note(ready=True)
            self._stack = stack.pop_all()
        self._step("ready")
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._step("stopping")
        await self._stack.__aexit__(kind, error, trace)

    @property
    def processes(self) -> tuple[Supervised, ...]:
        """In the order in which they were started."""
        return tuple(
            process for supervisor in self._supervisors for process in supervisor.processes
        )

    def process(self, name: str) -> Supervised:
        return next(process for process in self.processes if process.name == name)

    async def kill(self, name: str) -> None:
        """As `kill -9`: it will be back by itself; see `Supervised.ready`."""
        await self.process(name).kill()

    async def stop(self, name: str) -> None:
        """Stops it for good, until `start`."""
        await self._supervisor_of(name).stop(name)

    def start(self, name: str) -> Supervised:
        return self._supervisor_of(name).start(self.process(name).program)

    def _supervisor_of(self, name: str) -> Supervisor:
        process = self.process(name)
        return next(one for one in self._supervisors if process in one.processes)

    async def _start_nats(self, stack: AsyncExitStack) -> NatsServer:
        nats = NatsServer(
            self.folder.path / "nats", port=self.wishes.ports.get("nats"), changed=self._changed
        )
        self._supervisors.append(nats.supervisor)
        await stack.enter_async_context(nats)
        self._note(nats=nats.url, nats_credentials=str(nats.credentials("admin")))
        self._step("NATS is up")
        return nats

    async def _start_control_plane(self, stack: AsyncExitStack) -> Path:
        self.plane = ControlPlane(
            self.folder.path / "control-plane",
            audit=self.wishes.audit,
            port=self.wishes.ports.get("apiserver"),
            changed=self._changed,
        )
        self._supervisors.insert(0, self.plane.supervisor)
        await stack.enter_async_context(self.plane)
        self._step("the control plane is up")
        return self.plane.kubeconfig

    async def _prepare_cluster(
        self, stack: AsyncExitStack, kubeconfig: Path
    ) -> ServiceAccountTokens:
        self._note(kubeconfig=str(kubeconfig))
        cluster = await stack.enter_async_context(Cluster.connect(kubeconfig))
        await cluster_setup.prepare(cluster)
        self._step("the kinds are served")
        return ServiceAccountTokens(cluster, self.folder.path / "service-accounts")

    async def _start_services(
        self, stack: AsyncExitStack, engine: Path, nats: NatsServer, tokens: ServiceAccountTokens
    ) -> None:
        around = Surroundings(
            folder=self.folder.path / "services",
            ports=PortBook(self.folder.path / "ports.json"),
            given=self.wishes.ports,
            engine=engine,
            nats_url=nats.url,
        )
        cluster_entry = current_cluster(Path(self.record.kubeconfig))
        supervisor = await stack.enter_async_context(Supervisor(self._changed))
        self._supervisors.append(supervisor)
        for name in self.wishes.services:
            kubeconfig = await tokens.kubeconfig(SERVICE_ACCOUNTS[name], cluster_entry)
            credentials = nats.credentials(name)
            supervisor.start(
                service_program(name, around, kubeconfig=kubeconfig, credentials=credentials)
            )
        self._note(**_addresses(around.ports.known, self.wishes.services))
        supervisor.accompany(tokens.keep_fresh())
        for process in supervisor.processes:
            await process.ready(SERVICES_READY_WITHIN)
            self._step(f"{process.name} is up")

    def _step(self, what: str) -> None:
        self._say(f"{time.monotonic() - self._began:5.1f} s  {what}")

    def _note(self, **facts: Any) -> None:
        self.record = msgspec.structs.replace(self.record, **facts)
        self.folder.write(self.record)

    def _changed(self) -> None:
        processes = tuple(
            ProcessRecord(process.name, process.pid, process.state, process.restarts)
            for process in self.processes
        )
        self._note(processes=processes)


def _addresses(ports: Mapping[str, int], services: Sequence[str]) -> dict[str, str]:
    """Where people and other tools reach what the services serve."""
    served = {"artifacts": "source", "receiver": "notify", "events": "notify"}
    return {
        what: f"http://{LOOPBACK}:{ports[what]}"
        for what, service in served.items()
        if service in services
    }
