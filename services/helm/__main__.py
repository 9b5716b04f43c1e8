"""The helm service: `python -m services.helm`."""

import asyncio

import aiohttp

from services.helm.hearing import attach
from services.helm.keeping import NAME, Means, keeping_releases
from shared.artifact import ArtifactCache
from shared.bus import Bus
from shared.cluster.client import Cluster
from shared.engine import Engine
from shared.events import Recorder
from shared.service import run_service
from shared.serving import side_doors
from shared.settings import SettingError, Settings
from shared.subjects import ARTIFACT_BLOBS

CONCURRENT = 16


async def start(settings: Settings) -> None:
    if settings.engine is None:
        raise SettingError("PENSTOCK_ENGINE is not set: it names the engine's program")
    folder, ready = settings.state / "charts", asyncio.Event()
    async with (
        side_doors(settings, ready.is_set),
        Cluster.connect(settings.kubeconfig, agent=NAME) as cluster,
        Bus.connect(
            settings.nats_url, credentials=settings.nats_credentials, service="helm"
        ) as bus,
        Recorder.open(cluster, bus, controller=NAME, state=settings.state) as recorder,
        aiohttp.ClientSession() as session,
        ArtifactCache(session, folder, objects=bus.objects(ARTIFACT_BLOBS)) as artifacts,
        Engine(settings.engine, readable=folder) as engine,
    ):
        means = Means(
            cluster=cluster,
            recorder=recorder,
            engine=engine,
            artifacts=artifacts,
            concurrent=settings.concurrent or CONCURRENT,
            cross_namespace=not settings.no_cross_namespace_refs,
        )
        async with keeping_releases(means) as keeping, asyncio.TaskGroup() as group:
            group.create_task(attach(bus, cluster, keeping).run())
            ready.set()
            await keeping.controller.run()


if __name__ == "__main__":
    run_service(start)
