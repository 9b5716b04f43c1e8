"""The kustomize service: `python -m services.kustomize`."""

import asyncio

import aiohttp

from services.kustomize.keeping import NAME, Means, keeping_kustomizations
from shared.artifact import ArtifactCache
from shared.artifact_hints import ArtifactHints
from shared.bus import Bus
from shared.cluster.client import Cluster
from shared.engine import Engine
from shared.events import Recorder
from shared.ready_news import ReadyNews
from shared.resources.kustomize import Kustomization
from shared.resources.meta import NamespacedName
from shared.service import run_service
from shared.serving import side_doors
from shared.settings import SettingError, Settings
from shared.subjects import ARTIFACT_BLOBS, ARTIFACTS, REQUESTS

CONCURRENT = 16


async def start(settings: Settings) -> None:
    if settings.engine is None:
        raise SettingError("PENSTOCK_ENGINE is not set: it names the engine's program")
    folder, ready = settings.state / "artifacts", asyncio.Event()
    async with (
        side_doors(settings, ready.is_set),
        Cluster.connect(settings.kubeconfig, agent=NAME) as cluster,
        Bus.connect(
            settings.nats_url, credentials=settings.nats_credentials, service="kustomize"
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
        async with keeping_kustomizations(means) as keeping, asyncio.TaskGroup() as group:
            controller, caches = keeping
            hints = ArtifactHints(cluster, caches.sources)
            bus.hints(ARTIFACTS, [ARTIFACTS.every(kind) for kind in caches.sources], hints.heard)
            bus.hints(
                REQUESTS,
                [REQUESTS.every(Kustomization.kind)],
                lambda asked: controller.look_at(NamespacedName(*asked.names[1:])),
            )
            news = ReadyNews[Kustomization](bus, lambda each: each.status.last_applied_revision)
            caches.kustomizations.on_change(news.changed)
            group.create_task(hints.run())
            ready.set()
            await controller.run()


if __name__ == "__main__":
    run_service(start)
