"""The source service: `python -m services.source`."""

import asyncio

from services.source.announcements import announce_artifacts
from services.source.file_server import file_server
from services.source.git.ssh_address import SshAlgorithms
from services.source.keeping import CONCURRENT, NAME, Caches, Means, controllers_of
from services.source.storage import Storage, advertised_address
from services.source.web_client import WebClient
from shared.bus import Bus
from shared.cluster.client import Cluster
from shared.consuming import Received
from shared.events import Recorder
from shared.messages import ReconcileRequest
from shared.resources.meta import NamespacedName
from shared.service import run_service
from shared.serving import listening, side_doors
from shared.settings import Settings
from shared.subjects import REQUESTS


async def start(settings: Settings) -> None:
    ready = asyncio.Event()
    advertised = advertised_address(settings.storage_adv_addr, settings.storage_address)
    async with (
        side_doors(settings, ready.is_set),
        listening(file_server(settings.storage_path), settings.storage_address),
        Cluster.connect(settings.kubeconfig, agent=NAME) as cluster,
        Bus.connect(
            settings.nats_url, credentials=settings.nats_credentials, service="source"
        ) as bus,
        Recorder.open(cluster, bus, controller=NAME, state=settings.state) as recorder,
        WebClient.open() as web,
    ):
        means = Means(
            cluster=cluster,
            recorder=recorder,
            storage=Storage(settings.storage_path, advertised),
            web=web,
            state=settings.state,
            concurrent=settings.concurrent or CONCURRENT,
            ssh=SshAlgorithms(settings.ssh_kex_algos, settings.ssh_hostkey_algos),
            gates=settings.open_gates,
        )
        caches = Caches.of(cluster)
        keeping = controllers_of(means, caches)
        for cache in caches:
            announce_artifacts(cache, bus)

        def requested(asked: Received[ReconcileRequest]) -> None:
            kind, namespace, name = asked.names
            keeping.controllers[kind].look_at(NamespacedName(namespace, name))

        async with caches.running():
            bus.hints(REQUESTS, [REQUESTS.every(kind) for kind in keeping.controllers], requested)
            ready.set()
            await keeping.run()


if __name__ == "__main__":
    run_service(start)
