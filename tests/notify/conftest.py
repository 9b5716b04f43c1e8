from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest

from penstock.local.control_plane import ControlPlane
from shared.bus import Bus
from shared.cluster.client import Cluster
from tests.support.desk import Desk
from tests.support.fleet import Fleet
from tests.support.holding import held
from tests.support.nats_process import NatsProcess, running_nats
from tests.support.service_process import ServiceProcess, running_service
from tests.support.sink import Sink, running_sink

MODULE = "services.notify"


@pytest.fixture
async def desk() -> AsyncIterator[Desk]:
    async with aiohttp.ClientSession() as session:
        yield Desk(session)


@pytest.fixture
async def nats(tmp_path: Path) -> AsyncIterator[NatsProcess]:
    async with running_nats(tmp_path) as server:
        yield server


@pytest.fixture
async def sink() -> AsyncIterator[Sink]:
    async with running_sink() as sink:
        yield sink


@pytest.fixture
async def service(
    control_plane: ControlPlane, cluster: Cluster, nats: NatsProcess, tmp_path: Path
) -> AsyncIterator[ServiceProcess]:
    environment = {"KUBECONFIG": str(control_plane.kubeconfig), "NATS_URL": nats.url}
    async with running_service(MODULE, tmp_path, environment) as service:
        yield service


@pytest.fixture
def fleet(cluster: Cluster, namespace: str) -> Fleet:
    return Fleet(cluster, namespace)


@pytest.fixture
async def bus(nats: NatsProcess) -> AsyncIterator[Bus]:
    async with held(Bus.connect(nats.url, service="kustomize")) as bus:
        await bus.connected()
        yield bus
