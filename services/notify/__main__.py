"""notification-controller: `python -m services.notify`."""

import asyncio

from services.notify.event_server import event_door
from services.notify.notifying import notifying
from services.notify.receiving import receiving
from services.notify.triggers import MANAGER
from shared.bus import Bus
from shared.cluster.client import Cluster
from shared.events import Recorder
from shared.service import run_service
from shared.serving import side_doors
from shared.settings import Settings


async def main(settings: Settings) -> None:
    ready = asyncio.Event()
    across = not settings.no_cross_namespace_refs
    async with (
        side_doors(settings, ready.is_set),
        Cluster.connect(settings.kubeconfig, agent=MANAGER) as cluster,
        Bus.connect(
            settings.nats_url, credentials=settings.nats_credentials, service="notify"
        ) as bus,
        Recorder.for_kubernetes(cluster, controller=MANAGER) as recorder,
        notifying(cluster, bus, recorder, across_namespaces=across) as intake,
        receiving(
            cluster,
            bus,
            recorder,
            across_namespaces=across,
            concurrent=settings.concurrent,
        ) as (controller, webhooks),
        event_door(intake).open(settings.events_addr),
        webhooks.door().open(settings.receiver_addr),
    ):
        ready.set()
        await controller.run()


if __name__ == "__main__":
    run_service(main)
