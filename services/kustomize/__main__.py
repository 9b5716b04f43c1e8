"""The kustomize service: `python -m services.kustomize`."""

import asyncio

from services.kustomize.keeping import NAME, keeping_kustomizations
from services.kustomize.means import Means
from services.kustomize.policy import Policy
from shared.artifact_hints import ArtifactHints
from shared.ready_news import ReadyNews
from shared.rendering_doors import rendering_doors
from shared.resources.kustomize import Kustomization
from shared.resources.meta import NamespacedName
from shared.service import run_service
from shared.settings import Settings
from shared.subjects import ARTIFACTS, REQUESTS


async def start(settings: Settings) -> None:
    async with rendering_doors(settings, service="kustomize", controller=NAME) as doors:
        bus = doors.bus
        means = Means(
            cluster=doors.cluster,
            recorder=doors.recorder,
            engine=doors.engine,
            expressions=doors.expressions,
            artifacts=doors.artifacts,
            policy=Policy.of(settings),
        )
        async with keeping_kustomizations(means) as keeping, asyncio.TaskGroup() as group:
            controller, caches = keeping
            hints = ArtifactHints(doors.cluster, caches.sources)
            bus.hints(ARTIFACTS, [ARTIFACTS.every(kind) for kind in caches.sources], hints.heard)
            bus.hints(
                REQUESTS,
                [REQUESTS.every(Kustomization.kind)],
                lambda asked: controller.look_at(NamespacedName(*asked.names[1:])),
            )
            news = ReadyNews[Kustomization](bus, lambda each: each.status.last_applied_revision)
            caches.kustomizations.on_change(news.changed)
            group.create_task(hints.run())
            doors.ready.set()
            await controller.run()


if __name__ == "__main__":
    run_service(start)
