"""The source service: `python -m services.source`."""

import asyncio

from services.source.announcements import announce_artifacts
from services.source.artifact_blobs import copies_of
from services.source.file_server import file_server
from services.source.generator.external_artifacts import MANAGER as WATCHER
from services.source.keeping import controllers_of
from services.source.means import NAME, Caches, Means
from services.source.storage import storage_of
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
from shared.web.client import WebClient
from shared.web.reach import Reach


async def start(settings: Settings) -> None:
    ready = asyncio.Event()
    storage = storage_of(settings)
    reach = Reach.of(settings.forbidden_networks)
    async with (
        side_doors(settings, ready.is_set),
        listening(file_server(storage), settings.storage_address),
        Cluster.connect(settings.kubeconfig, agent=NAME) as cluster,
        Bus.connect(
            settings.nats_url, credentials=settings.nats_credentials, service="source"
        ) as bus,
        Recorder.open(cluster, bus, controller=NAME, state=settings.state) as recorder,
        recorder.also_as(cluster, WATCHER) as watcher_recorder,
        WebClient.open(reach) as web,
    ):
        means = Means.of(
            settings,
            cluster=cluster,
            recorder=recorder,
            watcher_recorder=watcher_recorder,
            storage=storage,
            web=web,
        )
        caches = Caches.of(cluster)
        keeping = controllers_of(means, caches)
        copies = copies_of(storage, caches.of_artifacts(), bus, settings.artifact_store_mebibytes)
        for cache in caches.of_artifacts():
            announce_artifacts(cache, bus, storage.path_index)

        def requested(asked: Received[ReconcileRequest]) -> None:
            kind, namespace, name = asked.names
            keeping.controllers[kind].look_at(NamespacedName(namespace, name))

        async with caches.running(), asyncio.TaskGroup() as group:
            bus.hints(REQUESTS, [REQUESTS.every(kind) for kind in keeping.controllers], requested)
            group.create_task(copies.run())
            ready.set()
            await keeping.run()


if __name__ == "__main__":
    run_service(start)
